"""What the API user's level lacks, by account and by type of account, and a firewall in between."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.seed import Seed
from sandbox.switches import Denied, Fault
from sandbox.tenant import Tenant

NEW = {"firstName": "A", "lastName": "B", "isActive": 1}
TEXT = "The logged in Resource does not have the adequate permissions to {} this entity type."


def create(api: httpx.Client, company_id: int, **more: Any) -> httpx.Response:
    return api.post(f"/Companies/{company_id}/Contacts", json=NEW | more)


@pytest.mark.parametrize(
    ("denied", "alpine", "harbour"),
    [
        (Denied("create", "Contacts"), 500, 500),
        (Denied("create", "Contacts", company_id=174), 500, 200),
        (Denied("create", "Contacts", company_type=7), 500, 200),
        (Denied("create", "Contacts", company_type=2), 200, 200),
        (Denied("create", "TicketNotes"), 200, 200),
        (Denied("update", "Contacts"), 200, 200),
    ],
)
def test_creating_is_denied_where_the_level_says_so(
    tenant: Tenant, ids: Seed, api: httpx.Client, denied: Denied, alpine: int, harbour: int
) -> None:
    """In the words of a live tenant."""
    tenant.companies[ids.alpine]["companyType"] = 7
    tenant.denied.append(denied)
    answers = [create(api, company_id) for company_id in (ids.alpine, ids.harbour)]
    assert [answer.status_code for answer in answers] == [alpine, harbour]
    if alpine == 500:
        assert answers[0].json() == {"errors": [TEXT.format("create")]}


def test_a_link_is_of_its_tickets_company(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """Adding and reading are different rights."""
    tenant.denied.append(Denied("create", "TicketAdditionalContacts", company_id=ids.alpine))
    ticket = tenant.new_ticket(ids.alpine)
    path = f"/Tickets/{ticket}/AdditionalContacts"
    body = {"id": 0, "ticketID": ticket, "contactID": ids.carla}
    assert api.post(path, json=body).json() == {"errors": [TEXT.format("create")]}
    assert api.get(path).status_code == 200
    tenant.switches.denied = "status_403"
    refused = api.post(path, json=body)
    assert (refused.status_code, refused.content) == (403, b"")


def test_entity_information_says_the_level(tenant: Tenant, ids: Seed, api: httpx.Client) -> None:
    """All, Restricted or None, for each kind of call; asking is allowed to everybody."""
    tenant.denied += [
        Denied("create", "Contacts", company_type=2),
        Denied("query", "Contacts"),
        Denied("create", "TicketNotes"),
    ]
    info = {
        entity: api.get(f"/{entity}/entityInformation").json()["info"]
        for entity in ("Contacts", "TicketAdditionalContacts", "TicketNotes")
    }
    assert [one["userAccessForCreate"] for one in info.values()] == ["Restricted", "All", "None"]
    assert [one["userAccessForQuery"] for one in info.values()] == ["None", "All", "All"]


@pytest.mark.parametrize("status", [200, 302, 403, 503])
@pytest.mark.parametrize(("kind", "made"), [("firewall", 0), ("firewall_after", 1)])
def test_a_firewall_answers_by_content(
    tenant: Tenant, ids: Seed, api: httpx.Client, status: int, kind: Any, made: int
) -> None:
    """One person's request only; it never or already took effect."""
    tenant.faults.add(Fault(kind, "POST", body_contains="o'hara", times=None, status=status))
    blocked = create(api, ids.alpine, emailAddress="o'hara@x.example")
    assert (blocked.status_code, blocked.headers["content-type"][:9]) == (status, "text/html")
    assert len(tenant.contacts_with("o'hara@x.example")) == made
    assert create(api, ids.alpine, emailAddress="nina@x.example").status_code == 200
