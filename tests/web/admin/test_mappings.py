"""Mappings through the admin API: what is checked at Autotask, and what tickets make of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import func, update

from app.db.tables import Gate, Mapping
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, rows

ALPINE = 174
CARLA = "carla.mendes@alpine-dental.example"
NINA = "nina@radiology.example"
CONTACTS = f"/admin/accounts/{ALPINE}/contacts"
Headers = dict[str, str]


async def put(
    api: httpx.AsyncClient, headers: Headers, email: str, contact: Any, account: int = ALPINE
) -> httpx.Response:
    """Say which contact an address means."""
    path = f"/admin/accounts/{account}/contacts/{quote(email, safe='')}"
    return await api.put(path, json={"contact_id": contact}, headers=headers)


async def test_a_manual_mapping_is_what_the_next_ticket_uses(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """An address that no contact carries means the contact that a person said."""
    answer = await put(api, writer, NINA, people.bruno)
    assert (answer.status_code, answer.json()["origin"]) == (200, "manual")

    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)

    assert tenant.linked_contacts(ticket) == [people.bruno]
    assert tenant.contacts_with(NINA) == []
    shown = (await api.get(f"{CONTACTS}/{NINA}", headers=writer)).json()
    assert (shown["contact_id"], shown["origin"]) == (people.bruno, "manual")


async def test_where_a_mapping_comes_from_is_shown(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Found at Autotask, or created by us as the ledger knows, or said by a person."""
    await look_at(services, tenant.new_ticket(people.alpine, cc=f"{CARLA}, {NINA}"))
    await put(api, writer, "boss@alpine-dental.example", people.bruno)
    items = (await api.get(CONTACTS, headers=writer)).json()["items"]
    assert {item["email"]: item["origin"] for item in items} == {
        CARLA: "found",
        NINA: "created",
        "boss@alpine-dental.example": "manual",
    }


async def test_a_contact_that_cannot_be_used_is_refused_and_why(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Missing, inactive, of another account: 422 in words, and nothing is stored."""
    tenant.switches.inactive_company_zero = False
    for contact, why in (
        (999, "no contact 999"),
        (people.dora, "inactive"),
        (people.vendor_at_harbour, "of account 176"),
        (people.erin_west, "of account 175"),
    ):
        answer = await put(api, writer, NINA, contact)
        assert (contact, answer.status_code) == (contact, 422)
        assert why in answer.json()["detail"]
    assert await rows(services, Mapping) == []


@pytest.mark.parametrize("missing", ["null", "404"])
async def test_a_missing_contact_is_missing_however_autotask_says_so(
    api: httpx.AsyncClient, tenant: Tenant, people: Seed, writer: Headers, missing: Any
) -> None:
    """Both answers are known of Autotask."""
    tenant.switches.missing_item = missing
    assert (await put(api, writer, NINA, 999)).status_code == 422


async def test_an_odd_body_is_refused_before_autotask_is_asked(
    api: httpx.AsyncClient, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Only a contact's id, and nothing beside it."""
    bodies: list[Any] = [{}, [], None, {"contact_id": None}, {"contact_id": "x"}]
    bodies += [{"contact_id": 0}, {"contact_id": 2**31}, {"contact_id": 1.5}]
    bodies += [{"contact_id": people.bruno, "origin": "found"}]
    for body in bodies:
        answer = await api.put(f"{CONTACTS}/{NINA}", json=body, headers=writer)
        assert (body, answer.status_code) == (body, 422)
    assert tenant.calls == []


@pytest.mark.parametrize("kind", ["error_500", "garbage", "reset_after", "status_429"])
async def test_without_autotask_a_mapping_is_not_taken_on_trust(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    writer: Headers,
    kind: Any,
) -> None:
    """502, and nothing is stored."""
    tenant.faults.add(Fault(kind, entity="Contacts", times=None))
    assert (await put(api, writer, NINA, people.bruno)).status_code == 502
    assert await rows(services, Mapping) == []


async def test_while_calls_are_paused_a_mapping_has_to_wait(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """503 with a time to come back, and not one more call with credentials that are refused."""
    async with services.sessions() as session, session.begin():
        later = func.now() + timedelta(minutes=5)
        await session.execute(
            update(Gate).values(shut_until=later, since=func.now(), code="forbidden", reason="no")
        )
    answer = await put(api, writer, NINA, people.bruno)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert tenant.calls == []


async def test_an_address_is_the_same_in_any_spelling(
    api: httpx.AsyncClient, services: Services, people: Seed, writer: Headers
) -> None:
    """Set, read and deleted by whatever spelling means that mailbox."""
    for spelling in ("NINA@Radiology.EXAMPLE", " nina@radiology.example ", f"{NINA}."):
        await put(api, writer, spelling, people.bruno)
        assert [row.email for row in await rows(services, Mapping)] == [NINA]
        path = f"{CONTACTS}/{quote(spelling, safe='')}"
        assert (await api.get(path, headers=writer)).json()["email"] == NINA
        assert (await api.delete(path, headers=writer)).status_code == 204
        assert await rows(services, Mapping) == []


@pytest.mark.parametrize(
    "emails",
    [
        ["o'neil+spam@x.example", "a&b=c?d#e@x.example", "ñandú@x.example", "ana@münchen.example"],
        pytest.param(
            ["room/4@x.example"],
        ),
    ],
    ids=["odd", "with a slash"],
)
async def test_whatever_address_is_stored_can_be_reached(
    api: httpx.AsyncClient, services: Services, people: Seed, writer: Headers, emails: list[str]
) -> None:
    """What the list shows can be asked for and deleted, however odd."""
    for email in emails:
        assert (email, (await put(api, writer, email, people.bruno)).status_code) == (email, 200)
        [shown] = (await api.get(CONTACTS, headers=writer)).json()["items"]
        path = f"{CONTACTS}/{quote(shown['email'], safe='')}"
        assert (await api.get(path, headers=writer)).json() == shown
        assert (await api.delete(path, headers=writer)).status_code == 204
        assert await rows(services, Mapping) == []


async def test_what_is_no_address_has_no_mapping(api: httpx.AsyncClient, writer: Headers) -> None:
    """422 for all three methods; 404 for an address that is none of ours."""
    for method in ("GET", "DELETE"):
        for email, status in (("nonsense", 422), ("a@b@c.example", 422), (NINA, 404)):
            answer = await api.request(method, f"{CONTACTS}/{email}", headers=writer)
            assert (method, email, answer.status_code) == (method, email, status)
    assert (await put(api, writer, "nonsense", 1)).status_code == 422


async def test_after_a_deletion_the_next_ticket_finds_anew(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """The mapping was wrong; without it the address is looked up at Autotask."""
    await put(api, writer, CARLA, people.bruno)
    assert (await api.delete(f"{CONTACTS}/{CARLA}", headers=writer)).status_code == 204

    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)

    assert tenant.linked_contacts(ticket) == [people.carla]
    [mapping] = await rows(services, Mapping)
    assert (mapping.contact_id, mapping.origin) == (people.carla, "found")
    assert (await api.delete(f"{CONTACTS}/{NINA}", headers=writer)).status_code == 404


async def test_setting_a_mapping_twice_keeps_when_it_was_made(
    api: httpx.AsyncClient, people: Seed, writer: Headers
) -> None:
    """PUT is idempotent; only `verified_at` moves."""
    first = (await put(api, writer, NINA, people.bruno)).json()
    second = (await put(api, writer, NINA, people.bruno)).json()
    times = [datetime.fromisoformat(one.pop("verified_at")) for one in (first, second)]
    assert first == second
    assert times[0] < times[1]
