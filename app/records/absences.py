"""What a reading did not show, since when and how often. Only this module writes absences.

A reading may lag behind what was written, or be wrong. So a record that was known, or announced, is
believed to be gone after READINGS readings over BELIEVED_AFTER that did not show it. SQL only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import Absence

READINGS = 3
BELIEVED_AFTER = timedelta(minutes=2)

_PAUSES = (timedelta(seconds=5), timedelta(seconds=30), BELIEVED_AFTER)  # after the first reading
_APART = timedelta(seconds=4)  # readings that are closer together count as one
_STALE = timedelta(hours=1)  # without a reading the count begins anew


class Kind(StrEnum):
    """What was not shown."""

    TICKET = "ticket"
    CONTACT = "contact"
    LINK = "link"  # a contact on a ticket: the contact's id, of the ticket


@dataclass(frozen=True, slots=True)
class Missed:
    """What one reading did not show."""

    gone: frozenset[int] = frozenset()
    """Believed to be gone."""
    unsure: frozenset[int] = frozenset()
    """Not believed yet."""
    again_at: datetime | None = None
    """When to read again, if anything is unsure."""


NOTHING = Missed()


async def judge(
    session: AsyncSession, kind: Kind, missing: Collection[int], read_at: datetime, of: int = 0
) -> Missed:
    """Return what is to be believed of records that a reading at `read_at` did not show.

    of: the ticket, for links. Nothing is stored.
    """
    if not missing:
        return NOTHING
    rows = {row.ref: row for row in await _rows(session, kind, missing, of)}
    gone, unsure, again = set[int](), set[int](), list[datetime]()
    for ref in missing:
        since, readings = _counted(rows.get(ref), read_at)
        if readings >= READINGS and read_at - since >= BELIEVED_AFTER:
            gone.add(ref)
        else:
            unsure.add(ref)
            again.append(_next(since, read_at))
    return Missed(frozenset(gone), frozenset(unsure), min(again, default=None))


async def record(
    session: AsyncSession,
    kind: Kind,
    missing: Collection[int],
    there: Collection[int],
    read_at: datetime,
    of: int = 0,
) -> None:
    """Count a reading: what it did not show, and what it did show."""
    await shown(session, kind, there, of)
    rows = {row.ref: row for row in await _rows(session, kind, missing, of)}
    for ref in sorted(missing):
        since, readings = _counted(rows.get(ref), read_at)
        values = {"since": since, "readings": readings, "latest": read_at}
        known = rows.get(ref)
        if known and (known.since, known.readings) == (since, readings):
            continue  # it counts as one reading with the one before
        row = insert(Absence).values(kind=kind, of=of, ref=ref, **values)
        keys = [Absence.kind, Absence.of, Absence.ref]
        await session.execute(row.on_conflict_do_update(index_elements=keys, set_=values))


async def shown(session: AsyncSession, kind: Kind, there: Collection[int], of: int = 0) -> None:
    """Record that a reading shows records: they are not missing."""
    if there:
        await session.execute(delete(Absence).where(*_these(kind, there, of)))


def _counted(row: Absence | None, read_at: datetime) -> tuple[datetime, int]:
    """Return since when it is missing, and in how many readings, this one included."""
    if row is None or read_at - row.latest > _STALE:
        return read_at, 1
    return row.since, row.readings + (read_at - row.latest >= _APART)


def _next(since: datetime, read_at: datetime) -> datetime:
    later = (since + pause for pause in _PAUSES)
    soonest = read_at + _PAUSES[0]
    return next((at for at in later if at >= soonest), soonest)


async def _rows(session: AsyncSession, kind: Kind, refs: Collection[int], of: int) -> list[Absence]:
    if not refs:
        return []
    rows = await session.execute(
        select(Absence).where(*_these(kind, refs, of)).execution_options(populate_existing=True)
    )
    return list(rows.scalars())


def _these(kind: Kind, refs: Collection[int], of: int) -> tuple[ColumnElement[bool], ...]:
    return Absence.kind == kind, Absence.of == of, Absence.ref.in_(list(refs))
