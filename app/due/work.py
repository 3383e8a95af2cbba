"""Due work: want, claim, beat, finish. All SQL that changes a due row is here.

The unit is a ticket or chore that needs a look, not a job: a trigger only makes it due, and many
triggers make one look. A claimed row has a holder and a lease. A trigger during a look sets
due_at, so the row is still due when the look finishes. See docs/decisions/0001-due-tickets.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import Sessions
from app.db.states import PLANNED, Priority, WaitsFor
from app.db.tables import Due

TICKET = "ticket"
CHORE = "chore"

LEASE = timedelta(seconds=20)
"""A lease ends this long after its holder's last beat: the next claim takes the work."""

BEAT = timedelta(seconds=4)
"""How often a holder prolongs its leases."""

RUNNING = 8
"""More at once would only wait for each other: Autotask takes three requests per entity."""


class LeaseLost(Exception):
    """Another worker may have the ticket by now: write and send nothing more for it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one ticket or chore, until another holder claims it."""

    kind: str
    ref: int
    holder: str
    attempt: int
    tries: int  # claims since it was wanted, this one included
    wanted: int  # the triggers that this look covers
    since: datetime  # when it was first wanted
    claimed_at: datetime  # by the database's clock
    is_look: bool = True  # else finishing changes neither age nor tries of what is due
    vain: int = 0  # earlier looks that had to wait, not on purpose, since it was wanted

    @property
    def age(self) -> timedelta:
        """How long the work had been wanted when it was claimed."""
        return self.claimed_at - self.since


async def want(
    session: AsyncSession, kind: str, ref: int, delay: timedelta, priority: Priority
) -> None:
    """Make a ticket or chore due after `delay`, or keep an earlier time; raise its priority.

    Tries and age start anew if it was neither due nor held.
    """
    idle = and_(Due.due_at.is_(None), Due.holder.is_(None))
    row = insert(Due).values(
        kind=kind, ref=ref, due_at=func.now() + delay, priority=int(priority), wanted=1
    )
    await session.execute(
        row.on_conflict_do_update(
            index_elements=[Due.kind, Due.ref],
            set_={
                "due_at": func.least(Due.due_at, row.excluded.due_at),
                "priority": func.least(Due.priority, row.excluded.priority),
                "wanted": Due.wanted + 1,
                "since": _if(idle, func.now(), Due.since),
                "tries": _if(idle, 0, Due.tries),
                "waits_for": _if(idle, None, Due.waits_for),
                "vain": _if(idle, 0, Due.vain),
            },
        )
    )


async def claim(
    session: AsyncSession,
    kind: str,
    holder: str,
    limit: int,
    at_once: int | None = None,
    least: Priority = Priority.CATCH_UP,
) -> list[Lease]:
    """Claim up to `limit` due rows, the most urgent first, and rows of holders that died.

    Claim none if `at_once` (default RUNNING) are held over all processes, which may be exceeded
    slightly, and none that is less urgent than `least`.
    """
    leased = select(func.count()).where(Due.kind == kind, Due.lease_until > func.now())
    running: int = (await session.execute(leased)).scalar_one()
    limit = min(limit, (RUNNING if at_once is None else at_once) - running)
    if limit <= 0:
        return []
    free = _claimable(kind, least).limit(limit).with_for_update(skip_locked=True).subquery()
    rows = await session.execute(
        update(Due)
        .where(Due.kind == free.c.kind, Due.ref == free.c.ref)
        .values(
            due_at=_if(Due.holder.is_(None), None, Due.due_at),
            holder=holder,
            lease_until=func.now() + LEASE,
            attempt=Due.attempt + 1,
            tries=Due.tries + 1,
            deaths=Due.deaths + _if(Due.holder.is_(None), 0, 1),
        )
        .returning(Due.ref, Due.attempt, Due.tries, Due.wanted, Due.since, func.now(), Due.vain)
        .execution_options(synchronize_session=False)
    )
    return [
        Lease(kind, ref, holder, attempt, tries, wanted, since, now, vain=vain)
        for ref, attempt, tries, wanted, since, now, vain in rows
    ]


def _claimable(kind: str, least: Priority) -> Select[str, int]:
    """Select the rows that may be claimed, in order.

    Backlog is taken newest first: ids rise, and those people are still waiting. A row whose
    holders keep dying may be what kills them: it is left alone longer after each death.
    """
    waiting = and_(Due.holder.is_(None), Due.due_at <= func.now())
    pause = func.make_interval(0, 0, 0, 0, 0, 0, func.least(10 * Due.deaths * Due.deaths, 3600))
    dead = and_(Due.holder.is_not(None), Due.lease_until + pause < func.now())
    newest_first = _if(Due.priority == int(Priority.CATCH_UP), -Due.ref, None)
    return (
        select(Due.kind, Due.ref)
        .where(Due.kind == kind, Due.priority <= int(least), or_(waiting, dead))
        .order_by(Due.priority, newest_first, func.coalesce(Due.due_at, Due.lease_until))
    )


async def take(session: AsyncSession, kind: str, ref: int, holder: str) -> Lease | None:
    """Take one row, due or not, for other work than a look; None while it is held.

    The lease covers no trigger: what is due stays due when it is finished.
    """
    free = or_(Due.holder.is_(None), Due.lease_until < func.now())
    taken = await session.execute(
        update(Due)
        .where(Due.kind == kind, Due.ref == ref, free)
        .values(
            due_at=_if(Due.holder.is_(None), Due.due_at, func.coalesce(Due.due_at, func.now())),
            holder=holder,
            lease_until=func.now() + LEASE,
            attempt=Due.attempt + 1,
            # A trigger while it is held does not start its age, so start it here.
            since=_if(and_(Due.due_at.is_(None), Due.holder.is_(None)), func.now(), Due.since),
        )
        .returning(Due.attempt, Due.tries, Due.done, Due.since, func.now())
        .execution_options(synchronize_session=False)
    )
    row = taken.one_or_none()
    if row is None:
        return None
    attempt, tries, done, since, now = row
    return Lease(kind, ref, holder, attempt, tries, done, since, now, is_look=False)


async def beat(session: AsyncSession, leases: Collection[Lease]) -> set[Lease]:
    """Prolong leases and return the lost ones; an expired lease is lost even if still free."""
    kept = await session.execute(
        update(Due)
        .where(_holds(*leases), Due.lease_until > func.now())
        .values(lease_until=func.now() + LEASE)
        .returning(Due.kind, Due.ref)
        .execution_options(synchronize_session=False)
    )
    alive = {(kind, ref) for kind, ref in kept}
    return {lease for lease in leases if (lease.kind, lease.ref) not in alive}


async def hold(session: AsyncSession, kind: str, refs: Collection[int]) -> None:
    """Lock rows: looks at them store nothing until this transaction ends."""
    await session.execute(
        select(Due.ref)
        .where(Due.kind == kind, Due.ref.in_(list(refs)))
        .order_by(Due.ref)
        .with_for_update(key_share=True)
    )


@asynccontextmanager
async def fenced(sessions: Sessions, lease: Lease) -> AsyncIterator[AsyncSession]:
    """Open a transaction that commits only while the lease is held; else raise LeaseLost.

    The row stays locked, so that it cannot be claimed in between.
    """
    async with sessions() as session, session.begin():
        held = await session.execute(
            select(Due.ref).where(_holds(lease)).with_for_update(key_share=True)
        )
        if held.scalar_one_or_none() is None:
            raise LeaseLost
        yield session


async def finish(
    session: AsyncSession,
    lease: Lease,
    again_at: datetime | None = None,
    *,
    spent: bool = True,
    waits_for: WaitsFor | None = None,
) -> datetime | None:
    """End a look, within a fenced transaction; due again at `again_at`, or earlier if wanted.

    Return when it is due again, None if it is not. With spent=False the look only had to wait,
    and the claim does not count as a try. waits_for: why it is due again; None: as before.
    Raise LeaseLost if the lease is no longer held.
    """
    due_at = func.least(Due.due_at, again_at) if again_at else Due.due_at
    over = due_at.is_(None)
    look_over = again_at is None and lease.is_look
    anew = Due.due_at.is_not(None) if look_over else false()
    ended = await session.execute(
        update(Due)
        .where(_holds(lease))
        .values(
            due_at=due_at,
            priority=_if(over, int(Priority.LIVE), Due.priority),
            done=lease.wanted,
            tries=0 if look_over else lease.tries - (0 if spent else 1),
            since=_if(anew, func.now(), Due.since),
            deaths=0,
            holder=None,
            lease_until=None,
            **_waiting(lease, waits_for, over=look_over),
        )
        .returning(Due.due_at)
        .execution_options(synchronize_session=False)
    )
    row = ended.one_or_none()
    if row is None:
        raise LeaseLost
    due: datetime | None = row.due_at
    return due


async def is_held(session: AsyncSession, lease: Lease) -> bool:
    """Return True if the lease is held and has not expired."""
    held = select(Due.ref).where(_holds(lease), Due.lease_until > func.clock_timestamp())
    return (await session.execute(held)).scalar_one_or_none() is not None


async def wanted_anew(session: AsyncSession, lease: Lease) -> bool:
    """Return whether a trigger came since the last look; else the look was due by itself."""
    anew = select(Due.ref).where(_holds(lease), Due.done < Due.wanted)
    return (await session.execute(anew)).scalar_one_or_none() is not None


async def want_new(
    session: AsyncSession, kind: str, refs: Collection[int], delay: timedelta, priority: Priority
) -> list[int]:
    """Make due what never was, and return those refs; leave the others as they are."""
    row = {"kind": kind, "due_at": func.now() + delay, "priority": int(priority), "wanted": 1}
    rows = insert(Due).values([row | {"ref": ref} for ref in sorted(refs)])
    new = await session.execute(rows.on_conflict_do_nothing().returning(Due.ref))
    return sorted(new.scalars())


def _waiting(lease: Lease, waits_for: WaitsFor | None, *, over: bool) -> dict[str, object]:
    """Return what the end of a look changes of how the ticket waits."""
    if over:
        return {"waits_for": None, "waits_since": None, "vain": 0}
    if waits_for is None:
        return {}
    return {
        "waits_for": waits_for,
        "waits_since": _if(Due.waits_for == waits_for, Due.waits_since, func.now()),
        "vain": lease.vain + (waits_for not in PLANNED),
    }


def _holds(*leases: Lease) -> ColumnElement[bool]:
    keys = [(lease.kind, lease.ref, lease.holder, lease.attempt) for lease in leases]
    return tuple_(Due.kind, Due.ref, Due.holder, Due.attempt).in_(keys)


def _if(condition: ColumnElement[bool], then: object, otherwise: object) -> ColumnElement[object]:
    return case((condition, then), else_=otherwise)
