"""Bring back a contact that we ended, for a ticket whose list names it again."""

from __future__ import annotations

from app.contacts.restore import record_restored, send_restore
from app.db.database import persist_with
from app.decide import Decision
from app.looks.writes import ReadAgain, Wait, Writes
from app.records.ledger import restoring
from app.records.ledger.common import Pending
from app.records.ledger.restoring import Restore


async def restore(writes: Writes, decision: Decision, contact_id: int) -> int:
    """Bring a contact back, and return its id. Raise NoEffect if it is not as it was then."""
    account_id = writes.ticket.company_id
    writes.require_fresh()
    announced = await _announce(writes, decision, contact_id)
    async with writes.changing():
        await send_restore(writes.autotask, announced, account_id, tries=1)
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
            if not claim.again:
                await writes.require_left_today(session, decision)
    if claim is None:
        raise ReadAgain
    if isinstance(claim, Pending):
        raise Wait.for_other(claim)
    return claim
