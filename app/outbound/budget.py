"""Permit calls to Autotask, over all processes: by threads, calls an hour, rights, and the gate.

One short transaction takes a slot, counts the call and checks gate and lease; without the database
no call leaves. See docs/decisions/0003-budget.md and 0011-scarcity.md.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Throttle
from app.autotask.errors import (
    AutotaskError,
    Barred,
    Forbidden,
    Intercepted,
    NotSent,
    Overloaded,
    TooLate,
    Unanswered,
)
from app.autotask.protocol import REQUESTS_PER_HOUR
from app.db.database import Sessions, db_now
from app.db.states import Priority, WaitsFor
from app.db.tables import Gate
from app.due import work
from app.due.work import Lease, LeaseLost
from app.outbound import gate, refusals, slots
from app.outbound.reach import Call, Reach, reach
from app.outbound.rules import NotNow, RightMissing
from app.outbound.usage import CallCounter, CallCounts

log = structlog.get_logger()

_SLOT_WAIT = 30.0  # seconds that a call waits for a slot before NotNow
_PAUSED = timedelta(seconds=5)  # after which the pause is checked again
HALF, BUSY = 0.5, 0.8
"""Shares of the tenant's calls: above HALF we slow down, above BUSY only live work begins."""

_SLOW = 2  # looks at once


@dataclass(frozen=True, slots=True)
class Pace:
    """How much work may begin now."""

    until: datetime | None = None
    """Nothing may begin before this time."""

    at_once: int | None = None
    """Looks at once over all processes; None: the usual number."""

    least: Priority = Priority.CATCH_UP
    """The least urgent work that may begin."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A call that asks for permission, and on what terms."""

    call: Call
    holder: str
    lease: Lease | None
    write: bool
    calm: bool


class _Taken(NamedTuple):
    """A slot that a call has taken."""

    refusal_known: bool
    """Whether a refusal is remembered."""

    probe: bool
    """Whether this call probes the gate that a refusal shut."""


class Budget:
    """Permit calls: at most `share` of the tenant's calls an hour, counted over `window` seconds.

    An observer takes slots and counts calls as usual, but passes a shut gate and never moves it:
    after a repair it shows whether that worked, and its settings may differ from the service's.
    credentials: a keyed hash of those that the calls have.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        share: float,
        window: float,
        limit: int = REQUESTS_PER_HOUR,
        observer: bool = False,
        credentials: str | None = None,
    ) -> None:
        self._sessions = sessions
        self._counter = CallCounter(share, timedelta(seconds=window), limit)
        self._observer = observer
        self._credentials = credentials

    async def start(self) -> None:
        """Open the gate if the worker that started before had other credentials."""
        if self._credentials:
            async with self._sessions() as session, session.begin():
                await gate.start_with(session, self._credentials)

    def throttle(self, lease: Lease | None = None, *, calm: bool = False) -> Throttle:
        """Return what a client asks before each call; with a lease only while that is held.

        It raises LeaseLost, or NotNow when the gate is shut, a right is missing, the budget spent
        or no slot free. calm: neither a missing right nor a missing answer keeps other calls back.
        """

        def permit(
            entity: str, *, write: bool, verb: str = "", about: str = ""
        ) -> AbstractAsyncContextManager[None]:
            call = Call(verb or ("write" if write else "read"), entity, about)
            return self._permit(_Asked(call, uuid.uuid4().hex, lease, write, calm))

        return permit

    @asynccontextmanager
    async def _permit(self, asked: _Asked) -> AsyncIterator[None]:
        assert not (asked.write and self._observer), "An observer writes nothing."
        taken = await self._wait_for_slot(asked)
        error: AutotaskError | None = None
        answered = False
        try:
            yield
            answered = True
        except TooLate:
            raise
        except AutotaskError as caught:
            error, answered = caught, True
            raise
        finally:
            # Shielded: a cancelled look must still give its slot back.
            told = answered and not self._observer and (error is not None or taken.refusal_known)
            wait = await asyncio.shield(self._release(asked, error, taken, told=told))
            if wait:
                raise wait from error

    async def _wait_for_slot(self, asked: _Asked) -> _Taken:
        deadline = asyncio.get_running_loop().time() + _SLOT_WAIT
        pause = 0.02
        while True:
            async with self._sessions() as session, session.begin():
                taken = await self._take(session, asked)
            if taken is not None:
                return taken
            if asyncio.get_running_loop().time() > deadline:
                async with self._sessions() as session:
                    until = await db_now(session) + timedelta(seconds=5)
                reason = f"no free slot for {asked.call.entity}"
                raise NotNow(until, reason, WaitsFor.SLOT)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  no secret
            pause = min(pause * 1.5, 0.25)

    async def _take(self, session: AsyncSession, asked: _Asked) -> _Taken | None:
        """Take a slot and count the call; return None when no slot is free."""
        row = (await session.execute(select(Gate).with_for_update())).scalar_one()
        now = await db_now(session)
        call, lease = asked.call, asked.lease
        if lease and not await work.is_held(session, lease):
            raise LeaseLost
        shut_until = None if self._observer else await gate.shut_until(session, row, now)
        if shut_until:
            raise NotNow(shut_until, f"paused: {row.reason}")
        if asked.write and row.paused_at:
            reason = f"all writes are paused by {row.paused_by}"
            raise NotNow(now + _PAUSED, reason, WaitsFor.PAUSED)
        free = await slots.free(session, call.entity, now)
        if free is None:
            return None
        if until := await self._counter.spent_until(session, row, now):
            reason = "our share of the API's calls an hour is spent"
            raise NotNow(until, reason, WaitsFor.BUDGET)
        known = row.code is not None or row.silent > 0
        if not (asked.calm or self._observer):
            known |= await refusals.require_right(session, call, lease.ref if lease else None)
        await self._counter.count(session, now)
        probe = row.shut_until is not None and not self._observer
        if probe:
            # One call finds out whether the gate may open; the others wait for its result.
            row.shut_until, row.probe = now + slots.SLOT_LIFE, asked.holder
        await slots.take(session, call.entity, free, asked.holder, now, lease, write=asked.write)
        return _Taken(known, probe)

    async def pace(self, session: AsyncSession) -> Pace:
        """Return how much may begin now, by what is refused, paused and used.

        From half of the tenant's calls on Autotask answers late, and we slow down; from 80 % on
        only live work begins. Half of our own share is reserved for that, too.
        """
        row = (await session.execute(select(Gate))).scalar_one()
        now = await db_now(session)
        if shut_until := await gate.shut_until(session, row, now):
            return Pace(until=shut_until)
        if row.paused_at:
            return Pace(until=now + _PAUSED)
        if until := await self._counter.spent_until(session, row, now):
            return Pace(until=until)
        if row.shut_until:
            return Pace(at_once=1)  # its first call finds out whether Autotask accepts calls again
        use = await self._counter.use(session, row, now)
        urgent = use.of_tenant >= BUSY or use.ours * 2 >= use.share
        return Pace(
            at_once=_SLOW if use.of_tenant >= HALF else None,
            least=Priority.LIVE if urgent else Priority.CATCH_UP,
        )

    async def use(self, session: AsyncSession) -> CallCounts:
        """Return how many calls were made, by us and by all of the tenant's tools."""
        row = (await session.execute(select(Gate))).scalar_one()
        return await self._counter.use(session, row, await db_now(session))

    async def record_usage(self, session: AsyncSession, used: int, limit: int) -> None:
        """Store Autotask's figures for all tools: `used` calls of `limit` an hour."""
        row = (await session.execute(select(Gate).with_for_update())).scalar_one()
        row.tenant_used, row.tenant_limit = used, limit
        row.tenant_read_at = await db_now(session)

    async def _release(
        self, asked: _Asked, error: AutotaskError | None, taken: _Taken, *, told: bool
    ) -> RightMissing | None:
        """Give the slot back, and store what a call has told. Return for what such calls wait."""
        wait: RightMissing | None = None
        try:
            async with self._sessions() as session, session.begin():
                if told:
                    await session.execute(select(Gate).with_for_update())
                    change, wait = await _learn(session, asked, error)
                    if change:
                        mine = self._credentials
                        await gate.apply(session, change, probe=taken.probe, credentials=mine)
                await slots.release(session, asked.call.entity, asked.holder)
        except Exception as lost:
            # Never raised: it would hide the answer of the call. The slot expires by itself.
            log.warning("slot_not_released", entity=asked.call.entity, error=type(lost).__name__)
        return wait


async def _learn(
    session: AsyncSession, asked: _Asked, error: AutotaskError | None
) -> tuple[gate.Change | None, RightMissing | None]:
    """Store how far the end of a call reaches; return what it means for the gate.

    Also return for what such calls wait, unless it is everybody's.
    """
    call = asked.call
    if asked.calm and isinstance(error, Forbidden | Intercepted | NotSent | Unanswered):
        return None, None
    if error is None:
        await refusals.record_success(session, call)
        return gate.Change(call.name), None
    if isinstance(error, Forbidden):
        return await _learn_of_rights(session, asked, error)
    if isinstance(error, Intercepted):
        await refusals.record_interception(session, call, error)
        return gate.INTERCEPTED, None
    changes = {Reach.SILENCE: gate.SILENT, Reach.REQUEST: gate.Change(call.name)}
    if isinstance(error, Barred | Overloaded):
        changes[Reach.ALL] = gate.refused(call.name, error)
    return changes[reach(error, call, 0)], None


async def _learn_of_rights(
    session: AsyncSession, asked: _Asked, error: Forbidden
) -> tuple[gate.Change | None, RightMissing | None]:
    """Store that a right is missing: where, and for which call."""
    call = asked.call
    far = reach(error, call, await refusals.refused_elsewhere(session, call))
    wait = None
    if call.about or far is Reach.CALL:
        wait = await refusals.record_refusal(session, call, everywhere=far is Reach.CALL)
    if far is Reach.ALL:
        return gate.refused(call.name, error), None
    return gate.ANSWERED, wait
