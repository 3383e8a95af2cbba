"""A contact that was ended is brought back, because its address is copied again or by hand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.db.database import db_now
from app.db.states import ENDED, OPEN, RESTORABLE, EndedBy, LedgerState
from app.db.tables import Ledger
from app.records import forgotten
from app.records.ledger.common import IF_FORGOTTEN, Pending, Wanted, audit_by_service, is_taken

_BY_HAND = "it was brought back by hand"


@dataclass(frozen=True, slots=True)
class Restore:
    """The right to bring a contact back; each of its requests may be repeated."""

    ledger_id: int
    contact_id: int
    email: str
    until: datetime
    """How long its requests may take effect without an answer."""
    earlier: datetime | None
    """The same of requests before them."""
    again: bool = False
    """It was claimed before, and so is counted among today's new people already."""


async def restorable(session: AsyncSession, account_id: int, keys: Sequence[str]) -> dict[str, int]:
    """Return the contacts that these addresses meant until they were ended; the newest of each.

    Left out are addresses for which we have, or are creating, another contact: see is_taken.
    """
    other = aliased(Ledger)
    taken = select(other.id).where(
        other.account_id == Ledger.account_id,
        other.email == Ledger.email,
        other.id != Ledger.id,
        other.state.in_(OPEN),
    )
    rows = await session.execute(
        select(Ledger.email, Ledger.contact_id)
        .where(Ledger.account_id == account_id, Ledger.email.in_(list(keys)))
        .where(Ledger.state.in_(ENDED), Ledger.end_why.in_(RESTORABLE))
        .where(Ledger.kept.is_(None), ~taken.exists())
        .order_by(Ledger.id)
    )
    return {email: contact_id for email, contact_id in rows if contact_id is not None}


async def claim(
    session: AsyncSession, wanted: Wanted, contact_id: int, *, settle: timedelta
) -> Restore | Pending | None:
    """Store the intent to bring a contact back, or wait. Return None if it is not restorable.

    settle: how long an unanswered request may still take effect.
    """
    rows = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == wanted.account_id, Ledger.email == wanted.email)
        .where(Ledger.contact_id == contact_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = rows.scalar_one_or_none()
    now = await db_now(session)
    if row is None or row.state not in ENDED or row.end_why not in RESTORABLE:
        return None
    if row.state == LedgerState.RETIRING:
        return Pending.for_ending(row, now)
    if row.state == LedgerState.RETIRED:
        if row.unsure_until and row.unsure_until > now:
            return Pending(row.unsure_until)  # the request that ended it could do so once more
        if await is_taken(session, row):
            return None
    again = row.state == LedgerState.RESTORING
    row.state, row.sent_at, row.ticket_id = LedgerState.RESTORING, now, wanted.ticket_id
    row.lifetime = wanted.lifetime
    row.outside, row.inside = wanted.counts_as == "outside", wanted.counts_as == "inside"
    row.sender_id, row.chain_id = wanted.sender_id, wanted.chain_id
    return replace(_begin(row, now, settle), again=again)


async def claim_by_hand(
    session: AsyncSession, account_id: int, contact_id: int, settle: timedelta
) -> Restore | Pending | None:
    """Store a person's intent to bring a contact back; it is then never retired automatically.

    Return as `claim` does.
    """
    rows = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == account_id, Ledger.contact_id == contact_id)
        .where(Ledger.state.in_(ENDED), Ledger.end_why.in_(RESTORABLE))
        .with_for_update()
    )
    row = rows.scalar_one_or_none()
    now = await db_now(session)
    if row is None or await forgotten.forgotten(session, [row.email]) or "@" not in row.email:
        return None  # a forgotten person is not brought back
    if row.state != LedgerState.RESTORING and await is_taken(session, row):
        return None
    if row.unsure_until and row.unsure_until > now and row.state != LedgerState.RESTORING:
        return Pending(row.unsure_until)
    row.state, row.sent_at, row.kept = LedgerState.RESTORING, now, _BY_HAND
    return _begin(row, now, settle)


def _begin(row: Ledger, now: datetime, settle: timedelta) -> Restore:
    assert row.contact_id is not None
    earlier, row.unsure_until = row.unsure_until, now + settle
    return Restore(row.id, row.contact_id, row.email, now + settle, earlier)


async def restored(session: AsyncSession, restore: Restore) -> None:
    """Record that a contact is back as it was."""
    row = await session.get_one(Ledger, restore.ledger_id, with_for_update=True)
    if row.state == LedgerState.RESTORING:
        row.state, row.settled_at = LedgerState.CREATED, await db_now(session)
        if row.end_why != EndedBy.FORGOTTEN:
            row.end_why = None
        row.end_at = row.needed_at = None
        if row.unsure_until == restore.until:
            row.unsure_until = restore.earlier
        audit_by_service(session, row, "contact_restored")


async def saw_restored(session: AsyncSession, contact_ids: Collection[int]) -> None:
    """Record that contacts are back: they were seen active, with their addresses."""
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id.in_(list(contact_ids)), Ledger.state == LedgerState.RESTORING)
        .values(state=LedgerState.CREATED, settled_at=func.clock_timestamp(), end_why=IF_FORGOTTEN)
    )


async def ended(session: AsyncSession, account_id: int, contact_id: int) -> Ledger | None:
    """Return the row of a contact that we ended and may bring back."""
    rows = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == account_id, Ledger.contact_id == contact_id)
        .where(Ledger.state.in_(ENDED), Ledger.end_why.in_(RESTORABLE))
    )
    return rows.scalar_one_or_none()


async def saw_deleted(session: AsyncSession, contact_ids: Collection[int]) -> None:
    """Record that ended contacts do not exist any more, so that their addresses are free."""
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id.in_(list(contact_ids)))
        .where(Ledger.state.in_((LedgerState.RETIRED, LedgerState.RESTORING)))
        .values(state=LedgerState.GONE, settled_at=func.clock_timestamp())
    )
