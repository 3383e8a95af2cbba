"""What we know of tickets: their records and looks. SQL only.

Lock order, here and everywhere: the row of due work first, then the ticket's others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

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
    """Make a ticket due, be it known or not; it has no result until it has been looked at."""
    await work.want(session, work.TICKET, ticket_id, delay, priority)
    known = insert(TicketRecord).values(id=ticket_id)
    await session.execute(
        known.on_conflict_do_update(index_elements=[TicketRecord.id], set_={"result": None})
    )


async def want_unknown(
    session: AsyncSession, ticket_ids: Collection[int], delay: timedelta, priority: Priority
) -> list[int]:
    """Make those due of which we have never heard, and name them."""
    new: list[int] = []
    for some in in_batches(sorted(ticket_ids)):
        new += await work.want_new(session, work.TICKET, some, delay, priority)
    for some in in_batches(new):
        rows = [{"id": ticket_id} for ticket_id in some]
        await session.execute(insert(TicketRecord).values(rows).on_conflict_do_nothing())
    return new


async def unknown(session: AsyncSession, ticket_ids: Collection[int]) -> list[int]:
    """Of some tickets, name those of which we have never heard."""
    known: set[int] = set()
    for some in in_batches(ticket_ids):
        found = select(TicketRecord.id).where(TicketRecord.id.in_(some))
        known |= set((await session.execute(found)).scalars())
    return sorted(set(ticket_ids) - known)


@dataclass(frozen=True, slots=True)
class Looked:
    """How a look ended, and what it learnt of the ticket; None where it learnt nothing.

    again_at: when the ticket is due again, for which it has no result yet.
    """

    ticket: Ticket | None
    result: Result | None
    note: str | None
    again_at: datetime | None
    source: str | None = None
    message_id: str | None = None
    by_mail: bool | None = None
    waits_for_mailbox: bool = False


async def record_look(session: AsyncSession, lease: Lease, looked: Looked) -> None:
    """Store how a look ended, and what it read of the ticket."""
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
    await session.execute(
        update(TicketRecord)
        .where(TicketRecord.id == lease.ref)
        .values(
            result=None if looked.again_at else looked.result,
            note=looked.note,
            looked_at=func.now(),
            waits_for_mailbox=looked.waits_for_mailbox,
            **known,
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


async def waits_for_mailbox(session: AsyncSession, ticket_id: int) -> bool:
    """Tell whether a ticket's last look found that only the mailbox could have its list."""
    waits = select(TicketRecord.waits_for_mailbox).where(TicketRecord.id == ticket_id)
    return bool((await session.execute(waits)).scalar_one_or_none())


async def is_observed(session: AsyncSession, ticket_id: int) -> bool:
    """Tell whether a ticket was first decided on in observe mode."""
    observed = select(TicketRecord.observed).where(TicketRecord.id == ticket_id)
    return bool((await session.execute(observed)).scalar_one_or_none())


async def known_for(session: AsyncSession, lease: Lease) -> timedelta:
    """Say how long a ticket had been known at a claim, if it was looked at to its end before."""
    ended = select(TicketRecord.first_seen_at).where(
        TicketRecord.id == lease.ref, TicketRecord.looked_at < lease.since
    )
    first = (await session.execute(ended)).scalar_one_or_none()
    return lease.claimed_at - first if first else timedelta(0)


async def account_of(session: AsyncSession, ticket_id: int) -> int | None:
    """Give the account that a ticket was in at its last look."""
    account = select(TicketRecord.account_id).where(TicketRecord.id == ticket_id)
    return (await session.execute(account)).scalar_one_or_none()


async def origin_of(session: AsyncSession, ticket_id: int) -> int | None:
    """Give the customer account in which people were first decided about, None if none were."""
    origin = select(TicketRecord.origin_account).where(TicketRecord.id == ticket_id)
    return (await session.execute(origin)).scalar_one_or_none()


async def is_back(session: AsyncSession, ticket_id: int, account_id: int) -> bool:
    """Tell whether a ticket was over, or in another account, when it was looked at last."""
    row = await session.get_one(TicketRecord, ticket_id, populate_existing=True)
    return row.over_at is not None or row.account_id not in (None, account_id)


async def decided_in(session: AsyncSession, ticket_id: int, account_id: int) -> None:
    """Record that people are decided about in an account, if it is the first one."""
    await session.execute(
        update(TicketRecord)
        .where(TicketRecord.id == ticket_id, TicketRecord.origin_account.is_(None))
        .values(origin_account=account_id)
    )


async def to_follow(session: AsyncSession, after: int, limit: int) -> list[TicketRecord]:
    """List tickets whose state matters to us, by id: open ones with people, and parked ones.

    Those that are due are looked at anyway.
    """
    people = select(Participant.id).where(Participant.ticket_id == TicketRecord.id)
    idle = select(Due.ref).where(
        Due.kind == work.TICKET,
        Due.ref == TicketRecord.id,
        Due.due_at.is_(None),
        Due.holder.is_(None),
    )
    found = await session.execute(
        select(TicketRecord)
        .where(TicketRecord.id > after, TicketRecord.over_at.is_(None))
        .where(or_(TicketRecord.result == Result.PARKED, people.exists()), idle.exists())
        .order_by(TicketRecord.id)
        .limit(limit)
    )
    return list(found.scalars())


async def merged(session: AsyncSession, ticket_id: int, into: int) -> None:
    """Record which ticket a ticket was merged into."""
    await session.execute(
        update(TicketRecord).where(TicketRecord.id == ticket_id).values(merged_into=into)
    )


async def is_merged(session: AsyncSession, ticket_id: int) -> bool:
    """Tell whether it is known which ticket a ticket was merged into."""
    into = select(TicketRecord.merged_into).where(TicketRecord.id == ticket_id)
    return (await session.execute(into)).scalar_one_or_none() is not None


async def were_over(session: AsyncSession, since: Mapping[int, datetime]) -> None:
    """Record that tickets have long been over, by id, without a look at them."""
    for ticket_id, at in sorted(since.items()):
        await session.execute(
            update(TicketRecord).where(TicketRecord.id == ticket_id).values(over_at=at)
        )


async def reopened(session: AsyncSession, ticket_ids: Collection[int]) -> None:
    """Record that tickets are not over, so that they are followed again."""
    await session.execute(
        update(TicketRecord).where(TicketRecord.id.in_(list(ticket_ids))).values(over_at=None)
    )


async def observe(session: AsyncSession, ticket_id: int) -> None:
    """Record that a ticket is decided on in observe mode, for good."""
    await session.execute(
        update(TicketRecord).where(TicketRecord.id == ticket_id).values(observed=True)
    )
