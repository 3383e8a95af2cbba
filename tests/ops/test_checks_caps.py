"""Health as to caps of new people: which accounts and senders, since when, and no addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func

from app.db.states import Outcome
from app.db.tables import Participant, TicketRecord, Worker
from app.decide import Reason, Verdict
from app.services import Services
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.ops.test_checks_people import the_problem
from tests.support.helpers import look_at, people_of
from tests.web.test_health import codes, store

MakeServices = Callable[..., Awaitable[Services]]
HOUR = timedelta(hours=1)


@pytest.fixture
async def working(services: Services) -> Services:
    """A deployment whose worker says that it lives, and whose tenant is known."""
    await services.tenancy.api_url()
    await store(services, Worker(id="one"))
    return services


def held(ticket: int, n: int = 0, account: int = 174, hours: float = 1, **more: Any) -> Participant:
    """Make a person who was held so many hours ago."""
    usual: dict[str, Any] = {
        "ticket_id": ticket,
        "key": f"p{n}@x.example",
        "name": "",
        "position": n,
        "account_id": account,
        "decision": Verdict.HOLD,
        "reason": Reason.OVER_DAILY_LIMIT,
        "outcome": Outcome.HELD,
        "decided_at": func.now() - hours * HOUR,
    }
    return Participant(**usual | more)


def ticket(number: int, contact: int | None) -> TicketRecord:
    """Make a ticket of a contact."""
    return TicketRecord(id=number, contact_id=contact)


async def test_people_beyond_a_cap_are_a_problem_until_they_are_approved(
    api: httpx.AsyncClient,
    working: Services,
    make_services: MakeServices,
    tenant: Tenant,
    people: Seed,
    writer: dict[str, str],
) -> None:
    """By its account and its sender's contact id; the cure leads to the people."""
    services = await make_services(max_new_per_sender=1)
    keys = [f"p{n}@x.example" for n in range(3)]
    made = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=", ".join(keys))
    await look_at(services, made)
    problem = await the_problem(api)
    assert problem["code"] == "over_daily_limit"
    brought = f"2 in account {people.alpine}, brought by contact {people.ana}."
    assert problem["detail"].endswith(brought)
    found = await people_of(services, made)
    first = min(row.decided_at for row in found.values() if row.outcome == Outcome.HELD)
    assert datetime.fromisoformat(problem["since"]) == first

    path = next(word for word in problem["cure"].split() if word.startswith("/admin"))
    shown = (await api.get(path, headers=writer)).json()["items"]
    assert {one["address"] for one in shown} == {*keys[1:]}
    body = {"account": people.alpine, "reason": "over_daily_limit"}
    answer = await api.post("/admin/participants/approve", json=body, headers=writer)
    assert answer.status_code == 200
    assert await codes(api) == []


NO_PROBLEM = {
    "of yesterday": {"hours": 25},
    "for another reason": {"reason": Reason.OVER_LIMIT},
    "rejected": {"outcome": Outcome.IGNORED},
}


@pytest.mark.parametrize("other", NO_PROBLEM.values(), ids=NO_PROBLEM)
async def test_who_is_not_held_by_a_cap_of_today_is_no_problem(
    api: httpx.AsyncClient, working: Services, other: dict[str, Any]
) -> None:
    """What is older is in the list of those who are held."""
    await store(working, ticket(7, 5), held(7, **other))
    assert await codes(api) == []


async def test_accounts_and_senders_are_named_the_largest_first(
    api: httpx.AsyncClient, working: Services
) -> None:
    """Ten of each; a ticket without a contact is said to be one."""
    many = [ticket(n, n) for n in range(100, 112)]
    crowd = [held(n, account=174) for n in range(100, 112)]
    others = [held(200 + n, account=300 + n) for n in range(11)]
    await store(working, *many, *(ticket(200 + n, None) for n in range(11)), *crowd, *others)
    detail = (await the_problem(api))["detail"]
    assert "12 in account 174, brought by contact 100, contact 101," in detail
    assert "contact 109, 2 more contacts; 1 in account 300, brought by tickets without" in detail
    assert detail.endswith("; and 2 more accounts.")
