"""The admin API: lists and their pages, what a ticket shows, and doing it again."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.db.states import Origin, Outcome, Priority
from app.db.tables import Delivery, Due, Mapping, TicketRecord
from app.services import Services
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import SECRET
from tests.support.helpers import look_at, outcomes, people_of, rows

ALPINE = 174
CARLA = "carla.mendes@alpine-dental.example"
NINA = "nina@radiology.example"
CONTACTS = f"/admin/accounts/{ALPINE}/contacts"
Headers = dict[str, str]


async def store(services: Services, *records: Any) -> None:
    """Put rows into the database."""
    async with services.sessions() as session, session.begin():
        session.add_all(records)


def delivery(ticket: int, n: int = 0) -> Delivery:
    """Make a callout that was stored."""
    return Delivery(
        entity_type="Ticket", entity_id=ticket, action="Create", sequence_number=n, body_sha256="-"
    )


def mapping(email: str, contact: int = 1, account: int = ALPINE) -> Mapping:
    """Make a mapping."""
    return Mapping(
        account_id=account,
        email=email,
        contact_id=contact,
        origin=Origin.FOUND,
        verified_at=datetime.now(UTC),
    )


# --- pages ---------------------------------------------------------------------------------------


async def all_pages(
    api: httpx.AsyncClient, path: str, headers: Headers, services: Services | None = None
) -> list[dict[str, Any]]:
    """Read a list to its end, page by page; with a desk, deliveries keep coming meanwhile."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query = {"limit": "7"} | ({"cursor": cursor} if cursor else {})
        answer = (await api.get(path, headers=headers, params=query)).json()
        assert len(answer["items"]) <= 7
        items += answer["items"]
        cursor = answer["next"]
        if cursor is None:
            return items
        if services:
            await store(services, delivery(1000 + len(items)), TicketRecord(id=1000 + len(items)))


@pytest.mark.parametrize("path", ["/admin/deliveries", "/admin/tickets"])
async def test_pages_have_neither_gaps_nor_repeats_while_rows_are_added(
    api: httpx.AsyncClient, services: Services, reader: Headers, path: str
) -> None:
    """Every row that was there at the beginning, once, the newest first."""
    await store(
        services, *(delivery(n) for n in range(50)), *(TicketRecord(id=n) for n in range(50))
    )
    items = await all_pages(api, path, reader, services)
    seen = [item.get("ticket_id", item["id"]) for item in items]
    assert seen == list(range(49, -1, -1))


async def test_mappings_are_paged_by_address(
    api: httpx.AsyncClient, services: Services, reader: Headers
) -> None:
    """All of one account's and none of another's, also addresses that sort oddly."""
    names = [f"{a}{b}@x.example" for a in ("a", "a.", "a-", "_", "é", "Ω") for b in range(4)]
    await store(services, *(mapping(name) for name in names), mapping("z@x.example", account=1))
    items = await all_pages(api, CONTACTS, reader)
    assert sorted(item["email"] for item in items) == sorted(names)
    assert {item["account_id"] for item in items} == {ALPINE}


async def test_a_page_that_is_just_full_is_the_last(
    api: httpx.AsyncClient, services: Services, reader: Headers
) -> None:
    """No cursor that leads to an empty page."""
    await store(services, *(delivery(n) for n in range(3)))
    answer = await api.get("/admin/deliveries?limit=3", headers=reader)
    assert (len(answer.json()["items"]), answer.json()["next"]) == (3, None)


def written(value: object) -> str:
    """Write a cursor as ours are written."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


async def test_a_cursor_that_is_not_ours_is_refused(
    api: httpx.AsyncClient, reader: Headers
) -> None:
    """422 for whatever somebody makes up, never an error of ours."""
    made_up = ["", "x", "é", "====", written([]), written({}), written(None), written(True)]
    made_up += [written(1.5), written("\0"), written("\ud800"), written("\n")]
    made_up += [written(-1), written(2**63), written(10**400), "W1tb" * 240, "a" * 1001]
    for path in ("/admin/tickets", "/admin/deliveries", CONTACTS):
        for cursor in made_up:
            answer = await api.get(path, headers=reader, params={"cursor": cursor})
            assert (path, cursor, answer.status_code) == (path, cursor, 422)
    for path, cursor in (("/admin/tickets", written("a@x.example")), (CONTACTS, written(3))):
        assert (await api.get(path, headers=reader, params={"cursor": cursor})).status_code == 422


# --- tickets and deliveries ----------------------------------------------------------------------


async def test_tickets_are_filtered(
    api: httpx.AsyncClient, services: Services, reader: Headers
) -> None:
    """By result, `open` for those without one, by account, and by when they were first seen."""
    old = datetime(2026, 1, 1, tzinfo=UTC)
    await store(
        services,
        TicketRecord(id=1, result="done", account_id=1, first_seen_at=old),
        TicketRecord(id=2, result="failed", account_id=2, first_seen_at=old + timedelta(days=1)),
        TicketRecord(id=3, account_id=2, first_seen_at=old + timedelta(days=2)),
    )
    expected = {
        "": [3, 2, 1],
        "result=failed": [2],
        "result=open": [3],
        "result=gone": [],
        "account=2": [3, 2],
        "account=2&result=failed": [2],
        "since=2026-01-02T00:00:00Z": [3, 2],
        "since=2026-01-02T00:00:00": [3, 2],
        "since=2026-01-02T00:00:00.000001Z": [3],
    }
    for query, ids in expected.items():
        answer = await api.get(f"/admin/tickets?{query}", headers=reader)
        assert (query, [item["id"] for item in answer.json()["items"]]) == (query, ids)


async def test_odd_numbers_and_times_are_no_error_of_ours(
    api: httpx.AsyncClient, reader: Headers
) -> None:
    """The ends of every range are answered."""
    for query in (
        "tickets?since=0001-01-01T00:00:00%2B14:00",
        "tickets?since=9999-12-31T23:59:59-14:00",
        "tickets?since=1e12",
        "tickets?account=2147483647",
        "tickets?account=2147483648",
        f"tickets/{2**63 - 1}",
        f"tickets/{2**63}",
        f"tickets/{'9' * 5000}",
        f"deliveries?ticket={2**63 - 1}",
        "accounts/2147483648/contacts",
    ):
        assert (await api.get(f"/admin/{query}", headers=reader)).status_code in (200, 404, 422)


async def test_deliveries_of_one_ticket(
    api: httpx.AsyncClient, services: Services, reader: Headers
) -> None:
    """What came for a ticket, the latest first."""
    await store(services, delivery(1, 1), delivery(2, 1), delivery(1, 2))
    answer = await api.get("/admin/deliveries?ticket=1", headers=reader)
    assert [item["sequence_number"] for item in answer.json()["items"]] == [2, 1]


async def test_a_ticket_shows_what_happened_and_why(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, reader: Headers
) -> None:
    """Its people with decision, reason, outcome and contact, its looks, its deliveries."""
    tenant.subscribe("http://x", "http://x", SECRET)
    ticket = tenant.new_ticket(
        people.alpine, contact_id=people.ana, cc=f"{CARLA}, no-reply@x.example"
    )
    [queue] = tenant.outbox.queues.values()
    body = encode_callout(queue[0].payload)
    await api.post(
        "/webhooks/autotask", content=body, headers={SIGNATURE_HEADER: sign(SECRET, body)}
    )
    await look_at(services, ticket)

    shown = (await api.get(f"/admin/tickets/{ticket}", headers=reader)).json()

    assert (shown["number"], shown["result"]) == (tenant.tickets[ticket]["ticketNumber"], "done")
    assert (shown["account_id"], shown["contact_id"]) == (people.alpine, people.ana)
    brief = [
        (p["address"], p["decision"], p["reason"], p["outcome"], p["contact_id"])
        for p in shown["participants"]
    ]
    assert brief == [
        (CARLA, "link", "known", "linked", people.carla),
        ("no-reply@x.example", "ignore", "machine", "ignored", None),
    ]
    assert shown["participants"][0]["first_seen_linked_at"]
    assert [look["result"] for look in shown["looks"]] == ["done"]
    assert [d["ticket_id"] for d in shown["deliveries"]] == [ticket]
    assert (shown["due"]["due_at"], shown["due"]["wanted"], shown["due"]["working"]) == (
        None,
        2,
        False,
    )


async def test_an_unknown_ticket_is_not_found(api: httpx.AsyncClient, reader: Headers) -> None:
    """404 says how to have it looked at."""
    answer = await api.get("/admin/tickets/1", headers=reader)
    assert answer.status_code == 404
    assert "process" in answer.json()["detail"]


# --- again ---------------------------------------------------------------------------------------


async def test_process_makes_a_ticket_due_before_all_others(
    api: httpx.AsyncClient, services: Services, writer: Headers
) -> None:
    """Also one that no callout told of: 202, due now, most urgent."""
    answer = await api.post("/admin/tickets/5/process", headers=writer)
    assert answer.status_code == 202
    assert (answer.json()["wanted"], answer.json()["working"]) == (1, False)
    [due] = await rows(services, Due)
    assert (due.ref, due.priority, due.due_at <= due.since) == (5, Priority.URGENT, True)
    assert [ticket.id for ticket in await rows(services, TicketRecord)] == [5]


async def test_process_tries_again_what_had_failed(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Autotask refused somebody thrice; the cause is removed and a person asks again."""
    tenant.faults.add(
        Fault(
            "error_500_errors",
            method="POST",
            entity="Contacts",
            path_contains="/Companies/",
            text="No.",
            times=3,
        )
    )
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    for _ in range(3):
        await look_at(services, ticket)
        async with services.sessions() as session, session.begin():
            [one] = (await people_of(services, ticket)).values()
            one.retry_at = None
            await session.merge(one)
    assert await outcomes(services, ticket) == {NINA: ("outside", Outcome.FAILED)}

    await api.post(f"/admin/tickets/{ticket}/process", headers=writer)
    await look_at(services, ticket)

    assert await outcomes(services, ticket) == {NINA: ("outside", Outcome.CREATED_AND_LINKED)}
