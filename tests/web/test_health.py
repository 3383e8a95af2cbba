"""Health as probes and people see it: alive, ready to store callouts, and whether work flows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, text, update

from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from app.db.states import Outcome, Priority, Result
from app.db.tables import CalloutCount, Delivery, Due, Gate, Participant, TicketRecord, Worker
from app.services import Services, open_services
from app.settings.settings import Settings
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.clients import client_of
from tests.support.databases import connect
from tests.support.helpers import look_at, want

MINUTE = timedelta(minutes=1)


async def store(services: Services, *records: Any) -> None:
    """Put rows into the database."""
    async with services.sessions() as session, session.begin():
        session.add_all(records)


async def run(services: Services, *statements: Any) -> None:
    """Change rows."""
    async with services.sessions() as session, session.begin():
        for statement in statements:
            await session.execute(statement)


@pytest.fixture
async def working(services: Services) -> Services:
    """A deployment whose worker says that it lives."""
    await store(services, Worker(id="one"))
    return services


async def codes(api: httpx.AsyncClient) -> list[str]:
    """Ask how the work flows, and name the problems; the status has to agree with them."""
    answer = await api.get("/health/work")
    found = [problem["code"] for problem in answer.json()["problems"]]
    assert answer.status_code == (503 if found else 200)
    assert answer.json()["status"] == ("problem" if found else "ok")
    return found


# --- live and ready ------------------------------------------------------------------------------


async def test_live_asks_nothing_else(api: httpx.AsyncClient, services: Services) -> None:
    """The process answers, even where its database is shut away."""
    await run(services, text("DROP TABLE alembic_version"))
    assert (await api.get("/health/live")).json() == {"status": "live"}


async def test_ready_at_this_builds_schema(api: httpx.AsyncClient) -> None:
    """A migrated database is all that it takes, with or without Autotask."""
    answer = await api.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    "damage",
    ["DROP TABLE alembic_version", "DELETE FROM alembic_version"],
    ids=["empty database", "no revision"],
)
async def test_not_ready_on_an_empty_database(
    api: httpx.AsyncClient, services: Services, damage: str
) -> None:
    """503, and what to run."""
    await run(services, text(damage))
    answer = await api.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "autotask-cc migrate" in answer.json()["detail"]


async def test_not_ready_on_an_older_schema(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This build has a migration that the database has not had."""
    _, known = schema._revisions()
    monkeypatch.setattr(schema, "_revisions", lambda: ({"9999"}, {*known, "9999"}))
    answer = await api.get("/health/ready")
    assert answer.status_code == 503
    assert "older" in answer.json()["detail"]


async def test_ready_on_a_newer_schema(api: httpx.AsyncClient, services: Services) -> None:
    """While a newer build is rolled out the older processes go on."""
    await run(services, text("UPDATE alembic_version SET version_num = '9999'"))
    assert (await api.get("/health/ready")).status_code == 200


@pytest.fixture
async def dying(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, EmbeddedPostgres]]:
    """An application that has been serving, and the PostgreSQL of its own."""
    with EmbeddedPostgres() as own:
        await asyncio.to_thread(schema.migrate, own.url)
        async with open_services(settings, own.url) as services, client_of(services) as client:
            await asyncio.gather(*(client.get("/health/ready") for _ in range(5)))
            yield client, own


async def test_a_database_that_is_away_is_said_by_every_route(
    dying: tuple[httpx.AsyncClient, EmbeddedPostgres], reader: dict[str, str]
) -> None:
    """Live, not ready, no work, 503 for the rest: within seconds, and without its address."""
    api, own = dying
    where = own.url.partition("host=")[2].partition("&")[0]
    await asyncio.to_thread(own.stop, "immediate")
    async with asyncio.timeout(10):
        assert (await api.get("/health/live")).status_code == 200
        assert await codes(api) == ["database"]
        for path in ("/health/ready", "/health/work", "/admin/tickets", "/admin/deliveries"):
            answer = await api.get(path, headers=reader)
            assert (path, answer.status_code) == (path, 503)
            assert "database" in answer.text.lower()
            assert where not in answer.text


async def test_a_database_that_comes_back_is_used_again(
    settings: Settings, postgres: EmbeddedPostgres, own_database_url: str
) -> None:
    """All pooled connections are cut, new ones refused for a while, then welcome."""
    name = own_database_url.partition("@/")[2].partition("?")[0]
    async with open_services(settings, own_database_url) as services, client_of(services) as api:
        await services.tenancy.api_url()
        assert (await api.get("/health/ready")).status_code == 200
        with connect(postgres.url) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            assert (await api.get("/health/ready")).status_code == 503
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert (await api.get("/health/ready")).status_code == 200


@pytest.fixture(autouse=True)
async def _bound(services: Services) -> None:
    """Autotask has told where the tenant is, as at every start."""
    await services.tenancy.api_url()


# --- work ----------------------------------------------------------------------------------------


async def test_all_is_well(api: httpx.AsyncClient, working: Services) -> None:
    """A worker lives and nothing waits: 200, and what there is to know."""
    await store(
        working,
        Delivery(entity_type="Ticket", entity_id=1, action="Create", body_sha256="-"),
        CalloutCount(kind="ticket.update", count=3),
    )
    body = (await api.get("/health/work")).json()
    assert (body["status"], body["problems"], body["oldest_due"]) == ("ok", [], None)
    assert body["callouts"] == {"ticket.update": 3}
    assert body["last_delivery"]


async def test_no_worker(api: httpx.AsyncClient, services: Services) -> None:
    """None yet, one, one that fell silent, one beside it that did not."""
    assert await codes(api) == ["worker"]
    await store(services, Worker(id="one"))
    assert await codes(api) == []
    await run(services, update(Worker).values(seen_at=func.now() - 2 * MINUTE))
    [problem] = (await api.get("/health/work")).json()["problems"]
    assert problem["since"] is not None
    await store(services, Worker(id="two"))
    assert await codes(api) == []


async def test_late_work(api: httpx.AsyncClient, working: Services) -> None:
    """Due for more than five minutes, be it never taken up or left by somebody who died."""
    await want(working, 1)
    assert await codes(api) == []
    await run(working, update(Due).values(due_at=func.now() - 6 * MINUTE))
    assert await codes(api) == ["late"]
    held = {"due_at": None, "holder": "dead", "lease_until": func.now() + MINUTE}
    await run(working, update(Due).values(held))
    assert await codes(api) == []
    await run(working, update(Due).values(lease_until=func.now() - 6 * MINUTE))
    assert await codes(api) == ["late"]


async def test_work_that_is_not_due_yet_is_not_late(
    api: httpx.AsyncClient, working: Services
) -> None:
    """A retry in half an hour is nobody's problem, however old the ticket is."""
    future = Due(
        kind="ticket", ref=1, due_at=func.now() + 30 * MINUTE, since=func.now() - 600 * MINUTE,
        priority=Priority.LIVE,
    )  # fmt: skip
    await store(working, future)
    assert await codes(api) == []


async def test_refused_credentials(
    api: httpx.AsyncClient, working: Services, tenant: Tenant, people: Seed
) -> None:
    """Autotask refuses us until somebody has repaired the credentials; then all is well again."""
    secret, tenant.secret = tenant.secret, "changed at Autotask"
    ticket = tenant.new_ticket(people.alpine, cc="nina@radiology.example")
    await look_at(working, ticket)
    assert await codes(api) == ["unauthorized"]

    tenant.secret = secret
    await run(working, update(Gate).values(shut_until=func.now()))
    await run(working, update(Due).values(due_at=None))
    assert await look_at(working, ticket) == Result.DONE
    assert await codes(api) == []


async def test_failed_tickets_and_people(api: httpx.AsyncClient, working: Services) -> None:
    """Until they are done again; refused people of more than a day ago are history."""
    await store(working, TicketRecord(id=1, result=Result.FAILED, looked_at=func.now()))
    assert await codes(api) == ["failed_tickets"]
    await run(working, update(TicketRecord).values(result=Result.DONE))
    assert await codes(api) == []

    await store(working, *(refused(n, outcome) for n, outcome in enumerate(Outcome)))
    assert await codes(api) == ["failed_people"]
    [problem] = (await api.get("/health/work")).json()["problems"]
    assert ": 2, on tickets 1" in problem["detail"]
    await run(working, update(Participant).values(acted_at=func.now() - 25 * 60 * MINUTE))
    assert await codes(api) == []


def refused(n: int, outcome: Outcome) -> Participant:
    """Make a person with an outcome."""
    return Participant(
        ticket_id=1, key=f"sally{n}@private.example", name="Sally", position=n, account_id=174,
        decision="create", reason="outside", outcome=outcome, detail="sally@private.example: no",
        decided_at=func.now(), acted_at=func.now(),
    )  # fmt: skip


async def test_every_problem_has_a_cure_and_names_nobody(
    api: httpx.AsyncClient, services: Services, settings: Settings
) -> None:
    """Anybody may ask: several problems at once show no address and no secret."""
    await want(services, 1)
    await store(services, refused(0, Outcome.FAILED), TicketRecord(id=9, result=Result.FAILED))
    await run(services, update(Due).values(due_at=func.now() - 6 * MINUTE))
    shut = {"shut_until": func.now() + MINUTE, "code": "forbidden", "reason": "no entry"}
    await run(services, update(Gate).values(shut | {"since": func.now()}))

    answer = await api.get("/health/work")

    problems = answer.json()["problems"]
    assert {problem["code"] for problem in problems} == {
        "worker",
        "forbidden",
        "late",
        "failed_tickets",
        "failed_people",
    }
    assert all(problem["detail"] and problem["cure"] for problem in problems)
    assert "@" not in answer.text
    assert settings.autotask_secret not in answer.text


async def test_what_autotask_says_about_our_user_names_nobody(
    api: httpx.AsyncClient, working: Services, tenant: Tenant, people: Seed
) -> None:
    """Its refusal may contain the API user's name, which is an address."""
    ours = working.settings.autotask_username
    tenant.switches.texts["bad_user"] = f"Invalid username or password: {ours}"
    tenant.username = "renamed@northwind-msp.example"
    await look_at(working, tenant.new_ticket(people.alpine, cc="nina@radiology.example"))
    assert await codes(api) == ["unauthorized"]
    answer = await api.get("/health/work")
    assert ours not in answer.text


async def test_until_autotask_names_the_tenant_it_is_a_problem(
    services: Services, api: httpx.AsyncClient
) -> None:
    """Placeholders for credentials: nobody looks at tickets, and that must not look well."""
    async with services.sessions() as session, session.begin():
        await session.execute(text("DELETE FROM tenant"))
    answer = await api.get("/health/work")
    assert answer.status_code == 503
    assert "tenant" in [problem["code"] for problem in answer.json()["problems"]]


# --- lists ---------------------------------------------------------------------------------------


async def finished(services: Services, first: int, *results: str, by_mail: bool = True) -> None:
    """Store tickets that were looked at just now."""
    tickets = [
        TicketRecord(id=first + n, result=result, by_mail=by_mail)
        for n, result in enumerate(results)
    ]
    await store(services, *tickets)
    await run(services, update(TicketRecord).values(looked_at=func.now()))


async def test_lists_that_are_not_found_are_a_problem(
    api: httpx.AsyncClient, working: Services, tenant: Tenant
) -> None:
    """Below 0.8 of the mail tickets of a day: somebody's source does not work."""
    await look_at(working, 999)  # the tenant is known
    await finished(working, 1, *["done"] * 3, "nobody_copied", "no_list")
    assert await codes(api) == []
    share = (await api.get("/health/work")).json()
    assert (share["mail_tickets"], share["lists_found"]) == (5, 0.8)

    await finished(working, 10, "ambiguous_message")
    assert await codes(api) == ["lists_missing"]
    share = (await api.get("/health/work")).json()
    assert (share["mail_tickets"], share["lists_found"]) == (6, 0.667)


async def test_a_share_of_few_tickets_says_nothing(
    api: httpx.AsyncClient, working: Services, tenant: Tenant
) -> None:
    """Nor do tickets by phone, those without a result, and those of last week."""
    await look_at(working, 999)
    await finished(working, 1, *["no_list"] * 4)
    await finished(working, 10, *["no_list"] * 9, by_mail=False)
    await finished(working, 20, "gone", "complete", "parked")
    old = [TicketRecord(id=30 + n, result="no_list", by_mail=True) for n in range(9)]
    await store(working, *old)
    yesterday = func.now() - timedelta(hours=25)
    await run(
        working, update(TicketRecord).where(TicketRecord.id >= 30).values(looked_at=yesterday)
    )
    assert await codes(api) == []
    assert (await api.get("/health/work")).json()["mail_tickets"] == 4
