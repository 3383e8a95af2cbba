"""Real parts for every test: a PostgreSQL per worker, an empty database, the sandbox over HTTP."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import structlog

from app.autotask.client import Autotask, Credentials, http_client
from app.db.database import Sessions, make_engine, make_sessions
from app.db.embedded.server import EmbeddedPostgres
from app.outbound.budget import Budget
from app.services import Services, open_services
from app.settings import log
from app.settings.environment import load_settings
from app.settings.settings import Settings
from app.worker.loop import Worker
from sandbox.seed import Seed, seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.budgets import MakeBudget
from tests.support.clients import SECRETS, Door, client_of
from tests.support.clock import Clock
from tests.support.contract import ContractChecker
from tests.support.databases import SharedDatabase, copied, make_template
from tests.support.sharing import share
from tests.support.transactions import watch

SECRET = "a-webhook-secret-of-tests"
READ_KEY = "r" * 32
WRITE_KEY = "w" * 32
INTAKE_KEY = "i" * 32


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a database, and put first those that take long."""
    for item in items:
        if isinstance(item, pytest.Function) and "postgres" in item.fixturenames:
            item.add_marker("database")
    long = [item for item in items if any(map(item.get_closest_marker, ("process", "wait")))]
    short = [item for item in items if item not in set(long)]
    # Each worker is given an equal part of the list. Half of them begin with the long ones, which
    # wait most of the time, while the others compute.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    half, part = max(workers // 2, 1), -(-len(items) // workers)
    items.clear()
    for n in range(workers):
        begins = long[n::half] if n < half else []
        rest = part - len(begins)
        items += begins + short[:rest]
        del short[:rest]
    items += short


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The server of this worker, with a migrated database to copy."""
    log.configure("console", quiet=True)
    with EmbeddedPostgres() as server:
        make_template(server)
        yield server


@pytest.fixture(scope="session")
def shared_database(postgres: EmbeddedPostgres) -> Iterator[SharedDatabase]:
    """The database that the tests of this worker take in turn."""
    with SharedDatabase(postgres) as database:
        yield database


@pytest.fixture
def database_url(shared_database: SharedDatabase) -> Iterator[str]:
    """An empty database at this build's schema."""
    yield shared_database.url
    shared_database.empty()


@pytest.fixture
def own_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A second database like that, which no other test ever uses."""
    with copied(postgres) as url:
        yield url


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database without a schema."""
    with copied(postgres, "template0") as url:
        yield url


@pytest.fixture(scope="session", autouse=True)
def _sharing() -> Iterator[None]:
    """Share between tests what takes libraries long to make."""
    with pytest.MonkeyPatch.context() as patch:
        share(patch)
        yield


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Restore the configuration of the log, which commands change."""
    root = logging.getLogger()
    before = structlog.get_config(), root.handlers[:], root.level
    yield
    structlog.configure(**before[0])
    root.handlers[:], root.level = before[1:]


@pytest.fixture(autouse=True)
def calls_in_transactions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """In every test: no transaction is open while Autotask or Microsoft is waited for."""
    held = watch(monkeypatch)
    yield held
    assert held == [], "Commit before the call; what it tells goes into a transaction of its own."


@pytest.fixture
def tenant() -> Tenant:
    """An Autotask that is empty until `people` is used."""
    return Tenant()


@pytest.fixture
def clock(database_url: str, tenant: Tenant) -> Iterator[Clock]:
    """A clock that the test moves. Name it before the fixtures that connect to the database."""
    with Clock(database_url, tenant) as clock:
        yield clock


@pytest.fixture
def people(tenant: Tenant) -> Seed:
    """A small MSP with four customers, by name."""
    return seed(tenant)


@pytest.fixture
def checker() -> ContractChecker:
    """The check of what the tenant's server is sent and answers."""
    return ContractChecker()


@pytest.fixture
def server(tenant: Tenant, checker: ContractChecker) -> Iterator[SandboxServer]:
    """The tenant over HTTP; each request and answer has to keep to the contract."""
    with SandboxServer(tenant, wrap=checker) as running:
        yield running
    assert checker.violations == []


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The connection pool of one process."""
    async with http_client() as pool:
        yield pool


@pytest.fixture
def door() -> Door:
    """A throttle that lets every call through and counts it."""
    return Door()


@pytest.fixture
def credentials(tenant: Tenant) -> Credentials:
    """The tenant's credentials, easy to recognise where they must not be."""
    tenant.secret, tenant.integration_code = SECRETS
    return Credentials(tenant.username, *SECRETS)


@pytest.fixture
def autotask(
    http: httpx.AsyncClient, server: SandboxServer, credentials: Credentials, door: Door
) -> Autotask:
    """A client of the tenant without budget and gate."""
    return Autotask(http, server.api_url, credentials, door)


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    """Sessions of the test itself."""
    engine = make_engine(database_url)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def make_budget(database_url: str) -> AsyncIterator[MakeBudget]:
    """Make the budget of another process, with its own connections."""
    async with AsyncExitStack() as stack:

        def make(share: float = 1.0, window: float = 3600.0, limit: int = 10_000) -> Budget:
            engine = make_engine(database_url)
            stack.push_async_callback(engine.dispose)
            return Budget(make_sessions(engine), share=share, window=window, limit=limit)

        yield make


@pytest.fixture
def environ(tenant: Tenant, server: SandboxServer, database_url: str) -> dict[str, str]:
    """The environment variables of a deployment against the sandbox."""
    return {
        "DATABASE_URL": database_url,
        "AUTOTASK_API_URL": server.api_url,
        "AUTOTASK_USERNAME": tenant.username,
        "AUTOTASK_SECRET": tenant.secret,
        "AUTOTASK_INTEGRATION_CODE": tenant.integration_code,
        "WEBHOOK_SECRETS": SECRET,
        "API_KEYS": f"reader:read:{READ_KEY},writer:write:{WRITE_KEY},gateway:intake:{INTAKE_KEY}",
        "OWN_ADDRESSES": "help@northwind-msp.example",
        "SETTLE_SECONDS": "0",
        "CREATE_SETTLE": "3",
        "RUN_WORKER": "false",
    }


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    """The settings that the product reads from `environ`."""
    return load_settings(environ)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """The services of one process."""
    assert settings.database_url
    async with open_services(settings, settings.database_url) as parts:
        yield parts


@pytest.fixture
async def make_services(settings: Settings) -> AsyncIterator[Callable[..., Any]]:
    """Make services with other settings: `await make_services(create_settle=1)`."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> Services:
            assert settings.database_url
            other = settings.model_copy(update=changes)
            return await stack.enter_async_context(open_services(other, settings.database_url))

        yield make


@pytest.fixture
async def api(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP application without a socket; errors are answered, as a server does."""
    async with client_of(services) as client:
        yield client


@pytest.fixture
def reader() -> dict[str, str]:
    """Headers of a caller who may read."""
    return {"Authorization": f"Bearer {READ_KEY}"}


@pytest.fixture
def writer() -> dict[str, str]:
    """Headers of a caller who may read and write."""
    return {"Authorization": f"Bearer {WRITE_KEY}"}


async def work_until(services: Services, done: Callable[[], Any], seconds: float = 30.0) -> None:
    """Run a worker until the condition, a function or coroutine function, is true."""
    worker = Worker(services)
    working = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(seconds):
            while not (await outcome if asyncio.iscoroutine(outcome := done()) else outcome):
                assert not working.done(), working.exception()
                await asyncio.sleep(0.02)
    finally:
        worker.stop()
        await working
