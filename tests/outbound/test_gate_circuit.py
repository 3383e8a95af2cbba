"""The circuit: what is not one ticket's trouble stops all calls, and nobody fails for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app.autotask import protocol, zone
from app.autotask.errors import Refusal, Refused, Unanswered, Unauthorized
from app.db.database import Sessions
from app.db.states import Result
from app.db.tables import Due, Gate, Participant
from app.db.tables import Tenant as TenantRow
from app.outbound import gate
from app.outbound.rules import NotNow
from app.outbound.tenant import WrongTenant
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.budgets import MakeBudget, all_of, call, fail, state
from tests.support.helpers import due_of, outcomes, result_of, rows, want

NINA = "nina@radiology.example"
AWAY = Unanswered("no answer: ReadTimeout")


async def open_soon(sessions: Sessions) -> None:
    """Let the pause have passed."""
    async with sessions() as session, session.begin():
        await session.execute(update(Gate).values(shut_until=func.now()))


async def test_five_calls_without_an_answer_are_an_outage(
    sessions: Sessions, make_budget: MakeBudget
) -> None:
    """Whichever processes made them; four are bad luck."""
    one, two = make_budget(), make_budget()
    for budget in (one, two, one, two):
        await fail(budget, AWAY)
    assert await state(sessions) is None
    await fail(one, AWAY)

    shut = await state(sessions)
    assert shut is not None
    assert shut.code == "away"
    assert shut.until is not None
    assert shut.until - shut.since <= timedelta(seconds=16)
    with pytest.raises(NotNow, match="does not answer"):
        await call(two)


@pytest.mark.parametrize("answered", [None, Refused(["no"], Refusal.OTHER)])
async def test_an_answer_in_between_starts_the_count_anew(
    sessions: Sessions, make_budget: MakeBudget, answered: Exception | None
) -> None:
    """Also a refusal: Autotask is there, whatever it says."""
    budget = make_budget()
    for _ in range(4):
        await fail(budget, AWAY)
    await (fail(budget, answered) if answered else call(budget))
    for _ in range(4):
        await fail(budget, AWAY)
    assert await state(sessions) is None


async def test_one_probe_opens_it_again(sessions: Sessions, make_budget: MakeBudget) -> None:
    """While it is on its way the others wait; its answer lets all of them go."""
    budget = make_budget()
    for _ in range(5):
        await fail(budget, AWAY)
    await open_soon(sessions)
    async with budget.throttle()("Tickets", write=False):
        with pytest.raises(NotNow):
            await call(budget, "Contacts")
    await call(budget, "Contacts")
    assert await state(sessions) is None


async def test_a_probe_without_an_answer_makes_the_pause_longer(
    sessions: Sessions, make_budget: MakeBudget
) -> None:
    """One call each time, up to two minutes apart, since when is kept."""
    budget = make_budget()
    for _ in range(5):
        await fail(budget, AWAY)
    first = await state(sessions)
    pauses = []
    for _ in range(4):
        await open_soon(sessions)
        await fail(budget, AWAY)
        shut = await state(sessions)
        assert shut is not None
        assert first is not None
        assert shut.since == first.since
        [row] = await _gates(sessions)
        assert row.shut_until is not None
        pauses.append(row.times)
    assert pauses == [2, 3, 4, 5]


async def _gates(sessions: Sessions) -> list[Gate]:
    return await all_of(sessions, Gate)


async def test_silence_says_nothing_new_of_what_was_refused(
    sessions: Sessions, make_budget: MakeBudget
) -> None:
    """Wrong credentials stay what is wrong while the network fails, too."""
    budget = make_budget()
    await fail(budget, Unauthorized("401"))
    await open_soon(sessions)
    await fail(budget, AWAY)
    shut = await state(sessions)
    assert shut is not None
    assert shut.code == "unauthorized"


async def test_an_outage_of_autotask_fails_nobody_and_all_are_done_after_it(
    services: Services, tenant: Tenant, people: Seed, sessions: Sessions
) -> None:
    """Few calls are spent on it, no attempts beyond those, and nobody has to do anything."""
    await services.tenancy.api_url()
    missing = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(20)]
    tenant.faults.add(Fault("error_500", times=None))
    await want(services, *missing)

    async def is_shut() -> bool:
        shut = await state(sessions)
        return shut is not None and shut.code == "away"

    await work_until(services, is_shut)
    assert len(tenant.calls) <= 12
    tries = [(await due_of(services, ticket)).tries for ticket in missing]
    assert sum(tries) <= 12

    tenant.faults.clear()
    await open_soon(sessions)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).values(due_at=func.now()))

    async def all_done() -> bool:
        return {await result_of(services, ticket) for ticket in missing} == {Result.DONE}

    await work_until(services, all_done)
    assert {one.outcome for one in await rows(services, Participant)} <= {
        "created_and_linked",
        "linked",
    }


# --- a tenant that moves -------------------------------------------------------------------------


@pytest.fixture
def zones(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sandbox say where the tenant is, and be accepted as a zone."""
    monkeypatch.setattr(zone, "_ZONES", server.api_url)
    monkeypatch.setattr(protocol, "is_zone_url", lambda url: True)


@pytest.mark.usefixtures("zones")
async def test_a_tenant_that_moves_is_followed(
    make_services: Callable[..., Any],
    server: SandboxServer,
    tenant: Tenant,
    people: Seed,
    sessions: Sessions,
) -> None:
    """The old zone refuses the user; the zone is asked again, and the tickets are done there."""
    services: Services = await make_services(autotask_api_url=None)
    tenant.switches.zone_url = f"{server.url}/sandbox/elsewhere/"  # answers 404 to everything
    await services.tenancy.api_url()
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, ticket)
    tenant.switches.zone_url = None
    async with sessions() as session, session.begin():
        told = gate.Change("read Tickets", gate.GateCode.UNAUTHORIZED, "refused")
        await gate.apply(session, told, probe=False)

    async def moved() -> bool:
        return bool((await rows(services, TenantRow))[0].api_url == server.api_url)

    await work_until(services, moved)
    await open_soon(sessions)

    async def done() -> bool:
        return await result_of(services, ticket) == Result.DONE

    await work_until(services, done)
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


@pytest.mark.usefixtures("zones")
async def test_other_processes_follow(
    make_services: Callable[..., Any],
    server: SandboxServer,
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within half a minute, by our database; they ask nobody."""
    here: Services = await make_services(autotask_api_url=None)
    there: Services = await make_services(autotask_api_url=None)
    old = await here.tenancy.api_url()
    assert await there.tenancy.api_url() == old
    tenant.switches.zone_url = f"{server.url}/elsewhere/"

    assert await here.tenancy.ask_again()
    assert await there.tenancy.api_url() == old
    monkeypatch.setattr("app.outbound.tenant._KNOWN_SECONDS", 0.0)
    assert await there.tenancy.api_url() == f"{server.url}/elsewhere"
    assert not await here.tenancy.ask_again()


@pytest.mark.usefixtures("zones")
async def test_another_user_elsewhere_is_another_tenant(
    make_services: Callable[..., Any], server: SandboxServer, tenant: Tenant
) -> None:
    """Only Autotask's word on where this very user has gone means that the tenant has moved."""
    here: Services = await make_services(autotask_api_url=None)
    await here.tenancy.api_url()
    tenant.switches.zone_url = f"{server.url}/elsewhere/"
    tenant.username = "another@elsewhere.example"
    there: Services = await make_services(autotask_api_url=None, autotask_username=tenant.username)
    with pytest.raises(WrongTenant):
        await there.tenancy.api_url()
