"""The double's tickets that get into another account, or are merged into another ticket."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.model import COMPLETE
from sandbox.seed import Seed
from sandbox.tenant import Tenant

START = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture
def tenant() -> Tenant:
    """A tenant whose clock goes on a second each time it is looked at."""
    seconds = itertools.count()
    return Tenant(clock=lambda: START + timedelta(seconds=next(seconds)))


@pytest.fixture
def source(tenant: Tenant, ids: Seed) -> int:
    """A ticket to be merged into the open one."""
    return tenant.new_ticket(
        ids.alpine, contact_id=ids.ana, description="It hums.\nSince Monday.", callout=False
    )


def called_out(tenant: Tenant) -> list[tuple[str, int]]:
    """Return action and ticket of each callout that waits to be delivered."""
    queues = tenant.outbox.queues.values()
    return [(one.action, one.ticket_id) for queue in queues for one in queue]


def listen(tenant: Tenant) -> None:
    """Subscribe to everything; what is queued stays where no server delivers it."""
    tenant.subscribe("http://x.example/", "http://x.example/", "s" * 20)
    tenant.outbox.wake = lambda: None


def read(api: httpx.Client, ticket_id: int) -> dict[str, Any]:
    item = api.get(f"/Tickets/{ticket_id}").json()["item"]
    assert isinstance(item, dict)
    return item


def notes(api: httpx.Client, ticket_id: int) -> list[dict[str, Any]]:
    items = api.get(f"/Tickets/{ticket_id}/Notes").json()["items"]
    assert isinstance(items, list)
    return items


def links(api: httpx.Client, ticket_id: int) -> list[int]:
    items = api.get(f"/Tickets/{ticket_id}/AdditionalContacts").json()["items"]
    return [row["contactID"] for row in items]


# --- into another account ------------------------------------------------------------------------


def test_a_moved_ticket_has_no_contact_but_the_old_links(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """By default they stay: those of the old account remain additional contacts."""
    before = read(api, ids.open_ticket)
    listen(tenant)

    tenant.move_ticket(ids.open_ticket, ids.harbour)

    after = read(api, ids.open_ticket)
    assert (after["companyID"], after["contactID"]) == (ids.harbour, None)
    assert after["lastActivityDate"] > before["lastActivityDate"]
    assert (after["title"], after["status"]) == (before["title"], before["status"])
    assert links(api, ids.open_ticket) == [ids.bruno]
    assert called_out(tenant) == [("Update", ids.open_ticket)]


def test_a_moved_ticket_can_lose_the_links_of_the_old_account(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Of this ticket, and only of those who do not belong to the new one."""
    tenant.switches.moved_links = "dropped"
    other = tenant.new_ticket(ids.alpine, callout=False)
    tenant.link(other, ids.carla)

    tenant.move_ticket(ids.open_ticket, ids.alpine)
    assert links(api, ids.open_ticket) == [ids.bruno]
    tenant.move_ticket(ids.open_ticket, ids.harbour)
    assert links(api, ids.open_ticket) == []
    assert links(api, other) == [ids.carla]


def test_a_moved_ticket_can_get_a_contact_of_the_new_account(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """The additional contacts that it loses, when the ticket comes back."""
    tenant.move_ticket(ids.open_ticket, ids.harbour, contact_id=ids.jurgen)
    assert read(api, ids.open_ticket)["contactID"] == ids.jurgen

    tenant.move_ticket(ids.open_ticket, ids.alpine, contact_id=ids.bruno)
    assert read(api, ids.open_ticket)["contactID"] == ids.bruno
    assert links(api, ids.open_ticket) == []


def test_a_ticket_is_not_moved_to_where_it_cannot_be(tenant: Tenant, ids: Seed) -> None:
    """Another company's contact, nobody, nowhere; nothing is half done, nothing called out."""
    tenant.switches.moved_links = "dropped"
    listen(tenant)
    before = {**tenant.tickets[ids.open_ticket]}

    with pytest.raises(ValueError, match="another company"):
        tenant.move_ticket(ids.open_ticket, ids.harbour, contact_id=ids.ana)
    with pytest.raises(KeyError):
        tenant.move_ticket(ids.open_ticket, ids.harbour, contact_id=1)
    with pytest.raises(KeyError):
        tenant.move_ticket(ids.open_ticket, 5)
    assert tenant.tickets[ids.open_ticket] == before
    assert tenant.linked_contacts(ids.open_ticket) == [ids.bruno]
    assert called_out(tenant) == []


def test_a_ticket_can_be_moved_silently(tenant: Tenant, ids: Seed) -> None:
    """As when the callout got lost."""
    listen(tenant)
    tenant.move_ticket(ids.open_ticket, ids.harbour, callout=False)

    assert called_out(tenant) == []


# --- into another ticket -------------------------------------------------------------------------


def test_a_merged_ticket_is_completed_and_stays(
    tenant: Tenant, ids: Seed, api: httpx.Client, source: int
) -> None:
    """The other one keeps its status; each links where it linked."""
    tenant.link(source, ids.carla)
    tenant.update_ticket(ids.open_ticket, status=7)

    tenant.merge_tickets(source, ids.open_ticket)

    absorbed, kept = read(api, source), read(api, ids.open_ticket)
    assert (absorbed["status"], absorbed["completedDate"] is None) == (COMPLETE, False)
    assert (absorbed["contactID"], absorbed["companyID"]) == (ids.ana, ids.alpine)
    assert (kept["status"], kept["completedDate"]) == (7, None)
    assert links(api, source) == [ids.carla]
    assert links(api, ids.open_ticket) == [ids.bruno]


@pytest.mark.parametrize(("switch", "form"), [("brackets", "[{}]"), ("plain", "{}")])
def test_notes_tell_of_a_merge(
    tenant: Tenant, ids: Seed, api: httpx.Client, source: int, switch: Any, form: str
) -> None:
    """On both tickets, with the other's number; the description is for the staff only."""
    tenant.switches.absorbed_title = switch
    tenant.switches.texts |= {"merged_into": "Now {number}!", "merged": "Was {number}!"}
    numbers = {one: read(api, one)["ticketNumber"] for one in (source, ids.open_ticket)}

    tenant.merge_tickets(source, ids.open_ticket)

    [told] = notes(api, source)
    [taken, description] = notes(api, ids.open_ticket)
    assert told["description"] == f"Now {numbers[ids.open_ticket]}!"
    assert taken["description"] == f"Was {numbers[source]}!"
    assert description["title"] == f"Absorbed Ticket Description {form.format(numbers[source])}"
    assert description["description"] == "It hums.\nSince Monday."
    assert [one["publish"] for one in (told, taken, description)] == [1, 1, 2]
    assert {one["creatorResourceID"] for one in (told, taken, description)} == {4}


def test_the_wording_of_a_merge_names_the_other_ticket(
    tenant: Tenant, ids: Seed, api: httpx.Client, source: int
) -> None:
    """Also by default, and not its own number."""
    tenant.merge_tickets(source, ids.open_ticket)
    own, other = (read(api, one)["ticketNumber"] for one in (source, ids.open_ticket))

    [told] = notes(api, source)
    assert (own in told["description"], other in told["description"]) == (False, True)
    taken = notes(api, ids.open_ticket)[0]
    assert (own in taken["description"], other in taken["description"]) == (True, False)


def test_a_ticket_without_description_leaves_none(tenant: Tenant, ids: Seed, source: int) -> None:
    """As a note cannot be without."""
    tenant.update_ticket(source, description="")
    tenant.merge_tickets(source, ids.open_ticket)

    assert len(tenant.notes_of(ids.open_ticket)) == 1


def test_links_are_carried_over_where_the_switch_says_so(
    tenant: Tenant, ids: Seed, api: httpx.Client, source: int
) -> None:
    """Nobody twice, not the other ticket's own contact, nobody of another company."""
    tenant.switches.merged_links = "carried"
    tenant.update_ticket(source, contactID=ids.muted)
    for contact in (ids.ana, ids.bruno, ids.carla):
        tenant.link(source, contact)
    tenant.move_ticket(source, ids.harbour)
    tenant.link(source, ids.jurgen)
    tenant.move_ticket(source, ids.alpine)

    tenant.merge_tickets(source, ids.open_ticket)

    assert read(api, ids.open_ticket)["contactID"] == ids.ana
    assert links(api, ids.open_ticket) == [ids.bruno, ids.carla]
    assert links(api, source) == [ids.ana, ids.bruno, ids.carla, ids.jurgen]


def test_no_more_links_are_carried_over_than_fit(tenant: Tenant, ids: Seed, source: int) -> None:
    """Thirty, with those who were there."""
    tenant.switches.merged_links = "carried"
    people = [tenant.add_contact(ids.alpine, f"{i}@mail.test") for i in range(30)]
    for contact in people:
        tenant.link(source, contact)

    tenant.merge_tickets(source, ids.open_ticket)

    assert tenant.linked_contacts(ids.open_ticket) == [ids.bruno, *people[:29]]


def test_only_tickets_of_one_company_are_merged(tenant: Tenant, ids: Seed, source: int) -> None:
    """And none with itself; nothing is left of the attempt."""
    listen(tenant)
    for one, other in ((source, ids.complete_ticket), (source, source)):
        with pytest.raises(ValueError, match="same organization"):
            tenant.merge_tickets(one, other)
    with pytest.raises(KeyError):
        tenant.merge_tickets(source, 1)

    assert (tenant.notes, tenant.tickets[source]["status"], called_out(tenant)) == ({}, 1, [])


@pytest.mark.parametrize(
    ("notes_show", "links_show", "merged_links", "shows"),
    [
        (True, False, "left", True),
        (False, True, "left", False),
        (False, True, "carried", True),
        (False, False, "carried", False),
    ],
)
def test_a_merge_shows_on_the_kept_ticket_as_the_switches_say(
    tenant: Tenant,
    ids: Seed,
    source: int,
    notes_show: bool,
    links_show: bool,
    merged_links: Any,
    shows: bool,
) -> None:
    """One callout tells of each ticket at most; the source always shows it."""
    tenant.link(source, ids.carla)
    tenant.switches.note_touches_ticket = notes_show
    tenant.switches.link_touches_ticket = links_show
    tenant.switches.merged_links = merged_links
    before = tenant.tickets[ids.open_ticket]["lastActivityDate"]
    listen(tenant)

    tenant.merge_tickets(source, ids.open_ticket)

    kept = [("Update", ids.open_ticket)] if shows else []
    assert called_out(tenant) == [("Update", source), *kept]
    assert (tenant.tickets[ids.open_ticket]["lastActivityDate"] > before) == shows


def test_links_that_are_there_already_show_nothing(tenant: Tenant, ids: Seed, source: int) -> None:
    """Where notes do not show, either."""
    tenant.link(source, ids.bruno)
    tenant.switches.note_touches_ticket = False
    tenant.switches.merged_links = "carried"
    listen(tenant)

    tenant.merge_tickets(source, ids.open_ticket)

    assert called_out(tenant) == [("Update", source)]


def test_tickets_can_be_merged_silently(tenant: Tenant, ids: Seed, source: int) -> None:
    """What happened is on them all the same."""
    before = tenant.tickets[ids.open_ticket]["lastActivityDate"]
    listen(tenant)
    tenant.merge_tickets(source, ids.open_ticket, callout=False)

    assert called_out(tenant) == []
    assert tenant.tickets[ids.open_ticket]["lastActivityDate"] > before
