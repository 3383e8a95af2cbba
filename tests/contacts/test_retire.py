"""Contacts for their tickets only: a whole life, and what keeps one alive."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from app.db.states import LedgerState, Result
from app.db.tables import Audit, Mapping, TicketRecord
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import changes, look_at, look_until_believed, outcomes, rows
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
    watch_mail,
)

INSIDE = "new.colleague@alpine-dental.example"


@pytest.fixture
def always_sane(tenant: Tenant) -> list[str]:
    """At each call: the mail of a person whose contact we created is never refused."""
    return watch_mail(tenant)


@pytest.fixture
async def nina(clock: Clock, services: Services, tenant: Tenant, people: Seed) -> int:
    """A contact that we created for a ticket only, with a grace of a week."""
    return await nina_of_a_ticket(services, tenant, grace_days=7)


async def test_a_whole_life(
    services: Services,
    tenant: Tenant,
    people: Seed,
    clock: Clock,
    nina: int,
    server: SandboxServer,
    always_sane: list[str],
) -> None:
    """Created, linked, complete, grace over, retired; copied again, active and linked; touched."""
    ticket = ticket_of(tenant, nina)
    [row] = tenant.link_rows(ticket)
    assert (await ledger_of(services, nina)).lifetime == "outside"

    await complete(services, tenant, ticket)
    clock.advance(days=6)
    tenant.forget_calls()
    await end(services)
    assert tenant.calls == []  # our records tell that the grace is not over
    assert stands(contact(tenant, nina)) == (1, NINA)

    clock.advance(days=1, minutes=1)
    await end(services)
    api = "/ATServicesRest/v1.0"
    assert changes(server) == [
        f"DELETE {api}/Tickets/{ticket}/AdditionalContacts/{row['id']}",
        f"PATCH {api}/Companies/{people.alpine}/Contacts",
        f"PATCH {api}/Companies/{people.alpine}/Contacts",
    ]
    assert stands(contact(tenant, nina)) == (0, None)
    assert tenant.linked_contacts(ticket) == []
    assert await outcomes(services, ticket) == {NINA: ("outside", "retired")}
    kept = await ledger_of(services, nina)
    assert (kept.state, kept.email) == (LedgerState.RETIRED, NINA)
    assert await rows(services, Mapping) == []
    assert tenant.who_mails(NINA, people.alpine) == "nobody"

    clock.advance(hours=1)
    tenant.forget_calls()
    again = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, again) == Result.DONE
    assert stands(contact(tenant, nina)) == (1, NINA)
    assert (contact(tenant, nina)["firstName"], contact(tenant, nina)["lastName"]) == (
        "Nina",
        "Osei",
    )
    assert tenant.linked_contacts(again) == [nina]
    assert await outcomes(services, again) == {NINA: ("outside", "created_and_linked")}
    assert [(row.email, row.contact_id) for row in await rows(services, Mapping)] == [(NINA, nina)]
    assert tenant.count("POST", "Contacts", "/Companies/") == 0

    tenant.change_contact(nina, phone="555-0199")
    await complete(services, tenant, again)
    clock.advance(days=8)
    await end(services)
    assert (await ledger_of(services, nina)).kept == "a person changed phone"
    tenant.forget_calls()
    clock.advance(days=3650)
    await end(services)
    assert tenant.calls == []
    assert stands(contact(tenant, nina)) == (1, NINA)
    assert tenant.linked_contacts(again) == [nina]

    assert always_sane == []
    told = [row.what for row in await rows(services, Audit) if row.who == "service"]
    assert told == ["contact_retiring", "contact_retired", "contact_restored", "contact_kept"]


async def test_the_last_ticket_counts(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """On two tickets: it ends a grace after the second one is complete."""
    first = ticket_of(tenant, nina)
    second = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, second)
    await complete(services, tenant, first)
    clock.advance(days=30)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)
    await complete(services, tenant, second)
    clock.advance(days=8)
    await end(services)
    assert stands(contact(tenant, nina)) == (0, None)
    assert tenant.linked_contacts(first) == tenant.linked_contacts(second) == []


async def test_a_ticket_that_is_open_again_keeps_its_people(
    services: Services, tenant: Tenant, clock: Clock, nina: int
) -> None:
    """Nobody told us: it is seen when the contact is about to be ended, and followed again."""
    ticket = ticket_of(tenant, nina)
    await complete(services, tenant, ticket)
    tenant.update_ticket(ticket, callout=False, status=1)
    clock.advance(days=8)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)
    assert tenant.linked_contacts(ticket) == [nina]
    await complete(services, tenant, ticket)
    clock.advance(days=8)
    await end(services)
    assert stands(contact(tenant, nina)) == (0, None)


async def test_complete_open_and_complete_again_begins_the_grace_anew(
    services: Services, tenant: Tenant, clock: Clock, nina: int
) -> None:
    """We noticed only the first time; Autotask's own date tells of the second."""
    ticket = ticket_of(tenant, nina)
    await complete(services, tenant, ticket)
    clock.advance(days=6)
    tenant.update_ticket(ticket, callout=False, status=1)
    tenant.update_ticket(ticket, callout=False, status=5)
    clock.advance(days=2)
    await end(services)
    assert stands(contact(tenant, nina)) == (1, NINA)
    clock.advance(days=6)
    await end(services)
    assert stands(contact(tenant, nina)) == (0, None)


async def test_a_ticket_that_is_open_again_gets_them_back(
    services: Services, tenant: Tenant, clock: Clock, nina: int
) -> None:
    """Told by a callout after its people were retired."""
    ticket = ticket_of(tenant, nina)
    await complete(services, tenant, ticket)
    clock.advance(days=8)
    await end(services)
    clock.advance(hours=1)
    tenant.update_ticket(ticket, callout=False, status=1)
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [nina]
    assert stands(contact(tenant, nina)) == (1, NINA)
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


async def test_who_was_found_is_never_ended(
    services: Services, tenant: Tenant, people: Seed, clock: Clock
) -> None:
    """Carla was there before us."""
    await say(services, lifetime=TICKET, grace_days=0)
    ticket = tenant.new_ticket(people.alpine, cc="carla.mendes@alpine-dental.example")
    await look_at(services, ticket)
    await complete(services, tenant, ticket)
    clock.advance(days=100)
    await end(services)
    assert contact(tenant, people.carla)["isActive"] == 1
    assert tenant.linked_contacts(ticket) == [people.carla]


@pytest.mark.parametrize(
    ("lifetime", "ended"),
    [
        ({"inside": "ticket"}, [INSIDE]),
        ({"outside": "ticket"}, [NINA]),
        ({"inside": "permanent", "outside": "ticket"}, [NINA]),
        (None, []),
    ],
)
async def test_each_class_has_its_lifetime(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, lifetime: Any, ended: list[str]
) -> None:
    """Permanent where nothing else is said."""
    await say(services, lifetime=lifetime, grace_days=0)
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {INSIDE}")
    await look_at(services, ticket)
    made = {key: tenant.contacts_with(key)[0] for key in (NINA, INSIDE)}
    await complete(services, tenant, ticket)
    clock.advance(minutes=1)
    await end(services)
    assert [key for key, one in made.items() if not one["isActive"]] == ended


async def test_a_policy_that_keeps_them_keeps_those_that_are_there(
    services: Services, tenant: Tenant, clock: Clock, nina: int
) -> None:
    """Whoever says permanent does not expect that anybody is ended still; nor whoever observes."""
    await complete(services, tenant, ticket_of(tenant, nina))
    clock.advance(days=8)
    for keeps in ({"lifetime": {"outside": "permanent"}}, {"lifetime": TICKET, "act": "observe"}):
        await say(services, **keeps)
        clock.advance(days=1)
        await end(services)
        assert stands(contact(tenant, nina)) == (1, NINA)
    await say(services, lifetime=TICKET)
    clock.advance(days=1)
    await end(services)
    assert stands(contact(tenant, nina)) == (0, None)


async def test_who_was_created_for_good_stays_when_the_policy_changes(
    services: Services, tenant: Tenant, people: Seed, clock: Clock
) -> None:
    """Only contacts that were created under the lifetime have it."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    await say(services, lifetime=TICKET, grace_days=0)
    await complete(services, tenant, ticket)
    clock.advance(days=1)
    await end(services)
    assert tenant.contacts_with(NINA)[0]["isActive"] == 1


async def test_a_deleted_ticket_is_over(
    services: Services, tenant: Tenant, clock: Clock, nina: int
) -> None:
    """What hung on it is gone with it."""
    tenant.delete_ticket(ticket_of(tenant, nina), callout=False)
    await follow_up(services)
    clock.advance(days=8)
    await end(services)
    assert stands(contact(tenant, nina)) == (0, None)


async def test_who_has_another_contact_by_now_is_linked_as_that(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """A technician made one after ours was ended: ours stays ended."""
    await complete(services, tenant, ticket_of(tenant, nina))
    clock.advance(days=8)
    await end(services)
    other = tenant.add_contact(people.alpine, NINA)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    assert tenant.linked_contacts(ticket) == [other]
    assert stands(contact(tenant, nina)) == (0, None)


async def test_who_was_deleted_is_created_anew(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """There is nothing to bring back."""
    await complete(services, tenant, ticket_of(tenant, nina))
    clock.advance(days=8)
    await end(services)
    del tenant.contacts[nina]
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_until_believed(services, ticket)
    [new] = tenant.contacts_with(NINA)
    assert tenant.linked_contacts(ticket) == [new["id"]]
    assert (await ledger_of(services, nina)).state == LedgerState.GONE


async def test_who_is_copied_right_after_the_end_is_back_at_once(
    services: Services, tenant: Tenant, people: Seed, clock: Clock, nina: int
) -> None:
    """All requests had their answers, so nothing can come late."""
    await complete(services, tenant, ticket_of(tenant, nina))
    clock.advance(days=8)
    await end(services)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [nina]
    assert len(tenant.contacts_with(NINA)) == 1


async def test_history_is_told_without_looks(
    services: Services, tenant: Tenant, clock: Clock, nina: int
) -> None:
    """What was complete long before we first asked needs no look: its date is enough."""
    ticket = ticket_of(tenant, nina)
    tenant.update_ticket(ticket, callout=False, status=5)
    async with services.sessions() as session, session.begin():
        # As the version before left it, which noted no more of a ticket.
        await session.execute(update(TicketRecord).values(created_at=None, stem=None))
    clock.advance(days=30)
    tenant.forget_calls()
    await follow_up(services)
    assert tenant.count(entity="Tickets") == 1
    await end(services)
    assert stands(contact(tenant, nina)) == (0, None)


async def test_who_was_forgotten_is_ended_and_not_kept_on_record(
    services: Services, tenant: Tenant, clock: Clock, nina: int, api: Any, writer: Any
) -> None:
    """The address goes with the contact, and nobody brings it back."""
    ticket = ticket_of(tenant, nina)
    assert (await api.delete(f"/admin/people/{NINA}", headers=writer)).status_code == 200
    await complete(services, tenant, ticket)
    clock.advance(days=8)
    await end(services)
    row = await ledger_of(services, nina)
    assert (row.state, row.sent, NINA in row.email) == (LedgerState.RETIRED, None, False)
    assert stands(contact(tenant, nina)) == (0, None)
    again = tenant.new_ticket(ALPINE, cc=NINA)
    assert await look_at(services, again) == Result.DONE
    assert tenant.linked_contacts(again) == []
