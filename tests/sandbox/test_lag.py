"""Reading that lags, answers that tests choose, and changes without effect."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from sandbox.model import CONTACTS, LINKS, TICKETS
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant

PERSON = {"firstName": "Nia", "lastName": "Obi", "isActive": 1}


class Time:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 12, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move it."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def tenant(time: Time) -> Tenant:
    tenant = Tenant(clock=time)
    tenant.add_company("Corner Bakery", id=1)
    return tenant


@pytest.fixture
def api(tenant: Tenant) -> Iterator[httpx.Client]:
    with (
        SandboxServer(tenant) as server,
        httpx.Client(base_url=server.api_url, headers=tenant.credentials, timeout=5) as client,
    ):
        yield client


def test_a_new_record_is_shown_later(tenant: Tenant, api: httpx.Client, time: Time) -> None:
    """By its id, in queries and in lists alike; writes see it at once."""
    for entity in (TICKETS, CONTACTS, LINKS):
        tenant.lag_reads(entity, 10)
    made = api.post("/v1.0/Companies/1/Contacts", json=PERSON).json()["itemId"]
    ticket = tenant.new_ticket(1)
    body = {"ticketID": ticket, "contactID": made}
    assert api.post(f"/v1.0/Tickets/{ticket}/AdditionalContacts", json=body).status_code == 200
    search = {"filter": [{"op": "eq", "field": "id", "value": made}]}

    def seen() -> list[bool]:
        return [
            api.get(f"/v1.0/Contacts/{made}").json()["item"] is not None,
            bool(api.post("/v1.0/Contacts/query", json=search).json()["items"]),
            api.get(f"/v1.0/Tickets/{ticket}").json()["item"] is not None,
            bool(api.get(f"/v1.0/Tickets/{ticket}/AdditionalContacts").json()["items"]),
        ]

    assert seen() == [False] * 4
    time.advance(9)
    assert seen() == [False] * 4
    time.advance(1)
    assert seen() == [True] * 4


def test_a_change_and_an_end_are_shown_later(tenant: Tenant, api: httpx.Client, time: Time) -> None:
    """What was so some seconds ago is still shown."""
    contact = tenant.add_contact(1, "nia@bakery.example")
    ticket = tenant.new_ticket(1)
    row = tenant.link(ticket, contact)
    tenant.lag_reads(CONTACTS, 5)
    tenant.lag_reads(LINKS, 5)
    api.patch("/v1.0/Companies/1/Contacts", json={"id": contact, "isActive": 0})
    api.delete(f"/v1.0/Tickets/{ticket}/AdditionalContacts/{row}")

    def seen() -> tuple[int, int]:
        links = api.get(f"/v1.0/Tickets/{ticket}/AdditionalContacts").json()["items"]
        return api.get(f"/v1.0/Contacts/{contact}").json()["item"]["isActive"], len(links)

    assert seen() == (1, 1)
    time.advance(5)
    assert seen() == (0, 0)
    tenant.lag_reads(CONTACTS, 0)
    api.patch("/v1.0/Companies/1/Contacts", json={"id": contact, "isActive": 1})
    assert seen() == (1, 0)


@pytest.mark.parametrize(("kind", "made"), [("answer", 0), ("answer_after", 1)])
def test_an_answer_that_a_test_chooses(
    tenant: Tenant, api: httpx.Client, kind: str, made: int
) -> None:
    """Before or after the write took effect; JSON, or else HTML."""
    for status, text, media in (
        (409, '{"errors": ["duplicate"]}', "application/json"),
        (200, "<html></html>", "text/html"),
    ):
        tenant.contacts.clear()
        tenant.faults.add(Fault(kind, "POST", status=status, text=text))  # type: ignore[arg-type]
        answer = api.post("/v1.0/Companies/1/Contacts", json=PERSON)
        assert (answer.status_code, answer.text) == (status, text)
        assert answer.headers["content-type"].startswith(media)
        assert len(tenant.contacts) == made


@pytest.mark.parametrize(
    ("fields", "after"), [((), (1, "a@b.example")), (("isActive",), (1, "c@d.example"))]
)
def test_a_change_without_effect(
    tenant: Tenant, api: httpx.Client, fields: tuple[str, ...], after: tuple[int, str]
) -> None:
    """Answered with the record's id, as if it had worked."""
    contact = tenant.add_contact(1, "a@b.example")
    tenant.faults.add(Fault("no_effect", "PATCH", "Contacts", fields=fields))
    body = {"id": contact, "isActive": 0, "emailAddress": "c@d.example"}
    answer = api.patch("/v1.0/Companies/1/Contacts", json=body)
    assert answer.json() == {"itemId": contact}
    one = tenant.contacts[contact]
    assert (one["isActive"], one["emailAddress"]) == after
    assert api.patch("/v1.0/Companies/1/Contacts", json=body).json() == {"itemId": contact}
    assert (one["isActive"], one["emailAddress"]) == (0, "c@d.example")
