"""What we know of tickets: their records and looks. SQL only.

Lock order, here and everywhere: the ticket's due row first, then its other rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.models import Ticket
from app.db.database import in_batches
from app.db.states import Priority, Result
from app.db.tables import Due, Look, Participant, TicketRecord
from app.due import work
from app.due.work import Lease
from app.mail.subjects import stem_of


async def want(session: AsyncSession, ticket_id: int, delay: timedelta, priority: Priority) -> None:
    """Make a ticket due, known or not; it has no result until the next look."""
    await work.want(session, work.TICKET, ticket_id, delay, priority)
    known = insert(TicketRecord).values(id=ticket_id)
    await session.execute(
        known.on_conflict_do_update(index_elements=[TicketRecord.id], set_={"result": None})
    )


async def want_unknown(
    session: AsyncSession, ticket_ids: Collection[int], delay: timedelta, priority: Priority
) -> list[int]:
    """Make the tickets due that are not on record yet; return their ids."""
    new: list[int] = []
    for batch in in_batches(sorted(ticket_ids)):
        new += await work.want_new(session, work.TICKET, batch, delay, priority)
    for batch in in_batches(new):
        rows = [{"id": ticket_id} for ticket_id in batch]
        await session.execute(insert(TicketRecord).values(rows).on_conflict_do_nothing())
    return new


async def want_gone(
    session: AsyncSession, ticket_ids: Collection[int], delay: timedelta, priority: Priority
) -> list[int]:
    """Make those of these tickets due that we took for gone; return their ids."""
    gone: list[int] = []
    for batch in in_batches(sorted(ticket_ids)):
        rows = await session.execute(
            select(TicketRecord.id)
            .where(TicketRecord.id.in_(batch), TicketRecord.result == Result.GONE)
            .order_by(TicketRecord.id)
        )
        gone += rows.scalars()
    for ticket_id in gone:
        await want(session, ticket_id, delay, priority)
    return gone


async def unknown(session: AsyncSession, ticket_ids: Collection[int]) -> list[int]:
    """Return those of these tickets that are not on record."""
    known: set[int] = set()
    for batch in in_batches(ticket_ids):
        ids = select(TicketRecord.id).where(TicketRecord.id.in_(batch))
        known |= set((await session.execute(ids)).scalars())
    return sorted(set(ticket_ids) - known)


@dataclass(frozen=True, slots=True)
class Looked:
    """How a look ended, and what it read."""

    ticket: Ticket | None
    """None: it was not read."""
    result: Result | None
    note: str | None
    again_at: datetime | None
    """When the ticket is due again; it has no result until then."""
    source: str | None = None
    message_id: str | None = None
    by_mail: bool | None = None
    waits_for_mailbox: bool = False
    mailbox_position: Mapping[str, Any] | None = None
    """How far its part of the mailbox has been read; None: as before."""


async def record_look(session: AsyncSession, lease: Lease, looked: Looked) -> None:
    """Store how a look ended, and what it read of the ticket."""
    await session.execute(
        update(TicketRecord)
        .where(TicketRecord.id == lease.ref)
        .values(
            result=None if looked.again_at else looked.result,
            note=looked.note,
            looked_at=func.now(),
            waits_for_mailbox=looked.waits_for_mailbox,
            **_known(looked),
        )
    )
    session.add(
        Look(
            ticket_id=lease.ref,
            attempt=lease.attempt,
            started_at=lease.claimed_at,
            result=looked.result,
            note=looked.note,
            source=looked.source,
            again_at=looked.again_at,
        )
    )


def _known(looked: Looked) -> dict[str, object]:
    """Return what a look has found out about the ticket."""
    ticket = looked.ticket
    over = looked.result in (Result.COMPLETE, Result.GONE)
    known: dict[str, object] = {}
    if ticket or over:
        known["over_at"] = func.coalesce(TicketRecord.over_at, func.now()) if over else None
    if ticket:
        known |= {
            "created_at": ticket.created_at,
            "stem": stem_of(ticket.title),
            "number": ticket.number,
            "account_id": ticket.company_id,
            "contact_id": ticket.contact_id,
            "by_mail": looked.by_mail,
        }
    if looked.message_id:
        known["message_id"] = looked.message_id
    if looked.mailbox_position or not looked.again_at:
        known["mailbox_position"] = looked.mailbox_position if looked.again_at else None
    return known


async def waits_for_mailbox(session: AsyncSession, ticket_id: int) -> bool:
    """Return whether, by a ticket's last look, only the mailbox can have its list."""
    waits = select(TicketRecord.waits_for_mailbox).where(TicketRecord.id == ticket_id)
    return bool((await session.execute(waits)).scalar_one_or_none())


async def mailbox_position(session: AsyncSession, ticket_id: int) -> Mapping[str, Any] | None:
    """Return how far a ticket's part of the mailbox has been read; None if from no earlier look."""
    position = select(TicketRecord.mailbox_position).where(TicketRecord.id == ticket_id)
    return (await session.execute(position)).scalar_one_or_none()


async def opened_others(
    session: AsyncSession, ticket_id: int, message_ids: Collection[str]
) -> frozenset[str]:
    """Return those of these messages from which another ticket's list was read."""
    found = await session.execute(
        select(TicketRecord.message_id).where(
            TicketRecord.message_id.in_(list(message_ids)), TicketRecord.id != ticket_id
        )
    )
    return frozenset(message_id for message_id in found.scalars() if message_id)


async def is_observed(session: AsyncSession, ticket_id: int) -> bool:
    """Return whether a ticket was first decided on in observe mode."""
    observed = select(TicketRecord.observed).where(TicketRecord.id == ticket_id)
    return bool((await session.execute(observed)).scalar_one_or_none())


async def known_for(session: AsyncSession, lease: Lease) -> timedelta:
    """Return how long a ticket had been known at a claim; 0 unless an earlier look had finished."""
    ended = select(TicketRecord.first_seen_at).where(
        TicketRecord.id == lease.ref, TicketRecord.looked_at < lease.since
    )
    first = (await session.execute(ended)).scalar_one_or_none()
    return lease.claimed_at - first if first else timedelta(0)


async def account_of(session: AsyncSession, ticket_id: int) -> int | None:
    """Return the account that a ticket was in at its last look."""
    account = select(TicketRecord.account_id).where(TicketRecord.id == ticket_id)
    return (await session.execute(account)).scalar_one_or_none()


async def origin_of(session: AsyncSession, ticket_id: int) -> int | None:
    """Return the account in which participants were first decided about; None: they never were."""
    origin = select(TicketRecord.origin_account).where(TicketRecord.id == ticket_id)
    return (await session.execute(origin)).scalar_one_or_none()


async def is_back(session: AsyncSession, ticket_id: int, account_id: int) -> bool:
    """Return whether a ticket was over, or in another account, at its last look."""
    row = await session.get_one(TicketRecord, ticket_id, populate_existing=True)
    return row.over_at is not None or row.account_id not in (None, account_id)


async def decided_in(session: AsyncSession, ticket_id: int, account_id: int) -> None:
    """Record the account in which participants are decided about, if it is the first one."""
    await session.execute(
        update(TicketRecord)
        .where(TicketRecord.id == ticket_id, TicketRecord.origin_account.is_(None))
        .values(origin_account=account_id)
    )


async def to_follow(session: AsyncSession, after: int, limit: int) -> list[TicketRecord]:
    """Return the tickets to follow, by id: open ones with participants, and parked ones.

    Tickets that are due are left out: they are looked at anyway.
    """
    people = select(Participant.id).where(Participant.ticket_id == TicketRecord.id)
    idle = select(Due.ref).where(
        Due.kind == work.TICKET,
        Due.ref == TicketRecord.id,
        Due.due_at.is_(None),
        Due.holder.is_(None),
    )
    rows = await session.execute(
        select(TicketRecord)
        .where(TicketRecord.id > after, TicketRecord.over_at.is_(None))
        .where(or_(TicketRecord.result == Result.PARKED, people.exists()), idle.exists())
        .order_by(TicketRecord.id)
        .limit(limit)
    )
    return list(rows.scalars())


async def merged(session: AsyncSession, ticket_id: int, into: int) -> None:
    """Record which ticket a ticket was merged into."""
    await session.execute(
        update(TicketRecord).where(TicketRecord.id == ticket_id).values(merged_into=into)
    )


async def is_merged(session: AsyncSession, ticket_id: int) -> bool:
    """Return whether it is known which ticket this one was merged into."""
    into = select(TicketRecord.merged_into).where(TicketRecord.id == ticket_id)
    return (await session.execute(into)).scalar_one_or_none() is not None


async def were_over(session: AsyncSession, since: Mapping[int, datetime]) -> None:
    """Record since when tickets have been over, by id, without a look at them."""
    for ticket_id, at in sorted(since.items()):
        await session.execute(
            update(TicketRecord).where(TicketRecord.id == ticket_id).values(over_at=at)
        )


async def reopened(session: AsyncSession, ticket_ids: Collection[int]) -> None:
    """Record that tickets are open, so that they are followed again."""
    await session.execute(
        update(TicketRecord).where(TicketRecord.id.in_(list(ticket_ids))).values(over_at=None)
    )


async def observe(session: AsyncSession, ticket_id: int) -> None:
    """Record that a ticket is decided on in observe mode, for good."""
    await session.execute(
        update(TicketRecord).where(TicketRecord.id == ticket_id).values(observed=True)
    )
