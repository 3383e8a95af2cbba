"""One look at a ticket, against the sandbox: who is added, at what cost, and what is recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app.db.states import LedgerState, Origin, Result
from app.db.tables import Ledger, LinkRecord, Mapping
from app.decide.policy import PolicyDocument
from app.records import mappings
from app.services import Services
from sandbox.seed import VENDOR, Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import (
    due_of,
    look_at,
    look_until_believed,
    outcomes,
    people_of,
    result_of,
    rows,
)

NINA = "nina@radiology.example"
SLOW = ("Resources", "Companies")  # read now and then, and kept


def calls(tenant: Tenant) -> int:
    """Count the calls of one ticket, without those that are cached for all."""
    told = [call for call in tenant.calls if "entityinformation" not in call.path.lower()]
    return sum(call.entity not in SLOW for call in told)


async def test_known_and_unknown_people_end_up_on_the_ticket(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The main job: a known person is linked, an unknown one created and linked."""
    cc = f"Bruno <bruno.keller@alpine-dental.example>, Nina Osei <{NINA}>"
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=cc)

    assert await look_at(services, ticket) == Result.DONE

    [nina] = tenant.contacts_with(NINA)
    assert sorted(tenant.linked_contacts(ticket)) == [people.bruno, nina["id"]]
    assert await outcomes(services, ticket) == {
        "bruno.keller@alpine-dental.example": ("known", "linked"),
        NINA: ("outside", "created_and_linked"),
    }
    assert tenant.tickets[ticket]["contactID"] == people.ana


async def test_a_new_contact_is_marked_and_gets_no_bulk_mail(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """What is created says whose it is, takes ticket mail, and is opted out of the rest."""
    ticket = tenant.new_ticket(people.alpine, cc=f'"Osei, Nina" <{NINA}>')
    await look_at(services, ticket)

    [nina] = tenant.contacts_with(NINA)
    [row] = await rows(services, Ledger)
    assert (nina["firstName"], nina["lastName"], nina["companyID"]) == ("Nina", "Osei", 174)
    assert nina["isActive"] == 1
    assert nina["receivesEmailNotifications"] is True
    opted_out = ("isOptedOutFromBulkEmail", "solicitationOptOut", "surveyOptOut")
    assert all(nina[name] for name in opted_out)
    number = tenant.tickets[ticket]["ticketNumber"]
    assert nina["note"] == f"autotask-cc {row.id}-{row.token}: Cc of {number}"
    assert (row.state, row.contact_id) == (LedgerState.CREATED, nina["id"])


async def test_a_second_look_finds_nothing_to_do(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Deliveries come twice: the second look writes nothing and keeps the first one's reasons."""
    cc = f"carla.mendes@alpine-dental.example, {NINA}"
    ticket = tenant.new_ticket(people.alpine, cc=cc)
    await look_at(services, ticket)
    before = await outcomes(services, ticket)
    tenant.forget_calls()

    assert await look_at(services, ticket) == Result.DONE

    assert [call.path for call in tenant.calls if call.method != "GET"] == []
    assert await outcomes(services, ticket) == before


@pytest.mark.parametrize(("count", "relatives"), [(1, 0), (5, 0), (20, 0), (5, 1)])
async def test_known_people_cost_three_calls_and_one_each(
    services: Services, tenant: Tenant, people: Seed, count: int, relatives: int
) -> None:
    """k known people: at most k + 3 calls; k + 2 when they were seen within the hour.

    In an account with a parent or sub-organisations they are read each time.
    """
    account, own = (people.alpine, people.ana) if relatives else (people.harbour, people.jurgen)
    emails = [f"p{n}@elsewhere.example" for n in range(count)]
    for email in emails:
        tenant.add_contact(account, email)
    first = tenant.new_ticket(account, contact_id=own, cc=", ".join(emails))
    second = tenant.new_ticket(account, contact_id=own, cc=", ".join(emails))

    await look_at(services, first)
    assert calls(tenant) == count + 3

    tenant.forget_calls()
    await look_at(services, second)
    assert calls(tenant) == count + 2 + relatives
    assert len(tenant.linked_contacts(second)) == count


@pytest.mark.parametrize("count", [1, 5, 10, 20])
async def test_unknown_people_cost_three_calls_and_two_each(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, count: int
) -> None:
    """u unknown people: at most 2u + 3 calls. (Twenty need a limit above the default ten.)"""
    services = await make_services(default_policy=PolicyDocument(max_new_per_ticket=20))
    emails = [f"new{n}@elsewhere.example" for n in range(count)]
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc="; ".join(emails))

    await look_at(services, ticket)

    assert calls(tenant) == 2 * count + 3
    assert len(tenant.linked_contacts(ticket)) == count


async def test_the_same_person_in_two_companies_is_taken_from_the_tickets_own(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """I3: a vendor of two customers is linked as each customer's own contact."""
    alpine = tenant.new_ticket(people.alpine, cc=VENDOR)
    harbour = tenant.new_ticket(people.harbour, cc=VENDOR)
    bakery = tenant.new_ticket(people.bakery, cc=VENDOR)
    for ticket in (alpine, harbour, bakery):
        await look_at(services, ticket)

    assert tenant.linked_contacts(alpine) == [people.vendor_at_alpine]
    assert tenant.linked_contacts(harbour) == [people.vendor_at_harbour]
    [created] = tenant.contacts_with(VENDOR, people.bakery)
    assert tenant.linked_contacts(bakery) == [created["id"]]


async def test_the_tickets_contact_in_the_parent_company_is_not_added(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Line 6: a requester of the parent company, by any address, gets no twin in the child."""
    ticket = tenant.new_ticket(
        people.alpine_west, contact_id=people.bruno, cc="bkeller@alpine-dental.example"
    )
    await look_at(services, ticket)

    reasons = await outcomes(services, ticket)
    assert reasons == {"bkeller@alpine-dental.example": ("ticket_contact", "ignored")}
    assert tenant.linked_contacts(ticket) == []
    assert tenant.tickets[ticket]["contactID"] == people.bruno


async def test_two_addresses_of_one_contact_make_one_link(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The sandbox would store a second row; nobody asks it to."""
    cc = "bruno.keller@alpine-dental.example, bkeller@alpine-dental.example"
    ticket = tenant.new_ticket(people.alpine, cc=cc)
    await look_at(services, ticket)

    assert tenant.linked_contacts(ticket) == [people.bruno]
    assert {outcome for _, outcome in (await outcomes(services, ticket)).values()} == {"linked"}


async def test_a_contact_that_a_person_removed_is_not_added_again(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Line 8, for a link of ours and for one that was there before we looked."""
    cc = "carla.mendes@alpine-dental.example, bkeller@alpine-dental.example"
    ticket = tenant.new_ticket(people.alpine, cc=cc)
    tenant.link(ticket, people.bruno)
    await look_at(services, ticket)
    tenant.unlink(ticket, people.carla)
    tenant.unlink(ticket, people.bruno)

    await look_until_believed(services, ticket)

    assert tenant.linked_contacts(ticket) == []
    found = await outcomes(services, ticket)
    assert set(found.values()) == {("removed_by_person", "ignored")}


async def test_a_mapped_contact_that_went_inactive_is_held(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The mapping was verified a moment ago, Autotask refuses the link: read again, then hold."""
    carla = "carla.mendes@alpine-dental.example"
    await look_at(services, tenant.new_ticket(people.alpine, cc=carla))
    tenant.contacts[people.carla]["isActive"] = 0
    ticket = tenant.new_ticket(people.alpine, cc=carla)

    assert await look_at(services, ticket) == Result.DONE

    assert await outcomes(services, ticket) == {carla: ("inactive", "held")}
    assert len(tenant.contacts_with(carla)) == 1


async def test_a_mapped_contact_that_vanished_is_found_anew_or_created(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A mapping to a missing contact is dropped, and the one that has the address now is taken."""
    await look_at(services, tenant.new_ticket(people.alpine, cc=NINA))
    [first] = tenant.contacts_with(NINA)
    for row in [row for row in tenant.links.values() if row["contactID"] == first["id"]]:
        del tenant.links[row["id"]]
    del tenant.contacts[first["id"]]
    async with services.sessions() as session, session.begin():
        # A contact of ours that does not show at once is believed to come.
        long_ago = func.now() - timedelta(hours=1)
        await session.execute(update(Ledger).values(settled_at=long_ago))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_until_believed(services, ticket) == Result.DONE

    [second] = tenant.contacts_with(NINA)
    assert tenant.linked_contacts(ticket) == [second["id"]]
    [mapping] = await rows(services, Mapping)
    assert mapping.contact_id == second["id"]
    states = sorted(row.state for row in await rows(services, Ledger))
    assert states == [LedgerState.CREATED, LedgerState.GONE]


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({"status": 5}, Result.COMPLETE),
        ({"companyID": 0}, Result.PARKED),
    ],
)
async def test_complete_and_unassigned_tickets_get_nobody(
    services: Services, tenant: Tenant, people: Seed, change: dict[str, Any], result: Result
) -> None:
    """One call tells that nobody is to be added."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    tenant.update_ticket(ticket, **change)

    assert await look_at(services, ticket) == result
    assert len(tenant.calls) == 1
    assert tenant.contacts_with(NINA) == []


async def test_a_ticket_that_does_not_exist_is_gone_after_three_calls(
    services: Services, tenant: Tenant
) -> None:
    """Deleted before we looked; it is read over two minutes, as readings may lag."""
    assert await look_at(services, 999) is None
    assert await look_until_believed(services, 999) == Result.GONE
    assert len(tenant.calls) == 4
    assert (await due_of(services, 999)).due_at is None


async def test_no_list_is_a_result(services: Services, tenant: Tenant, people: Seed) -> None:
    """A ticket by phone has no Cc list; that is said, not silent."""
    assert await look_at(services, tenant.new_ticket(people.alpine)) == Result.NO_LIST


async def test_thirty_people_fit_and_the_best_known_come_first(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Line 15: who has no place is held; a known colleague comes before strangers."""
    for n in range(28):
        tenant.add_contact(people.alpine, f"p{n}@alpine-dental.example")
    known = [f"p{n}@alpine-dental.example" for n in range(28)]
    strangers = [f"s{n}@elsewhere.example" for n in range(12)]
    inside = "new@alpine-dental.example"
    cc = ",".join([*strangers, inside, *known])
    ticket = tenant.new_ticket(people.alpine, cc=cc)

    assert await look_at(services, ticket) == Result.DONE

    found = await outcomes(services, ticket)
    assert len(tenant.linked_contacts(ticket)) == 30
    assert all(found[email] == ("known", "linked") for email in known)
    assert found[inside] == ("inside", "created_and_linked")
    assert found[strangers[0]] == ("outside", "created_and_linked")
    assert all(found[email] == ("over_limit", "held") for email in strangers[1:])


async def test_a_refusal_is_the_persons_and_never_the_tickets(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """One contact that Autotask will not have is tried again later; the others are done."""
    fault = Fault(
        "error_500_errors",
        method="POST",
        entity="Contacts",
        path_contains="/Companies/",
        text="No, thanks.",
    )
    tenant.faults.add(fault)
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, carla.mendes@alpine-dental.example")

    assert await look_at(services, ticket) is None

    one = (await people_of(services, ticket))[NINA]
    assert (one.outcome, one.detail, one.failures) == (None, "POST Contacts: No, thanks.", 1)
    assert tenant.linked_contacts(ticket) == [people.carla]
    assert (await due_of(services, ticket)).due_at == one.retry_at


async def test_required_fields_of_a_tenant_come_from_the_settings(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """A tenant that wants a title on every contact gets one."""
    tenant.required_contact_fields = ("title",)
    services = await make_services(contact_defaults={"title": "via e-mail"})
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_at(services, ticket) == Result.DONE
    assert tenant.contacts_with(NINA)[0]["title"] == "via e-mail"


async def test_wrong_credentials_pause_everything_and_fail_nobody(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """After one refusal no further call leaves; the ticket waits and spends no attempt."""
    tenant.secret = "changed at Autotask"
    first = tenant.new_ticket(people.alpine, cc=NINA)
    second = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_at(services, first) is None
    assert len(tenant.calls) == 1
    assert await result_of(services, first) is None
    assert (await due_of(services, first)).tries == 0
    assert await look_at(services, second) is None
    assert len(tenant.calls) == 1


async def test_an_answer_lost_on_the_way_makes_no_second_contact(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The create took effect, its answer did not come: the next look recognises the contact."""
    tenant.faults.add(
        Fault("reset_after", method="POST", entity="Contacts", path_contains="/Companies/")
    )
    ticket = tenant.new_ticket(people.alpine, cc=NINA)

    assert await look_at(services, ticket) is None
    assert [row.state for row in await rows(services, Ledger)] == [LedgerState.UNSURE]
    assert await look_at(services, ticket) == Result.DONE

    [nina] = tenant.contacts_with(NINA)
    assert tenant.linked_contacts(ticket) == [nina["id"]]
    [row] = await rows(services, Ledger)
    assert (row.state, row.contact_id, row.sends) == (LedgerState.CREATED, nina["id"], 1)
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


async def test_a_link_whose_answer_was_lost_is_seen_and_not_sent_again(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The sandbox would make a second row of it."""
    tenant.faults.add(Fault("reset_after", method="POST", path_contains="AdditionalContacts"))
    carla = "carla.mendes@alpine-dental.example"
    ticket = tenant.new_ticket(people.alpine, cc=carla)

    assert await look_at(services, ticket) is None
    assert await look_at(services, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == [people.carla]
    assert await outcomes(services, ticket) == {carla: ("known", "linked")}
    [link] = await rows(services, LinkRecord)
    assert link.ours


async def test_a_ticket_brings_ten_new_people_however_often_it_is_looked_at(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The limit is the ticket's, not one look's."""
    emails = [f"new{n}@elsewhere.example" for n in range(25)]
    ticket = tenant.new_ticket(people.alpine, cc=", ".join(emails))
    for _ in range(3):
        assert await look_at(services, ticket) == Result.DONE

    found = await outcomes(services, ticket)
    assert len(tenant.linked_contacts(ticket)) == 10
    assert sum(value == ("over_limit", "held") for value in found.values()) == 15


async def test_somebody_taken_out_of_the_list_while_waiting_is_not_added(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nothing has been sent for him yet, and the list says that he is not copied any more."""
    tenant.faults.add(
        Fault(
            "error_500_errors",
            method="POST",
            entity="Contacts",
            path_contains="/Companies/",
            text="No.",
        )
    )
    carla = "carla.mendes@alpine-dental.example"
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {carla}")
    await look_at(services, ticket)
    tenant.update_ticket(ticket, cc=carla)

    assert await look_at(services, ticket) == Result.DONE

    found = await outcomes(services, ticket)
    assert found == {NINA: ("not_listed", "ignored"), carla: ("known", "linked")}
    assert tenant.contacts_with(NINA) == []


async def test_an_international_domain_is_found_however_it_is_spelt(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Autotask has what a person typed; a Cc header can have the other form."""
    known = tenant.add_contact(people.alpine, "x@müller.example")
    ticket = tenant.new_ticket(people.alpine, cc="x@xn--mller-kva.example")

    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [known]


@pytest.mark.parametrize(
    "cc", ["a@x.example\nBcc: a@x.example", "foo; Bcc: foo", f"{NINA}, {NINA}, <{NINA}>"]
)
async def test_what_a_list_says_twice_is_decided_once(
    services: Services, tenant: Tenant, people: Seed, cc: str
) -> None:
    """A key has one participant, also where one entry is usable and its twin is not."""
    ticket = tenant.new_ticket(people.alpine, cc=cc)
    assert await look_at(services, ticket) == Result.DONE
    assert len(await people_of(services, ticket)) == 1


async def test_a_manual_mapping_stands_until_its_contact_is_gone(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Its contact is inactive and another has the address: he is linked, the mapping stays."""
    vendor = tenant.add_contact(people.alpine, "old@dentsoft.example", active=0)
    async with services.sessions() as session, session.begin():
        await mappings.remember(session, people.alpine, {VENDOR: vendor}, Origin.MANUAL)
        await session.execute(update(Mapping).values(verified_at=func.now() - timedelta(hours=2)))
    ticket = tenant.new_ticket(people.alpine, cc=VENDOR)

    assert await look_at(services, ticket) == Result.DONE

    assert tenant.linked_contacts(ticket) == [people.vendor_at_alpine]
    [mapping] = await rows(services, Mapping)
    assert (mapping.origin, mapping.contact_id) == (Origin.MANUAL, vendor)
