"""Bringing a contact of ours back that was ended: active first, then its address, then seen.

The other way round the person's own mail would be refused in between. Each request may be repeated.
"""

from __future__ import annotations

import time

from sqlalchemy.ext.asyncio import AsyncSession

from app import ledger, lifetimes, mappings, policies
from app.addresses import address_key, spellings
from app.autotask.client import Autotask
from app.autotask.errors import Unanswered
from app.db import persist_with
from app.decide import Decision
from app.desk import Desk
from app.errors import NotNow
from app.lifetimes import Restore
from app.models import Ledger
from app.touched import touched
from app.writes import LEAVE_SECONDS, ReadAgain, Wait, Writes


async def restore(writes: Writes, one: Decision, contact_id: int) -> int:
    """Bring a contact back under its old name, and give its id."""
    account_id = writes.reading.ticket.company_id
    writes.require_fresh()
    announced = await _announce(writes, one, contact_id)
    not_after = time.monotonic() + LEAVE_SECONDS
    async with writes.changing():
        await writes.autotask.activate_contact(account_id, contact_id, not_after)
        await writes.autotask.set_address(account_id, contact_id, one.key, not_after)
    # An inactive contact can show company 0; only now is it certain whose it is.
    contact = await writes.autotask.contact(contact_id)
    is_back = contact is not None and contact.active and contact.company_id == account_id
    if contact is None or not is_back or address_key(contact.email or "") != one.key:
        raise ReadAgain
    await persist_with(writes.desk.sessions, _record, announced, account_id)
    writes.created.add(contact_id)
    return contact_id


async def restore_by_hand(desk: Desk, autotask: Autotask, account_id: int, contact_id: int) -> str:
    """Bring a contact back because a person says so, and say what came of it.

    It is the person's then: it is never ended by itself. Raises NotNow while a request that ended
    it may still take effect, and what the client raises; then it is to be done again.
    """
    async with desk.sessions() as session:
        row = await lifetimes.ended(session, account_id, contact_id)
    if row is None or address_key(row.email) is None:  # or forgotten: its alias is no address
        return "is not ended"
    if why := await _in_the_way(autotask, row):
        return why
    async with desk.sessions() as session, session.begin():
        claim = await lifetimes.claim_by_hand(session, account_id, contact_id, desk.create_settle)
    if claim is None:
        return "is not ended"
    if isinstance(claim, ledger.Pending):
        raise NotNow(claim.until, "what ended it may still take effect")
    not_after = time.monotonic() + LEAVE_SECONDS
    await autotask.activate_contact(account_id, contact_id, not_after)
    await autotask.set_address(account_id, contact_id, claim.email, not_after)
    contact = await autotask.contact(contact_id)
    if contact is None or not contact.active or address_key(contact.email or "") != claim.email:
        raise Unanswered("Autotask does not show it as it should be")
    await persist_with(desk.sessions, _record, claim, account_id)
    return "is back"


async def _in_the_way(autotask: Autotask, row: Ledger) -> str | None:
    """Say what somebody has done since with a contact that we ended, or with its address."""
    assert row.contact_id is not None
    contact = await autotask.whole_contact(row.contact_id)
    if contact is None:
        return "does not exist any more"
    others = {address_key(email) for email in contact.emails} - {row.email}
    inactive_elsewhere = not contact.active and not contact.company_id  # it can show company 0
    account_id = contact.company_id or 0 if inactive_elsewhere else row.account_id
    if others or touched(contact, account_id, row.sent, cleared=not contact.email):
        return "is changed by a person"
    found = await autotask.contacts(row.account_id, spellings(row.email), [])
    if any(one.id != row.contact_id for one in found):
        return "has its address at another contact"
    return None


async def _announce(writes: Writes, one: Decision, contact_id: int) -> Restore:
    ticket = writes.reading.ticket
    async with writes.announcing(one) as session:
        claim = await lifetimes.claim(
            session,
            ticket.company_id,
            one.key,
            ticket.id,
            contact_id,
            settle=writes.desk.create_settle,
            lifetime=writes.lifetime(one),
            outside=writes.counts(one),
            sender_id=ticket.contact_id,
        )
        if isinstance(claim, Restore):
            await session.flush()
            await writes.require_left_today(session, one)
    if claim is None:
        raise ReadAgain
    if isinstance(claim, ledger.Pending):
        raise Wait(claim.until)
    return claim


async def _record(session: AsyncSession, restore: Restore, account_id: int) -> None:
    await lifetimes.restored(session, restore)
    if not await policies.forgotten(session, [restore.email]):
        await mappings.remember(session, account_id, {restore.email: restore.contact_id})
