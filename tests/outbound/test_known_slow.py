"""What is only good to know, and slow: a look waits for it within bounds, and then goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.db.states import Result
from app.db.tables import Worker
from app.outbound import known
from app.outbound.facts import FACTS
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant
from tests.outbound.test_known import CALLS, INSIDE, NINA, asked_for, health, renew
from tests.support.clock import Clock
from tests.support.helpers import look_at, people_of
from tests.web.test_health import store

pytestmark = pytest.mark.wait

MakeServices = Callable[..., Any]


@pytest.fixture
async def working(clock: Clock, make_services: MakeServices, people: Seed) -> Services:
    """A process that wants each of the facts, on a database that has none of them."""
    services: Services = await make_services(
        ticket_note="internal", ticket_note_publish=2, complete_statuses=("Waiting Customer",)
    )
    await store(services, Worker(id="one"))
    return services


def slow(name: str, kind: FaultKind, seconds: float) -> Fault:
    """Return a fault of the calls that read a fact."""
    return Fault(kind, **CALLS[name], seconds=seconds, times=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["slow", "hang_before"])
@pytest.mark.parametrize("name", CALLS)
async def test_a_slow_fact_is_waited_for_and_no_longer(
    working: Services,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: FaultKind,
) -> None:
    """Whether the answer is late or never comes: one question, people on the ticket."""
    monkeypatch.setattr(known, "READ_SECONDS", 1.0)
    tenant.faults.add(slow(name, kind, 3.0))
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {INSIDE}")
    assert await look_at(working, ticket) == Result.DONE
    assert {row.outcome for row in (await people_of(working, ticket)).values()} == {
        "created_and_linked"
    }
    assert asked_for(tenant, name) <= 2
    if FACTS[name].decides:
        said = await health(working)
        assert said
        assert "no whole answer within 1 s" in said["detail"]


async def test_all_of_it_slow_together_has_one_patience(
    working: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a look: what is asked for last may not be waited for at all; the next look waits anew."""
    monkeypatch.setattr(known, "READ_SECONDS", 1.5)
    monkeypatch.setattr(known, "PATIENCE_SECONDS", 2.0)
    for name in CALLS:
        tenant.faults.add(slow(name, "hang_before", 30.0))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    asker = await working.autotask()
    began = time.monotonic()
    desk = working.directory
    await desk.complete_statuses(asker, ("x",))
    await desk.company_domains(asker, 0)
    await desk.clients(asker)
    await desk.company_domains(asker, people.alpine)
    await desk.note_choices(asker)
    assert time.monotonic() - began < 2.0 + 3.0
    assert len(desk.lacks(asker)) == 3
    assert await look_at(working, ticket) == Result.DONE


async def test_no_ticket_waits_while_the_chore_reads(
    working: Services, make_services: MakeServices, clock: Clock, tenant: Tenant, people: Seed
) -> None:
    """It uses the old value meanwhile, in the chore's process as in any."""
    await look_at(working, tenant.new_ticket(people.alpine, cc=NINA))
    clock.advance(hours=25)
    restarted = await make_services()
    tenant.faults.add(slow("companies", "slow", 1.5))
    reading = asyncio.create_task(restarted.directory.renew())
    while asked_for(tenant, "companies") < 2:
        await asyncio.sleep(0.01)
    began = time.monotonic()
    found = await restarted.directory.clients(await restarted.autotask())
    assert found.others(people.alpine, ["harbour-soehne.example"], {1})
    assert time.monotonic() - began < 1.0
    assert not reading.done()
    await reading


async def test_the_chore_has_the_time_that_a_look_has_not(
    working: Services,
    clock: Clock,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list of many pages is read there, once a look has wanted it."""
    monkeypatch.setattr(known, "READ_SECONDS", 0.5)
    tenant.faults.add(slow("companies", "slow", 1.0))
    asker = await working.autotask()
    domain = "harbour-soehne.example"
    assert await working.other_clients(asker, people.alpine, [domain]) == frozenset()
    clock.advance(seconds=31)
    await renew(working)
    assert await working.other_clients(asker, people.alpine, [domain]) == {domain}
    assert await health(working) is None
