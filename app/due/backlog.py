"""What waits, since when, and whether anybody works: for health, the overview, and the workers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Priority
from app.db.tables import Due, Worker
from app.due.work import LEASE, TICKET


async def sign_of_life(session: AsyncSession, worker_id: str) -> None:
    """Record that a worker lives, and forget those that have been silent for long."""
    row = insert(Worker).values(id=worker_id)
    await session.execute(
        row.on_conflict_do_update(index_elements=[Worker.id], set_={"seen_at": func.now()})
    )
    await session.execute(delete(Worker).where(Worker.seen_at < func.now() - 100 * LEASE))


async def oldest_due(session: AsyncSession) -> datetime | None:
    """Give since when the ticket that has waited longest should have been taken up.

    What is caught up with waits its turn, however long.
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
    """Count the tickets that no callout brought in time and that nobody has looked at yet."""
    behind = select(func.count()).where(
        Due.kind == TICKET, Due.priority == int(Priority.CATCH_UP), Due.due_at.is_not(None)
    )
    return (await session.execute(behind)).scalar_one()
