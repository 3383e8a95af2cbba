"""Steps of the tests of due work: want, claim, finish, and move time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import func, update

from app.db.database import Sessions
from app.db.states import Priority
from app.db.tables import Due
from app.due import work
from app.due.work import TICKET, Lease

NOW = timedelta(0)
SECOND = timedelta(seconds=1)


async def want(
    sessions: Sessions, *refs: int, delay: timedelta = NOW, priority: Priority = Priority.LIVE
) -> None:
    """Make tickets due."""
    async with sessions() as session, session.begin():
        for ref in refs:
            await work.want(session, TICKET, ref, delay, priority)


async def claim(sessions: Sessions, holder: str = "a", limit: int = 100) -> list[Lease]:
    """Claim tickets."""
    async with sessions() as session, session.begin():
        return await work.claim(session, TICKET, holder, limit)


async def finish(
    sessions: Sessions, lease: Lease, again: timedelta | None = None, **how: Any
) -> None:
    """End a look, due again after a while from the claim."""
    again_at = lease.claimed_at + again if again is not None else None
    async with work.fenced(sessions, lease) as session:
        await work.finish(session, lease, again_at, **how)


async def beat(sessions: Sessions, *leases: Lease) -> set[Lease]:
    """Prolong leases and give the lost ones."""
    async with sessions() as session, session.begin():
        return await work.beat(session, leases)


async def row(sessions: Sessions, ref: int = 1) -> Due:
    """Read a row."""
    async with sessions() as session:
        return await session.get_one(Due, (TICKET, ref))


async def change(sessions: Sessions, ref: int = 1, **values: Any) -> None:
    """Change columns of a row, such as its times."""
    async with sessions() as session, session.begin():
        await session.execute(update(Due).where(Due.ref == ref).values(**values))


async def expire(sessions: Sessions, ref: int = 1, ago: timedelta = SECOND) -> None:
    """Make a lease expire."""
    await change(sessions, ref, lease_until=func.now() - ago)
