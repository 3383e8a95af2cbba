"""Bring back a contact that we ended, for a ticket whose list names it again."""

from __future__ import annotations

import time

from app.contacts.restore import record_restored
from app.db.database import persist_with
from app.decide import Decision
from app.looks.writes import ReadAgain, Wait, Writes
from app.mail.addresses import address_key
from app.outbound.rules import LEAVE_SECONDS
from app.records.ledger import creating, restoring
from app.records.ledger.restoring import Restore


async def restore(writes: Writes, decision: Decision, contact_id: int) -> int:
    """Bring a contact back, and return its id."""
    account_id = writes.ticket.company_id
    writes.require_fresh()
    announced = await _announce(writes, decision, contact_id)
    not_after = time.monotonic() + LEAVE_SECONDS
    async with writes.changing():
        await writes.autotask.activate_contact(account_id, contact_id, not_after)
        await writes.autotask.set_address(account_id, contact_id, decision.key, not_after)
    # An inactive contact can show company 0; only now is it certain whose it is.
    contact = await writes.autotask.contact(contact_id)
    is_back = contact is not None and contact.active and contact.company_id == account_id
    if contact is None or not is_back or address_key(contact.email or "") != decision.key:
        raise ReadAgain
    await persist_with(writes.services.sessions, record_restored, announced, account_id)
    writes.created.add(contact_id)
    return contact_id


async def _announce(writes: Writes, decision: Decision, contact_id: int) -> Restore:
    async with writes.announcing(decision) as session:
        claim = await restoring.claim(
            session, writes.wanted(decision), contact_id, settle=writes.services.create_settle
        )
        if isinstance(claim, Restore):
            await session.flush()
            await writes.require_left_today(session, decision)
    if claim is None:
        raise ReadAgain
    if isinstance(claim, creating.Pending):
        raise Wait(claim.until)
    return claim
