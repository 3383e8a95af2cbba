"""Permit calls to Autotask, over all processes: by threads, calls an hour, and the gate.

A slot is a row with holder and expiry, so it survives a restart of PostgreSQL while its request
is under way. One short transaction takes it, counts the call and checks gate and lease; without
the database no call leaves. See docs/decisions/0003-budget.md.
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
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import REQUEST_SECONDS, Throttle
from app.autotask.errors import (
    AutotaskError,
    Barred,
    Forbidden,
    NotSent,
    Overloaded,
    TooLate,
    Unanswered,
)
from app.autotask.protocol import REQUESTS_PER_HOUR, THREADS_PER_ENTITY
from app.db.database import Sessions, db_now
from app.db.states import Priority, WaitsFor
from app.db.tables import Gate, Slot
from app.due import work
from app.due.work import Lease, LeaseLost
from app.outbound import gate
from app.outbound.rules import NotNow
from app.outbound.usage import CallCounter, CallCounts

log = structlog.get_logger()

_SLOT_LIFE = timedelta(seconds=REQUEST_SECONDS + 15)  # a request ends before that
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
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        share: float,
        window: float,
        limit: int = REQUESTS_PER_HOUR,
        observer: bool = False,
    ) -> None:
        self._sessions = sessions
        self._counter = CallCounter(share, timedelta(seconds=window), limit)
        self._observer = observer

    def throttle(self, lease: Lease | None = None, *, calm: bool = False) -> Throttle:
        """Return what a client asks before each call; with a lease only while that is held.

        It raises LeaseLost, or NotNow when the gate is shut, the budget spent or no slot free.
        calm: neither a 403 nor a missing answer closes the gate for other calls.
        """

        def permit(entity: str, *, write: bool) -> AbstractAsyncContextManager[None]:
            return self._permit(entity, lease, write=write, calm=calm)

        return permit

    @asynccontextmanager
    async def _permit(
        self, entity: str, lease: Lease | None, *, write: bool, calm: bool
    ) -> AsyncIterator[None]:
        assert not (write and self._observer), "An observer writes nothing."
        holder = uuid.uuid4().hex
        taken = await self._wait_for_slot(entity, holder, lease, write=write)
        change: gate.Change | None = None
        call = gate.call_name(entity, write=write)
        try:
            yield
            change = gate.Change(call) if taken.refusal_known else None
        except (Barred, Overloaded) as error:
            if not (calm and isinstance(error, Forbidden)):
                change = gate.refused(call, error)
            raise
        except TooLate:
            raise
        except (NotSent, Unanswered):
            change = None if calm else gate.SILENT
            raise
        except AutotaskError:
            # This request is refused, others are not.
            change = gate.Change(call) if taken.refusal_known else None
            raise
        finally:
            # Shielded: a cancelled look must still give its slot back.
            change = None if self._observer else change
            await asyncio.shield(self._release(entity, holder, change, taken.probe))

    async def _wait_for_slot(
        self, entity: str, holder: str, lease: Lease | None, *, write: bool
    ) -> _Taken:
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
                raise NotNow(until, f"no free slot for {entity}", WaitsFor.SLOT)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  no secret
            pause = min(pause * 1.5, 0.25)

    async def _take(
        self, session: AsyncSession, entity: str, holder: str, lease: Lease | None, *, write: bool
    ) -> _Taken | None:
        """Take a slot and count the call; return None when no slot is free."""
        row = (await session.execute(select(Gate).with_for_update())).scalar_one()
        now = await db_now(session)
        if lease and not await work.is_held(session, lease):
            raise LeaseLost
        if row.shut_until and row.shut_until > now and not self._observer:
            raise NotNow(row.shut_until, f"paused: {row.reason}")
        if write and row.paused_at:
            reason = f"all writes are paused by {row.paused_by}"
            raise NotNow(now + _PAUSED, reason, WaitsFor.PAUSED)
        free = await self._free_slot(session, entity, now)
        if free is None:
            return None
        if until := await self._counter.spent_until(session, row, now):
            reason = "our share of the API's calls an hour is spent"
            raise NotNow(until, reason, WaitsFor.BUDGET)
        await self._counter.count(session, now)
        known = row.code is not None or row.silent > 0
        probe = row.shut_until is not None and not self._observer
        if probe:
            # One call finds out whether the gate may open; the others wait for its result.
            row.shut_until = now + _SLOT_LIFE
        held = {"holder": holder, "expires_at": now + _SLOT_LIFE, "writes": write}
        slot = insert(Slot).values(entity=entity, n=free, **held)
        await session.execute(
            slot.on_conflict_do_update(index_elements=[Slot.entity, Slot.n], set_=held)
        )
        return _Taken(known, probe)

    async def _free_slot(self, session: AsyncSession, entity: str, now: datetime) -> int | None:
        used = await session.execute(
            select(Slot.n).where(Slot.entity == entity, Slot.expires_at > now)
        )
        return next(iter(sorted(set(range(THREADS_PER_ENTITY)) - set(used.scalars()))), None)

    async def pace(self, session: AsyncSession) -> Pace:
        """Return how much may begin now, by what is refused, paused and used.

        From half of the tenant's calls on Autotask answers late, and we slow down; from 80 % on
        only live work begins. Half of our own share is reserved for that, too.
        """
        row = (await session.execute(select(Gate))).scalar_one()
        now = await db_now(session)
        if row.shut_until and row.shut_until > now:
            return Pace(until=row.shut_until)
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
        self, entity: str, holder: str, change: gate.Change | None, probe: bool
    ) -> None:
        try:
            async with self._sessions() as session, session.begin():
                if change:
                    await gate.apply(session, change, probe=probe)
                await session.execute(
                    delete(Slot).where(Slot.entity == entity, Slot.holder == holder)
                )
        except Exception as error:
            # Never raised: it would hide the answer of the call. The slot expires by itself.
            log.warning("slot_not_released", entity=entity, error=type(error).__name__)
