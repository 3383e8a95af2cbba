"""Slots, the calls of an hour and the gate, by several processes' budgets on one database."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app import budget, work
from app.autotask.client import Autotask, http_client
from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    NotSent,
    Overloaded,
    Refusal,
    Refused,
    Unanswered,
    Unauthorized,
)
from app.autotask.models import NewContact
from app.autotask.protocol import REQUESTS_PER_HOUR, THREADS_PER_ENTITY
from app.budget import Budget, Shut, gate_state
from app.db import Sessions, is_outage, make_engine, make_sessions
from app.errors import LeaseLost, NotNow
from app.models import Calls, Due, Gate, Slot
from app.states import Priority
from app.work import Lease
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

MakeBudget = Callable[..., Budget]


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """The test's own way to the database."""
    engine = make_engine(database_url)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def make_budget(database_url: str) -> AsyncIterator[MakeBudget]:
    """Make the budget of one more process, with connections of its own."""
    async with AsyncExitStack() as stack:

        def make(share: float = 1.0, window: float = 3600.0, limit: int = 10_000) -> Budget:
            engine = make_engine(database_url)
            stack.push_async_callback(engine.dispose)
            return Budget(make_sessions(engine), share=share, window=window, limit=limit)

        yield make


class Clock:
    """A database's clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, tzinfo=UTC)

    async def __call__(self, _session: AsyncSession) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let all budgets read this clock."""
    clock = Clock()
    monkeypatch.setattr(budget, "db_now", clock)
    return clock


async def call(one: Budget, entity: str = "Tickets", lease: Lease | None = None) -> None:
    """Make a call that succeeds."""
    async with one.throttle(lease)(entity, write=False):
        pass


async def fail(one: Budget, error: BaseException) -> None:
    """Make a call that ends so."""
    with pytest.raises(type(error)):
        async with one.throttle()("Tickets", write=False):
            raise error


async def all_of(sessions: Sessions, model: Any) -> list[Any]:
    async with sessions() as session:
        return list((await session.execute(select(model))).scalars())


async def run(sessions: Sessions, statement: str) -> None:
    async with sessions() as session, session.begin():
        await session.execute(text(statement))


async def state(sessions: Sessions) -> Shut | None:
    async with sessions() as session:
        return await gate_state(session)


# --- slots ---------------------------------------------------------------------------------------


async def test_never_more_than_three_at_once(make_budget: MakeBudget, sessions: Sessions) -> None:
    """Thirty callers of three processes on one entity; another entity is not held up by them."""
    budgets = [make_budget() for _ in range(3)]
    inside = {"Contacts": 0, "Tickets": 0}
    peaks = dict(inside)
    full = asyncio.Event()

    async def caller(n: int) -> None:
        entity = "Tickets" if n % 10 == 9 else "Contacts"
        async with budgets[n % 3].throttle()(entity, write=False):
            inside[entity] += 1
            peaks[entity] = max(peaks[entity], inside[entity])
            if inside["Contacts"] == THREADS_PER_ENTITY:
                full.set()
            await full.wait()
            assert len({(s.entity, s.n) for s in await all_of(sessions, Slot)}) <= 6
            inside[entity] -= 1

    await asyncio.gather(*(caller(n) for n in range(30)))

    assert peaks["Contacts"] == THREADS_PER_ENTITY
    assert await all_of(sessions, Slot) == []
    assert sum(row.count for row in await all_of(sessions, Calls)) == 30


async def test_child_and_root_paths_share_the_slots(
    make_budget: MakeBudget, server: SandboxServer, tenant: Tenant, people: Seed
) -> None:
    """As Autotask counts them: creates under a company and queries of contacts are one entity."""
    tenant.faults.latency = (0.1, 0.2)
    async with http_client() as http:

        def client() -> Autotask:
            throttle = make_budget().throttle()
            return Autotask(http, server.api_url, _credentials(tenant), throttle)

        one, other = client(), client()
        creates = [
            one.create_contact(174, NewContact("A", "B", f"n{n}@x.example", "", {}), inf)
            for n in range(7)
        ]
        queries = [other.contacts(174, ["n1@x.example"], []) for _ in range(7)]
        await asyncio.gather(*creates, *queries)

    assert tenant.peak == {"Contacts": THREADS_PER_ENTITY}
    assert tenant.thread_refusals == 0


def _credentials(tenant: Tenant) -> Any:
    from app.autotask.client import Credentials

    return Credentials(tenant.username, tenant.secret, tenant.integration_code)


async def occupy(sessions: Sessions, seconds: int) -> None:
    """Let a process that was killed have all slots, for so long."""
    async with sessions() as session, session.begin():
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        session.add_all(
            Slot(entity="Tickets", n=n, holder="killed", expires_at=until)
            for n in range(THREADS_PER_ENTITY)
        )


async def test_slots_of_a_killed_process_are_free_when_they_expire(
    make_budget: MakeBudget, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the others wait, and give way after a while without having called."""
    monkeypatch.setattr(budget, "_SLOT_WAIT", 0.05)
    await occupy(sessions, 60)
    with pytest.raises(NotNow, match="no free slot for Tickets"):
        await call(make_budget())
    assert await all_of(sessions, Calls) == []

    await run(sessions, "UPDATE slots SET expires_at = now() WHERE n = 1")
    await call(make_budget())
    assert {slot.n for slot in await all_of(sessions, Slot)} == {0, 2}


async def test_who_comes_late_does_not_take_the_slot_of_the_next(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """A process that was stopped for long gives back what is its own, and nothing else."""
    await occupy(sessions, 60)
    await run(sessions, "DELETE FROM slots WHERE n = 0")
    stopped, other = (
        make_budget().throttle()("Tickets", write=False),
        make_budget().throttle()("Tickets", write=False),
    )
    async with other:
        await run(sessions, "UPDATE slots SET holder = 'next' WHERE n = 0")
    assert "next" in {slot.holder for slot in await all_of(sessions, Slot)}

    await run(sessions, "DELETE FROM slots WHERE n = 0")
    async with stopped:
        await run(sessions, "UPDATE slots SET expires_at = now() WHERE n = 0")
        async with make_budget().throttle()("Tickets", write=False):
            assert len(await all_of(sessions, Slot)) == THREADS_PER_ENTITY


@pytest.mark.parametrize(
    "error", [Busy("x"), NotSent("x"), Unanswered("x"), Unauthorized("x"), ValueError("x")]
)
async def test_a_slot_is_given_back_after_each_failure(
    make_budget: MakeBudget, sessions: Sessions, error: Exception
) -> None:
    """Also after one of our own."""
    await fail(make_budget(), error)
    assert await all_of(sessions, Slot) == []


async def test_a_cancelled_call_gives_its_slot_back(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """A look is cancelled when its lease is lost or the process stops."""
    entered = asyncio.Event()

    async def caller() -> None:
        async with make_budget().throttle()("Tickets", write=False):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    await entered.wait()
    assert len(await all_of(sessions, Slot)) == 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert await all_of(sessions, Slot) == []


async def test_a_call_whose_slot_cannot_be_given_back_keeps_its_answer(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """The database went away during the call: the slot expires, the answer is what counts."""
    one = make_budget()
    async with one.throttle()("Tickets", write=False):
        one._sessions = make_sessions(make_engine(_nowhere()))
    assert len(await all_of(sessions, Slot)) == 1


def _nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return f"postgresql+psycopg://nobody@127.0.0.1:{port}/nothing"


async def test_without_the_database_no_call_leaves(server: SandboxServer, tenant: Tenant) -> None:
    """Nobody knows then what the others do."""
    engine = make_engine(_nowhere())
    throttle = Budget(make_sessions(engine), share=1, window=3600).throttle()
    async with http_client() as http:
        autotask = Autotask(http, server.api_url, _credentials(tenant), throttle)
        with pytest.raises(Exception, match="connection") as caught:
            await autotask.ticket(1)
    await engine.dispose()
    assert is_outage(caught.value)
    assert tenant.calls == []


# --- the lease -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "lease_until = now() - interval '1 ms'",
        "attempt = attempt + 1",
        "holder = 'another'",
        "holder = NULL, lease_until = NULL",
    ],
)
async def test_without_the_lease_no_call_leaves_and_none_is_counted(
    make_budget: MakeBudget, sessions: Sessions, change: str
) -> None:
    """It ran out, or another has the ticket by now."""
    one = make_budget()
    async with sessions() as session, session.begin():
        await work.want(session, work.TICKET, 7, timedelta(0), Priority.LIVE)
    async with sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "me", 1)
    await call(one, lease=lease)
    await run(sessions, f"UPDATE due SET {change}")

    with pytest.raises(LeaseLost):
        await call(one, lease=lease)
    assert [row.count for row in await all_of(sessions, Calls)] == [1]
    assert await all_of(sessions, Slot) == []
    assert len(await all_of(sessions, Due)) == 1


# --- calls an hour -------------------------------------------------------------------------------


def most_in_a_window(times: list[datetime], window: float) -> int:
    """Count the calls of the fullest window, wherever it begins."""
    span = timedelta(seconds=window)
    return max(sum(at <= other < at + span for other in times) for at in times)


async def wait_of(one: Budget, clock: Clock) -> timedelta | None:
    """Make a call, or give for how long there is none to be made."""
    try:
        await call(one)
    except NotNow as wait:
        return wait.until - clock.now
    return None


@pytest.mark.parametrize("window", [3600.0, 6.0])
async def test_no_window_has_more_than_our_share(
    make_budget: MakeBudget, clock: Clock, window: float
) -> None:
    """Bursts, idle times and single calls in any order; the clock is moved, not waited for."""
    budgets = [make_budget(share=0.5, window=window, limit=20) for _ in range(2)]
    dice = random.Random(window)
    left: list[datetime] = []
    for _ in range(120):
        wait = await wait_of(dice.choice(budgets), clock)
        if wait is None:
            left.append(clock.now)
        else:
            assert 0 <= wait.total_seconds() <= window * 65 / 60
            clock.forward(wait.total_seconds() - dice.choice([0, 0, window / 70]))
        pause = dice.choice([0, 0, 0, window / 200, window / 60, window / 9, window * 2])
        clock.forward(pause * dice.random())

    assert most_in_a_window(left, window) == 10
    assert len(left) > 60


async def test_a_burst_after_an_idle_time_gets_the_share_and_no_more(
    make_budget: MakeBudget, clock: Clock, sessions: Sessions
) -> None:
    """A bucket that fills up while nobody calls would let twice the share through."""
    budgets = [make_budget(share=0.5, window=3600, limit=20) for _ in range(3)]
    for _ in range(3):
        clock.forward(2 * 3600)
        burst = [call(budgets[n % 3], f"Entity{n % 5}") for n in range(25)]
        ended = await asyncio.gather(*burst, return_exceptions=True)

        waits = [wait for wait in ended if isinstance(wait, NotNow)]
        assert len(waits) == 25 - 10
        assert {wait.reason for wait in waits} == {"our share of the API's calls an hour is spent"}
        clock.now = waits[0].until + timedelta(milliseconds=1)
        await call(budgets[0])
    assert len(await all_of(sessions, Calls)) <= 62


async def test_the_share_is_of_what_autotask_grants(make_budget: MakeBudget, clock: Clock) -> None:
    """10,000 an hour for all tools of the tenant, unless said otherwise."""
    one = make_budget(share=0.0004, limit=REQUESTS_PER_HOUR)
    for _ in range(4):
        await call(one)
    with pytest.raises(NotNow):
        await call(one)


async def test_a_share_of_less_than_one_call_is_no_defect(make_budget: MakeBudget) -> None:
    """BUDGET_SHARE takes anything above 0: the second call, if not the first, has to wait."""
    one = make_budget(share=0.00001)
    with suppress(NotNow):
        await call(one)
    with pytest.raises(NotNow):
        await call(one)


# --- the gate ------------------------------------------------------------------------------------

_OVER = "UPDATE gate SET shut_until = now() - interval '1 ms'"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unauthorized("x"), "credentials"),
        (Forbidden("x"), "read Tickets"),
        (Overloaded("x"), "used up"),
        (Overloaded("x", 7.0), "used up"),
    ],
)
async def test_the_gate_shuts_when_autotask_does_not_accept_us(
    make_budget: MakeBudget, sessions: Sessions, error: AutotaskError, reason: str
) -> None:
    """After one such answer no call leaves, of any process, and none is counted."""
    await fail(make_budget(), error)

    shut = await state(sessions)
    assert shut
    assert shut.until
    assert reason in shut.reason
    assert timedelta(seconds=29) < shut.until - shut.since <= timedelta(seconds=30)
    with pytest.raises(NotNow, match=f"paused: .*{reason}") as caught:
        await call(make_budget(), "Contacts")
    assert caught.value.until == shut.until
    assert [row.count for row in await all_of(sessions, Calls)] == [1]


async def test_the_gate_stays_shut_for_as_long_as_autotask_says(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """And any success is the end of it: the hour's requests are everybody's."""
    await fail(make_budget(), Overloaded("x", 600.0))
    [gate] = await all_of(sessions, Gate)
    assert 590 < (gate.shut_until - datetime.now(UTC)).total_seconds() <= 600
    await run(sessions, _OVER)
    await call(make_budget(), "Contacts")
    assert await state(sessions) is None


@pytest.mark.parametrize(
    "error",
    [Busy("x"), NotSent("x"), Unanswered("x"), Refused(["x"], Refusal.OTHER), ValueError("x")],
)
async def test_the_gate_stays_open_after_anything_else(
    make_budget: MakeBudget, sessions: Sessions, error: Exception
) -> None:
    """What is wrong with one call says nothing about the next."""
    await fail(make_budget(), error)
    assert await state(sessions) is None


async def test_one_call_tries_whether_the_gate_may_open(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """When the time is up; the others wait for its result, and it opens the gate for all."""
    await fail(make_budget(), Unauthorized("x"))
    await run(sessions, _OVER)
    async with make_budget().throttle()("Tickets", write=False):
        for entity in ("Tickets", "Contacts"):
            with pytest.raises(NotNow):
                await call(make_budget(), entity)

    assert await state(sessions) is None
    [gate] = await all_of(sessions, Gate)
    assert (gate.shut_until, gate.reason, gate.since, gate.times) == (None, None, None, 0)
    await call(make_budget())


async def test_the_gate_shuts_for_longer_each_time(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Too many wrong attempts could lock the user; since tells when it began."""
    pauses, sinces = [], set()
    for _ in range(8):
        await fail(make_budget(), Unauthorized("x"))
        [gate] = await all_of(sessions, Gate)
        pauses.append(round((gate.shut_until - datetime.now(UTC)).total_seconds() / 30) * 30)
        sinces.add(gate.since)
        await run(sessions, _OVER)
    assert pauses == [30, 60, 120, 300, 600, 900, 900, 900]
    assert len(sinces) == 1


async def test_a_success_of_another_call_opens_the_gate_and_forgets_nothing(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """A user who may read contacts and not create them: the pauses still grow, and it is said."""
    one = make_budget()
    for times in (1, 2):
        with pytest.raises(Forbidden):
            async with one.throttle()("Contacts", write=True):
                raise Forbidden("x")
        await run(sessions, _OVER)
        await call(one, "Contacts")
        shut = await state(sessions)
        assert shut
        assert (shut.until, "write Contacts" in shut.reason) == (None, True)
        assert [gate.times for gate in await all_of(sessions, Gate)] == [times]
    async with one.throttle()("Contacts", write=True):
        pass
    assert await state(sessions) is None


async def test_a_killed_probe_is_followed_by_another(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Nobody waits for a result that will not come."""
    await fail(make_budget(), Unauthorized("x"))
    await run(sessions, _OVER)
    probe = make_budget().throttle()("Tickets", write=False)
    await probe.__aenter__()
    shut = await state(sessions)
    assert shut
    assert shut.until
    assert shut.until < datetime.now(UTC) + timedelta(seconds=90)
    await run(sessions, _OVER)
    await call(make_budget())
    assert await state(sessions) is None
    await probe.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "error", [NotSent("x"), Unanswered("x"), asyncio.CancelledError(), ValueError("x")]
)
async def test_a_probe_that_learnt_nothing_opens_nothing(
    make_budget: MakeBudget, sessions: Sessions, error: BaseException
) -> None:
    """No connection, or the process stops: we are no more accepted than before."""
    await fail(make_budget(), Unauthorized("x"))
    await run(sessions, _OVER)
    await fail(make_budget(), error)
    assert await state(sessions) is not None


async def test_calls_refused_together_are_one_refusal(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Three were on their way when the password changed: 30 seconds, not 120."""
    one = make_budget()
    together = asyncio.Barrier(3)

    async def refused() -> None:
        with suppress(Unauthorized):
            async with one.throttle()("Tickets", write=False):
                await together.wait()
                raise Unauthorized("x")

    await asyncio.gather(*(refused() for _ in range(3)))
    [gate] = await all_of(sessions, Gate)
    assert gate.times == 1
