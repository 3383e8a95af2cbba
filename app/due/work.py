"""Due work: want, claim, beat, hold, finish. All SQL on it stands here.

The unit is a thing to be looked at, not a job: whatever triggers a look only makes it due, and
many triggers make one look. A claimed row has a holder and a lease. A want that arrives during a
look sets due_at, so that finishing leaves the row due. See docs/decisions/0001-due-tickets.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from sqlalchemy import ColumnElement, and_, case, false, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import Sessions
from app.db.states import Priority
from app.db.tables import Due

TICKET = "ticket"
CHORE = "chore"


class Chore(IntEnum):
    """What is done from time to time; its number is the row's ref."""

    RECONCILE = 1
    WEBHOOK = 2
    RETENTION = 3
    USE = 4
    LIFETIMES = 5
    LOOPS = 7


LEASE = timedelta(seconds=20)
"""A holder that says nothing for so long has died: its work is free for the next claim."""

RUNNING = 8
"""More at once would only wait for each other: Autotask takes three requests per entity."""

BEAT = timedelta(seconds=4)
"""How often a holder says that it lives."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one thing, until somebody else claims it.

    tries: claims since it was wanted, this one included. since: when it was first wanted.
    wanted: the triggers that this look covers. claimed_at: the database's clock. seized: it is no
    look, so what is due when it ends is as old, and was tried as often, as before.
    """

    kind: str
    ref: int
    holder: str
    attempt: int
    tries: int
    wanted: int
    since: datetime
    claimed_at: datetime
    seized: bool = False

    @property
    def age(self) -> timedelta:
        """How long the work had been wanted when it was claimed."""
        return self.claimed_at - self.since


async def want(
    session: AsyncSession, kind: str, ref: int, delay: timedelta, priority: Priority
) -> None:
    """Make a thing due after `delay`, or sooner where it already is; raise its priority.

    Wanting what nobody works on and what is not due starts its count of tries and its age anew.
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
    """Take up to `limit` due things, most urgent first, and the work of holders that died.

    Over all processes at most about at_once (RUNNING) are worked on, and none less urgent than
    least. What is caught up with goes newest first: ids rise, and those people wait still.

    Work whose holders keep dying (it may be what kills them) is left alone for longer each time.
    """
    leased = select(func.count()).where(Due.kind == kind, Due.lease_until > func.now())
    running: int = (await session.execute(leased)).scalar_one()
    limit = min(limit, (RUNNING if at_once is None else at_once) - running)
    if limit <= 0:
        return []
    waiting = and_(Due.holder.is_(None), Due.due_at <= func.now())
    pause = func.make_interval(0, 0, 0, 0, 0, 0, func.least(10 * Due.deaths * Due.deaths, 3600))
    dead = and_(Due.holder.is_not(None), Due.lease_until + pause < func.now())
    newest_first = _if(Due.priority == int(Priority.CATCH_UP), -Due.ref, None)
    free = (
        select(Due.kind, Due.ref)
        .where(Due.kind == kind, Due.priority <= int(least), or_(waiting, dead))
        .order_by(Due.priority, newest_first, func.coalesce(Due.due_at, Due.lease_until))
        .limit(limit)
        .with_for_update(skip_locked=True)
        .subquery()
    )
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
        .returning(Due.kind, Due.ref, Due.attempt, Due.tries, Due.wanted, Due.since, func.now())
        .execution_options(synchronize_session=False)
    )
    return [
        Lease(kind, ref, holder, attempt, tries, wanted, since, now)
        for kind, ref, attempt, tries, wanted, since, now in rows
    ]


async def seize(session: AsyncSession, kind: str, ref: int, holder: str) -> Lease | None:
    """Take one thing, due or not, for something else than a look; None while somebody has it.

    It covers no trigger: what is due stays due when it is finished.
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
            # Wanting what is held does not begin its age, so that begins here.
            since=_if(and_(Due.due_at.is_(None), Due.holder.is_(None)), func.now(), Due.since),
        )
        .returning(Due.attempt, Due.tries, Due.done, Due.since, func.now())
        .execution_options(synchronize_session=False)
    )
    row = taken.one_or_none()
    if row is None:
        return None
    attempt, tries, done, since, now = row
    return Lease(kind, ref, holder, attempt, tries, done, since, now, seized=True)


async def beat(session: AsyncSession, leases: Collection[Lease]) -> set[Lease]:
    """Prolong leases, and give those that are lost: an expired one is lost even if still free."""
    kept = await session.execute(
        update(Due)
        .where(
            tuple_(Due.kind, Due.ref, Due.holder, Due.attempt).in_(
                [(lease.kind, lease.ref, lease.holder, lease.attempt) for lease in leases]
            ),
            Due.lease_until > func.now(),
        )
        .values(lease_until=func.now() + LEASE)
        .returning(Due.kind, Due.ref)
        .execution_options(synchronize_session=False)
    )
    alive = {(kind, ref) for kind, ref in kept}
    return {lease for lease in leases if (lease.kind, lease.ref) not in alive}


async def hold(session: AsyncSession, kind: str, refs: Collection[int]) -> None:
    """Keep looks at some things from storing anything until this transaction ends."""
    await session.execute(
        select(Due.ref)
        .where(Due.kind == kind, Due.ref.in_(list(refs)))
        .order_by(Due.ref)
        .with_for_update(key_share=True)
    )


@asynccontextmanager
async def fenced(sessions: Sessions, lease: Lease) -> AsyncIterator[AsyncSession]:
    """Open a transaction that commits only while the lease is held.

    Raises LeaseLost otherwise. The row stays locked, so nobody can claim it in between.
    """
    async with sessions() as session, session.begin():
        held = await session.execute(
            select(Due.ref).where(_holds(lease)).with_for_update(key_share=True)
        )
        if held.scalar_one_or_none() is None:
            raise LeaseLost
        yield session


async def finish(
    session: AsyncSession, lease: Lease, again_at: datetime | None = None, *, spent: bool = True
) -> datetime | None:
    """End a look, within a fenced transaction; due again at `again_at`, or earlier if wanted.

    Gives when it is due again, None if it is not. spent=False: it only had to wait, so the claim
    does not count as a try.
    """
    due_at = func.least(Due.due_at, again_at) if again_at else Due.due_at
    over = due_at.is_(None)
    look_over = again_at is None and not lease.seized
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
    """Tell whether the lease is held and has not run out."""
    held = select(Due.ref).where(_holds(lease), Due.lease_until > func.clock_timestamp())
    return (await session.execute(held)).scalar_one_or_none() is not None


async def want_new(
    session: AsyncSession, kind: str, refs: Collection[int], delay: timedelta, priority: Priority
) -> list[int]:
    """Make those due that never were, and name them; the others stay as they are."""
    row = insert(Due).values(
        [
            {"kind": kind, "ref": ref, "due_at": func.now() + delay, "wanted": 1}
            | {"priority": int(priority)}
            for ref in sorted(refs)
        ]
    )
    new = await session.execute(row.on_conflict_do_nothing().returning(Due.ref))
    return sorted(new.scalars())


def _holds(lease: Lease) -> ColumnElement[bool]:
    return and_(
        Due.kind == lease.kind,
        Due.ref == lease.ref,
        Due.holder == lease.holder,
        Due.attempt == lease.attempt,
    )


def _if(condition: ColumnElement[bool], then: object, otherwise: object) -> ColumnElement[object]:
    return case((condition, then), else_=otherwise)


class LeaseLost(Exception):
    """Another worker has the ticket by now; nothing more may be written or sent for it."""
