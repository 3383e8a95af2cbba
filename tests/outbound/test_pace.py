"""The pace: slower while the tenant's tools use much; near the end only what people wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app.db.database import Sessions
from app.db.states import Chore, Priority, Result
from app.db.tables import Calls, Due, Gate
from app.due import backlog, work
from app.looks.backtest import Asked, Backtest
from app.outbound.budget import Budget, Pace
from app.records import tickets
from app.services import Services
from app.worker import chores
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.budgets import MakeBudget, call, run
from tests.support.helpers import result_of, rows

pytestmark = pytest.mark.wait

NINA = "nina@radiology.example"


async def heard(sessions: Sessions, budget: Budget, used: int, limit: int = 1000) -> Pace:
    """Let Autotask have told of the tenant's use, and give the pace."""
    async with sessions() as session, session.begin():
        await budget.record_usage(session, used, limit)
    async with sessions() as session:
        return await budget.pace(session)


@pytest.mark.parametrize(
    ("used", "at_once", "least"),
    [
        (0, None, Priority.CATCH_UP),
        (499, None, Priority.CATCH_UP),
        (500, 2, Priority.CATCH_UP),
        (799, 2, Priority.CATCH_UP),
        (800, 2, Priority.LIVE),
        (1000, 2, Priority.LIVE),
    ],
)
async def test_the_more_the_tenant_uses_the_slower_we_go(
    sessions: Sessions, make_budget: MakeBudget, used: int, at_once: int | None, least: Priority
) -> None:
    """From half on two looks at once; from four fifths on nothing is caught up with."""
    pace = await heard(sessions, make_budget(), used)
    assert (pace.until, pace.at_once, pace.least) == (None, at_once, least)


async def test_what_autotask_told_long_ago_says_nothing(
    sessions: Sessions, make_budget: MakeBudget
) -> None:
    """After a quarter of an hour the others may have stopped."""
    budget = make_budget()
    await heard(sessions, budget, 900)
    await run(sessions, "UPDATE gate SET tenant_read_at = now() - interval '16 minutes'")
    async with sessions() as session:
        assert await budget.pace(session) == Pace()


async def test_our_calls_since_then_count_on_top(
    sessions: Sessions, make_budget: MakeBudget
) -> None:
    """Autotask is asked every few minutes only."""
    budget = make_budget(share=1.0)
    await heard(sessions, budget, 790)
    async with sessions() as session, session.begin():
        session.add(Calls(since=await session.scalar(func.now()) + timedelta(seconds=1), count=20))
    async with sessions() as session:
        assert (await budget.pace(session)).least == Priority.LIVE


async def test_our_share_is_of_what_the_tenant_really_has(
    sessions: Sessions, make_budget: MakeBudget
) -> None:
    """A tenant may have been given more than 10,000 calls an hour, or have less."""
    budget = make_budget(share=0.5)
    await heard(sessions, budget, 0, limit=8)
    for _ in range(4):
        await call(budget)
    async with sessions() as session:
        use = await budget.use(session)
        pace = await budget.pace(session)
    assert (use.ours, use.share) == (4, 4)
    assert pace.until is not None


async def test_half_of_our_share_is_kept_for_what_is_live(
    sessions: Sessions, make_budget: MakeBudget
) -> None:
    """Catching up with a day must not keep those waiting who write now."""
    budget = make_budget(limit=10)
    for _ in range(5):
        await call(budget)
    async with sessions() as session:
        assert (await budget.pace(session)).least == Priority.LIVE


async def test_what_is_caught_up_with_waits_while_calls_are_scarce(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A callout's ticket is done beside it, and health says so; later all are done."""
    await services.tenancy.api_url()
    missed, live = (tenant.new_ticket(people.alpine, cc=NINA) for _ in range(2))
    async with services.sessions() as session, session.begin():
        await tickets.want_unknown(session, [missed], timedelta(0), Priority.CATCH_UP)
        await tickets.want(session, live, timedelta(0), Priority.LIVE)
        await services.budget.record_usage(session, 8500, 10_000)
    await work_until(services, lambda: _done(services, live))
    assert await result_of(services, missed) is None
    async with services.sessions() as session:
        assert await backlog.catching_up(session) == 1

    async with services.sessions() as session, session.begin():
        await services.budget.record_usage(session, 100, 10_000)
    await work_until(services, lambda: _done(services, missed))


async def _done(services: Services, ticket_id: int) -> bool:
    return await result_of(services, ticket_id) == Result.DONE


async def test_the_tenants_use_is_asked_for_now_and_then(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """More often when it is high."""
    async with services.sessions() as session, session.begin():
        await work.want(session, work.CHORE, Chore.USAGE, timedelta(0), Priority.LIVE)
        [lease] = await work.claim(session, work.CHORE, "test", 1)
    await chores.run(services, lease)
    [gate] = await rows(services, Gate)
    assert (gate.tenant_used, gate.tenant_limit) == (1, 10_000)
    [due] = await rows(services, Due)
    assert due.due_at - gate.tenant_read_at > timedelta(minutes=4)


async def test_a_backtest_waits_while_calls_are_scarce(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says for what, and goes on by itself."""
    monkeypatch.setattr("app.looks.backtest._SCARCE", timedelta(seconds=0))
    services: Services = await make_services()
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    async with services.sessions() as session, session.begin():
        await services.budget.record_usage(session, 9000, 10_000)
    reasons: list[str] = []
    backtest = Backtest(services, Asked(1), lambda why, _: reasons.append(why or ""))

    async def others_stop() -> None:
        while not reasons:
            await asyncio.sleep(0.01)
        async with services.sessions() as session, session.begin():
            await services.budget.record_usage(session, 10, 10_000)

    stopping = asyncio.create_task(others_stop())
    tried = [one.ticket.id async for one in backtest.run()]
    await stopping
    assert ticket in tried
    assert "of the tenant's 10000 calls" in reasons[0]


async def test_a_chore_that_fails_is_due_again_soon(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Whatever kept it from its end."""
    tenant.faults.add(Fault("error_500", times=None))
    async with services.sessions() as session, session.begin():
        await work.want(session, work.CHORE, Chore.USAGE, timedelta(0), Priority.LIVE)
        [lease] = await work.claim(session, work.CHORE, "test", 1)
    await chores.run(services, lease)
    [due] = await rows(services, Due)
    assert due.holder is None
    assert timedelta(0) < due.due_at - lease.claimed_at < timedelta(minutes=1)


async def test_a_budget_of_200_is_kept_and_100_tickets_are_done(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """In no rolling window more than that, though they all come at once after an idle time."""
    services: Services = await make_services(budget_share=0.02, budget_window=12.0)  # of 10,000
    missed = [tenant.new_ticket(people.alpine, cc=f"p{n % 5}@x.example") for n in range(100)]
    async with services.sessions() as session, session.begin():
        for ticket in missed:
            await tickets.want(session, ticket, timedelta(0), Priority.LIVE)

    async def all_done() -> bool:
        async with services.sessions() as session, session.begin():
            # Nobody has to wait out the pauses after NotNow.
            await session.execute(
                update(Due)
                .where(Due.kind == work.TICKET, Due.due_at.is_not(None))
                .values(due_at=func.least(Due.due_at, func.now() + timedelta(seconds=1)))
            )
        return {await result_of(services, one) for one in missed} == {Result.DONE}

    await work_until(services, all_done, seconds=90)
    at = sorted(call.at for call in tenant.calls)
    most = max(sum(1 for other in at if one <= other < one + timedelta(seconds=12)) for one in at)
    assert most <= 200
    assert len(at) > 200
