"""The HTTP client against the sandbox: what it takes back, what it says on a ticket, in time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from math import inf
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app.autotask import calls, protocol
from app.autotask.calls import PERMIT_SECONDS
from app.autotask.client import Autotask, Credentials
from app.autotask.errors import Refusal, Refused, TooLate, Unanswered
from sandbox import routes
from sandbox.seed import Seed
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant
from tests.support.clients import Door, answered_by

Write = Callable[[Autotask, Seed, int, float], Coroutine[Any, Any, object]]

WRITES: dict[str, Write] = {
    "activate": lambda a, p, _, t: a.activate_contact(p.alpine, p.dora, t),
    "deactivate": lambda a, p, _, t: a.deactivate_contact(p.alpine, p.ana, t),
    "unlink": lambda a, p, link, t: a.unlink(p.open_ticket, link, t),
    "note": lambda a, p, _, t: a.create_note(p.open_ticket, "Cc", "Nia was added.", 2, 3, t),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))


@pytest.fixture
def link(tenant: Tenant, people: Seed) -> int:
    """The row by which Bruno is on the open ticket."""
    return int(tenant.link_rows(people.open_ticket, people.bruno)[0]["id"])


def state(tenant: Tenant) -> str:
    """Return everything that the writes could have changed."""
    return json.dumps([tenant.contacts, tenant.links, tenant.notes])


# --- companies -----------------------------------------------------------------------------------


async def test_active_companies_come_with_what_is_used_of_them(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """Name, type, domain, parent; thousands of them would be megabytes with all their fields."""
    tenant.add_company("Gone", "gone.example", isActive=False)
    companies = {one.id: one for one in await autotask.active_companies()}

    assert sorted(companies) == [
        0,
        people.alpine,
        people.alpine_west,
        people.harbour,
        people.bakery,
    ]
    west = companies[people.alpine_west]
    assert (west.web_address, west.parent_id) == ("west.alpine-dental.example", people.alpine)
    assert (west.name, west.type) == ("Alpine Dental West", 1)
    assert tenant.calls[0].body["IncludeFields"] == [
        "id",
        "companyName",
        "companyType",
        "webAddress",
        "parentCompanyID",
    ]
    assert (door.entered, door.writes) == (["Companies"], 0)


async def test_all_companies_are_read(autotask: Autotask, tenant: Tenant) -> None:
    """Page by page, each as small as the first."""
    for n in range(501):
        tenant.add_company(f"Company {n}")
    assert len({one.id for one in await autotask.active_companies()}) == 501
    assert len(tenant.calls) == 2
    assert len({json.dumps(call.body) for call in tenant.calls}) == 1


# --- contacts ------------------------------------------------------------------------------------


async def test_a_contact_is_switched_off_and_on_again(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """Nothing else of it changes, below the path of its company."""
    before = {**tenant.contacts[people.ana]}

    def changed() -> dict[str, Any]:
        now = tenant.contacts[people.ana]
        return {k: v for k, v in now.items() if v != before[k] and k != "lastModifiedDate"}

    await autotask.deactivate_contact(people.alpine, people.ana, inf)
    assert changed() == {"isActive": 0}
    await autotask.activate_contact(people.alpine, people.ana, inf)
    assert changed() == {}
    assert door.entered == ["Contacts"] * 2
    assert door.writes == 2


async def test_a_contact_that_is_not_there_is_missing(
    autotask: Autotask, tenant: Tenant, people: Seed
) -> None:
    """Another company's is none of this one's."""
    for contact_id in (people.jurgen, 1):
        with pytest.raises(Refused) as caught:
            await autotask.deactivate_contact(people.alpine, contact_id, inf)
        assert caught.value.kind is Refusal.MISSING
    assert tenant.contacts[people.jurgen]["isActive"] == 1


# --- additional contacts -------------------------------------------------------------------------


async def test_a_link_is_taken_back_by_its_own_id(
    autotask: Autotask, tenant: Tenant, people: Seed, link: int, door: Door
) -> None:
    """That row and no other; nothing is sent with it."""
    other = tenant.link(people.open_ticket, people.carla)
    await autotask.unlink(people.open_ticket, link, time.monotonic() + 5)

    assert list(tenant.links) == [other]
    assert (tenant.calls[0].method, tenant.calls[0].body) == ("DELETE", None)
    assert (door.entered, door.writes) == (["TicketAdditionalContacts"], 1)


async def test_a_link_that_is_gone_is_missing(
    autotask: Autotask, tenant: Tenant, people: Seed, link: int
) -> None:
    """A person was faster, or it is another ticket's: the caller can tell it from a failure."""
    for ticket_id, link_id in ((people.complete_ticket, link), (people.open_ticket, 1)):
        with pytest.raises(Refused) as caught:
            await autotask.unlink(ticket_id, link_id, inf)
        assert caught.value.kind is Refusal.MISSING
    assert list(tenant.links) == [link]


# --- notes ---------------------------------------------------------------------------------------


async def test_a_note_is_written_and_found_again(
    autotask: Autotask, tenant: Tenant, people: Seed, door: Door
) -> None:
    """After a lost answer its text is how to know whether it is there."""
    tenant.add_note(people.open_ticket, "Re: Hello", "Thanks", createdByContactID=people.ana)
    note_id = await autotask.create_note(people.open_ticket, "Cc", "Nia was added.", 2, 3, inf)
    notes = await autotask.notes(people.open_ticket)

    stored = tenant.notes[note_id]
    assert (stored["publish"], stored["noteType"]) == (2, 3)
    assert [(one.title, one.description) for one in notes] == [
        ("Re: Hello", "Thanks"), ("Cc", "Nia was added.")
    ]  # fmt: skip
    assert (notes[1].id, notes[1].creator_id) == (note_id, tenant.api_resource_id)
    assert notes[1].created_at == datetime.fromisoformat(stored["createDateTime"])
    assert await autotask.notes(people.complete_ticket) == []
    assert door.entered == ["TicketNotes"] * 3
    assert door.writes == 1


async def test_all_notes_of_a_ticket_are_read(
    autotask: Autotask, tenant: Tenant, people: Seed
) -> None:
    """Ours may be on any page."""
    for n in range(501):
        tenant.add_note(people.open_ticket, "Note", str(n))
    assert len({one.description for one in await autotask.notes(people.open_ticket)}) == 501


@pytest.mark.parametrize("room", [0, 1])
async def test_a_note_has_room_for_as_much_as_we_say(
    autotask: Autotask, tenant: Tenant, people: Seed, room: int
) -> None:
    """One character more is refused for good."""
    title = "x" * (protocol.NOTE_TITLE + room)
    text = "y" * protocol.NOTE_DESCRIPTION
    if not room:
        assert await autotask.create_note(people.open_ticket, title, text, 1, 1, inf)
        return
    with pytest.raises(Refused) as caught:
        await autotask.create_note(people.open_ticket, title, text, 1, 1, inf)
    assert caught.value.kind is Refusal.OTHER
    assert tenant.notes == {}


async def test_what_a_note_can_be_is_read(autotask: Autotask, tenant: Tenant, door: Door) -> None:
    """Who sees which number is the tenant's affair; an inactive one is for no new note."""
    lists = await autotask.note_picklists()

    assert [(one.value, one.label, one.active) for one in lists["publish"]] == [
        (1, "All Autotask Users", True),
        (2, "Internal Users Only", True),
        (4, "Internal & Co-Managed", True),
        (9, "Old Circle", False),
    ]
    assert [one.value for one in lists["noteType"] if one.active] == [1, 2, 3]
    assert (door.entered, door.writes) == (["TicketNotes"], 0)


async def test_a_list_that_is_not_told_is_empty() -> None:
    """A field without one, no field; nulls where the contract allows them."""
    choice = {"value": "5", "label": None, "isActive": None}
    fields = [{"name": "publish", "picklistValues": [choice]}, {"name": "noteType"}]
    for answer, values in ((fields, [5]), (fields[1:], [])):
        told = httpx.Response(200, json={"fields": answer})
        async with answered_by(lambda _, told=told: told) as autotask:  # type: ignore[misc]
            lists = await autotask.note_picklists()
        assert [one.value for one in lists["publish"] if one.active] == values
        assert lists["noteType"] == ()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"fields": None},
        {"fields": [{"name": None}]},
        {"fields": [{"name": "publish", "picklistValues": 5}]},
        {"fields": [{"name": "publish", "picklistValues": [{"value": "All"}]}]},
    ],
)
async def test_definitions_of_another_shape_are_no_answer(answer: dict[str, Any]) -> None:
    """Half a picklist must not pass for a whole one."""
    async with answered_by(lambda _: httpx.Response(200, json=answer)) as autotask:
        with pytest.raises(Unanswered):
            await autotask.note_picklists()


@pytest.mark.parametrize(
    "path", ["/Tickets/7/Notes", "/TicketNotes/7", "/TicketNotes/entityInformation/fields"]
)
def test_all_paths_of_notes_are_one_entity(path: str) -> None:
    """The thread limit is per entity, and its definitions count with it."""
    theirs = routes.entity_of(f"/ATServicesRest/v1.0{path}")
    assert protocol.entity_of(path) == theirs == "TicketNotes"


# --- each write, once and in time ----------------------------------------------------------------


@each_write
async def test_a_write_whose_time_is_over_is_not_sent(
    autotask: Autotask, tenant: Tenant, people: Seed, link: int, door: Door, write: Write
) -> None:
    """Autotask never hears of it, and the next one works."""
    before = state(tenant)
    with pytest.raises(TooLate):
        await write(autotask, people, link, time.monotonic() - 0.001)

    assert tenant.calls == []
    assert state(tenant) == before
    assert door.inside == 0
    await write(autotask, people, link, time.monotonic() + 5)
    assert state(tenant) != before


@each_write
@pytest.mark.parametrize(("stopped", "sent"), [(PERMIT_SECONDS + 0.1, 0), (PERMIT_SECONDS, 1)])
async def test_a_process_that_was_stopped_before_sending_does_not_send(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    link: int,
    write: Write,
    stopped: float,
    sent: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped between permission and request: by now another has the slot and the lease."""
    await autotask.contact(people.ana)  # the connection stands
    tenant.forget_calls()
    times = iter([100.0, 100.0 + stopped])
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: next(times)))

    if sent:
        await write(autotask, people, link, inf)
    else:
        with pytest.raises(TooLate):
            await write(autotask, people, link, inf)
    assert len(tenant.calls) == sent


async def test_the_last_look_at_the_clock_is_after_connecting(
    http: httpx.AsyncClient, credentials: Credentials
) -> None:
    """Waiting for a connection takes its time; not a byte follows when it took too long."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read()
        writer.close()
        await writer.wait_closed()
        heard.set_result(said)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener, asyncio.timeout(5):
        url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        with pytest.raises(TooLate):
            await Autotask(http, url, credentials, Door()).unlink(5, 7, time.monotonic())
        assert await heard == b""
    await asyncio.sleep(0.01)  # what was accepted besides is ended before its loop is


@each_write
@pytest.mark.parametrize("kind", ["error_500", "garbage", "reset_after"])
async def test_a_write_without_an_answer_is_sent_once(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    link: int,
    door: Door,
    write: Write,
    kind: FaultKind,
) -> None:
    """It may have taken effect: the caller has to look."""
    before = state(tenant)
    tenant.faults.add(Fault(kind))
    with pytest.raises(Unanswered):
        await write(autotask, people, link, inf)

    assert len(tenant.calls) == 1
    assert (state(tenant) != before) is (kind == "reset_after")
    assert door.inside == 0


@each_write
@pytest.mark.parametrize("answer", [{}, {"itemId": None}, {"itemId": 0}, {"itemId": True}])
async def test_an_answer_that_names_no_record_is_none(
    people: Seed, write: Write, answer: dict[str, Any]
) -> None:
    """Whatever said this, it was not Autotask."""
    async with answered_by(lambda _: httpx.Response(200, json=answer)) as autotask:
        with pytest.raises(Unanswered):
            await write(autotask, people, 7, inf)
