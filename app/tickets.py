"""What we know of tickets: their records and looks. SQL only.

Lock order, here and everywhere: the row of due work first, then the ticket's others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import work
from app.autotask.models import Ticket
from app.db import in_batches
from app.models import Look, TicketRecord
from app.states import Priority, Result
from app.work import Lease


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


async def parked(session: AsyncSession) -> list[int]:
    """Name the tickets that wait for a customer account."""
    waiting = select(TicketRecord.id).where(TicketRecord.result == Result.PARKED)
    return list((await session.execute(waiting.order_by(TicketRecord.id))).scalars())


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
    known: dict[str, object] = {}
    if ticket:
        known = {
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


async def observe(session: AsyncSession, ticket_id: int) -> None:
    """Record that a ticket is decided on in observe mode, for good."""
    await session.execute(
        update(TicketRecord).where(TicketRecord.id == ticket_id).values(observed=True)
    )
