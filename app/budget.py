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
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import work
from app.autotask.client import REQUEST_SECONDS, Throttle
from app.autotask.errors import Barred, Busy, Forbidden, Overloaded, Refused
from app.autotask.protocol import REQUESTS_PER_HOUR, THREADS_PER_ENTITY
from app.db import Sessions, db_now
from app.errors import LeaseLost, NotNow
from app.models import Calls, Gate, Slot
from app.work import Lease

log = structlog.get_logger()

_PARTS = 60  # of the window that are counted apart, a minute each as a rule
_SLOT_LIFE = timedelta(seconds=REQUEST_SECONDS + 15)  # a request is given up before that
_SLOT_WAIT = 30.0  # seconds that a call waits for a slot before its look gives way
_PAUSED = timedelta(seconds=5)  # until a look that has to write is due again; none is claimed
_SHUT = (30, 60, 120, 300, 600, 900)  # seconds the gate stays shut, longer each time


@dataclass(frozen=True, slots=True)
class Shut:
    """What Autotask refuses us, since when, and until when no call leaves on that account.

    code: unauthorized, forbidden or overloaded.
    """

    code: str
    reason: str
    since: datetime
    until: datetime | None


class Budget:
    """Hands out slots. share: of the tenant's calls an hour; window: seconds."""

    def __init__(
        self, sessions: Sessions, *, share: float, window: float, limit: int = REQUESTS_PER_HOUR
    ) -> None:
        self._sessions = sessions
        self._limit = int(limit * share)
        self._window = timedelta(seconds=window)
        self._part = self._window / _PARTS

    def throttle(self, lease: Lease | None = None) -> Throttle:
        """Give what a client asks before each call; with a lease only while that is held.

        It raises LeaseLost, or NotNow when the gate is shut, the budget spent or no slot free.
        """

        def permit(entity: str, *, write: bool) -> AbstractAsyncContextManager[None]:
            return self._permit(entity, lease, write=write)

        return permit

    @asynccontextmanager
    async def _permit(
        self, entity: str, lease: Lease | None, *, write: bool
    ) -> AsyncIterator[None]:
        holder = uuid.uuid4().hex
        known, probe = await self._wait_for_slot(entity, holder, lease, write=write)
        change: _GateChange | None = None
        call = f"{'write' if write else 'read'} {entity}"
        try:
            yield
            change = _GateChange(call) if known else None
        except (Barred, Overloaded) as error:
            change = _shutting(call, error)
            raise
        except (Refused, Busy):
            change = _GateChange(call) if known else None  # the request is refused, we are not
            raise
        finally:
            # Shielded: a cancelled look must still give its slot back.
            await asyncio.shield(self._release(entity, holder, change, probe))

    async def _wait_for_slot(
        self, entity: str, holder: str, lease: Lease | None, *, write: bool
    ) -> tuple[bool, bool]:
        deadline = asyncio.get_running_loop().time() + _SLOT_WAIT
        pause = 0.02
        while True:
            async with self._sessions() as session, session.begin():
                taken = await self._take(session, entity, holder, lease, write=write)
            if taken is not None:
                return taken
            if asyncio.get_running_loop().time() > deadline:
                async with self._sessions() as session:
                    until = await db_now(session) + timedelta(seconds=5)
                raise NotNow(until, f"no free slot for {entity}")
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  no secret
            pause = min(pause * 1.5, 0.25)

    async def _take(
        self, session: AsyncSession, entity: str, holder: str, lease: Lease | None, *, write: bool
    ) -> tuple[bool, bool] | None:
        """Take a slot and count the call; None: none is free.

        Gives whether a refusal is remembered, and whether this call probes the gate that it shut.
        """
        gate = (await session.execute(select(Gate).with_for_update())).scalar_one()
        now = await db_now(session)
        if lease and not await work.is_held(session, lease):
            raise LeaseLost
        if gate.shut_until and gate.shut_until > now:
            raise NotNow(gate.shut_until, f"paused: {gate.reason}")
        if write and gate.paused_at:
            raise NotNow(now + _PAUSED, f"all writes are paused by {gate.paused_by}")
        free = await self._free_slot(session, entity, now)
        if free is None:
            return None
        await self._count(session, now)
        known, probe = gate.code is not None, gate.shut_until is not None
        if probe:
            # One call finds out whether the gate may open; the others wait for its result.
            gate.shut_until = now + _SLOT_LIFE
        held = {"holder": holder, "expires_at": now + _SLOT_LIFE, "writes": write}
        slot = insert(Slot).values(entity=entity, n=free, **held)
        await session.execute(
            slot.on_conflict_do_update(index_elements=[Slot.entity, Slot.n], set_=held)
        )
        return known, probe

    async def _free_slot(self, session: AsyncSession, entity: str, now: datetime) -> int | None:
        used = await session.execute(
            select(Slot.n).where(Slot.entity == entity, Slot.expires_at > now)
        )
        return next(iter(sorted(set(range(THREADS_PER_ENTITY)) - set(used.scalars()))), None)

    async def spent_until(self, session: AsyncSession, now: datetime) -> datetime | None:
        """Give until when our share of the calls is spent; None: there is something left.

        Any window that Autotask may look at is covered: the oldest part counts whole, and one
        more covers the way of a request to Autotask.
        """
        first = now - self._window - 2 * self._part
        counts = await session.execute(
            select(Calls).where(Calls.since > first).order_by(Calls.since)
        )
        recent = list(counts.scalars())
        if sum(part.count for part in recent) < self._limit:
            return None
        return (recent[0].since if recent else now) + self._window + 2 * self._part

    async def _count(self, session: AsyncSession, now: datetime) -> None:
        """Count a call, or raise NotNow."""
        until = await self.spent_until(session, now)
        if until:
            raise NotNow(until, "our share of the API's calls an hour is spent")
        seconds = self._part.total_seconds()
        since = datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
        row = insert(Calls).values(since=since, count=1)
        await session.execute(
            row.on_conflict_do_update(index_elements=[Calls.since], set_={"count": Calls.count + 1})
        )
        await session.execute(delete(Calls).where(Calls.since < now - 2 * self._window))

    async def _release(
        self, entity: str, holder: str, change: _GateChange | None, probe: bool
    ) -> None:
        try:
            async with self._sessions() as session, session.begin():
                if change:
                    await _change_gate(session, change, probe)
                await session.execute(
                    delete(Slot).where(Slot.entity == entity, Slot.holder == holder)
                )
        except Exception as error:
            # Never raised: it would hide the answer of the call. The slot expires by itself.
            log.warning("slot_not_released", entity=entity, error=type(error).__name__)


@dataclass(frozen=True, slots=True)
class _GateChange:
    """What a call tells about the gate. code and reason: why it must shut; None: it may open.

    call: whose success ends the trouble; None: anybody's. seconds: stay shut at least so long.
    """

    call: str | None
    code: str | None = None
    reason: str | None = None
    seconds: float = 0.0


def _shutting(call: str, error: Barred | Overloaded) -> _GateChange:
    if isinstance(error, Overloaded):
        reason = "The tenant's API requests of this hour are used up, by all its tools together"
        return _GateChange(None, "overloaded", reason, error.retry_after or 0.0)
    if isinstance(error, Forbidden):
        reason = f"Autotask does not allow the API user this call: {call}"
        return _GateChange(call, "forbidden", reason)
    reason = "Autotask does not accept the API user's credentials"
    return _GateChange(call, "unauthorized", reason)


async def gate_state(session: AsyncSession) -> Shut | None:
    """Say what Autotask refuses us; None when nothing, as far as we know."""
    gate = (await session.execute(select(Gate))).scalar_one()
    if gate.code is None or gate.reason is None or gate.since is None:
        return None
    return Shut(gate.code, gate.reason, gate.since, gate.shut_until)


@dataclass(frozen=True, slots=True)
class Pause:
    """Somebody's word that nothing is to be written."""

    since: datetime
    by: str


async def pause_state(session: AsyncSession) -> Pause | None:
    """Say who has paused all writes; None when nobody has."""
    gate = (await session.execute(select(Gate))).scalar_one()
    if gate.paused_at is None or gate.paused_by is None:
        return None
    return Pause(gate.paused_at, gate.paused_by)


async def pause(session: AsyncSession, who: str | None) -> bool:
    """Pause all writes over all processes, or let them go on (None); tells whether that changes.

    Once this is committed no write gets permission; those that had it before are `writing`.
    """
    gate = (await session.execute(select(Gate).with_for_update())).scalar_one()
    if (who is None) == (gate.paused_at is None):
        return False
    gate.paused_at, gate.paused_by = (await db_now(session), who) if who else (None, None)
    return True


async def writing(session: AsyncSession) -> int:
    """Count the writes that are on their way."""
    now = await db_now(session)
    held = select(func.count()).where(Slot.writes, Slot.expires_at > now)
    return (await session.execute(held)).scalar_one()


async def _change_gate(session: AsyncSession, change: _GateChange, probe: bool) -> None:
    """Shut or open the gate. probe: the call was let through a shut one."""
    gate = (await session.execute(select(Gate).with_for_update())).scalar_one()
    now = await db_now(session)
    if gate.shut_until and gate.shut_until > now and not probe:
        return  # it left before the gate was shut, and tells nothing about it
    if change.code:
        # Every other call would fare alike, and repeated logins could lock the user.
        seconds = max(_SHUT[min(gate.times, len(_SHUT) - 1)], change.seconds)
        gate.shut_until = now + timedelta(seconds=seconds)
        gate.since = gate.since or now
        gate.code, gate.reason, gate.call = change.code, change.reason, change.call
        gate.times += 1
        log.error("calls_paused", code=change.code, reason=change.reason, seconds=seconds)
        return
    gate.shut_until = None
    if gate.call in (None, change.call):
        # What was refused is accepted; a success of something else opens, but forgets nothing.
        gate.code = gate.since = gate.reason = gate.call = None
        gate.times = 0
        log.info("calls_go_on")
