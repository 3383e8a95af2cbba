"""How much work waits, since when, and which workers live: for health and the overview."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import PLANNED, Priority
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
    """Return since when the ticket is wanted that has been wanted longest; None if none waits.

    Backlog does not count: it waits its turn, however long. A ticket that waits on purpose counts
    from the time that was planned.
    """
    live = and_(Due.kind == TICKET, Due.priority < int(Priority.CATCH_UP))
    oldest = select(func.min(WANTED_AT)).where(live, or_(is_waiting(), WAITS_IN_VAIN))
    at: datetime | None = (await session.execute(oldest)).scalar_one()
    return at


def is_waiting() -> ColumnElement[bool]:
    """Return whether a row waits for a worker: it is due, or its holder has died."""
    due = and_(Due.holder.is_(None), Due.due_at <= func.now())
    return or_(due, Due.lease_until <= func.now())


_PLANNED = Due.waits_for.in_(PLANNED)

WANTED_AT = case(
    (_PLANNED, func.coalesce(Due.due_at, Due.lease_until)),
    else_=func.least(Due.since, Due.due_at, Due.lease_until),
)
"""When the work of a row was wanted, whenever its next try is."""

WAITS_IN_VAIN = and_(
    Due.waits_for.is_not(None), ~_PLANNED, or_(Due.due_at.is_not(None), Due.holder.is_not(None))
)
"""Whether the row's last look could not end its work, and that was not planned."""


async def catching_up(session: AsyncSession) -> int:
    """Count the tickets in the backlog: no callout came in time, and they wait for a look."""
    backlog = select(func.count()).where(
        Due.kind == TICKET, Due.priority == int(Priority.CATCH_UP), Due.due_at.is_not(None)
    )
    return (await session.execute(backlog)).scalar_one()
