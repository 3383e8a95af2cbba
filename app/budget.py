"""Permission to call Autotask, over all processes: threads, calls an hour, and the gate.

A slot is a row with holder and expiry, so it survives a restart of PostgreSQL while its request
is on the way. One short transaction takes it, counts the call and checks gate and lease; without
the database no call leaves. See docs/decisions/0003-budget.md.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import work
from app.autotask.client import REQUEST_SECONDS, Throttle
from app.autotask.errors import Barred
from app.autotask.protocol import REQUESTS_PER_HOUR, THREADS_PER_ENTITY
from app.db import Sessions, db_now
from app.errors import LeaseLost, NotNow
from app.models import Calls, Gate, Slot
from app.work import Lease

log = structlog.get_logger()

_BUCKETS = 60  # parts of the window, a minute each as a rule
_SLOT_LIFE = timedelta(seconds=REQUEST_SECONDS + 15)  # a request is given up before that
_SLOT_WAIT = 30.0  # seconds that a call waits for a slot before its look gives way
_SHUT = (30, 60, 120, 300, 600, 900)  # seconds the gate stays shut, longer each time


@dataclass(frozen=True, slots=True)
class Shut:
    """Why and since when no call leaves."""

    reason: str
    since: datetime
    until: datetime


class Budget:
    """Hands out slots. share: of the tenant's calls an hour; window: seconds."""

    def __init__(
        self, sessions: Sessions, *, share: float, window: float, limit: int = REQUESTS_PER_HOUR
    ) -> None:
        self._sessions = sessions
        self._limit = int(limit * share)
        self._bucket = window / _BUCKETS

    def throttle(self, lease: Lease | None = None) -> Throttle:
        """Give what a client asks before each call; with a lease only while that is held.

        It raises LeaseLost, or NotNow when the gate is shut, the budget spent or no slot free.
        """

        def permit(entity: str) -> AbstractAsyncContextManager[None]:
            return self._permit(entity, lease)

        return permit

    @asynccontextmanager
    async def _permit(self, entity: str, lease: Lease | None) -> AsyncIterator[None]:
        holder = uuid.uuid4().hex
        probing = await self._wait_for_slot(entity, holder, lease)
        barred: Barred | None = None
        try:
            yield
        except Barred as error:
            barred = error
            raise
        finally:
            # Shielded: a cancelled look must still give its slot back.
            await asyncio.shield(self._release(entity, holder, probing, barred))

    async def _wait_for_slot(self, entity: str, holder: str, lease: Lease | None) -> bool:
        deadline = asyncio.get_running_loop().time() + _SLOT_WAIT
        pause = 0.02
        while True:
            async with self._sessions() as session, session.begin():
                taken = await self._take(session, entity, holder, lease)
            if taken is not None:
                return taken
            if asyncio.get_running_loop().time() > deadline:
                raise NotNow(datetime.now(UTC) + timedelta(seconds=5), f"no free slot for {entity}")
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  no secret
            pause = min(pause * 1.5, 0.25)

    async def _take(
        self, session: AsyncSession, entity: str, holder: str, lease: Lease | None
    ) -> bool | None:
        """Take a slot and count the call: whether it probes a shut gate, or None: none is free."""
        gate = (await session.execute(select(Gate).with_for_update())).scalar_one()
        now = await db_now(session)
        if lease and not await work.is_held(session, lease):
            raise LeaseLost
        if gate.shut_until and gate.shut_until > now:
            raise NotNow(gate.shut_until, f"paused: {gate.shut_reason}")
        free = await self._free_slot(session, entity, now)
        if free is None:
            return None
        await self._count(session, now)
        if gate.shut_until:
            # One call finds out whether the gate may open; the others wait for its result.
            gate.shut_until = now + _SLOT_LIFE
        slot = insert(Slot).values(
            entity=entity, n=free, holder=holder, expires_at=now + _SLOT_LIFE
        )
        await session.execute(
            slot.on_conflict_do_update(
                index_elements=[Slot.entity, Slot.n],
                set_={"holder": holder, "expires_at": slot.excluded.expires_at},
            )
        )
        return gate.shut_until is not None

    async def _free_slot(self, session: AsyncSession, entity: str, now: datetime) -> int | None:
        used = await session.execute(
            select(Slot.n).where(Slot.entity == entity, Slot.expires_at > now)
        )
        return next(iter(sorted(set(range(THREADS_PER_ENTITY)) - set(used.scalars()))), None)

    async def _count(self, session: AsyncSession, now: datetime) -> None:
        """Count a call, or raise NotNow. Any window that Autotask may look at is covered.

        The oldest bucket counts whole, and one more covers the way of a request to Autotask.
        """
        bucket = int(now.timestamp() / self._bucket)
        first = bucket - _BUCKETS - 1
        counts = (
            await session.execute(select(Calls).where(Calls.bucket >= first).order_by(Calls.bucket))
        ).scalars()
        recent = {row.bucket: row.count for row in counts}
        if sum(recent.values()) >= self._limit:
            until = datetime.fromtimestamp((min(recent) + _BUCKETS + 2) * self._bucket, UTC)
            raise NotNow(until, "our share of the API's calls an hour is spent")
        if bucket not in recent:
            await session.execute(delete(Calls).where(Calls.bucket < first))
        row = insert(Calls).values(bucket=bucket, count=1)
        await session.execute(
            row.on_conflict_do_update(
                index_elements=[Calls.bucket], set_={"count": Calls.count + 1}
            )
        )

    async def _release(
        self, entity: str, holder: str, probing: bool, barred: Barred | None
    ) -> None:
        try:
            async with self._sessions() as session, session.begin():
                if barred:
                    await _shut(session, str(barred))
                elif probing:
                    await _open(session)
                await session.execute(
                    delete(Slot).where(Slot.entity == entity, Slot.holder == holder)
                )
        except Exception as error:
            # Never raised: it would hide the answer of the call. The slot expires by itself.
            log.warning("slot_not_released", entity=entity, error=type(error).__name__)


async def is_shut(session: AsyncSession) -> Shut | None:
    """Say why no call leaves at present; None when calls do."""
    gate = (await session.execute(select(Gate))).scalar_one()
    if gate.shut_until is None or gate.shut_since is None:
        return None
    return Shut(gate.shut_reason or "", gate.shut_since, gate.shut_until)


async def _shut(session: AsyncSession, reason: str) -> None:
    """Shut the gate: with these credentials every call would fail, and could lock the user."""
    gate = (await session.execute(select(Gate).with_for_update())).scalar_one()
    now = await db_now(session)
    seconds = _SHUT[min(gate.shut_times, len(_SHUT) - 1)]
    gate.shut_until = now + timedelta(seconds=seconds)
    gate.shut_since = gate.shut_since or now
    gate.shut_reason = reason[:300]
    gate.shut_times += 1
    log.error("autotask_refuses_us", reason=reason, again_in_seconds=seconds)


async def _open(session: AsyncSession) -> None:
    await session.execute(
        update(Gate).values(shut_until=None, shut_since=None, shut_reason=None, shut_times=0)
    )
    log.info("autotask_accepts_us_again")
