"""Requests of a retirement that take effect late, or whose effect cannot be read."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from app.contacts.undo import Undo
from app.db.database import now
from app.db.states import EndedBy, LedgerState, Result
from app.db.tables import Ledger, Mapping
from app.records import forgetting
from app.records.ledger import ending
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.contacts.test_retire_attacks import before_patch
from tests.support.clock import Clock
from tests.support.helpers import due_of, look_at, outcomes
from tests.support.lifetimes import (
    NINA,
    TICKET,
    complete,
    contact,
    end,
    ledger_of,
    ours,
    say,
    stands,
)

PATCH: Any = {"method": "PATCH", "path_contains": "/Contacts"}
QUERY_LINKS: Any = {"path_contains": "TicketAdditionalContacts"}
GET_LINKS: Any = {"method": "GET", "path_contains": "AdditionalContacts"}


@pytest.fixture
async def ticket(clock: Clock, services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket with Nina, whom we created for it, without a grace."""
    await say(services, lifetime=TICKET, grace_days=0)
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) == Result.DONE
    return made


async def end_at_once(services: Services) -> None:
    """Do the chore, though what it puts off is not due yet."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(end_at=None))
    await end(services)


# --- an address that comes back late -------------------------------------------------------------


@pytest.mark.parametrize("order", ["forget", "undo"])
async def test_a_late_address_never_comes_to_an_inactive_contact(
    services: Services,
    tenant: Tenant,
    ticket: int,
    clock: Clock,
    api: httpx.AsyncClient,
    writer: dict[str, str],
    order: str,
) -> None:
    """The policy puts her address back, without an answer; then a person orders her end."""
    await complete(services, tenant, ticket)
    tenant.faults.add(Fault("error_500_errors", after=1, text="No.", **PATCH))
    await end(services)
    await say(services, lifetime={"outside": "permanent"})
    tenant.faults.add(Fault("late_commit", seconds=1.0, **PATCH))
    await end_at_once(services)
    if order == "undo":
        [step] = await Undo(services, "writer", dry_run=False).ticket(ticket)
        assert (step.done, step.again) == (False, True)
    else:
        await api.delete(f"/admin/people/{NINA}", headers=writer)
        await end(services)
    await asyncio.sleep(1.2)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    clock.advance(hours=1)
    if order == "undo":
        await Undo(services, "writer", dry_run=False).ticket(ticket)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert (await ledger_of(services, ours(tenant))).state == LedgerState.RETIRED


async def test_an_address_is_not_put_back_while_a_deactivation_may_come(
    services: Services,
    tenant: Tenant,
    people: Seed,
    ticket: int,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A technician's link is seen just before the deactivation is sent again."""
    one = ours(tenant)
    other = tenant.new_ticket(people.alpine, cc="carla.mendes@alpine-dental.example")
    await look_at(services, other)
    await complete(services, tenant, ticket)
    tenant.faults.add(Fault("late_commit", after=1, seconds=1.0, **PATCH))
    intend, number = ending.intend, itertools.count(1)

    async def slow(*args: Any) -> Any:
        if next(number) == 4:  # unlink, clear, deactivate, and again
            tenant.link(other, one)
            await look_at(services, other)
        return await intend(*args)

    monkeypatch.setattr(ending, "intend", slow)
    await end(services)
    await asyncio.sleep(1.2)
    assert tenant.insane_contacts() == []
    clock.advance(hours=1)
    await end(services)
    assert tenant.insane_contacts() == []
    assert (await ledger_of(services, one)).kept is None


# --- an address that is typed in just before the deactivation -------------------------------------


@pytest.mark.parametrize("kind", ["error_500_errors", "status_429", "forbidden"])
async def test_an_activation_that_is_refused_is_tried_again(
    services: Services, tenant: Tenant, ticket: int, clock: Clock, kind: Any
) -> None:
    """She is inactive with the address that a technician typed in: that is our doing."""
    one = ours(tenant)
    before_patch(tenant, 2, lambda: tenant.change_contact(one, emailAddress=NINA))
    tenant.faults.add(Fault(kind, after=2, text="No.", **PATCH))
    [_, step] = await Undo(services, "writer", dry_run=False).ticket(ticket)
    assert (step.done, step.again) == (False, True)
    clock.advance(hours=1)
    await end(services)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert (await ledger_of(services, one)).kept == "a person gave it an address again"


@pytest.mark.parametrize("kind", ["reset_before", "forbidden", "error_500"])
async def test_a_deactivation_whose_effect_cannot_be_read_is_read_later(
    services: Services, tenant: Tenant, ticket: int, clock: Clock, kind: Any
) -> None:
    """The address that was typed in before it is seen then."""
    one = ours(tenant)

    def typed_in() -> None:
        tenant.change_contact(one, emailAddress=NINA)
        tenant.faults.add(Fault(kind, "POST", path_contains="/Contacts/query", times=6))
        tenant.faults.add(Fault(kind, "GET", path_contains="/Contacts", times=6))

    before_patch(tenant, 2, typed_in)
    [_, step] = await Undo(services, "writer", dry_run=False).ticket(ticket)
    assert (step.done, step.again) == (False, True)
    tenant.faults.clear()
    clock.advance(hours=1)
    await end(services)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert (await ledger_of(services, one)).kept == "a person gave it an address again"


# --- between a reading and its intent, and after a request ----------------------------------------


async def test_an_order_to_forget_that_comes_meanwhile_stands(
    services: Services, tenant: Tenant, ticket: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An undo does not make less of it: a forgotten person comes off open tickets, too."""
    intend, number = ending.intend, itertools.count(1)

    async def slow(*args: Any) -> Any:
        if next(number) == 1:
            async with services.sessions() as session, session.begin():
                await forgetting.forget(session, NINA)
        return await intend(*args)

    monkeypatch.setattr(ending, "intend", slow)
    tenant.faults.add(Fault("error_500_errors", after=1, text="No.", **PATCH))
    await Undo(services, "writer", dry_run=False).ticket(ticket)
    row = await ledger_of(services, ours(tenant))
    assert (row.state, row.end_why) == (LedgerState.RETIRING, EndedBy.FORGOTTEN)


async def test_a_link_that_we_deleted_is_not_taken_for_removed_by_a_person(
    services: Services, tenant: Tenant, ticket: int, clock: Clock
) -> None:
    """The reading after the request fails; when the ticket is open again, she is brought back."""
    await complete(services, tenant, ticket)

    def fail_reading(call: Call) -> None:
        if call.method == "DELETE":
            for place in (QUERY_LINKS, GET_LINKS):
                tenant.faults.add(Fault("error_500_errors", text="Sorry.", **place))

    tenant.before_call = fail_reading
    await end(services)
    tenant.before_call = lambda _: None
    tenant.faults.clear()
    clock.advance(hours=1)
    await end(services)
    tenant.update_ticket(ticket, callout=False, status=1)
    await look_at(services, ticket)
    assert {reason for reason, _ in (await outcomes(services, ticket)).values()} != {
        "removed_by_person"
    }
    assert tenant.linked_contacts(ticket) == [ours(tenant)]


# --- an ending that is refused while a ticket wants the contact -----------------------------------


@pytest.fixture
async def half_undone(clock: Clock, services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket that was undone but for the deactivation of Nina's contact, which is refused."""
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) == Result.DONE
    tenant.faults.add(Fault("error_500_errors", after=1, text="No.", times=None, **PATCH))
    await Undo(services, "writer", dry_run=False).ticket(made)
    async with services.sessions() as session, session.begin():
        await session.execute(delete(Mapping))
    assert stands(contact(tenant, ours(tenant))) == (1, None)
    return made


@pytest.mark.usefixtures("half_undone")
async def test_a_contact_that_is_stuck_uses_up_few_calls(
    services: Services, tenant: Tenant, people: Seed, clock: Clock
) -> None:
    """Another ticket waits longer each time, whatever the chore does meanwhile."""
    other = tenant.new_ticket(people.alpine, cc=NINA)
    looks, passed = 0, 0.0
    while passed < 3600:
        assert await look_at(services, other) is None
        looks += 1
        wait = due_in((await due_of(services, other)).due_at, await now(services.sessions))
        clock.advance(seconds=wait + 0.1)
        passed += wait
    assert looks <= 20


@pytest.mark.usefixtures("half_undone")
async def test_a_refused_deactivation_gives_the_contact_back_to_a_ticket_that_wants_it(
    services: Services, tenant: Tenant, people: Seed, clock: Clock
) -> None:
    """Its address is put back, and the ticket gets the contact that is there."""
    other = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, other) is None
    tenant.faults.clear()
    tenant.faults.add(Fault("error_500_errors", text="No.", **PATCH))
    clock.advance(hours=1)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    assert (await ledger_of(services, ours(tenant))).state == LedgerState.CREATED
    assert await look_at(services, other) == Result.DONE
    assert tenant.linked_contacts(other) == [ours(tenant)]


def due_in(due_at: datetime | None, now: datetime) -> float:
    """Return the seconds until something is due."""
    assert due_at is not None
    return (due_at - now).total_seconds()
