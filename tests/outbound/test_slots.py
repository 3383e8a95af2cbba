"""A dead holder keeps nothing that it held, and a living one keeps its slot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from app.autotask.errors import Unauthorized
from app.autotask.protocol import THREADS_PER_ENTITY
from app.db.database import Sessions, make_engine, make_sessions
from app.db.states import Priority
from app.db.tables import Slot
from app.due import work
from app.due.work import LEASE, Lease
from app.outbound import budget, gate
from app.outbound.budget import Budget
from app.outbound.rules import NotNow
from tests.support.budgets import MakeBudget, all_of, call, fail, run, state
from tests.support.clock import Clock

TICKET = 7


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody wait for a slot."""
    monkeypatch.setattr(budget, "_SLOT_WAIT", 0.05)


async def lease_of(sessions: Sessions) -> Lease:
    async with sessions() as session, session.begin():
        await work.want(session, work.TICKET, TICKET, timedelta(0), Priority.LIVE)
        [lease] = await work.claim(session, work.TICKET, "me", 1)
    return lease


class Process:
    """Another process with three requests under way, for a ticket of its own."""

    def __init__(self, url: str, lease: Lease | None) -> None:
        self.engine = make_engine(url)
        self.budget = Budget(make_sessions(self.engine), share=1.0, window=3600.0)
        self.lease = lease
        self.calls = AsyncExitStack()

    async def work(self, *, write: bool = False) -> None:
        for _ in range(THREADS_PER_ENTITY):
            throttle = self.budget.throttle(self.lease)
            await self.calls.enter_async_context(throttle("Tickets", write=write))

    async def die(self) -> None:
        """Vanish, as by kill -9: its connections end, and nothing is given back."""
        await self.engine.dispose()


@pytest.fixture
async def other(clock: Clock, sessions: Sessions, database_url: str) -> AsyncIterator[Process]:
    """A process that holds all slots of an entity for its ticket."""
    process = Process(database_url, await lease_of(sessions))
    await process.work()
    yield process
    await process.calls.aclose()
    await process.engine.dispose()


@pytest.mark.usefixtures("at_once")
async def test_a_killed_processs_slots_are_free_with_its_leases(
    clock: Clock, other: Process, make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Not before, as it may live, and not long after."""
    await other.die()
    with pytest.raises(NotNow, match="no free slot"):
        await call(make_budget())
    clock.advance(seconds=LEASE.total_seconds() + 1)
    for _ in range(THREADS_PER_ENTITY + 1):
        await call(make_budget())
    assert len(await all_of(sessions, Slot)) == THREADS_PER_ENTITY - 1


@pytest.mark.usefixtures("at_once")
async def test_a_slow_process_keeps_its_slots(
    clock: Clock, other: Process, make_budget: MakeBudget, sessions: Sessions
) -> None:
    """It prolongs its lease, or has lost it and is still there: its requests may go on."""
    clock.advance(seconds=15)
    assert other.lease
    async with sessions() as session, session.begin():
        await work.beat(session, [other.lease])
    clock.advance(seconds=15)
    with pytest.raises(NotNow, match="no free slot"):
        await call(make_budget())
    clock.advance(seconds=20)  # it stands still now
    with pytest.raises(NotNow, match="no free slot"):
        await call(make_budget())
    clock.advance(seconds=15)  # longer than a request can take
    await call(make_budget())


@pytest.mark.usefixtures("at_once")
async def test_a_slot_without_a_lease_ends_by_itself(
    clock: Clock, database_url: str, make_budget: MakeBudget
) -> None:
    """The admin API's calls belong to no ticket."""
    process = Process(database_url, None)
    await process.work()
    await process.die()
    clock.advance(seconds=40)
    with pytest.raises(NotNow, match="no free slot"):
        await call(make_budget())
    clock.advance(seconds=21)
    await call(make_budget())
    await process.calls.aclose()
    await process.engine.dispose()


async def test_a_pause_does_not_wait_for_the_writes_of_a_killed_process(
    clock: Clock, database_url: str, sessions: Sessions
) -> None:
    """It ends with its leases as well."""
    process = Process(database_url, await lease_of(sessions))
    await process.work(write=True)
    await process.die()
    async with sessions() as session:
        assert await gate.writing(session) == THREADS_PER_ENTITY
    clock.advance(seconds=LEASE.total_seconds() + 1)
    async with sessions() as session:
        assert await gate.writing(session) == 0
    await process.calls.aclose()
    await process.engine.dispose()


async def test_a_killed_probe_keeps_the_gate_shut_no_longer_than_its_lease(
    clock: Clock, database_url: str, make_budget: MakeBudget, sessions: Sessions
) -> None:
    """The next call tries."""
    await fail(make_budget(), Unauthorized("x"))
    await run(sessions, "UPDATE gate SET shut_until = clock.now() - interval '1 ms'")
    process = Process(database_url, await lease_of(sessions))
    probe = process.budget.throttle(process.lease)("Contacts", write=False)
    await probe.__aenter__()
    with pytest.raises(NotNow):
        await call(make_budget())
    await process.die()
    clock.advance(seconds=LEASE.total_seconds() + 1)
    async with sessions() as session:
        assert (await make_budget().pace(session)).until is None
    await call(make_budget())
    assert await state(sessions) is None
    await probe.__aexit__(None, None, None)
    await process.engine.dispose()
