"""Health as to contacts for one ticket, and to mail loops: what is said, and no names."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update

from app.db.states import LedgerError, LedgerState
from app.db.tables import Ledger, Loop, Worker
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.contacts.test_loops import look, tickets_of
from tests.support.clock import Clock
from tests.support.helpers import look_at, rows
from tests.support.lifetimes import NINA, TICKET, complete, end, say
from tests.web.test_health import codes, run, store

HOUR = timedelta(hours=1)


@pytest.fixture
async def working(services: Services) -> Services:
    """A deployment whose worker says that it lives, and whose tenant is known."""
    await services.tenancy.api_url()
    await store(services, Worker(id="one"))
    return services


async def the_problem(api: httpx.AsyncClient) -> dict[str, Any]:
    """Give the one problem there is; it names nobody."""
    answer = await api.get("/health/work")
    assert "@" not in answer.text
    [problem] = answer.json()["problems"]
    assert problem["detail"]
    assert problem["cure"]
    return dict(problem)


def loop(account: int, hours: float, contact: int = 1) -> Loop:
    """Make a loop that was broken so many hours ago."""
    return Loop(
        account_id=account,
        contact_id=contact,
        ticket_id=7,
        tickets=5,
        at=func.now() - hours * HOUR,
    )


async def test_loops_of_a_day_are_a_problem(api: httpx.AsyncClient, working: Services) -> None:
    """How many, in which accounts, since the first of them; what is older is history."""
    await store(working, loop(9, 25))
    assert await codes(api) == []
    await store(working, loop(176, 1), loop(174, 23), loop(176, 2))
    assert await codes(api) == ["loop"]
    problem = await the_problem(api)
    assert "within a day: 3, in accounts 174, 176." in problem["detail"]
    assert "what=loop_broken" in problem["cure"]
    assert "`denied`" in problem["cure"]
    [first] = [row.at for row in await rows(working, Loop) if row.account_id == 174]
    assert datetime.fromisoformat(problem["since"]) == first


async def test_many_accounts_are_cut_short(api: httpx.AsyncClient, working: Services) -> None:
    """Ten are named."""
    await store(working, *(loop(n, 1) for n in range(100, 112)))
    detail = (await the_problem(api))["detail"]
    assert "108, 109 and 2 more." in detail
    assert "110" not in detail


async def test_a_loop_is_reported(
    api: httpx.AsyncClient, working: Services, tenant: Tenant, people: Seed, reader: dict[str, str]
) -> None:
    """As it is broken; where the cure leads says whom, with the filter that it names."""
    await look(working, tenant.new_ticket(people.alpine, cc=NINA))
    [nina] = tenant.contacts_with(NINA)
    await look(working, *tickets_of(tenant, nina["id"]))
    problem = await the_problem(api)
    assert (problem["code"], "1, in account 174." in problem["detail"]) == ("loop", True)
    path = next(word for word in problem["cure"].split() if word.startswith("/admin"))
    [said] = (await api.get(path, headers=reader)).json()["items"]
    assert (said["who"], said["detail"]["denied"]) == ("service", [NINA])


def waiting(**values: Any) -> Ledger:
    """Make a contact of ours that cannot be ended, unless it is said otherwise."""
    usual: dict[str, Any] = {
        "account_id": 174,
        "email": NINA,
        "ticket_id": 7,
        "contact_id": 70,
        "state": LedgerState.CREATED,
        "lifetime": "outside",
        "sent_at": func.now(),
        "error": f"forbidden: POST ClientPortalUsers/query: no right for {NINA}",
        "error_code": LedgerError.FORBIDDEN,
        "end_at": func.now() + timedelta(minutes=10),
    }
    return Ledger(**usual | values)


@pytest.mark.parametrize("state", [LedgerState.CREATED, LedgerState.RETIRING])
async def test_contacts_that_wait_for_a_right_are_a_problem(
    api: httpx.AsyncClient, working: Services, state: LedgerState
) -> None:
    """How many; which right the cure says."""
    await store(working, waiting(state=state), waiting(state=state, email="b@x.example"))
    assert await codes(api) == ["contacts_not_ended"]
    problem = await the_problem(api)
    assert problem["detail"].endswith(": 2.")
    assert "ClientPortalUsers" in problem["cure"]


@pytest.mark.parametrize(
    "values",
    [
        {"error": "PATCH Contacts: forbidden: no", "error_code": None},
        {"error": None, "error_code": None},
        {"kept": "a person changed phone"},
        {"state": LedgerState.RETIRED},
        {"state": LedgerState.UNSURE, "contact_id": None},
        {"end_at": func.now() - 2 * HOUR},
        {"end_at": None},
    ],
    ids=["another error", "none", "kept", "retired", "unsure", "not tried any more", "not ended"],
)
async def test_others_are_none(
    api: httpx.AsyncClient, working: Services, values: dict[str, Any]
) -> None:
    """Who waits for something else, or is not to be ended any more."""
    await store(working, waiting(**values))
    assert await codes(api) == []


async def test_until_the_right_is_there(
    clock: Clock, working: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient
) -> None:
    """By what the chore itself stores; ended, all is well again."""
    await say(working, lifetime=TICKET, grace_days=0)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(working, ticket)
    await complete(working, tenant, ticket)
    clock.advance(minutes=1)
    tenant.faults.add(Fault("forbidden", entity="ClientPortalUsers", times=None))
    await end(working)
    assert "contacts_not_ended" in await said(api, working)
    tenant.faults.clear()
    clock.advance(minutes=20)
    await end(working)
    assert tenant.contacts_with(NINA) == []
    assert await said(api, working) == []


async def said(api: httpx.AsyncClient, services: Services) -> list[str]:
    """Name the problems there are while a worker lives."""
    await run(services, update(Worker).values(seen_at=func.clock_timestamp()))
    return await codes(api)
