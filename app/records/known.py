"""What is good to know of a tenant: the last good values, and what keeps new ones away. SQL only.

One process at a time asks for a fact: it claims the row first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.tables import KnownFact

PAUSES = (30, 120, 600, 1800)
"""Seconds until a fact is asked for again that could not be read, longer each time."""

_ALIKE = 3  # records that could not be read in a row: it is not these records


async def stored(session: AsyncSession, name: str, ref: int) -> KnownFact | None:
    """Return what is stored of a fact."""
    return await session.get(KnownFact, (name, ref))


async def claim(
    session: AsyncSession, name: str, ref: int, version: int, seconds: float, *, drop: bool = False
) -> bool:
    """Take the right to ask for a fact; return whether this process has it, for so many seconds.

    drop: delete the stored value, as it cannot be understood.

    No one has it during the pause after a failure. Where the last readings of several records
    failed, that pause is every record's.
    """
    alike = select(func.count()).where(
        KnownFact.name == name, KnownFact.ref != ref, _failed_since_the_last_success(name)
    )
    if (await session.execute(alike)).scalar_one() >= _ALIKE:
        return False
    until = func.now() + timedelta(seconds=seconds)
    row = insert(KnownFact).values(name=name, ref=ref, version=version, again_at=until)
    free = or_(KnownFact.again_at.is_(None), KnownFact.again_at <= func.now())
    claimed = await session.execute(
        row.on_conflict_do_update(
            index_elements=[KnownFact.name, KnownFact.ref],
            set_={"again_at": until, "asked_at": func.now()} | ({"read_at": None} if drop else {}),
            where=free,
        ).returning(KnownFact.ref)
    )
    return claimed.scalar_one_or_none() is not None


def _failed_since_the_last_success(name: str) -> Any:
    read = select(func.max(KnownFact.read_at)).where(KnownFact.name == name).scalar_subquery()
    return and_(
        KnownFact.failing_since.is_not(None),
        KnownFact.again_at > func.now(),
        or_(read.is_(None), KnownFact.asked_at > read),
    )


async def was_read(session: AsyncSession, name: str, ref: int, version: int, value: Any) -> None:
    """Store the value that the holder of the claim has read; its age counts from the claim."""
    await session.execute(
        update(KnownFact)
        .where(KnownFact.name == name, KnownFact.ref == ref)
        .values(
            version=version,
            value=value,
            read_at=KnownFact.asked_at,
            again_at=None,
            failing_since=None,
            times=0,
            error=None,
        )
    )


async def failed(session: AsyncSession, name: str, ref: int, error: str) -> None:
    """Record that a fact could not be read, and when it is asked for again."""
    row = await session.get_one(KnownFact, (name, ref), with_for_update=True)
    now = await db_now(session)
    row.again_at = now + timedelta(seconds=PAUSES[min(row.times, len(PAUSES) - 1)])
    row.times += 1
    row.failing_since = row.failing_since or now
    row.error = error[:300]


async def last_good(session: AsyncSession, name: str) -> datetime | None:
    """Return when a fact was read last; None if that failed since, or never succeeded."""
    row = await stored(session, name, 0)
    return row.read_at if row and row.failing_since is None else None


async def give_back(session: AsyncSession, name: str, ref: int) -> None:
    """Give a claim back: the fact could not be asked for."""
    await session.execute(
        update(KnownFact)
        .where(KnownFact.name == name, KnownFact.ref == ref)
        .values(again_at=func.now())
    )


async def failing(session: AsyncSession) -> Sequence[KnownFact]:
    """Return the facts whose latest reading failed, those first that have failed longest."""
    rows = select(KnownFact).where(KnownFact.failing_since.is_not(None))
    return (await session.execute(rows.order_by(KnownFact.failing_since))).scalars().all()


async def to_renew(
    session: AsyncSession, ages: Mapping[str, timedelta], limit: int
) -> Sequence[tuple[str, int]]:
    """Return names and records of facts to ask for again: too old by `ages`, or after a pause."""
    old = [
        and_(KnownFact.name == name, KnownFact.read_at < func.now() - age)
        for name, age in ages.items()
    ]
    free = or_(KnownFact.again_at.is_(None), KnownFact.again_at <= func.now())
    due = (
        select(KnownFact.name, KnownFact.ref)
        .where(free, or_(KnownFact.failing_since.is_not(None), *old))
        .order_by(KnownFact.asked_at)
        .limit(limit)
    )
    return [(name, ref) for name, ref in await session.execute(due)]


async def delete_unused(session: AsyncSession, age: timedelta) -> None:
    """Delete what is known of single records that were not asked about within `age`."""
    unused = KnownFact.asked_at < func.now() - age
    await session.execute(delete(KnownFact).where(KnownFact.ref != 0, unused))
