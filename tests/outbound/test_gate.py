"""The gate that shuts when Autotask does not want us, by several processes on one database."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

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
from app.db.database import Sessions
from app.db.tables import Calls, Gate, Slot
from app.outbound.budget import Budget
from app.outbound.rules import NotNow
from tests.support.budgets import MakeBudget, all_of, call, fail, run, state

# --- the gate ------------------------------------------------------------------------------------

_OVER = "UPDATE gate SET shut_until = now() - interval '1 ms'"


@pytest.mark.parametrize(
    ("error", "reason", "seconds"),
    [
        (Unauthorized("x"), "credentials", 30),
        (Forbidden("x"), "read Tickets", 30),
        (Overloaded("x"), "used up", 30),
        (Overloaded("x", 1.0), "used up", 1),
        (Overloaded("x", 7.0), "used up", 7),
        (Overloaded("x", 3600.0), "used up", 3600),
    ],
)
async def test_the_gate_shuts_when_autotask_does_not_accept_us(
    make_budget: MakeBudget, sessions: Sessions, error: AutotaskError, reason: str, seconds: int
) -> None:
    """After one such answer no call leaves, of any process, and none is counted."""
    await fail(make_budget(), error)

    shut = await state(sessions)
    assert shut
    assert shut.until
    assert reason in shut.reason
    assert abs(shut.until - shut.since - timedelta(seconds=seconds)) < timedelta(seconds=0.1)
    with pytest.raises(NotNow, match=f"paused: .*{reason}") as caught:
        await call(make_budget(), "Contacts")
    assert caught.value.until == shut.until
    assert [row.count for row in await all_of(sessions, Calls)] == [1]


async def test_an_observer_passes_a_shut_gate_and_never_moves_it(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Its calls are counted; neither its success nor its refusal changes what is recorded."""
    observer = Budget(sessions, share=1.0, window=3600.0, observer=True)
    await fail(observer, Unauthorized("x"))
    assert await state(sessions) is None

    await fail(make_budget(), Forbidden("x"))
    shut = await state(sessions)
    await call(observer)
    await fail(observer, Unauthorized("x"))
    assert await state(sessions) == shut
    await run(sessions, _OVER)
    over = await state(sessions)
    await call(observer)
    assert await state(sessions) == over
    assert sum(row.count for row in await all_of(sessions, Calls)) == 5
    assert await all_of(sessions, Slot) == []
    with pytest.raises(AssertionError):
        async with observer.throttle()("Tickets", write=True):
            pass


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
