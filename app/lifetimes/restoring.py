"""A contact of ours that was ended is copied again: it is brought back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import db_now
from app.ledger import Pending
from app.lifetimes.parts import BY_US, record
from app.models import Ledger
from app.states import LedgerState

_ENDED = (LedgerState.RETIRED, LedgerState.RETIRING, LedgerState.RESTORING)
_OPEN = (
    LedgerState.SENDING,
    LedgerState.UNSURE,
    LedgerState.CREATED,
    LedgerState.RESTORING,
)


@dataclass(frozen=True, slots=True)
class Restore:
    """The right to bring a contact back; each of its requests may be repeated."""

    ledger_id: int
    contact_id: int
    email: str


async def restorable(session: AsyncSession, account_id: int, keys: Sequence[str]) -> dict[str, int]:
    """Give the contacts of ours that some addresses meant until they were ended, newest first."""
    found = await session.execute(
        select(Ledger.email, Ledger.contact_id)
        .where(Ledger.account_id == account_id, Ledger.email.in_(list(keys)))
        .where(Ledger.state.in_(_ENDED), Ledger.end_why.in_(BY_US), Ledger.kept.is_(None))
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

    settle: how long a request that ended it may still take effect.
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
        return Pending(now + timedelta(seconds=5))
    if row.state == LedgerState.RETIRED:
        ended_at = row.settled_at or now
        if ended_at + settle > now:
            return Pending.since(ended_at, now, settle)
        others = select(Ledger.id).where(
            Ledger.account_id == account_id,
            Ledger.email == email,
            Ledger.state.in_(_OPEN),
        )
        if (await session.execute(others)).first():
            return None
    row.state, row.sent_at, row.ticket_id, row.lifetime = (
        LedgerState.RESTORING,
        now,
        ticket_id,
        lifetime,
    )
    row.outside, row.sender_id = outside, sender_id
    return Restore(row.id, contact_id, email)


async def restored(session: AsyncSession, restore: Restore) -> None:
    """Record that a contact is back as it was."""
    row = await session.get_one(Ledger, restore.ledger_id, with_for_update=True)
    if row.state == LedgerState.RESTORING:
        row.state, row.settled_at = LedgerState.CREATED, await db_now(session)
        row.end_why = row.end_at = row.needed_at = None
        record(session, row, "contact_restored")


async def vanished(session: AsyncSession, contact_ids: Collection[int]) -> None:
    """Record that ended contacts do not exist any more, so that their addresses are free."""
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id.in_(list(contact_ids)))
        .where(Ledger.state.in_((LedgerState.RETIRED, LedgerState.RESTORING)))
        .values(state=LedgerState.GONE, settled_at=func.clock_timestamp())
    )
