"""A ticket that was merged into another one: its people are carried over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.db.states import Result
from app.services import Services
from sandbox.calls import Call
from sandbox.model import COMPLETE
from sandbox.seed import VENDOR, Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import (
    look_at,
    look_until_believed,
    mailbox_of,
    outcomes,
    people_of,
    result_of,
)
from tests.support.lifetimes import NINA, contact, end, follow_up, say, stands

ANA = "Ana Ruiz <ana.ruiz@alpine-dental.example>"
BRUNO = "bruno.keller@alpine-dental.example"
CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"
API = "/ATServicesRest/v1.0"
LINKS = "AdditionalContacts"


def made(tenant: Tenant) -> list[str]:
    """Give the calls that were made, in their order, and forget them."""
    calls = [f"{call.method} {call.path.removeprefix(API)}" for call in tenant.calls]
    tenant.forget_calls()
    return calls


async def decided(
    services: Services, tenant: Tenant, account_id: int, cc: str | None, **fields: Any
) -> int:
    """Make a ticket and look at it."""
    text = "It hums.\nSince Monday."
    ticket = tenant.new_ticket(account_id, cc=cc, description=text, **fields)
    await look_at(services, ticket)
    tenant.forget_calls()
    return ticket


async def merge(services: Services, tenant: Tenant, source: int, into: int) -> None:
    """Merge a ticket, and let us notice."""
    tenant.merge_tickets(source, into)
    await follow_up(services)


@pytest.mark.parametrize("absorbed_title", ["brackets", "plain"])
@pytest.mark.parametrize("merged_links", ["left", "carried"])
async def test_a_merge_with_every_call(
    services: Services, tenant: Tenant, people: Seed, merged_links: Any, absorbed_title: Any
) -> None:
    """Who is on the source gets onto the destination, once; the source is read once."""
    tenant.switches.merged_links = merged_links
    tenant.switches.absorbed_title = absorbed_title
    source = await decided(services, tenant, people.alpine, f"{CARLA}, {NINA}")
    into = await decided(services, tenant, people.alpine, BRUNO)
    [nina] = tenant.contacts_with(NINA)
    await merge(services, tenant, source, into)
    on = f"/Tickets/{into}/{LINKS}"
    # The account has a sub-organisation, so its contacts are read before they are linked.
    contacts = "POST /Contacts/query"
    linked = [contacts, f"POST {on}", f"POST {on}"] if merged_links == "left" else []
    assert made(tenant) == [
        "POST /Tickets/query",  # which have changed
        f"GET /Tickets/{source}",
        f"GET /Tickets/{source}/Notes",
        "POST /Resources/query",  # who wrote them
        "POST /Tickets/query",  # by their numbers
        f"GET /Tickets/{into}/Notes",
        f"GET /Tickets/{source}/{LINKS}",
        f"GET /Tickets/{into}",
        f"GET {on}",
        *linked,
    ]
    assert tenant.linked_contacts(into) == [people.bruno, people.carla, nina["id"]]
    assert tenant.linked_contacts(source) == [people.carla, nina["id"]]
    put = "linked" if merged_links == "left" else "already_linked"
    assert {key: one[1] for key, one in (await outcomes(services, into)).items()} == {
        BRUNO: "linked",
        CARLA: put,
        NINA: put,
    }
    assert (await people_of(services, into))[NINA].carried_from == source
    await look_at(services, source)
    assert made(tenant) == [f"GET /Tickets/{source}"]
    await look_at(services, into)
    assert tenant.count("POST", path_contains=LINKS) == 0


async def test_who_is_not_carried(
    services: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, writer: Any
) -> None:
    """Removed by hand, noticed or not; rejected; removed on the destination. Held stays held."""
    await say(services, outside="hold")
    other = "ole@elsewhere.example"
    everybody = f"{CARLA}, {BRUNO}, {VENDOR}, {DORA}, {NINA}, {other}"
    source = await decided(services, tenant, people.alpine, everybody)
    into = await decided(services, tenant, people.alpine, VENDOR)
    tenant.unlink(into, people.vendor_at_alpine)
    tenant.unlink(source, people.carla)
    await look_until_believed(services, source)
    tenant.unlink(source, people.bruno)
    number = (await people_of(services, source))[other].id
    await api.post(f"/admin/participants/{number}/reject", headers=writer)
    await merge(services, tenant, source, into)
    assert tenant.linked_contacts(into) == []
    assert await outcomes(services, into) == {
        VENDOR: ("removed_by_person", "ignored"),
        DORA: ("inactive", "held"),
        NINA: ("outside", "held"),
    }


async def test_a_machines_people_are_not_carried(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """Nobody has asked for them."""
    services: Services = await make_services(cc_sources=("mailbox",), **mailbox_of(server))
    headers = {"Auto-Submitted": "auto-replied"}
    source = tenant.receive_mail(
        people.alpine, sender=ANA, subject="Out of office", cc=[CARLA, NINA], headers=headers
    )
    tenant.update_ticket(source, description="I am away.")
    await look_at(services, source)
    into = await decided(services, tenant, people.alpine, None)
    await merge(services, tenant, source, into)
    assert (await outcomes(services, source))[NINA] == ("automatic_mail", "held")
    assert await outcomes(services, into) == {}


async def test_an_approval_does_not_go_along(
    services: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, writer: Any
) -> None:
    """It was for the source, which nobody has looked at since: on the other one she is held."""
    await say(services, outside="hold")
    source = await decided(services, tenant, people.alpine, NINA)
    into = await decided(services, tenant, people.alpine, None)
    number = (await people_of(services, source))[NINA].id
    await api.post(f"/admin/participants/{number}/approve", headers=writer)
    await merge(services, tenant, source, into)
    assert await outcomes(services, into) == {NINA: ("outside", "held")}


async def test_a_rejection_in_the_last_moment_counts(
    services: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, writer: Any
) -> None:
    """While the destination is being looked for."""
    source = await decided(services, tenant, people.alpine, f"{CARLA}, {DORA}")
    into = await decided(services, tenant, people.alpine, None)
    path = f"/admin/participants/{(await people_of(services, source))[DORA].id}/reject"
    loop = asyncio.get_running_loop()

    def reject(call: Call) -> None:
        if "/Notes" in call.path:
            tenant.before_call = lambda _: None
            asyncio.run_coroutine_threadsafe(api.post(path, headers=writer), loop).result(10)

    tenant.before_call = reject
    await merge(services, tenant, source, into)
    assert (await outcomes(services, source))[DORA] == ("rejected", "ignored")
    assert await outcomes(services, into) == {CARLA: ("known", "linked")}


async def test_its_own_list_does_not_drop_them(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The destination's list names somebody else, then another: who was carried stays wanted."""
    source = await decided(services, tenant, people.alpine, f"{CARLA}, {DORA}")
    into = await decided(services, tenant, people.alpine, f"{BRUNO}, {VENDOR}")
    await merge(services, tenant, source, into)
    tenant.update_ticket(into, cc=BRUNO)
    await look_at(services, into)
    found = await outcomes(services, into)
    assert (found[CARLA], found[DORA]) == (("known", "linked"), ("inactive", "held"))


async def test_what_there_is_room_for(services: Services, tenant: Tenant, people: Seed) -> None:
    """Thirty on a ticket, and as many new ones as the policy allows; the others are held."""
    await say(services, max_new_per_ticket=1)
    new = [f"s{n}@elsewhere.example" for n in range(3)]
    source = await decided(services, tenant, people.alpine, ", ".join([CARLA, VENDOR, BRUNO, *new]))
    into = await decided(services, tenant, people.alpine, "s9@elsewhere.example")
    for n in range(27):
        tenant.link(into, tenant.add_contact(people.alpine, f"f{n}@x.example"))
    await merge(services, tenant, source, into)
    assert len(tenant.linked_contacts(into)) == 30
    found = await outcomes(services, into)
    assert [key for key, one in found.items() if one[1] == "linked"] == [CARLA, VENDOR]
    held = [key for key, one in found.items() if one == ("over_limit", "held")]
    assert held == [BRUNO, *new]


async def test_a_number_in_a_note_is_not_enough(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A technician wrote it; nobody has absorbed anything. Nor does a note of another ticket do."""
    source = await decided(services, tenant, people.alpine, CARLA)
    into = await decided(services, tenant, people.alpine, BRUNO)
    third = await decided(services, tenant, people.alpine, None)
    numbers = {one: tenant.tickets[one]["ticketNumber"] for one in (source, into, third)}
    tenant.add_note(source, "See also", f"The same as {numbers[into]}?")
    tenant.add_note(into, f"Like {numbers[source]}", f"Absorbed ticket description {third}")
    tenant.add_note(into, f"Absorbed Ticket Description [{numbers[third]}]", "It hums.")
    tenant.add_note(third, f"Absorbed Ticket Description [{numbers[source]}]", "It hums.")
    tenant.update_ticket(source, status=COMPLETE)
    await follow_up(services)
    assert list(await outcomes(services, into)) == [BRUNO]
    assert await outcomes(services, third) == {}


async def test_another_companys_ticket_gets_nobody(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Whatever the notes of both say."""
    source = await decided(services, tenant, people.alpine, f"{CARLA}, {VENDOR}")
    into = await decided(services, tenant, people.alpine, None)
    tenant.merge_tickets(source, into)
    tenant.move_ticket(into, people.harbour)
    await look_at(services, into)
    await follow_up(services)
    assert await outcomes(services, into) == {}


@pytest.mark.parametrize("seen", ["before", "at once"])
async def test_who_came_with_a_move_is_not_let_in_by_a_merge(
    services: Services, tenant: Tenant, people: Seed, seen: str
) -> None:
    """Held on the moved ticket, or not decided about there: a stranger to the other ticket, too."""
    await say(services, outside="hold")
    source = await decided(services, tenant, people.alpine, f"{VENDOR}, {NINA}")
    into = await decided(services, tenant, people.harbour, None)
    tenant.move_ticket(source, people.harbour)
    if seen == "before":
        await follow_up(services)
    await merge(services, tenant, source, into)
    assert tenant.contacts_with(NINA, people.harbour) == []
    on = [people.vendor_at_harbour] if seen == "before" else []
    assert tenant.linked_contacts(into) == on


@pytest.mark.parametrize("order", [(0, 1), (1, 0), None])
async def test_a_merge_of_a_merged_one(
    services: Services, tenant: Tenant, people: Seed, order: tuple[int, int] | None
) -> None:
    """Into the second and that into the third, in whatever order we notice."""
    first, second, third = [
        await decided(services, tenant, people.alpine, cc)
        for cc in (f"{CARLA}, {NINA}", BRUNO, None)
    ]
    tenant.merge_tickets(first, second)
    tenant.merge_tickets(second, third)
    for one in order or ():
        await look_at(services, (first, second)[one])
        await follow_up(services)
    await follow_up(services)
    [nina] = tenant.contacts_with(NINA)
    assert sorted(tenant.linked_contacts(third)) == [people.bruno, people.carla, nina["id"]]
    assert tenant.linked_contacts(second) == [people.bruno]


async def test_notes_that_cannot_be_read_yet(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Then the source is not over for us, and is looked at again."""
    source = await decided(services, tenant, people.alpine, CARLA)
    into = await decided(services, tenant, people.alpine, None)
    tenant.faults.add(Fault("error_500", method="GET", path_contains="/Notes", times=None))
    await merge(services, tenant, source, into)
    assert await result_of(services, source) is None
    tenant.faults.clear()
    assert await look_at(services, source) == Result.COMPLETE
    await look_at(services, into)
    assert tenant.linked_contacts(into) == [people.carla]


async def test_a_contact_lives_as_long_as_the_destination(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Its own ticket is long over; the other one and its grace count."""
    await say(services, lifetime={"outside": "ticket"}, grace_days=7)
    source = await decided(services, tenant, people.alpine, NINA)
    into = await decided(services, tenant, people.alpine, None)
    [nina] = tenant.contacts_with(NINA)
    await merge(services, tenant, source, into)
    clock.advance(days=30)
    await end(services)
    assert tenant.linked_contacts(into) == [nina["id"]]
    tenant.update_ticket(into, status=COMPLETE)
    await follow_up(services)
    for days, left in ((6, (1, NINA)), (2, (0, None))):
        clock.advance(days=days)
        await end(services)
        assert stands(contact(tenant, nina["id"])) == left
    assert tenant.linked_contacts(source) == tenant.linked_contacts(into) == []
