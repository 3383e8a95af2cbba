"""The double's notes, and a person who changes a contact."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.seed import Seed
from sandbox.tenant import Tenant


def note(**fields: Any) -> dict[str, Any]:
    return {"title": "Cc", "description": "Nia", "publish": 1, "noteType": 1, **fields}


def by(field: str, value: object, **more: Any) -> dict[str, Any]:
    return {"filter": [{"op": "eq", "field": field, "value": value}], **more}


def errors(response: httpx.Response) -> list[str]:
    assert response.status_code == 500
    texts = response.json()["errors"]
    assert isinstance(texts, list)
    return texts


def test_a_written_note_carries_every_property(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """The client cannot set author and time; the same on all paths."""
    path = f"/Tickets/{ids.open_ticket}/Notes"
    sent = note(id=0, ticketID=ids.open_ticket, creatorResourceID=4)
    number = api.post(path, json=sent).json()["itemId"]

    item = tenant.notes[number]
    assert (item["creatorResourceID"], item["createdByContactID"]) == (tenant.api_resource_id, None)
    assert item["createDateTime"] == item["lastActivityDate"] is not None
    assert api.get(path).json()["items"] == [item]
    assert api.get(f"{path}/{number}").json() == {"item": item}
    assert api.get(f"/TicketNotes/{number}").json() == {"item": item}
    assert api.get(f"/Tickets/{ids.complete_ticket}/Notes/{number}").json() == {"item": None}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (note(description=""), "Missing Required Field: description."),
        (note(title=None), "Missing Required Field: title."),
        ({"title": "Cc", "description": "Nia", "noteType": 1}, "Missing Required Field: publish."),
        ({"title": "Cc", "description": "Nia", "publish": 1}, "Missing Required Field: noteType."),
        (note(title="x" * 251), "title must be less than or equal to 250 characters"),
        (note(description="x" * 32_001), "description must be less than or equal to 32000"),
        (note(publish=3), "not a valid choice for the field publish"),
        (note(publish=9), "not a valid choice for the field publish"),
        (note(noteType=9), "not a valid choice for the field noteType"),
        (note(ticketID=1), "ticketID of type: Ticket does not exist"),
    ],
)
def test_a_wrong_note_is_refused(
    tenant: Tenant, ids: Seed, api: httpx.Client, body: dict[str, Any], text: str
) -> None:
    """Too long, without what is required, or of a kind that is not or no longer there."""
    [told] = errors(api.post(f"/Tickets/{ids.open_ticket}/Notes", json=body))

    assert text in told
    assert tenant.notes == {}


def test_a_note_of_no_ticket_is_refused(api: httpx.Client) -> None:
    """As a link is."""
    assert "does not exist or is invalid" in errors(api.post("/Tickets/1/Notes", json=note()))[0]


def test_a_title_can_be_left_out_where_the_tenant_says_so(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """Which the contract does, and one tenant did not."""
    tenant.switches.note_title = "optional"
    body = {"description": "Nia", "publish": 1, "noteType": 1}
    assert api.post(f"/Tickets/{ids.open_ticket}/Notes", json=body).status_code == 200


def test_notes_are_queried(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """By ticket or text, with the fields that were asked for."""
    tenant.add_note(ids.complete_ticket, "Other", "x")
    number = tenant.add_note(ids.open_ticket, "Hello", "x", publish=2)

    wanted = by("ticketID", ids.open_ticket, includeFields=["id", "title"])
    assert api.post("/TicketNotes/query", json=wanted).json()["items"] == [
        {"id": number, "title": "Hello"}
    ]
    [found] = api.post("/TicketNotes/query", json=by("title", "hello")).json()["items"]
    assert (found["id"], found["publish"]) == (number, 2)


def test_the_picklists_tell_what_is_still_in_use(api: httpx.Client) -> None:
    """Values are text; what is inactive is listed too."""
    fields = api.get("/TicketNotes/entityInformation/fields").json()["fields"]
    found = {field["name"]: field for field in fields}

    publish = {one["value"]: one["isActive"] for one in found["publish"]["picklistValues"]}
    assert publish == {"1": True, "2": True, "4": True, "9": False}
    assert (found["noteType"]["isPickList"], found["noteType"]["isRequired"]) == (True, True)
    assert found["title"]["length"] == 250
    assert found["description"]["picklistValues"] is None


@pytest.mark.parametrize("shows", [True, False])
def test_a_note_shows_on_its_ticket_as_the_switch_says(
    tenant: Tenant, ids: Seed, api: httpx.Client, shows: bool
) -> None:
    """An Update callout for a person's and for the API user's, or for neither."""
    tenant.switches.note_touches_ticket = shows
    number = tenant.subscribe("http://x.example/", "http://x.example/", "s" * 20)
    # A callout to nowhere stays in the queue of a tenant whose server is not asked to deliver it.
    tenant.outbox.wake = lambda: None
    api.post(f"/Tickets/{ids.open_ticket}/Notes", json=note())
    tenant.add_note(ids.open_ticket, "Hello", "x")

    waiting = [one for queue in tenant.outbox.queues.values() for one in queue]
    assert [one.subscription.id for one in waiting] == [number] * 2 * shows


def test_a_deleted_ticket_takes_its_notes_along(tenant: Tenant, ids: Seed) -> None:
    """And no other's."""
    tenant.add_note(ids.open_ticket, "Hello", "x")
    kept = tenant.add_note(ids.complete_ticket, "Hello", "x")
    tenant.delete_ticket(ids.open_ticket)

    assert list(tenant.notes) == [kept]
    assert [one["id"] for one in tenant.notes_of(ids.complete_ticket)] == [kept]


def test_nothing_can_be_noted_on_what_is_not_there(tenant: Tenant, ids: Seed) -> None:
    """No ticket, no such field."""
    with pytest.raises(KeyError):
        tenant.add_note(1, "Hello", "x")
    with pytest.raises(KeyError):
        tenant.add_note(ids.open_ticket, "Hello", "x", text="y")


def test_a_person_changes_a_contact(tenant: Tenant, ids: Seed) -> None:
    """Which its date tells; the links stay, and other fields too."""
    tenant.contacts[ids.bruno]["lastModifiedDate"] = "2020-01-01T00:00:00Z"
    tenant.change_contact(ids.bruno, isActive=0, lastName="Kellner")

    contact = tenant.contacts[ids.bruno]
    assert (contact["isActive"], contact["firstName"], contact["lastName"]) == (
        0, "Bruno", "Kellner"
    )  # fmt: skip
    assert contact["lastModifiedDate"] > "2026"
    assert tenant.linked_contacts(ids.open_ticket) == [ids.bruno]


def test_a_person_cannot_change_what_the_screen_does_not_offer(tenant: Tenant, ids: Seed) -> None:
    """No such contact, no such field, no other company; nothing is half changed."""
    before = {**tenant.contacts[ids.bruno]}
    with pytest.raises(KeyError):
        tenant.change_contact(1, isActive=0)
    with pytest.raises(KeyError):
        tenant.change_contact(ids.bruno, isActive=0, active=0)
    with pytest.raises(ValueError, match="its company"):
        tenant.change_contact(ids.bruno, companyID=ids.harbour)
    assert tenant.contacts[ids.bruno] == before


def test_an_api_client_switches_a_contact_off_and_on(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """An inactive one cannot be linked, shows another company where the switch says so."""
    path = f"/Companies/{ids.alpine}/Contacts"
    api.patch(path, json={"id": ids.carla, "isActive": 0})
    linking = f"/Tickets/{ids.open_ticket}/AdditionalContacts"

    assert api.get(f"/Contacts/{ids.carla}").json()["item"]["companyID"] == 0
    assert "contactID" in errors(api.post(linking, json={"contactID": ids.carla}))[0]
    api.patch(path, json={"id": ids.carla, "isActive": 1})
    assert api.post(linking, json={"contactID": ids.carla}).status_code == 200


def test_a_new_company_never_takes_the_place_of_another(tenant: Tenant, ids: Seed) -> None:
    """The seed's have ids of its own choice."""
    alpine = {**tenant.companies[ids.alpine]}
    assert tenant.add_company("New") not in (ids.alpine, ids.alpine_west, ids.harbour, ids.bakery)
    assert tenant.companies[ids.alpine] == alpine
