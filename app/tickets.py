"""What we know of tickets: their records and looks. SQL only.

Lock order, here and everywhere: the row of due work first, then the ticket's others.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import work
from app.autotask.models import Ticket
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


async def record_look(
    session: AsyncSession,
    lease: Lease,
    ticket: Ticket | None,
    *,
    result: Result | None,
    note: str | None,
    source: str | None,
    again_at: datetime | None,
) -> None:
    """Store how a look ended, and what it read of the ticket.

    again_at: when the ticket is due again, for which it has no result yet.
    """
    known = (
        {"number": ticket.number, "account_id": ticket.company_id, "contact_id": ticket.contact_id}
        if ticket
        else {}
    )
    await session.execute(
        update(TicketRecord)
        .where(TicketRecord.id == lease.ref)
        .values(result=None if again_at else result, note=note, looked_at=func.now(), **known)
    )
    session.add(
        Look(
            ticket_id=lease.ref,
            attempt=lease.attempt,
            started_at=lease.claimed_at,
            result=result,
            note=note,
            source=source,
            again_at=again_at,
        )
    )
