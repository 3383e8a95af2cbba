"""The application as a whole: its log, its last line of defence, and the worker beside it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from structlog.testing import CapturingLogger

from app.db.database import is_outage
from app.db.tables import Worker
from app.outbound.tenant import WrongTenant
from app.services import Services
from app.web import app as main
from app.web import health, requests
from app.web.admin import tickets
from app.web.app import create_app
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.helpers import result_of, rows

ADDRESS = "sally@private.example"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What the application logs."""
    captured = CapturingLogger()
    monkeypatch.setattr(main, "log", captured)
    monkeypatch.setattr(requests, "log", captured)
    return captured


# --- the log -------------------------------------------------------------------------------------


async def test_requests_are_logged_by_their_routes_template(
    api: httpx.AsyncClient, logged: CapturingLogger, reader: dict[str, str]
) -> None:
    """Paths contain addresses, templates do not; method, status and time are there."""
    await api.get(f"/admin/accounts/174/contacts/{ADDRESS}", headers=reader)
    await api.get(f"/admin/accounts/174/contacts/{ADDRESS}")
    await api.get(f"/{ADDRESS}?to={ADDRESS}")
    await api.get("/health/live")

    lines = [call.kwargs for call in logged.calls if call.args == ("request",)]
    assert [
        (line["method"], line["route"].replace(":path", ""), line["status"]) for line in lines
    ] == [
        ("GET", "/admin/accounts/{account_id}/contacts/{email}", 404),
        ("GET", "/admin/accounts/{account_id}/contacts/{email}", 401),
        ("GET", "none", 404),
        ("GET", "/health/live", 200),
    ]
    assert all(line["ms"] >= 0 for line in lines)
    assert ADDRESS not in repr(logged.calls)


# --- what nobody expected ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError(f"secret of {ADDRESS}"), 500),
        (IntegrityError("INSERT", {}, Exception(ADDRESS)), 500),
        (OperationalError("SELECT", {}, Exception(ADDRESS)), 503),
        (ConnectionResetError(ADDRESS), 503),
        (TimeoutError(ADDRESS), 503),
        (PoolTimeoutError(ADDRESS), 503),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_unexpected_error_is_a_problem_without_details(
    api: httpx.AsyncClient,
    logged: CapturingLogger,
    reader: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    """A defect is 500 and logged with its traceback; a database that is away is 503, for later."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tickets, "after_number", fail)
    answer = await api.get("/admin/tickets", headers=reader)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ADDRESS not in answer.text
    assert type(error).__name__ not in answer.text
    methods = [call.method_name for call in logged.calls]
    assert methods == (["exception", "info"] if status == 500 else ["warning", "info"])
    assert logged.calls[-1].kwargs["status"] == status


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (OperationalError("", {}, Exception()), True),
        (InterfaceError("", {}, Exception()), True),
        (PoolTimeoutError(), True),
        (TimeoutError(), True),
        (ConnectionRefusedError(), True),
        (IntegrityError("", {}, Exception()), False),
        (IntegrityError("", {}, Exception(), connection_invalidated=True), True),
        (ValueError(), False),
    ],
    ids=repr,
)
def test_what_says_that_the_database_is_away(error: Exception, outage: bool) -> None:
    """A connection that broke or was not to be had; never a statement that is wrong."""
    assert is_outage(error) is outage


async def test_a_defect_in_a_health_check_is_not_taken_for_an_outage(
    api: httpx.AsyncClient, logged: CapturingLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with us must not be said of the database."""

    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(health, "schema_problem", fail)
    monkeypatch.setattr(health, "_work_health", fail)
    for path in ("/health/ready", "/health/work"):
        assert (await api.get(path)).status_code == 500


# --- what it is ----------------------------------------------------------------------------------


async def test_the_root_says_what_this_is_and_where_it_is_wired_to(
    api: httpx.AsyncClient, server: SandboxServer, services: Services
) -> None:
    """Name, version, Autotask and documentation, and no credentials."""
    answer = await api.get("/")
    assert (answer.json()["name"], answer.json()["autotask"]) == ("autotask-cc", server.api_url)
    assert (await api.get(answer.json()["documentation"])).status_code == 200
    settings = services.settings
    assert settings.autotask_username not in answer.text
    assert settings.autotask_secret not in answer.text


# --- the worker beside it ------------------------------------------------------------------------


async def test_an_api_process_works_too(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """From a callout to the person on the ticket, within one process; it stops with the API."""
    services = await make_services(run_worker=True)
    tenant.subscribe("http://x", "http://x", SECRET)
    ticket = tenant.new_ticket(people.alpine, cc="carla.mendes@alpine-dental.example")
    [queue] = tenant.outbox.queues.values()
    body = encode_callout(queue[0].payload)
    app = create_app(services)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        headers = {SIGNATURE_HEADER: sign(SECRET, body)}
        assert (await client.post("/webhooks/autotask", content=body, headers=headers)).is_success
        async with asyncio.timeout(20):
            while await result_of(services, ticket) != "done":
                await asyncio.sleep(0.02)
        assert (await client.get("/health/work")).json()["status"] == "ok"
    assert tenant.linked_contacts(ticket) == [people.carla]


async def test_without_run_worker_nobody_works(services: Services) -> None:
    """RUN_WORKER=false leaves the work to worker processes."""
    app = create_app(services)
    async with app.router.lifespan_context(app):
        pass
    assert await rows(services, Worker) == []


async def test_a_worker_that_dies_takes_the_process_with_it(
    make_services: Callable[..., Any], logged: CapturingLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that only looks alive is worse: SIGTERM to itself, so that it is restarted."""
    services = await make_services(run_worker=True)
    sent: list[tuple[int, int]] = []
    killed = asyncio.Event()

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))
        killed.set()

    class Dying:
        def __init__(self, _: Services) -> None: ...

        def stop(self) -> None: ...

        async def run(self) -> None:
            raise WrongTenant("another tenant")

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(main, "Worker", Dying)
    app = create_app(services)
    async with app.router.lifespan_context(app), asyncio.timeout(5):
        await killed.wait()
    assert sent == [(os.getpid(), signal.SIGTERM)]
    assert [call.method_name for call in logged.calls] == ["critical"]
