"""What hostile eyes have tried on contacts that end: mailers, technicians, admins, and bad luck."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.cli.contacts import run_undo_file
from app.contacts.restore import restore_by_hand
from app.contacts.undo import Undo
from app.db.states import LedgerState, Result
from app.db.tables import Ledger
from app.records.ledger import candidates
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import look_at, look_until_believed, outcomes, rows
from tests.support.lifetimes import (
    ALPINE,
    NINA,
    TICKET,
    complete,
    contact,
    end,
    follow_up,
    ledger_of,
    nina_of_a_ticket,
    say,
    stands,
    ticket_of,
)

PATCH = {"method": "PATCH", "path_contains": "/Contacts"}


@pytest.fixture
async def nina(clock: Clock, services: Services, tenant: Tenant, people: Seed) -> int:
    """A contact that we created for a ticket only, without a grace."""
    return await nina_of_a_ticket(services, tenant, grace_days=0)


def before_patch(tenant: Tenant, number: int, then: Callable[[], object]) -> None:
    """Let somebody be faster: just before the n-th change of a contact is worked on."""
    left = [number]

    def before(call: Call) -> None:
        if call.method == "PATCH" and "Contacts" in call.path:
            left[0] -= 1
            if left[0] == 0:
                then()

    tenant.before_call = before


async def restored_unrecorded(services: Services, tenant: Tenant, nina: int) -> int:
    """Let her be ended, be for good by the policy, and be back without our knowing it."""
    await complete(services, tenant, ticket_of(tenant, nina))
    await end(services)
    await say(services, lifetime={"outside": "permanent"})
    tenant.faults.add(Fault("reset_after", after=1, **PATCH))  # type: ignore[arg-type]
    again = tenant.new_ticket(ALPINE, cc=NINA)
    assert await look_at(services, again) is None
    return again


async def test_nobody_fakes_a_merge_by_mail(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Notes that a contact wrote count for nothing, whatever stands in them."""
    victim = tenant.new_ticket(people.alpine, cc="carla.mendes@alpine-dental.example")
    mine = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, victim)
    await look_at(services, mine)
    number, other = (tenant.tickets[one]["ticketNumber"] for one in (mine, victim))
    by_mail: dict[str, Any] = {"creatorResourceID": None, "createdByContactID": people.bruno}
    tenant.add_note(mine, "Re: see", f"as in {other}", **by_mail)
    title = f"Absorbed Ticket Description {number} {other}"
    tenant.add_note(victim, title, "Hello", **by_mail)
    await complete(services, tenant, mine)
    assert tenant.linked_contacts(victim) == [people.carla]
    assert NINA not in await outcomes(services, victim)


async def test_a_restore_that_nobody_recorded_ends_by_the_rules(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """Her answer was lost, she is there: the next look knows, and she is for good by now."""
    again = await restored_unrecorded(services, tenant, nina)
    assert await look_at(services, again) == Result.DONE
    row = await ledger_of(services, nina)
    assert (row.state, row.lifetime) == (LedgerState.CREATED, None)
    await complete(services, tenant, again)
    clock.advance(days=400)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)


async def test_a_restore_of_a_ticket_that_is_gone_comes_to_an_end(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """No look settles it: the chore sees her, and from there on policy and grace decide."""
    again = await restored_unrecorded(services, tenant, nina)
    tenant.delete_ticket(again, callout=False)
    assert await look_until_believed(services, again) == Result.GONE
    clock.advance(hours=3)
    await end(services)
    assert (await ledger_of(services, nina)).state == LedgerState.CREATED
    clock.advance(days=3)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)


@pytest.mark.parametrize("fault", [None, "reset_after"])
async def test_an_address_that_is_typed_in_again_is_never_refused(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int, fault: Any
) -> None:
    """A technician sees it missing just before she is made inactive: active, and theirs."""
    await complete(services, tenant, ticket_of(tenant, nina))
    if fault:
        tenant.faults.add(Fault(fault, after=1, **PATCH))  # type: ignore[arg-type]
    before_patch(tenant, 2, lambda: tenant.change_contact(nina, emailAddress=NINA))
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)
    assert (await ledger_of(services, nina)).kept == "a person gave it an address again"
    assert tenant.insane_contacts() == []


async def test_no_second_contact_while_one_is_being_ended(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """It cannot be deactivated, and a technician filled a second address: others wait for it."""
    await complete(services, tenant, ticket_of(tenant, nina))
    refusal = Fault("error_500_errors", after=1, times=None, text="No.", **PATCH)  # type: ignore[arg-type]
    tenant.faults.add(refusal)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, None)
    tenant.change_contact(nina, emailAddress2="n@x.example")
    assert await look_at(services, tenant.new_ticket(people.alpine, cc=NINA)) is None
    assert tenant.contacts_with(NINA) == []
    refusal.chance = 0.0
    clock.advance(hours=1)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)
    assert (await ledger_of(services, nina)).kept == "a person changed emailAddress2"


async def test_one_that_is_in_the_way_keeps_no_other(
    services: Services,
    tenant: Tenant,
    people: Seed,
    clock: Clock,
    nina: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A defect of ours with one contact: the next one is ended all the same."""
    other = tenant.new_ticket(people.alpine, cc="ole@radiology.example")
    await look_at(services, other)
    [ole] = tenant.contacts_with("ole@radiology.example")
    history = candidates.history

    async def breaks(session: Any, row: Ledger) -> Any:
        if row.contact_id == nina:
            raise ValueError("made up")
        return await history(session, row)

    monkeypatch.setattr(candidates, "history", breaks)
    await complete(services, tenant, ticket_of(tenant, nina), other)
    await end(services)
    assert stands(contact(tenant, ole["id"])) == (0, None)
    assert (await ledger_of(services, nina)).error == "an internal error: ValueError"


async def test_a_merge_that_is_noticed_days_later_carries_its_people(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """After an outage: only tickets that no look of ours has seen are history."""
    source = ticket_of(tenant, nina)
    destination = tenant.new_ticket(people.alpine, description="It is offline.")
    await look_at(services, destination)
    tenant.tickets[source]["description"] = "It is offline, too."
    tenant.merge_tickets(source, destination, callout=False)
    clock.advance(days=3)
    await follow_up(services)
    assert tenant.linked_contacts(destination) == [nina]


async def test_a_file_brings_back_nothing_that_a_person_has_changed(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int, tmp_path: Path
) -> None:
    """Somebody has made the record another person's; or another contact has the address."""
    await complete(services, tenant, ticket_of(tenant, nina))
    await end(services)
    autotask = await services.autotask()
    tenant.change_contact(nina, isActive=1, emailAddress="boss@radiology.example")
    said = await restore_by_hand(services, autotask, people.alpine, nina)
    assert said == "is changed by a person"
    tenant.change_contact(nina, isActive=0, emailAddress=None)
    other = tenant.add_contact(people.alpine, NINA)
    said = await restore_by_hand(services, autotask, people.alpine, nina)
    assert said == "has its address at another contact"
    del tenant.contacts[other]
    assert await restore_by_hand(services, autotask, people.alpine, nina) == "is back"
    assert stands(contact(tenant, nina)) == (1, NINA)
    assert (await ledger_of(services, nina)).kept == "it was brought back by hand"


async def test_a_file_of_formulas_is_read_as_it_was_written(
    services: Services, tmp_path: Path
) -> None:
    """An id stays one, and what is none is refused."""
    file = tmp_path / "f.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("account_id", "contact_id", "email"), ("=1", "2", "x")])
    assert services.settings.database_url
    assert run_undo_file(services.settings, services.settings.database_url, file) == 1


@pytest.mark.parametrize("keeps", [{"lifetime": {"outside": "permanent"}}, {"act": "observe"}])
async def test_a_policy_that_keeps_them_takes_back_what_has_begun(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int, keeps: dict[str, Any]
) -> None:
    """Her address is away already, and she could not be deactivated yet."""
    await complete(services, tenant, ticket_of(tenant, nina))
    refusal = Fault("error_500_errors", after=1, times=None, text="No.", **PATCH)  # type: ignore[arg-type]
    tenant.faults.add(refusal)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, None)
    refusal.chance = 0.0
    said: dict[str, Any] = {"lifetime": TICKET, "grace_days": 0} | keeps
    await say(services, **said)
    clock.advance(hours=1)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)
    row = await ledger_of(services, nina)
    assert (row.state, row.end_why, row.kept) == (LedgerState.CREATED, None, None)


async def test_undo_of_a_ticket_whose_person_is_ended_lasts(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """The ticket is opened again: she is not brought back onto it."""
    ticket = ticket_of(tenant, nina)
    await complete(services, tenant, ticket)
    await end(services)
    steps = await Undo(services, "writer", False).ticket(ticket)
    assert [(one.action, one.done, one.detail) for one in steps] == [
        ("deactivate", True, "was ended before")
    ]
    tenant.update_ticket(ticket, callout=False, status=1)
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == []
    assert stands(contact(tenant, nina)) == (0, None)


async def test_a_state_of_a_later_version_makes_nobody_spin(
    services: Services, tenant: Tenant, people: Seed, nina: int
) -> None:
    """The claim ends after a few rounds, and the ticket waits."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(state=LedgerState.RESTORING, end_why=None))
    del tenant.contacts[nina]
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) is None
    assert [row.state for row in await rows(services, Ledger)] == [LedgerState.RESTORING]
