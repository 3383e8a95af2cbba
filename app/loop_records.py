"""Mail loops: somebody whom we added writes ticket after ticket of one subject. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import db_now
from app.models import Ledger, LinkRecord, Loop, Participant, TicketRecord
from app.states import LedgerState

LOOP = "loop"
"""Why a link of ours is to come off."""

_ADDED = (LedgerState.CREATED, LedgerState.RETIRING, LedgerState.RESTORING)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A ticket whose contact may be in a loop."""

    ticket_id: int
    account_id: int
    contact_id: int
    stem: str


async def suspect(session: AsyncSession, ticket_id: int) -> Suspect | None:
    """Give what a ticket's last look has learnt of it; None where that is not enough."""
    row = await session.get(TicketRecord, ticket_id, populate_existing=True)
    if row is None or row.contact_id is None or row.stem is None or row.account_id is None:
        return None
    return Suspect(ticket_id, row.account_id, row.contact_id, row.stem)


async def count(session: AsyncSession, one: Suspect, within: timedelta) -> int:
    """Count the tickets of this contact and stem that were created within a time of this one."""
    created = func.coalesce(TicketRecord.created_at, TicketRecord.first_seen_at)
    this = select(created).where(TicketRecord.id == one.ticket_id).scalar_subquery()
    counted = select(func.count()).where(
        TicketRecord.contact_id == one.contact_id,
        TicketRecord.stem == one.stem,
        TicketRecord.account_id == one.account_id,
        created.between(this - within, this + within),
    )
    return int((await session.execute(counted)).scalar_one())


async def is_ours(session: AsyncSession, one: Suspect) -> bool:
    """Tell whether we created a contact, or put it on a ticket."""
    linked = select(LinkRecord.ticket_id).where(
        LinkRecord.contact_id == one.contact_id,
        or_(LinkRecord.ours, LinkRecord.sent_at.is_not(None)),
    )
    created = select(Ledger.ticket_id).where(
        Ledger.contact_id == one.contact_id, Ledger.state.in_(_ADDED)
    )
    return (await session.execute(linked.union(created).limit(1))).first() is not None


async def broken_since(session: AsyncSession, one: Suspect, since: datetime) -> bool:
    """Tell whether a loop of this contact was broken since a time."""
    found = select(Loop.id).where(Loop.contact_id == one.contact_id, Loop.at >= since)
    return (await session.execute(found.limit(1))).first() is not None


async def addresses(session: AsyncSession, one: Suspect) -> list[str]:
    """Name the addresses by which a contact came onto tickets of an account."""
    copied = select(Participant.key).where(
        Participant.contact_id == one.contact_id, Participant.account_id == one.account_id
    )
    created = select(Ledger.email).where(
        Ledger.contact_id == one.contact_id, Ledger.state.in_(_ADDED)
    )
    return sorted(set((await session.execute(copied.union(created))).scalars()))


async def record(session: AsyncSession, one: Suspect, tickets: int) -> None:
    """Record a loop, and that our links of its contact are to come off."""
    session.add(
        Loop(
            account_id=one.account_id,
            contact_id=one.contact_id,
            ticket_id=one.ticket_id,
            tickets=tickets,
            at=await db_now(session),
        )
    )
    await session.execute(
        update(LinkRecord)
        .where(
            LinkRecord.contact_id == one.contact_id,
            LinkRecord.removed_seen_at.is_(None),
            LinkRecord.unlinked_at.is_(None),
            or_(LinkRecord.ours, LinkRecord.sent_at.is_not(None)),
        )
        .values(end_why=LOOP)
    )


async def to_take_off(session: AsyncSession, limit: int) -> Sequence[LinkRecord]:
    """List our links that are to come off."""
    found = await session.execute(
        select(LinkRecord)
        .where(LinkRecord.end_why == LOOP)
        .order_by(LinkRecord.ticket_id, LinkRecord.contact_id)
        .limit(limit)
    )
    return list(found.scalars())


async def done(session: AsyncSession, link: LinkRecord) -> None:
    """Record that nothing more is to be done about a link."""
    await session.execute(
        update(LinkRecord)
        .where(LinkRecord.ticket_id == link.ticket_id, LinkRecord.contact_id == link.contact_id)
        .values(end_why=None)
    )


async def latest(session: AsyncSession, since: datetime) -> tuple[int, datetime | None, list[int]]:
    """Count the loops that were broken since a time; when the first was, and in which accounts."""
    found = list((await session.execute(select(Loop).where(Loop.at >= since))).scalars())
    first = min((one.at for one in found), default=None)
    return len(found), first, sorted({one.account_id for one in found})
