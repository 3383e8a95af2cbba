"""Break mail loops: take off a contact that we added and whose mails open ticket after ticket.

Autotask's own brake lets two mails of one sender and subject through in five minutes:
https://www.autotask.net/help/Content/4_Admin/1FoundationalFeatures/IncomingEmailProcessing/Loops_Dupes.htm
"""

from __future__ import annotations

import time
from datetime import timedelta

import structlog
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Barred, Overloaded
from app.autotask.models import Ticket
from app.contacts.unlink import links_by_contact, take_off
from app.db.database import db_now, persist_with
from app.db.tables import LinkRecord
from app.due.exclusive import InUse, holding
from app.due.work import Lease
from app.mail.addresses import mask
from app.outbound.rules import RightMissing
from app.records import audit, forgotten, links, loops, policies
from app.records.loops import Suspect
from app.services import Services
from app.settings.settings import Settings

log = structlog.get_logger()

_AT_ONCE = 20  # links that are listed at once
_SECONDS = 60.0  # after which a pass ends, so that other chores have their turn
_SOON = timedelta(seconds=1)


async def break_loop(session: AsyncSession, ticket: Ticket, settings: Settings) -> None:
    """Break the loop that a ticket shows, if any, in the transaction that records its look."""
    suspect = await loops.suspected(session, ticket.id)
    if suspect is None or not await loops.is_ours(session, suspect):
        return
    # Of two looks at once the second one sees what the first has recorded.
    await loops.lock(session, suspect)
    within = timedelta(minutes=settings.loop_minutes)
    count = await loops.count(session, suspect, within)
    if count < settings.loop_tickets or await loops.is_broken(session, suspect, within):
        return
    await _break(session, suspect, count, settings)


async def _break(session: AsyncSession, suspect: Suspect, count: int, settings: Settings) -> None:
    """Deny the contact's addresses, and mark our links to come off."""
    addresses = await loops.addresses(session, suspect)
    # A forgotten person is ignored anyway, and must not be stored again.
    denied = sorted(set(addresses) - await forgotten.forgotten(session, addresses))
    detail: dict[str, object] = {"denied": denied}
    for key in denied:
        try:
            await policies.put_on_list(
                session, suspect.account_id, key, "denied", settings.default_policy, audit.SERVICE
            )
        except ValidationError:
            why = "the list is full"
            detail = {"denied": denied[: denied.index(key)], "not_denied": why}
            log.error("loop_not_denied", account=suspect.account_id, reason=why)
            break
    await loops.record(session, suspect, count)
    audit.record(
        session,
        audit.SERVICE,
        "loop_broken",
        account_id=suspect.account_id,
        ticket_id=suspect.ticket_id,
        contact_id=suspect.contact_id,
        tickets=count,
        **detail,
    )
    log.error("loop_broken", account=suspect.account_id, contact=suspect.contact_id, tickets=count)


async def break_loops(services: Services, lease: Lease) -> timedelta:
    """Take off the links that loops have marked; the chore. Return when to do it again.

    A link that cannot be taken off now is tried again by the next pass, and delays no other link.
    Raises what the throttle raises.
    """
    autotask = await services.autotask(lease)
    began = time.monotonic()
    await persist_with(services.sessions, loops.mark_late)
    after = (-1, -1)
    while True:
        async with services.sessions() as session:
            marked = await loops.to_take_off(session, after, _AT_ONCE)
        if not marked:
            return timedelta(seconds=services.settings.reconcile_interval)
        for link in marked:
            if time.monotonic() - began > _SECONDS:
                return _SOON
            await _try(services, autotask, link)
        after = (marked[-1].ticket_id, marked[-1].contact_id)


async def _try(services: Services, autotask: Autotask, link: LinkRecord) -> None:
    try:
        async with holding(services.sessions, link.ticket_id, "loop"):
            await _take_off(services, autotask, link.ticket_id, link.contact_id)
    except InUse:
        log.info("loop_link_waits", ticket=link.ticket_id, why="it is being looked at")
    except (Barred, Overloaded):
        raise
    except (AutotaskError, RightMissing) as error:
        log.warning("loop_link_waits", ticket=link.ticket_id, why=mask(str(error)))


async def _take_off(
    services: Services, autotask: Autotask, ticket_id: int, contact_id: int
) -> None:
    """Take our link off a ticket whose lease is held, if it is there."""
    ids = (await links_by_contact(autotask, ticket_id, missing_ok=True)).get(contact_id, [])
    async with services.sessions() as session:
        link = await loops.still_to_take_off(session, ticket_id, contact_id)
        now = await db_now(session)
    if link is None:
        return  # it was dealt with since it was listed
    if link.is_among(ids):
        off = await take_off(services, autotask, link, ids, rejected_by=audit.SERVICE)
        if off.refused:
            await persist_with(services.sessions, _stays, link, mask(off.detail))
        elif not off.done:
            log.warning("loop_link_waits", ticket=ticket_id, why=mask(off.detail))
        return
    settled_since = now - services.create_settle
    seen_late = link.first_seen_linked_at and link.first_seen_linked_at >= settled_since
    if not ids and (link.may_come(settled_since) or seen_late):
        return  # it may come, or the reading lags
    if not ids and link.unlinked_at:  # we took it off, and the process died before it was recorded
        await persist_with(services.sessions, links.unlinked, link, audit.SERVICE)
    else:  # a link that is there otherwise is a person's
        await persist_with(services.sessions, links.end_loop, link)


async def _stays(session: AsyncSession, link: LinkRecord, why: str) -> None:
    """Record that Autotask does not let us take the link off: it is not asked again."""
    await links.end_loop(session, link, stays=True)
    audit.record(
        session,
        audit.SERVICE,
        "loop_link_stays",
        account_id=link.account_id,
        ticket_id=link.ticket_id,
        contact_id=link.contact_id,
        why=why[:200],
    )
    log.error("loop_link_stays", ticket=link.ticket_id, contact=link.contact_id, why=why)
