"""The worker in this process: drains, stops, loses leases, outlives what is around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import Unanswered
from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from app.db.states import LedgerState, Result
from app.db.tables import Due, Gate, Slot
from app.db.tables import Ledger as LedgerRow
from app.db.tables import Look as LookRow
from app.db.tables import Tenant as TenantRow
from app.db.tables import Worker as WorkerRow
from app.due import work
from app.due.work import Lease
from app.looks import look as look_module
from app.outbound import gate
from app.outbound.tenant import WrongTenant
from app.services import Services, open_services
from app.settings.settings import Settings
from app.worker import loop
from app.worker.loop import CONCURRENCY, Worker
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.helpers import due_of, result_of, rows, want

pytestmark = pytest.mark.wait

NINA = "nina@radiology.example"


@asynccontextmanager
async def working(services: Services) -> AsyncIterator[Worker]:
    """Run a worker for a block; it is told to stop at the end."""
    worker = Worker(services)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task


async def until(holds: Callable[[], Awaitable[bool] | bool], seconds: float = 15.0) -> None:
    """Wait for what another task or thread brings about; bounded."""
    async with asyncio.timeout(seconds):
        # The sandbox's thread and the database set no event of this loop.
        while not (await held if not isinstance(held := holds(), bool) else held):
            await asyncio.sleep(0.01)


async def change(services: Services, statement: Any) -> None:
    async with services.sessions() as session, session.begin():
        await session.execute(statement)


def all_done(services: Services, *tickets: int) -> Callable[[], Awaitable[bool]]:
    async def done() -> bool:
        return {await result_of(services, ticket) for ticket in tickets} == {Result.DONE}

    return done


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a worker waits for: leases, heartbeats, pauses after a failure."""
    monkeypatch.setattr(work, "LEASE", timedelta(seconds=1))
    monkeypatch.setattr(loop, "BEAT", timedelta(seconds=0.1))
    pause = Worker._pause
    monkeypatch.setattr(Worker, "_pause", lambda self, seconds=0.1: pause(self, 0.1))


async def test_everything_due_is_done(services: Services, tenant: Tenant, people: Seed) -> None:
    """More tickets than it works on at once; it says that it lives; then it stops."""
    tickets = [tenant.new_ticket(people.alpine, cc=f"{n}@new.example") for n in range(6)]
    await want(services, *tickets)
    await work_until(services, all_done(services, *tickets))

    assert [len(tenant.linked_contacts(ticket)) for ticket in tickets] == [1] * 6
    assert tenant.peak["Tickets"] <= CONCURRENCY
    [alive] = await rows(services, WorkerRow)
    assert datetime.now(UTC) - alive.seen_at < timedelta(seconds=30)


async def test_a_few_at_once_and_no_more(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next is claimed when one is finished, not all that are due."""
    looking, most, go_on = 0, 0, asyncio.Event()

    async def look(_: Services, lease: Lease) -> None:
        nonlocal looking, most
        looking, most = looking + 1, max(most, looking + 1)
        await go_on.wait()
        async with work.fenced(services.sessions, lease) as session:
            await work.finish(session, lease)
        looking -= 1

    monkeypatch.setattr(loop, "look", look)
    await want(services, *range(1, 8))
    async with working(services):
        await until(lambda: looking == CONCURRENCY)
        held = [due for due in await rows(services, Due) if due.holder]
        assert len(held) == CONCURRENCY
        go_on.set()
        await until(lambda: looking == 0)
        await until(nothing_due(services))
    assert most == CONCURRENCY


def nothing_due(services: Services) -> Callable[[], Awaitable[bool]]:
    async def nothing() -> bool:
        return all(
            due.due_at is None and due.holder is None
            for due in await rows(services, Due)
            if due.kind == work.TICKET
        )

    return nothing


# --- stopping ------------------------------------------------------------------------------------


async def test_a_stop_lets_a_look_finish(services: Services, tenant: Tenant, people: Seed) -> None:
    """Nothing is begun afterwards."""
    tenant.faults.latency = (0.05, 0.05)
    first, second = (tenant.new_ticket(people.alpine, cc=NINA) for _ in range(2))
    await want(services, first)
    async with working(services) as worker:
        await until(lambda: bool(tenant.calls))
        worker.stop()
        await want(services, second)
    assert await result_of(services, first) == Result.DONE
    assert await result_of(services, second) is None


async def test_a_stop_hands_back_what_takes_too_long(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free at once for another worker, without an attempt spent, and its slot is free as well."""
    monkeypatch.setattr(loop, "STOP_SECONDS", 0.05)
    tenant.faults.add(Fault("hang_before", entity="Tickets"))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, ticket)
    async with working(services):
        await until(lambda: not tenant.faults.pending())

    due = await due_of(services, ticket)
    assert (due.holder, due.lease_until, due.tries) == (None, None, 0)
    assert due.due_at
    assert due.due_at <= datetime.now(UTC)
    assert await rows(services, Slot) == []
    await work_until(services, all_done(services, ticket))


async def test_a_worker_with_nothing_to_do_stops_at_once(services: Services) -> None:
    """It does not sleep through the order."""
    async with asyncio.timeout(5), working(services) as worker:
        await until(lambda: worker._looks == {})


# --- leases --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_a_look_that_lost_its_lease_is_cancelled(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Another has the ticket: what is on its way is dropped, nothing is recorded, work goes on."""
    tenant.faults.add(Fault("hang_before", entity="Tickets"))
    lost, other = (tenant.new_ticket(people.alpine, cc=NINA) for _ in range(2))
    await want(services, lost)
    async with working(services):
        await until(lambda: not tenant.faults.pending())
        taken = update(Due).values(
            holder="another", attempt=Due.attempt + 1, lease_until=func.now() + timedelta(hours=1)
        )
        await change(services, taken)
        await until(no_slots(services))
        await want(services, other)
        await until(all_done(services, other))

    due = await due_of(services, lost)
    assert (due.holder, due.attempt, due.tries) == ("another", 2, 1)
    assert [look.ticket_id for look in await rows(services, LookRow)] == [other]


def no_slots(services: Services) -> Callable[[], Awaitable[bool]]:
    async def none() -> bool:
        return await rows(services, Slot) == []

    return none


@pytest.mark.usefixtures("impatient")
async def test_a_heartbeat_keeps_the_lease_of_a_long_look(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Longer than a lease lasts, and claimed once."""
    tenant.faults.latency = (0.4, 0.4)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, ticket)
    await work_until(services, all_done(services, ticket))
    [look] = await rows(services, LookRow)
    assert look.ended_at - look.started_at > timedelta(seconds=1.5)
    assert (await due_of(services, ticket)).attempt == 1


# --- what is out of order around it --------------------------------------------------------------


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, to be crashed."""
    with EmbeddedPostgres() as server:
        schema.migrate(server.url)
        yield server


@pytest.mark.usefixtures("impatient")
async def test_it_outlives_a_crash_of_postgres(
    own_postgres: EmbeddedPostgres, settings: Settings, tenant: Tenant, people: Seed
) -> None:
    """In the middle of a create: it goes on by itself, and there is one contact and one link."""
    async with open_services(
        settings.model_copy(update={"create_settle": 1.0}), own_postgres.url
    ) as services:
        tenant.faults.add(
            Fault(
                "hang_after",
                method="POST",
                entity="Contacts",
                path_contains="/Companies/",
                seconds=0.3,
            )
        )
        first, second = (tenant.new_ticket(people.alpine, cc=NINA) for _ in range(2))
        await want(services, first)
        async with working(services):
            await until(lambda: not tenant.faults.pending())
            own_postgres.stop("immediate")
            own_postgres.start()
            await want(services, second)
            await until(all_done(services, first, second), 30)

        [nina] = tenant.contacts_with(NINA)
        assert [tenant.linked_contacts(t) for t in (first, second)] == [[nina["id"]]] * 2
        assert [row.state for row in await rows(services, LedgerRow)] == [LedgerState.CREATED]


@pytest.mark.usefixtures("impatient")
async def test_it_starts_while_autotask_cannot_say_the_zone(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is claimed until it is known where to ask; then all of it is done."""
    services = await make_services()
    api_url, asked = services.tenancy.api_url, 0

    async def later() -> str:
        nonlocal asked
        asked += 1
        if asked < 4:
            assert [due.attempt for due in await rows(services, Due)] == [0]
            raise Unanswered("no answer")
        return str(await api_url())

    monkeypatch.setattr(services.tenancy, "api_url", later)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, ticket)
    await work_until(services, all_done(services, ticket))


async def test_nothing_is_claimed_while_autotask_refuses_us(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No attempt is spent on what cannot be done; when the gate may open, all of it is done."""
    state, asked = gate.state, 0

    async def counted(session: AsyncSession) -> gate.Shut | None:
        nonlocal asked
        asked += 1
        return await state(session)

    monkeypatch.setattr(gate, "state", counted)
    shut = update(Gate).values(
        shut_until=func.now() + timedelta(hours=1),
        since=func.now(),
        code="unauthorized",
        reason="x",
    )
    await change(services, shut)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, ticket)
    async with working(services):
        await until(lambda: asked >= 2)
        assert (await due_of(services, ticket)).attempt == 0
        await change(services, update(Gate).values(shut_until=func.now()))
        await until(all_done(services, ticket))
    assert (await rows(services, Gate))[0].shut_until is None


async def test_the_database_of_another_tenant_ends_it(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The process is not to go on as if nothing were wrong, and touches nothing."""
    async with services.sessions() as session, session.begin():
        session.add(TenantRow(id=1, api_url="https://webservices6.autotask.net/ATServicesRest"))
    await want(services, tenant.new_ticket(people.alpine, cc=NINA))
    async with asyncio.timeout(10):
        with pytest.raises(WrongTenant):
            await Worker(services).run()
    assert tenant.calls == []
    assert [due.attempt for due in await rows(services, Due)] == [0]


async def test_workers_that_died_long_ago_are_forgotten(services: Services) -> None:
    """And those that died just now are not: health tells since when nobody lives."""
    async with services.sessions() as session, session.begin():
        session.add_all(WorkerRow(id=name) for name in ("ancient", "recent"))
        await session.flush()
        for name, ago in (("ancient", 7_200), ("recent", 60)):
            old = text("UPDATE workers SET seen_at = now() - make_interval(secs => :s) WHERE id=:i")
            await session.execute(old, {"s": ago, "i": name})
    async with working(services) as worker:
        await until(lambda: _is_listed(services, worker.id))
    assert {row.id for row in await rows(services, WorkerRow)} == {"recent", worker.id}


async def _is_listed(services: Services, worker_id: str) -> bool:
    return worker_id in {row.id for row in await rows(services, WorkerRow)}


# --- defects of our own --------------------------------------------------------------------------


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the look at one ticket fail as only a defect of ours does."""

    def make(ticket_id: int) -> None:
        usual = look_module._look

        async def look(services: Services, autotask: Autotask, lease: Lease) -> Any:
            if lease.ref == ticket_id:
                raise ZeroDivisionError("a defect")
            return await usual(services, autotask, lease)

        monkeypatch.setattr(look_module, "_look", look)

    return make


async def test_a_ticket_that_fails_by_a_defect_is_put_off(
    services: Services, tenant: Tenant, people: Seed, poison: Callable[[int], None]
) -> None:
    """It spends a try and is looked at later; the others do not suffer."""
    bad, good = (tenant.new_ticket(people.alpine, cc=NINA) for _ in range(2))
    poison(bad)
    await want(services, bad, good)
    await work_until(services, all_done(services, good))
    await until(lambda: _is_free(services, bad))

    due = await due_of(services, bad)
    assert due.tries == 1
    assert due.due_at
    assert due.due_at > datetime.now(UTC)
    assert (await rows(services, LookRow))[0].note


async def _is_free(services: Services, ticket_id: int) -> bool:
    return (await due_of(services, ticket_id)).holder is None


async def test_a_defect_shows_on_its_ticket_and_ends_some_day(
    services: Services, tenant: Tenant, people: Seed, poison: Callable[[int], None]
) -> None:
    """I6: nothing is silent. After 72 hours it has failed, as any other that cannot be finished."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    poison(ticket)
    await want(services, ticket)
    await change(services, update(Due).values(since=func.now() - timedelta(hours=73), tries=9))
    async with working(services):
        await until(lambda: _was_tried(services, ticket))
        await until(lambda: _is_free(services, ticket))
    assert await result_of(services, ticket) == Result.FAILED


async def _was_tried(services: Services, ticket_id: int) -> bool:
    return (await due_of(services, ticket_id)).attempt > 0
