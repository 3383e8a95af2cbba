"""Ending and bringing back contacts where Autotask answers a change as done, and it is not."""

from __future__ import annotations

import pytest

from app.autotask.errors import NoEffect
from app.contacts.restore import restore_by_hand
from app.contacts.undo import Undo, UndoStep
from app.db.states import LedgerState, Result
from app.ops.checks.effects import without_effect
from app.services import Services
from sandbox.model import CONTACTS
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import look_at
from tests.support.lifetimes import TICKET, complete, end, ledger_of, ours, say, stands

NINA = "nina@radiology.example"


def no_effect(tenant: Tenant, *fields: str, times: int | None = None) -> None:
    """Let changes of these fields of contacts have no effect."""
    tenant.faults.add(Fault("no_effect", "PATCH", "Contacts", fields=fields, times=times))


def changed(tenant: Tenant, field: str) -> int:
    """Count the requests that name a field of a contact."""
    calls = [call for call in tenant.calls if call.method == "PATCH"]
    return sum(1 for call in calls if field in call.body)


async def undo(services: Services, ticket: int) -> UndoStep:
    """Undo a ticket, and give the step of its contact."""
    steps = await Undo(services, "writer", dry_run=False).ticket(ticket)
    [step] = [one for one in steps if one.action == "deactivate"]
    return step


@pytest.fixture
async def ticket(clock: Clock, services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket with a contact that we created for it."""
    await say(services, lifetime=TICKET, grace_days=0)
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) == Result.DONE
    return made


async def health(services: Services) -> str | None:
    """Give what health says about changes without effect."""
    async with services.sessions() as session:
        problem = await without_effect(session)
    return problem.detail if problem else None


@pytest.mark.parametrize("field", ["isActive", "emailAddress"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_change_that_has_no_effect_at_first_is_made_again(
    services: Services, tenant: Tenant, ticket: int, field: str, times: int
) -> None:
    """Undone within one order."""
    tenant.switches.clearing_address = "either"
    if field == "isActive":
        tenant.faults.add(
            Fault("no_effect", "PATCH", "Contacts", fields=(field,), after=1, times=times)
        )
    else:
        no_effect(tenant, field, times=times)
    step = await undo(services, ticket)
    assert (step.done, step.detail) == (True, "retired")
    assert stands(tenant.contacts[ours(tenant)]) == (0, None)
    assert changed(tenant, field) == times + 1


async def test_a_deactivation_without_effect_is_said_and_not_repeated_for_ever(
    clock: Clock, services: Services, tenant: Tenant, ticket: int
) -> None:
    """Three requests in all; health names the contact until a person has deactivated it."""
    no_effect(tenant, "isActive")
    tenant.forget_calls()
    step = await undo(services, ticket)
    nina = ours(tenant)
    assert (step.done, step.again) == (False, True)
    assert "it was deactivated, and shows it active" in step.detail
    assert stands(tenant.contacts[nina]) == (1, None)
    for _ in range(12):
        clock.advance(hours=2)
        await end(services)
    assert changed(tenant, "isActive") == 3
    assert f"contact {nina} of account" in str(await health(services))

    tenant.change_contact(nina, isActive=0)
    clock.advance(hours=7)
    await end(services)
    assert (await ledger_of(services, nina)).state == LedgerState.RETIRED
    assert await health(services) is None


async def test_an_address_that_is_never_cleared_is_left_after_three_requests(
    clock: Clock, services: Services, tenant: Tenant, ticket: int
) -> None:
    """It stays active with its address, so its mail is accepted."""
    no_effect(tenant, "emailAddress")
    await complete(services, tenant, ticket)
    for _ in range(6):
        await end(services)
        clock.advance(hours=1)
    nina = ours(tenant)
    assert changed(tenant, "emailAddress") == 3
    assert stands(tenant.contacts[nina]) == (1, NINA)
    assert (await ledger_of(services, nina)).kept


@pytest.mark.parametrize("seconds", [5, 60])
async def test_lagging_reads_end_nobody_wrongly_and_leave_nobody_behind(
    clock: Clock, services: Services, tenant: Tenant, ticket: int, seconds: float
) -> None:
    """Each change takes effect, and is shown later."""
    await complete(services, tenant, ticket)
    tenant.lag_reads(CONTACTS, seconds)
    for _ in range(6):
        await end(services)
        assert tenant.insane_contacts() == []
        clock.advance(minutes=15)
    nina = ours(tenant)
    assert stands(tenant.contacts[nina]) == (0, None)
    assert (await ledger_of(services, nina)).state == LedgerState.RETIRED


async def test_a_contact_that_one_reading_does_not_show_is_not_gone(
    clock: Clock, services: Services, tenant: Tenant, ticket: int
) -> None:
    """A second one would be created otherwise, and this one never ended."""
    await complete(services, tenant, ticket)
    nina = ours(tenant)
    missing = Fault("answer", "GET", path_contains=f"/Contacts/{nina}", text='{"item": null}')
    tenant.faults.add(missing)
    await end(services)
    assert (await ledger_of(services, nina)).state == LedgerState.CREATED
    clock.advance(minutes=6)
    await end(services)
    assert (await ledger_of(services, nina)).state == LedgerState.RETIRED


async def test_a_contact_that_is_gone_is_seen_to_be(
    clock: Clock, services: Services, tenant: Tenant, ticket: int
) -> None:
    """After three readings."""
    await complete(services, tenant, ticket)
    nina = ours(tenant)
    del tenant.contacts[nina]
    for _ in range(3):
        assert (await ledger_of(services, nina)).state == LedgerState.CREATED
        await end(services)
        clock.advance(minutes=5)
    assert (await ledger_of(services, nina)).state == LedgerState.GONE


async def test_a_ticket_that_one_reading_does_not_show_keeps_its_people(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """Its contact is on another ticket, which is open and is not shown: not ended by mistake."""
    other = tenant.new_ticket(people.alpine)
    tenant.link(other, ours(tenant))
    await complete(services, tenant, ticket)
    tenant.faults.add(Fault("answer", "POST", "Tickets", text='{"items": [], "pageDetails": null}'))
    await end(services)
    assert stands(tenant.contacts[ours(tenant)]) == (1, NINA)
    assert tenant.linked_contacts(other) == [ours(tenant)]


@pytest.mark.parametrize("field", ["isActive", "emailAddress"])
async def test_bringing_back_by_hand_is_read_back(
    services: Services, tenant: Tenant, people: Seed, ticket: int, field: str
) -> None:
    """Said to the person who ordered it; no inactive contact gets its address."""
    await complete(services, tenant, ticket)
    await end(services)
    nina = ours(tenant)
    tenant.forget_calls()
    no_effect(tenant, field)
    with pytest.raises(NoEffect):
        await restore_by_hand(services, await services.autotask(), people.alpine, nina)
    assert changed(tenant, field) == 3
    assert tenant.insane_contacts() == []
    tenant.faults.clear()
    autotask = await services.autotask()
    assert await restore_by_hand(services, autotask, people.alpine, nina) == "is back"
    assert (await ledger_of(services, nina)).kept == "it was brought back by hand"


async def test_brought_back_by_hand_and_settled_by_the_chore_is_for_good(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """The process died before it could record that."""
    await complete(services, tenant, ticket)
    await end(services)
    nina = ours(tenant)
    tenant.faults.add(Fault("reset_after", "PATCH", "Contacts", after=1))
    with pytest.raises(Exception, match="no answer"):
        await restore_by_hand(services, await services.autotask(), people.alpine, nina)
    clock.advance(hours=3)
    await end(services)
    row = await ledger_of(services, nina)
    assert (row.state, row.kept) == (LedgerState.CREATED, "it was brought back by hand")
    clock.advance(days=30)
    await end(services)
    assert stands(tenant.contacts[nina]) == (1, NINA)
