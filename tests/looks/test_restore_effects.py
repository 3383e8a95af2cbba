"""A change that is answered as done counts when a reading shows it; without effect, it is said."""

from __future__ import annotations

import pytest

from app.db.database import now as now_of
from app.db.states import LedgerState, Result
from app.db.tables import Ledger
from app.ops.checks import people as checks
from app.services import Services
from sandbox.model import CONTACTS
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.looks.test_read_missing import live
from tests.support.clock import Clock
from tests.support.helpers import look_at, outcomes, people_of, result_of, rows
from tests.support.lifetimes import TICKET, end, ours, say, stands

CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"  # has an inactive contact
NINA = "nina@radiology.example"


def patches(tenant: Tenant) -> int:
    """Count the changes of contacts."""
    return tenant.count("PATCH", "Contacts")


@pytest.mark.parametrize("times", [1, 2])
async def test_an_activation_is_requested_again_until_it_is_seen(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, times: int
) -> None:
    """Autotask answers with the contact's id, and changes nothing."""
    await say(services, inactive="reactivate")
    tenant.faults.add(Fault("no_effect", "PATCH", "Contacts", times=times))
    ticket = tenant.new_ticket(people.alpine, cc=f"{DORA}, {CARLA}")

    assert await look_at(services, ticket) is None
    assert tenant.linked_contacts(ticket) == [people.carla]
    await live(services, clock, 60)

    assert patches(tenant) == times + 1
    assert await result_of(services, ticket) == Result.DONE
    assert (await outcomes(services, ticket))[DORA] == ("inactive", "linked")


async def test_an_activation_without_effect_is_said_after_three_requests(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """For that person alone, and not again by itself; a person can do it."""
    await say(services, inactive="reactivate")
    tenant.faults.add(Fault("no_effect", "PATCH", "Contacts", times=None))
    ticket = tenant.new_ticket(people.alpine, cc=f"{DORA}, {CARLA}, {NINA}")
    await look_at(services, ticket)
    await live(services, clock, 120)
    await look_at(services, ticket)

    assert patches(tenant) == 3
    assert tenant.count("GET", "Contacts") == 3
    found = await outcomes(services, ticket)
    assert [found[key][1] for key in (DORA, CARLA, NINA)] == [
        "failed",
        "linked",
        "created_and_linked",
    ]
    assert "does not show it active" in str((await people_of(services, ticket))[DORA].detail)
    assert await result_of(services, ticket) == Result.DONE
    async with services.sessions() as session:
        problem = await checks.failed_people(session, await now_of(services.sessions))
    assert problem
    assert str(ticket) in problem.detail

    tenant.change_contact(people.dora, isActive=1)
    assert await look_at(services, ticket) == Result.DONE
    assert (await outcomes(services, ticket))[DORA] == ("known", "linked")


async def test_an_activation_that_a_lagging_reading_does_not_show_is_no_failure(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """The last look before it would be said reads only."""
    await say(services, inactive="reactivate")
    tenant.lag_reads(CONTACTS, 30)
    ticket = tenant.new_ticket(people.alpine, cc=DORA)
    await look_at(services, ticket)
    await live(services, clock, 90)
    assert (await outcomes(services, ticket))[DORA] == ("known", "linked")
    assert patches(tenant) <= 3


@pytest.mark.parametrize("fields", [("isActive",), ("emailAddress",), ()])
async def test_a_restore_without_effect_is_said_after_three(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, fields: tuple[str, ...]
) -> None:
    """An address is never set at a contact that is not seen to be active."""
    await say(services, lifetime=TICKET, grace_days=0)
    first = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, first)
    tenant.update_ticket(first, status=5)
    await look_at(services, first)
    await end(services)
    nina = ours(tenant)
    assert stands(tenant.contacts[nina]) == (0, None)
    tenant.forget_calls()
    tenant.faults.add(Fault("no_effect", "PATCH", "Contacts", times=None, fields=fields))
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {CARLA}")
    await look_at(services, ticket)
    await live(services, clock, 120)

    assert (await outcomes(services, ticket))[NINA][1] == "failed"
    assert tenant.linked_contacts(ticket) == [people.carla]
    assert patches(tenant) == (6 if fields == ("emailAddress",) else 3)
    assert tenant.insane_contacts() == []
    clock.advance(hours=2)
    tenant.faults.clear()
    await end(services)
    assert stands(tenant.contacts[nina]) == (0, None)
    assert [row.state for row in await rows(services, Ledger)] == [LedgerState.RETIRED]
