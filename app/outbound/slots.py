"""Slots: at most three requests at once to an entity, over all processes.

A slot is a row with holder and expiry, so it survives a restart of PostgreSQL while its request is
under way. Statements run in the transactions of app/outbound/budget.py that hold the gate's row.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, and_, column, delete, func, or_, select, table
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import REQUEST_SECONDS
from app.autotask.protocol import THREADS_PER_ENTITY
from app.db.tables import Due, Slot
from app.due.work import Lease

SLOT_LIFE = timedelta(seconds=REQUEST_SECONDS + 15)
"""A request ends before that."""

_CONNECTIONS = table("pg_stat_activity", column("pid", BigInteger))


def held(now: datetime) -> ColumnElement[bool]:
    """Match the slots whose requests may be under way.

    A killed process gives its slots back with its leases. One that only stands still has lost its
    leases as well, but its connections to PostgreSQL stay, and its requests may go on.
    """
    lease = select(Due.ref).where(
        Due.kind == Slot.kind,
        Due.ref == Slot.ref,
        Due.attempt == Slot.attempt,
        Due.lease_until > now,
    )
    connection = select(_CONNECTIONS.c.pid).where(_CONNECTIONS.c.pid == Slot.backend)
    return and_(Slot.expires_at > now, or_(Slot.ref.is_(None), lease.exists(), connection.exists()))


async def is_held(session: AsyncSession, holder: str, now: datetime) -> bool:
    """Return whether a holder's request may be under way."""
    mine = select(Slot.n).where(Slot.holder == holder, held(now))
    return (await session.execute(mine)).first() is not None


async def free(session: AsyncSession, entity: str, now: datetime) -> int | None:
    """Return the number of a free slot; None if there is none."""
    used = await session.execute(select(Slot.n).where(Slot.entity == entity, held(now)))
    return next(iter(sorted(set(range(THREADS_PER_ENTITY)) - set(used.scalars()))), None)


async def take(
    session: AsyncSession,
    entity: str,
    n: int,
    holder: str,
    now: datetime,
    lease: Lease | None,
    *,
    write: bool,
) -> None:
    """Take a free slot; with a lease it is kept only as long as that, or the process, is there."""
    taken = {
        "holder": holder,
        "expires_at": now + SLOT_LIFE,
        "writes": write,
        "kind": lease.kind if lease else None,
        "ref": lease.ref if lease else None,
        "attempt": lease.attempt if lease else None,
        "backend": func.pg_backend_pid(),
    }
    slot = insert(Slot).values(entity=entity, n=n, **taken)
    await session.execute(
        slot.on_conflict_do_update(index_elements=[Slot.entity, Slot.n], set_=taken)
    )


async def release(session: AsyncSession, entity: str, holder: str) -> None:
    """Give a slot back."""
    await session.execute(delete(Slot).where(Slot.entity == entity, Slot.holder == holder))
