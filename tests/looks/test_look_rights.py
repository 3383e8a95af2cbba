"""A right that is missing, or a firewall in between: whose people wait, and whose do not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.db.database import db_now
from app.db.states import Outcome, Result
from app.db.tables import Gate
from app.due import work
from app.looks.look import look
from app.ops.checks.all import problems_of_flow
from app.ops.checks.problem import WorkProblem
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Denied, Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import due_of, look_at, outcomes, people_of, rows, want

NINA, OTTO = "nina@radiology.example", "otto@radiology.example"
CARLA = "carla.mendes@alpine-dental.example"


async def problems(services: Services) -> dict[str, WorkProblem]:
    """Return what health says of the flow, by code; no worker runs here."""
    async with services.sessions() as session:
        found = await problems_of_flow(session, services, await db_now(session), None)
    return {one.code: one for one in found if one.code != "worker"}


async def work_off(services: Services) -> list[int]:
    """Look at every ticket that is due, once; return which were."""
    async with services.sessions() as session, session.begin():
        leases = await work.claim(session, work.TICKET, "test", 50)
    for lease in leases:
        await look(services, lease)
    return [lease.ref for lease in leases]


def creates(tenant: Tenant) -> int:
    return sum(c.method == "POST" and c.path.endswith("/Contacts") for c in tenant.calls)


@pytest.mark.parametrize(
    "denied",
    [
        lambda people: Denied("create", "Contacts", company_id=people.alpine),
        lambda people: Denied("create", "Contacts", company_type=7),
    ],
)
@pytest.mark.parametrize("answer", ["error_500", "status_403"])
async def test_creating_refused_in_one_account_keeps_its_new_people_only(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, denied: Any, answer: Any
) -> None:
    """Known people of the ticket are linked, other accounts are served, health names it."""
    tenant.companies[people.alpine]["companyType"] = 7
    tenant.denied.append(denied(people))
    tenant.switches.denied = answer
    here = tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}, {OTTO}")
    there = tenant.new_ticket(people.harbour, cc=NINA)

    assert await look_at(services, here) is None
    assert await look_at(services, there) == Result.DONE
    assert [gate.code for gate in await rows(services, Gate)] == [None]
    assert (await outcomes(services, here))[CARLA] == ("known", Outcome.LINKED)
    waiting = (await people_of(services, here))[NINA]
    assert (waiting.outcome, waiting.failures) == (None, 0)
    assert waiting.detail == f"the API user may not create Contacts of account {people.alpine}"
    assert creates(tenant) == 2

    found = await problems(services)
    assert set(found) == {"right_missing"}
    assert f"create Contacts of account {people.alpine}" in found["right_missing"].detail
    assert found["right_missing"].since
    assert "type of organization" in found["right_missing"].cure

    tenant.denied.clear()
    clock.advance(minutes=2)
    await work_off(services)
    assert (await outcomes(services, here))[NINA] == ("outside", Outcome.CREATED_AND_LINKED)
    clock.advance(minutes=2)
    await work_off(services)
    assert set((await outcomes(services, here)).values()) == {
        ("known", Outcome.LINKED),
        ("outside", Outcome.CREATED_AND_LINKED),
    }
    assert await problems(services) == {}


async def test_linking_refused_in_one_account(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """The link names its ticket, and with it the account."""
    tenant.denied.append(Denied("create", "TicketAdditionalContacts", company_id=people.alpine))
    here = tenant.new_ticket(people.alpine, cc=CARLA)
    there = tenant.new_ticket(people.harbour, cc=NINA)
    assert await look_at(services, here) is None
    assert await look_at(services, there) == Result.DONE
    [found] = (await problems(services)).values()
    assert f"create TicketAdditionalContacts of account {people.alpine}" in found.detail
    tenant.denied.clear()
    clock.advance(minutes=2)
    await work_off(services)
    assert (await outcomes(services, here))[CARLA] == ("known", Outcome.LINKED)


async def test_an_hour_without_a_right(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Eight tickets of one account wait: at most 60 calls, and health names it all the time."""
    tenant.denied.append(Denied("create", "Contacts", company_id=people.alpine))
    here = [tenant.new_ticket(people.alpine, cc=f"n{n}@radiology.example") for n in range(8)]
    await want(services, *here)
    assert await work_off(services) == here
    tenant.calls.clear()
    for _ in range(120):
        clock.advance(seconds=30)
        await work_off(services)
        assert set(await problems(services)) - {"stuck"} == {"right_missing"}
    assert "stuck" in await problems(services)
    assert 0 < len(tenant.calls) <= 60
    assert creates(tenant) <= 7
    for ticket in here:
        due = await due_of(services, ticket)
        assert due.due_at
        assert due.due_at - due.since > timedelta(hours=1)

    tenant.denied.clear()
    for _ in range(80):
        clock.advance(seconds=30)
        await work_off(services)
    for ticket in here:
        assert {o for _, o in (await outcomes(services, ticket)).values()} == {
            Outcome.CREATED_AND_LINKED
        }
    assert await problems(services) == {}


async def test_a_fresh_trigger_looks_at_once(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """The ticket is read, and whoever needs no such right is added."""
    tenant.denied.append(Denied("create", "Contacts", company_id=people.alpine))
    here = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, here) is None
    tenant.update_ticket(here, userDefinedFields=[{"name": "CC", "value": f"{NINA}, {CARLA}"}])
    assert await look_at(services, here) is None
    assert (await outcomes(services, here))[CARLA] == ("known", Outcome.LINKED)
    assert creates(tenant) == 1


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 418])
@pytest.mark.parametrize("kind", ["firewall", "firewall_after"])
async def test_a_firewall_that_blocks_one_persons_create(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, status: int, kind: Any
) -> None:
    """Whatever it answers: the person is tried three times and then named; nobody is doubled."""
    tenant.faults.add(
        Fault(
            kind, "POST", path_contains="/Companies/", body_contains=NINA, times=None, status=status
        )
    )
    here = tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}, {OTTO}")
    there = tenant.new_ticket(people.harbour, cc="paula@x.example")
    await want(services, here, there)
    await work_off(services)
    assert (await outcomes(services, there))["paula@x.example"][1] == Outcome.CREATED_AND_LINKED
    assert (await outcomes(services, here))[CARLA][1] == Outcome.LINKED
    assert (await outcomes(services, here))[OTTO][1] == Outcome.CREATED_AND_LINKED
    assert set(await problems(services)) == {"intercepted"}

    for _ in range(100):
        clock.advance(minutes=1)
        await work_off(services)
    person = (await people_of(services, here))[NINA]
    assert creates(tenant) <= 2 + 3
    if kind == "firewall_after":
        assert len(tenant.contacts_with(NINA, people.alpine)) == 1
        assert person.outcome == Outcome.CREATED_AND_LINKED
    else:
        assert person.outcome == Outcome.FAILED
        assert "answered in its place" in (person.detail or "")
        assert str(status) in (person.detail or "")


async def test_a_firewall_that_blocks_one_ticket(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Its reading: that ticket waits, and says for what; it is asked less and less often."""
    here = tenant.new_ticket(people.alpine, cc=CARLA)
    there = tenant.new_ticket(people.alpine, cc=CARLA)
    tenant.faults.add(Fault("firewall", "GET", path_contains=f"/Tickets/{here}", times=None))
    await want(services, here, there)
    await work_off(services)
    assert await outcomes(services, there) == {CARLA: ("known", Outcome.LINKED)}
    for _ in range(240):
        clock.advance(seconds=15)
        await work_off(services)
    asked = [c for c in tenant.calls if c.path.endswith(f"/Tickets/{here}")]
    assert 5 < len(asked) <= 60
    assert "intercepted" in await problems(services)
