"""A ticket that moves to another account: ours is taken back, and everybody is decided anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.db.states import Result
from app.db.tables import LinkRecord
from app.services import Services
from sandbox.model import COMPLETE
from sandbox.seed import VENDOR, Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import due_of, look_at, outcomes, people_of, result_of, rows
from tests.support.lifetimes import ALPINE, NINA, follow_up, look_at_all, say

CARLA = "carla.mendes@alpine-dental.example"
NEW = "new@harbour-soehne.example"
API = "/ATServicesRest/v1.0"
LINKS = "AdditionalContacts"
Switch = pytest.mark.parametrize("moved_links", ["stay", "dropped"])


def made(tenant: Tenant) -> list[str]:
    """Give the calls that were made, in their order, and forget them."""
    calls = [f"{call.method} {call.path.removeprefix(API)}" for call in tenant.calls]
    tenant.forget_calls()
    return calls


async def decided(services: Services, tenant: Tenant, people: Seed, cc: str, **fields: Any) -> int:
    """Make a ticket of Alpine's and look at it."""
    ticket = tenant.new_ticket(people.alpine, cc=cc, **fields)
    assert await look_at(services, ticket) == Result.DONE
    tenant.forget_calls()
    return ticket


def companies_on(tenant: Tenant, ticket: int) -> list[int]:
    """Give the company of each additional contact of a ticket."""
    return [tenant.contacts[one]["companyID"] for one in tenant.linked_contacts(ticket)]


@Switch
async def test_a_move_with_every_call(
    services: Services, tenant: Tenant, people: Seed, moved_links: Any
) -> None:
    """Ours off one after another, read back; only then the new account's people; Bruno's is his."""
    tenant.switches.moved_links = moved_links
    await decided(services, tenant, people, VENDOR)
    away = tenant.new_ticket(people.harbour, cc=VENDOR)
    await look_at(services, away)  # so that what is slow to change is known
    cc = f"{CARLA}, {VENDOR}, {NINA}, {NEW}"
    ticket = await decided(services, tenant, people, cc, contact_id=people.ana)
    tenant.link(ticket, people.bruno)
    [nina] = tenant.contacts_with(NINA)
    row = {one["contactID"]: one["id"] for one in tenant.link_rows(ticket)}
    assert list(row) == [people.carla, people.vendor_at_alpine, nina["id"], people.bruno]
    tenant.move_ticket(ticket, people.harbour)

    await follow_up(services)

    on = f"/Tickets/{ticket}/{LINKS}"
    taken = [
        *(f"DELETE {on}/{row[people.carla]}", f"GET {on}"),
        *(f"DELETE {on}/{row[people.vendor_at_alpine]}", f"GET {on}"),
        *(f"DELETE {on}/{row[nina['id']]}", f"GET {on}"),
    ]
    assert made(tenant) == [
        "POST /Tickets/query",  # which have changed
        f"GET /Tickets/{ticket}",
        f"GET {on}",
        # That they are not there is believed after three readings.
        *(taken if moved_links == "stay" else [f"GET /Tickets/{ticket}", f"GET {on}"] * 2),
        f"GET /Tickets/{ticket}",
        f"GET {on}",
        "POST /Contacts/query",
        f"POST {on}",
        f"POST /Companies/{people.harbour}/Contacts",
        f"POST {on}",
    ]
    [new] = tenant.contacts_with(NEW)
    theirs = [people.bruno] if moved_links == "stay" else []
    assert tenant.linked_contacts(ticket) == [*theirs, people.vendor_at_harbour, new["id"]]
    assert new["companyID"] == people.harbour
    assert tenant.contacts_with(NINA) == [nina]
    assert nina["isActive"] == 1
    assert await outcomes(services, ticket) == {
        CARLA: ("other_client", "held"),
        VENDOR: ("known", "linked"),
        NINA: ("moved", "held"),
        NEW: ("inside", "created_and_linked"),
    }
    await look_at(services, ticket)
    assert [call for call in made(tenant) if "query" not in call and "GET" not in call] == []


async def test_strangers_are_seen_to_be_held_and_let_in_by_a_person(
    services: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, writer: Any
) -> None:
    """Though the new account lets everybody in: approved, or on its list, they come."""
    other = "ole@elsewhere.example"
    ticket = await decided(services, tenant, people, f"{NINA}, {other}, {CARLA}")
    await say(services, people.harbour, other_client="create")
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    seen = await api.get("/admin/participants?outcome=held&reason=moved", headers=writer)
    shown = [(one["address"], one["account_id"]) for one in seen.json()["items"]]
    assert sorted(shown) == sorted((key, people.harbour) for key in (NINA, other, CARLA))

    number = (await people_of(services, ticket))[NINA].id
    answer = await api.post(f"/admin/participants/{number}/approve", headers=writer)
    assert answer.status_code == 200, answer.text
    await look_at_all(services)
    await say(services, people.harbour, allowed=("elsewhere.example",))
    await look_at(services, ticket)
    both = [tenant.contacts_with(key, people.harbour)[0]["id"] for key in (NINA, other)]
    assert tenant.linked_contacts(ticket) == both
    assert (await outcomes(services, ticket))[CARLA] == ("other_client", "held")


async def test_an_approval_is_the_old_accounts(
    services: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, writer: Any
) -> None:
    """Alpine's people approved the address; nobody at Harbour has seen it."""
    await say(services, outside="hold")
    ticket = await decided(services, tenant, people, NINA)
    number = (await people_of(services, ticket))[NINA].id
    await api.post(f"/admin/participants/{number}/approve", headers=writer)
    await look_at_all(services)
    assert companies_on(tenant, ticket) == [people.alpine]
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    assert await outcomes(services, ticket) == {NINA: ("moved", "held")}
    assert tenant.linked_contacts(ticket) == []


@Switch
async def test_back_again_it_is_as_it_was(
    services: Services, tenant: Tenant, people: Seed, moved_links: Any
) -> None:
    """In its first account everybody is decided as at first: the same contacts, linked again."""
    tenant.switches.moved_links = moved_links
    ticket = await decided(services, tenant, people, f"{CARLA}, {VENDOR}, {NINA}, {NEW}")
    before, on = await outcomes(services, ticket), tenant.linked_contacts(ticket)
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    tenant.move_ticket(ticket, people.alpine, contact_id=people.ana)
    await follow_up(services)
    assert tenant.linked_contacts(ticket) == on
    after = await outcomes(services, ticket)
    assert {key: one[1] for key, one in after.items()} == {k: o[1] for k, o in before.items()}
    assert len(tenant.contacts_with(NINA)) == 1


@pytest.mark.parametrize("kind", ["reset_after", "reset_before", "late_commit"])
@pytest.mark.parametrize("what", [LINKS, f"/Companies/{ALPINE}/"])
async def test_moved_while_an_answer_is_missing(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, kind: Any, what: str
) -> None:
    """Whatever came of it: nobody of another company on the ticket, and one contact each."""
    services: Services = await make_services(create_settle=1)
    await decided(services, tenant, people, CARLA)
    tenant.faults.add(Fault(kind, method="POST", path_contains=what, seconds=0.5))
    cc = f"{NINA}, {VENDOR}, {NEW}"
    ticket = tenant.new_ticket(people.alpine, cc=cc)
    assert await look_at(services, ticket) is None
    tenant.move_ticket(ticket, people.harbour)
    for _ in range(40):
        if await look_at(services, ticket):
            break
        assert people.vendor_at_harbour not in tenant.linked_contacts(ticket) or (
            people.alpine not in companies_on(tenant, ticket)
        )
    assert await result_of(services, ticket) == Result.DONE
    [new] = tenant.contacts_with(NEW)
    assert tenant.linked_contacts(ticket) == [people.vendor_at_harbour, new["id"]]
    assert len(tenant.contacts_with(NINA)) <= 1
    assert (await outcomes(services, ticket))[NINA] == ("moved", "held")


@Switch
async def test_parked_and_taken_up(
    services: Services, tenant: Tenant, people: Seed, moved_links: Any
) -> None:
    """Into our own account: ours are off. With a customer again it is found and decided."""
    tenant.switches.moved_links = moved_links
    ticket = await decided(services, tenant, people, f"{VENDOR}, {NINA}")
    tenant.move_ticket(ticket, people.msp)
    await follow_up(services)
    assert await result_of(services, ticket) == Result.PARKED
    assert tenant.linked_contacts(ticket) == []
    tenant.forget_calls()
    await follow_up(services)
    assert made(tenant) == ["POST /Tickets/query"]
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    assert await result_of(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [people.vendor_at_harbour]
    assert (await outcomes(services, ticket))[NINA] == ("moved", "held")


async def test_parked_from_the_first_is_nobodys_move(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """It was in a catch-all account: its first customer decides as of a new ticket."""
    services: Services = await make_services(catch_all_accounts=(people.bakery,))
    ticket = tenant.new_ticket(people.bakery, cc=NINA)
    assert await look_at(services, ticket) == Result.PARKED
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}


async def test_a_ticket_that_is_over_and_moves(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Ours are off, and nobody is added."""
    ticket = await decided(services, tenant, people, f"{VENDOR}, {NINA}")
    tenant.link(ticket, people.bruno)
    tenant.update_ticket(ticket, callout=False, status=COMPLETE)
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    assert await result_of(services, ticket) == Result.COMPLETE
    assert tenant.linked_contacts(ticket) == [people.bruno]


async def test_a_link_that_autotask_does_not_let_go(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nobody of the new account comes, and the ticket stays due, until ours is off."""
    ticket = await decided(services, tenant, people, VENDOR)
    tenant.faults.add(Fault("error_500_errors", method="DELETE", text="No."))
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    due = await due_of(services, ticket)
    assert due.due_at is not None
    assert (await result_of(services, ticket), tenant.count("POST", path_contains=LINKS)) == (
        None,
        0,
    )
    assert companies_on(tenant, ticket) == [people.alpine]
    assert [row.unlinked_at for row in await rows(services, LinkRecord)] == [None]
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [people.vendor_at_harbour]


async def test_a_delete_without_an_answer_is_made_again(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """By the link's own id, so that nothing else can be hit by it."""
    ticket = await decided(services, tenant, people, VENDOR)
    tenant.faults.add(Fault("reset_before", method="DELETE"), Fault("reset_after", method="DELETE"))
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    assert tenant.count("DELETE") == 2
    assert tenant.linked_contacts(ticket) == [people.vendor_at_harbour]


async def test_who_was_put_on_again_by_hand_is_not_ours(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Under another id than that of our link: a person's, wherever the ticket goes."""
    ticket = await decided(services, tenant, people, f"{VENDOR}, {CARLA}")
    tenant.unlink(ticket, people.carla)
    tenant.link(ticket, people.carla)
    tenant.move_ticket(ticket, people.harbour)
    await follow_up(services)
    assert tenant.count("DELETE") == 1
    assert tenant.linked_contacts(ticket) == [people.carla, people.vendor_at_harbour]
