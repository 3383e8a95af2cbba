"""The double's attachments: listed without what is in them, which a single one has."""

import asyncio
from base64 import b64decode
from typing import Any

import httpx
import pytest

from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

MAIL = b"From: ana.ruiz@alpine-dental.example\r\n\r\n\xff"


def by(field: str, value: object, **more: Any) -> dict[str, Any]:
    return {"filter": [{"op": "eq", "field": field, "value": value}], **more}


def test_a_list_has_everything_but_the_data(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """The child path and both queries, also where the data is asked for by name."""
    tenant.attach(ids.open_ticket, "mail.eml", MAIL, content_type="message/rfc822")
    tenant.attach(ids.complete_ticket, "other.eml", MAIL)
    wanted = by("ticketID", ids.open_ticket, includeFields=["id", "data"])

    [listed] = api.get(f"/Tickets/{ids.open_ticket}/Attachments").json()["items"]
    [found] = api.post("/TicketAttachments/query", json=wanted).json()["items"]

    assert (listed["title"], listed["fullPath"]) == ("mail.eml", "mail.eml")
    assert (listed["contentType"], listed["fileSize"]) == ("message/rfc822", len(MAIL))
    assert listed["parentID"] == listed["ticketID"] == ids.open_ticket
    assert (listed["data"], found) == (None, {"id": listed["id"], "data": None})


def test_a_single_one_has_its_data(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """The child path has a list of one or an item, as the switch says; the root path an item."""
    number = tenant.attach(ids.open_ticket, "mail.eml", MAIL)
    path = f"/Tickets/{ids.open_ticket}/Attachments/{number}"

    [one] = api.get(path).json()["items"]
    tenant.switches.attachment_answer = "item"

    assert b64decode(one["data"]) == MAIL
    assert api.get(path).json() == {"item": one}
    assert api.get(f"/TicketAttachments/{number}").json() == {"item": one}


def test_a_missing_one_is_no_row_null_or_404(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """So is another ticket's."""
    number = tenant.attach(ids.complete_ticket, "mail.eml", MAIL)
    path = f"/Tickets/{ids.open_ticket}/Attachments/{number}"

    assert api.get(path).json() == {"items": []}
    tenant.switches.attachment_answer = "item"
    assert api.get(path).json() == {"item": None}
    tenant.switches.missing_item = "404"
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("field", ["creatorType", "data", "fileSize"])
def test_some_fields_cannot_be_asked_for(api: httpx.Client, field: str) -> None:
    """The help page of the entity names these."""
    answer = api.post("/TicketAttachments/query", json=by(field, 1))

    assert answer.status_code == 500
    assert "not queryable" in answer.json()["errors"][0]


def test_what_hangs_on_a_note_is_in_its_tickets_list(
    tenant: Tenant, ids: Seed, api: httpx.Client
) -> None:
    """With the ids of both."""
    tenant.attach(ids.open_ticket, "reply.eml", MAIL, ticketNoteID=9, parentID=9)

    [listed] = api.get(f"/Tickets/{ids.open_ticket}/Attachments").json()["items"]

    assert (listed["ticketNoteID"], listed["parentID"]) == (9, 9)


def test_a_deleted_ticket_takes_its_attachments_along(tenant: Tenant, ids: Seed) -> None:
    """And no other's."""
    tenant.attach(ids.open_ticket, "mail.eml", MAIL)
    kept = tenant.attach(ids.complete_ticket, "mail.eml", MAIL)

    tenant.delete_ticket(ids.open_ticket)

    assert list(tenant.attachments) == [kept]


def test_nothing_can_be_attached_to_what_is_not_there(tenant: Tenant) -> None:
    """No ticket, no such field."""
    with pytest.raises(KeyError):
        tenant.attach(1, "mail.eml", MAIL)
    with pytest.raises(KeyError):
        tenant.attach(tenant.new_ticket(tenant.add_company("A")), "mail.eml", MAIL, size=5)


async def test_attachments_have_threads_of_their_own(
    tenant: Tenant, ids: Seed, server: SandboxServer
) -> None:
    """Three at once, child and root path together; those of the ticket itself are free."""
    tenant.faults.latency = (0.2, 0.2)
    ticket = f"/v1.0/Tickets/{ids.open_ticket}"
    async with httpx.AsyncClient(base_url=server.api_url, headers=tenant.credentials) as client:
        paths = [
            f"{ticket}/Attachments",
            f"{ticket}/Attachments/1",
            "/v1.0/TicketAttachments/1",
            "/v1.0/TicketAttachments/2",
            ticket,
        ]
        answers = await asyncio.gather(*(client.get(path) for path in paths))

    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == tenant.thread_refusals == 1
    assert tenant.peak == {"TicketAttachments": 4, "Tickets": 1}
