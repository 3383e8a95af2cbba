"""A contact of ours that was ended is copied again: it is brought back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import LedgerState
from app.db.tables import Ledger
from app.records import forgotten
from app.records.ledger.common import BY_US, is_taken, record
from app.records.ledger.creating import Pending

_WHILE_ENDED = timedelta(seconds=15)  # that a look waits for an ending to stop, or to be over
_BY_HAND = "it was brought back by hand"
_ENDED = (LedgerState.RETIRED, LedgerState.RETIRING, LedgerState.RESTORING)


@dataclass(frozen=True, slots=True)
class Restore:
    """The right to bring a contact back; each of its requests may be repeated.

    until: how long its requests may take effect without an answer; earlier: those before them.
    by_hand: a person brings it back, who keeps it.
    """

    ledger_id: int
    contact_id: int
    email: str
    until: datetime
    earlier: datetime | None
    by_hand: bool = False


async def restorable(session: AsyncSession, account_id: int, keys: Sequence[str]) -> dict[str, int]:
    """Give the contacts of ours that some addresses meant until they were ended, newest first."""
    found = await session.execute(
        select(Ledger.email, Ledger.contact_id)
        .where(Ledger.account_id == account_id, Ledger.email.in_(list(keys)))
        .where(Ledger.state.in_(_ENDED), Ledger.end_why.in_(BY_US))
        .where(Ledger.kept.is_(None))
        .order_by(Ledger.id)
    )
    return {email: contact_id for email, contact_id in found if contact_id is not None}


async def claim(
    session: AsyncSession,
    account_id: int,
    email: str,
    ticket_id: int,
    contact_id: int,
    *,
    settle: timedelta,
    lifetime: str | None,
    outside: bool,
    sender_id: int | None,
) -> Restore | Pending | None:
    """Store that a contact is about to be brought back; or tell to wait; None: it is not ended.

    settle: how long a request without an answer may still take effect.
    """
    found = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == account_id, Ledger.email == email)
        .where(Ledger.contact_id == contact_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = found.scalar_one_or_none()
    now = await db_now(session)
    if row is None or row.state not in _ENDED:
        return None
    if row.state == LedgerState.RETIRING:
        row.needed_at = now
        return Pending(now + _WHILE_ENDED)
    if row.state == LedgerState.RETIRED:
        if row.unsure_until and row.unsure_until > now:
            return Pending(row.unsure_until)  # what ended it could do so once more
        if await is_taken(session, row):
            return None
    row.state, row.sent_at, row.ticket_id = LedgerState.RESTORING, now, ticket_id
    row.lifetime, row.outside, row.sender_id = lifetime, outside, sender_id
    return _begin(row, now, settle)


async def claim_by_hand(
    session: AsyncSession, account_id: int, contact_id: int, settle: timedelta
) -> Restore | Pending | None:
    """Store that a person brings a contact back, who keeps it for good; else as claim."""
    found = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == account_id, Ledger.contact_id == contact_id)
        .where(Ledger.state.in_(_ENDED), Ledger.end_why.in_(BY_US))
        .with_for_update()
    )
    row = found.scalar_one_or_none()
    now = await db_now(session)
    if row is None or await forgotten.forgotten(session, [row.email]) or "@" not in row.email:
        return None  # who was forgotten is not brought back
    if row.state != LedgerState.RESTORING and await is_taken(session, row):
        return None
    if row.unsure_until and row.unsure_until > now and row.state != LedgerState.RESTORING:
        return Pending(row.unsure_until)
    row.state, row.sent_at = LedgerState.RESTORING, now
    return replace(_begin(row, now, settle), by_hand=True)


def _begin(row: Ledger, now: datetime, settle: timedelta) -> Restore:
    assert row.contact_id is not None
    earlier, row.unsure_until = row.unsure_until, now + settle
    return Restore(row.id, row.contact_id, row.email, now + settle, earlier)


async def restored(session: AsyncSession, restore: Restore) -> None:
    """Record that a contact is back as it was."""
    row = await session.get_one(Ledger, restore.ledger_id, with_for_update=True)
    if row.state == LedgerState.RESTORING:
        row.state, row.settled_at = LedgerState.CREATED, await db_now(session)
        row.end_why = row.end_at = row.needed_at = None
        row.kept = _BY_HAND if restore.by_hand else row.kept
        if row.unsure_until == restore.until:
            row.unsure_until = restore.earlier
        record(session, row, "contact_restored")


async def came_back(session: AsyncSession, contact_ids: Collection[int]) -> None:
    """Record that contacts are back: they were seen active, with their addresses."""
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id.in_(list(contact_ids)), Ledger.state == LedgerState.RESTORING)
        .values(state=LedgerState.CREATED, settled_at=func.clock_timestamp(), end_why=None)
    )


async def ended(session: AsyncSession, account_id: int, contact_id: int) -> Ledger | None:
    """Give what is on record of a contact that we ended, and may bring back."""
    found = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == account_id, Ledger.contact_id == contact_id)
        .where(Ledger.state.in_(_ENDED), Ledger.end_why.in_(BY_US))
    )
    return found.scalar_one_or_none()


async def vanished(session: AsyncSession, contact_ids: Collection[int]) -> None:
    """Record that ended contacts do not exist any more, so that their addresses are free."""
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id.in_(list(contact_ids)))
        .where(Ledger.state.in_((LedgerState.RETIRED, LedgerState.RESTORING)))
        .values(state=LedgerState.GONE, settled_at=func.clock_timestamp())
    )
