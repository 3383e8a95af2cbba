"""`autotask-cc backtest`: what a policy would have done with last month's tickets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app.autotask.client import Autotask
from app.autotask.errors import Barred
from app.db.states import Result
from app.db.tables import Calls, Gate
from app.decide.policy import PolicyDocument
from app.looks import backtest
from app.looks.backtest import Asked, Backtest, Tried
from app.records import policies
from app.services import Services, open_services
from app.settings.settings import Settings
from sandbox.model import COMPLETE, utc_text
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import changes, everything, look_at

CARLA = "carla.mendes@alpine-dental.example"
INSIDE = "new@alpine-dental.example"
NINA = "nina@radiology.example"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "_PAUSE_SECONDS", 0.01)


def old_ticket(tenant: Tenant, company: int, *, days: float = 5, **fields: Any) -> int:
    """Make a ticket as it was made some days ago."""
    at = utc_text(datetime.now(UTC) - timedelta(days=days))
    return tenant.new_ticket(company, createDate=at, callout=False, **fields)


async def tried(services: Services, settings: Settings, **asked: Any) -> dict[int, Tried]:
    """Run a backtest of a month, see that nothing is changed, and give what it told by ticket."""
    one = Asked(**{"days": 30, **asked})
    await services.tenancy.api_url()
    before = await everything(services)
    assert settings.database_url
    async with open_services(one.settings(settings), settings.database_url) as other:
        told = [each async for each in Backtest(other, one).run()]
    assert await everything(services) == before
    return {each.ticket.id: each for each in told}


def decisions(one: Tried) -> dict[str, tuple[str, str]]:
    """Give decision and reason by address."""
    assert one.preview is not None, one.error
    return {each.key: (each.verdict, each.reason) for each in one.preview.decisions}


def results(told: dict[int, Tried]) -> dict[int, str | None]:
    """Give how each ticket would have ended."""
    return {key: one.preview.result if one.preview else one.error for key, one in told.items()}


# --- what is tried -------------------------------------------------------------------------------


async def test_the_tickets_of_these_days_come_by_id(
    autotask: Autotask, tenant: Tenant, people: Seed
) -> None:
    """After an id, since a time; of one company if asked."""
    since = datetime.now(UTC) - timedelta(days=30)
    old_ticket(tenant, people.alpine, days=31)
    first, second = (old_ticket(tenant, people.alpine, days=29) for _ in range(2))
    other = old_ticket(tenant, people.harbour, days=1)
    there = [people.open_ticket, people.complete_ticket]
    assert [one.id for one in await autotask.tickets_created(since)] == [
        *there,
        first,
        second,
        other,
    ]
    assert [one.id for one in await autotask.tickets_created(since, first)] == [second, other]
    assert [one.id for one in await autotask.tickets_created(since, first, 176)] == [other]
    assert await autotask.tickets_created(since, other) == []


async def test_every_page_is_read(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """More than 500 tickets; those without a list cost no further call."""
    made = [old_ticket(tenant, people.alpine) for _ in range(600)]
    tenant.forget_calls()
    told = await tried(services, settings)
    assert {*made} < {*told}
    assert {results(told)[one] for one in made} == {Result.NO_LIST}
    assert len(tenant.calls) < 10
    shares = [one.progress for one in told.values()]
    assert all(0 <= share <= 1 for share in shares)


async def test_complete_tickets_are_history_and_parked_ones_apart(
    services: Services, settings: Settings, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """What is complete by now was open when its list came."""
    complete = old_ticket(tenant, people.alpine, cc=f"{CARLA}, {NINA}", status=COMPLETE)
    parked = old_ticket(tenant, people.msp, cc=NINA)
    nobody = old_ticket(tenant, people.alpine, cc="Cc:")
    told = await tried(services, settings)
    assert decisions(told[complete]) == {CARLA: ("link", "known"), NINA: ("create", "outside")}
    ended = results(told)
    assert (ended[parked], ended[nobody]) == (Result.PARKED, Result.NOBODY_COPIED)
    assert changes(server) == []


async def test_only_one_account_and_so_many_tickets(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """The oldest first."""
    mine = [old_ticket(tenant, people.bakery, cc=NINA) for _ in range(3)]
    old_ticket(tenant, people.harbour, cc=NINA)
    assert list(await tried(services, settings, account_id=people.bakery)) == mine
    told = await tried(services, settings, account_id=people.bakery, limit=2)
    assert list(told) == mine[:2]
    assert told[mine[1]].progress == 1.0


# --- by which policy -----------------------------------------------------------------------------


async def test_the_policy_takes_the_place_of_the_default(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """Accounts keep their own; of one account that is asked for, its own is replaced."""
    async with services.sessions() as session, session.begin():
        known_only = PolicyDocument(preset="known_only")
        await policies.store(session, people.harbour, known_only, "test")
    alpine = old_ticket(tenant, people.alpine, cc=f"{INSIDE}, {NINA}")
    harbour = old_ticket(tenant, people.harbour, cc=NINA)
    guarded = PolicyDocument(preset="guarded")

    told = await tried(services, settings, policy=guarded)
    assert decisions(told[alpine]) == {INSIDE: ("create", "inside"), NINA: ("hold", "outside")}
    assert decisions(told[harbour]) == {NINA: ("ignore", "outside")}

    told = await tried(services, settings, policy=guarded, account_id=people.harbour)
    assert decisions(told[harbour]) == {NINA: ("hold", "outside")}


async def test_what_the_service_did_for_a_ticket_is_left_out(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """Or after a month of `open` everybody would be known, whatever the policy that is tried."""
    ticket = old_ticket(tenant, people.alpine, cc=f"{CARLA}, {NINA}")
    await look_at(services, ticket)
    [nina] = tenant.contacts_with(NINA)
    assert sorted(tenant.linked_contacts(ticket)) == [people.carla, nina["id"]]
    told = await tried(services, settings, policy=PolicyDocument(preset="guarded"))
    assert decisions(told[ticket]) == {CARLA: ("link", "known"), NINA: ("hold", "outside")}

    tenant.unlink(ticket, nina["id"])
    tenant.unlink(ticket, people.carla)
    await look_at(services, ticket)
    told = await tried(services, settings)
    assert decisions(told[ticket]) == {CARLA: ("link", "known"), NINA: ("create", "outside")}


async def test_the_limits_of_a_day_do_not_count(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """Today's say nothing about the days when the tickets came."""
    settings = settings.model_copy(update={"max_new_per_day": 0})
    ticket = old_ticket(tenant, people.alpine, cc=NINA)
    assert decisions((await tried(services, settings))[ticket]) == {NINA: ("create", "outside")}


# --- what goes wrong -----------------------------------------------------------------------------


async def test_an_error_of_one_ticket_is_told_and_the_next_is_tried(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """Once more or twice is tried before."""
    bad, good = (old_ticket(tenant, people.alpine, cc=CARLA) for _ in range(2))
    path = f"/Tickets/{bad}/"
    tenant.faults.add(Fault("reset_before", path_contains=path, times=None))
    tenant.faults.add(Fault("reset_before", path_contains=f"/Tickets/{good}/", times=2))
    told = await tried(services, settings)
    assert told[bad].preview is None
    assert "TicketAdditionalContacts" in (told[bad].error or "")
    assert decisions(told[good]) == {CARLA: ("link", "known")}


async def test_a_refused_user_ends_it(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """Every further login could lock the user."""
    tenant.secret = "changed"
    with pytest.raises(Barred):
        await tried(services, settings)


async def test_it_waits_when_it_may_not_ask_and_leaves_half_of_the_budget(
    services: Services, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """The gate is shut, or its share is spent: what it waits for is said, and then it goes on."""
    ticket = old_ticket(tenant, people.alpine, cc=CARLA)
    settings = settings.model_copy(update={"budget_window": 2.0, "budget_share": 0.002})
    asked = Asked(30, account_id=people.alpine)
    said: list[str | None] = []
    await services.tenancy.api_url()
    async with services.sessions() as session, session.begin():
        until = func.clock_timestamp() + timedelta(seconds=1)
        shut = {"shut_until": until, "reason": "refused", "code": "overloaded", "times": 1}
        await session.execute(update(Gate).values(since=func.now(), **shut))
        session.add(Calls(since=func.now(), count=9))  # half of 20 are ten
    assert settings.database_url
    async with open_services(asked.settings(settings), settings.database_url) as other:
        waiting = Backtest(other, asked, lambda reason, _until: said.append(reason))
        told = {one.ticket.id: one async for one in waiting.run()}
    assert decisions(told[ticket]) == {CARLA: ("link", "known")}
    reasons = [reason for reason in said if reason]
    assert "refused" in reasons[0]
    assert any("share" in reason for reason in reasons)
    assert said[-1] is None
