"""A ticket that has moved to another account: what we did for the old one is taken back first.

The rest of the look then decides about its participants under the new account's policy.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import Unanswered
from app.autotask.models import Ticket
from app.contacts.unlink import links_by_contact, take_off
from app.db import database
from app.db.database import db_now
from app.db.tables import LinkRecord
from app.due.work import Lease, fenced
from app.outbound.rules import NotNow
from app.records import absences, participants, tickets
from app.records import links as link_records
from app.records.absences import Missed
from app.records.ledger import candidates
from app.services import Services

log = structlog.get_logger()


async def take_back(services: Services, autotask: Autotask, lease: Lease, ticket: Ticket) -> bool:
    """Take our links of other accounts off a ticket; return whether there were any.

    Raises Unanswered while one of them is still there, or may be, and NotNow while a reading that
    does not show one may be wrong.
    """
    async with services.sessions() as session:
        links = await link_records.ours_elsewhere(session, ticket.id, ticket.company_id)
        moved = await participants.decided_elsewhere(session, ticket.id, ticket.company_id)
        before = await tickets.account_of(session, ticket.id)
        records = await link_records.links_of(session, ticket.id)
    if not links and not moved and before in (None, ticket.company_id):
        return False
    read_at = await database.now(services.sessions)
    rows = await links_by_contact(autotask, ticket.id) if links else {}
    seen = {link.contact_id for link in links if not link.unanswered}
    missed = await _count(services, lease, seen, {*rows}, read_at)
    if missed.again_at:  # before any is taken off: who is left shows whether the move dropped them
        why = "a link of the account that the ticket has left is not shown; it is read again"
        raise NotNow(missed.again_at, why)
    missing = [link for link in links if link.contact_id not in rows]
    # A link of the new account may be there although the move has dropped all others.
    old = {n for n, link in records.items() if link.account_id != ticket.company_id}
    async with fenced(services.sessions, lease) as session:
        # First of all: once our links are off, this cannot be known any more.
        waits = await _see_missing(
            session, services, ticket, missing, others_stay=bool(old & {*rows})
        )
    there = [link for link in links if link.is_among(rows.get(link.contact_id, []))]
    for link in there:
        taken = await take_off(services, autotask, link, rows[link.contact_id], moved=True)
        if not taken.done:
            raise Unanswered(f"a link of account {link.account_id} stays: {taken.detail}")
    if waits:
        raise Unanswered("a link of the account that the ticket has left may still take effect")
    async with fenced(services.sessions, lease) as session:
        await candidates.end_left_behind(session, ticket.id, ticket.company_id)
    if links:
        log.info("links_taken_back", count=len(there), gone=len(missing), account=ticket.company_id)
    return bool(links)


async def _count(
    services: Services, lease: Lease, seen: set[int], there: set[int], read_at: datetime
) -> Missed:
    """Count the reading: which links it does not show that were seen, and if to believe that."""
    kind, missing = absences.Kind.LINK, seen - there
    async with fenced(services.sessions, lease) as session:
        missed = await absences.judge(session, kind, missing, read_at, of=lease.ref)
        await absences.record(session, kind, missing, seen & there, read_at, of=lease.ref)
    return missed


async def _see_missing(
    session: AsyncSession,
    services: Services,
    ticket: Ticket,
    missing: list[LinkRecord],
    *,
    others_stay: bool,
) -> bool:
    """Record links that are not there any more; return whether one may still come.

    others_stay: links outlive a move at this Autotask, so a person has taken these off. If none is
    left, the move may have taken them off, and that was no decision of a person.
    """
    now, waits = await db_now(session), False
    for link in missing:
        seen = link.first_seen_linked_at and not link.unanswered
        if link.may_come(now - services.create_settle):
            waits = True
        elif seen and others_stay and link.unlinked_at is None:
            off = [link.contact_id]
            await link_records.saw_removed(session, ticket.id, off)
            await participants.saw_taken_off(session, ticket.id, off, link.account_id)
        else:
            await link_records.moved_away(session, link)
    return waits
