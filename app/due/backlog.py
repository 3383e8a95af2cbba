"""How much work waits, since when, and which workers live: for health and the overview."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Priority
from app.db.tables import Due, Worker
from app.due.work import LEASE, TICKET


async def sign_of_life(session: AsyncSession, worker_id: str) -> None:
    """Record that a worker lives, and delete workers that have been silent for long."""
    row = insert(Worker).values(id=worker_id)
    await session.execute(
        row.on_conflict_do_update(index_elements=[Worker.id], set_={"seen_at": func.now()})
    )
    await session.execute(delete(Worker).where(Worker.seen_at < func.now() - 100 * LEASE))


async def oldest_due(session: AsyncSession) -> datetime | None:
    """Return since when the ticket that has waited longest is due, None if none is.

    Backlog does not count: it waits its turn, however long.
    """
    tickets = and_(Due.kind == TICKET, Due.priority < int(Priority.CATCH_UP))
    waiting = select(func.min(Due.due_at)).where(
        tickets, Due.holder.is_(None), Due.due_at <= func.now()
    )
    dead = select(func.min(Due.lease_until)).where(tickets, Due.lease_until <= func.now())
    oldest = select(func.least(waiting.scalar_subquery(), dead.scalar_subquery()))
    at: datetime | None = (await session.execute(oldest)).scalar_one()
    return at


async def catching_up(session: AsyncSession) -> int:
    """Count the tickets in the backlog: no callout came in time, and they wait for a look."""
    backlog = select(func.count()).where(
        Due.kind == TICKET, Due.priority == int(Priority.CATCH_UP), Due.due_at.is_not(None)
    )
    return (await session.execute(backlog)).scalar_one()
