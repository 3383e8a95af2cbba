"""The calls of an hour, by several processes' budgets on one database."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.protocol import REQUESTS_PER_HOUR
from app.db.database import Sessions
from app.db.tables import Calls
from app.outbound import budget
from app.outbound.budget import Budget
from app.outbound.rules import NotNow
from tests.support.budgets import MakeBudget, all_of, call


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
