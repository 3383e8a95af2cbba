"""Pausing, the audit and the overview over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update

from app.db.states import Result
from app.db.tables import Audit, Gate, MailboxGate, Slot, TicketRecord, Worker
from app.services import Services
from app.web.app import create_app
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, mailbox_of, outcomes, rows, want

NINA = "nina@radiology.example"
ALPINE = 174
Headers = dict[str, str]


async def pause(api: httpx.AsyncClient, headers: Headers, paused: bool) -> dict[str, Any]:
    """Pause all writes, or let them go on."""
    answer = await api.put("/admin/pause", json={"paused": paused}, headers=headers)
    assert answer.status_code == 200
    return dict(answer.json())


async def store(services: Services, *records: Any) -> None:
    """Put rows into the database."""
    async with services.sessions() as session, session.begin():
        session.add_all(records)


def a_write(seconds: float) -> Slot:
    """Make the slot of a write whose holder has died; it runs out after some seconds."""
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return Slot(entity="Contacts", n=0, holder="dead", expires_at=expires_at, writes=True)


# --- pause ---------------------------------------------------------------------------------------


async def test_a_pause_says_since_when_and_by_whom(
    api: httpx.AsyncClient, services: Services, reader: Headers, writer: Headers
) -> None:
    """Pausing twice, and resuming twice, changes nothing and is recorded once."""
    first = await pause(api, writer, True)
    assert (first["paused"], first["by"], first["writing"]) == (True, "writer", 0)
    assert await pause(api, writer, True) == first
    assert (await api.get("/admin/pause", headers=reader)).json() == first

    over = await pause(api, writer, False)
    assert over == await pause(api, writer, False)
    assert (over["paused"], over["since"], over["by"]) == (False, None, None)
    assert [row.what for row in await rows(services, Audit)] == ["writes_paused", "writes_resumed"]


async def test_while_paused_a_look_writes_nothing_and_waits(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """What was begun goes on afterwards, with nobody failed."""
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, bruno.keller@mail.test")
    await pause(api, writer, True)
    assert await look_at(services, ticket) is None
    assert tenant.contacts_with(NINA) == []
    assert await outcomes(services, ticket) == {
        NINA: ("outside", None),
        "bruno.keller@mail.test": ("known", None),
    }
    await pause(api, writer, False)
    assert await look_at(services, ticket) is Result.DONE
    assert len(tenant.linked_contacts(ticket)) == 2


async def test_the_answer_comes_when_no_write_is_on_its_way(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """A create that Autotask takes its time for is waited for."""
    path = f"/Companies/{ALPINE}/Contacts"
    tenant.faults.add(Fault("hang_after", method="POST", path_contains=path, seconds=1.0))
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    looking = asyncio.create_task(look_at(services, ticket))
    while not tenant.count("POST", path_contains=path):
        await asyncio.sleep(0.01)
    began = time.monotonic()
    shown = await pause(api, writer, True)
    assert shown["writing"] == 0
    assert time.monotonic() - began > 0.5
    await looking


async def test_a_write_whose_process_died_is_waited_for_until_it_cannot_leave(
    api: httpx.AsyncClient, services: Services, writer: Headers
) -> None:
    """Its slot runs out."""
    await store(services, a_write(1.0))
    began = time.monotonic()
    assert (await pause(api, writer, True))["writing"] == 0
    assert time.monotonic() - began > 0.8


async def test_when_it_takes_too_long_the_answer_says_so(
    api: httpx.AsyncClient, services: Services, writer: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the number of writes that are still on their way."""
    monkeypatch.setattr("app.web.admin.pause._STILL_SECONDS", 0.2)
    await store(services, a_write(30.0))
    shown = await pause(api, writer, True)
    assert (shown["paused"], shown["writing"]) == (True, 1)
    assert "Ask again" in shown["detail"]


async def test_a_pause_that_somebody_ends_meanwhile_is_not_waited_for(
    api: httpx.AsyncClient, services: Services, writer: Headers
) -> None:
    """It answers how it is now."""
    await store(services, a_write(30.0))
    pausing = asyncio.create_task(pause(api, writer, True))
    while not (await api.get("/admin/pause", headers=writer)).json()["paused"]:
        await asyncio.sleep(0.02)
    assert (await pause(api, writer, False))["writing"] == 1
    assert (await asyncio.wait_for(pausing, 5))["paused"] is False


async def test_only_a_true_or_false_pauses(api: httpx.AsyncClient, writer: Headers) -> None:
    """Nothing that merely looks like it."""
    bodies: list[Any] = [{}, None, [], {"paused": None}, {"paused": 1}, {"paused": "true"}]
    for body in [*bodies, {"paused": True, "for": "1h"}]:
        answer = await api.put("/admin/pause", json=body, headers=writer)
        assert (body, answer.status_code) == (body, 422)
    assert (await api.get("/admin/pause", headers=writer)).json()["paused"] is False


async def test_a_pause_shows_in_health(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Since when, by which key, and how it ends."""
    await store(services, Worker(id="one"))
    await look_at(services, tenant.new_ticket(people.alpine))
    shown = await pause(api, writer, True)
    answer = await api.get("/health/work")
    [problem] = answer.json()["problems"]
    assert (answer.status_code, problem["code"]) == (503, "paused")
    assert problem["since"] == shown["since"]
    assert "writer" in problem["detail"]
    assert "/admin/pause" in problem["cure"]
    await pause(api, writer, False)
    assert (await api.get("/health/work")).status_code == 200


# --- audit ---------------------------------------------------------------------------------------


@pytest.fixture
async def changes(services: Services) -> None:
    """Some changes, one a day."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    some = [
        ("anna", "policy_set", 174, None),
        ("anna", "process_wanted", None, 7),
        ("cli", "policy_set", 175, None),
        ("anna", "writes_paused", None, None),
    ]
    records = [
        Audit(at=at + timedelta(days=day), who=who, what=what, account_id=account, ticket_id=ticket)
        for day, (who, what, account, ticket) in enumerate(some)
    ]
    for record in records:
        record.detail = {"n": 1}
    await store(services, *records)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"who": "anna"}, [4, 2, 1]),
        ({"who": "anna", "what": "policy_set"}, [1]),
        ({"account": "175"}, [3]),
        ({"ticket": "7"}, [2]),
        ({"since": "2026-11-03T00:00:00Z"}, [4, 3]),
        ({"who": "nobody"}, []),
    ],
)
async def test_the_audit_is_filtered(
    api: httpx.AsyncClient, changes: None, reader: Headers, query: dict[str, str], found: list[int]
) -> None:
    """By who, what, account, ticket and time; the newest first."""
    answer = await api.get("/admin/audit", params=query, headers=reader)
    assert [item["id"] for item in answer.json()["items"]] == found


async def test_the_audit_comes_in_pages(
    api: httpx.AsyncClient, changes: None, reader: Headers
) -> None:
    """Each names where the next one begins."""
    first = (await api.get("/admin/audit?limit=3", headers=reader)).json()
    rest = (await api.get(f"/admin/audit?cursor={first['next']}", headers=reader)).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == [4, 3, 2, 1]
    assert rest["next"] is None


async def test_what_a_key_does_is_in_the_audit(
    api: httpx.AsyncClient, people: Seed, reader: Headers, writer: Headers
) -> None:
    """Who, what, where and the detail of it."""
    path = f"/admin/accounts/{ALPINE}/contacts/{NINA}"
    await api.put(path, json={"contact_id": people.bruno}, headers=writer)
    [item] = (await api.get("/admin/audit", headers=reader)).json()["items"]
    assert (item["who"], item["what"], item["account_id"]) == ("writer", "mapping_set", ALPINE)
    assert item["detail"] == {"email": NINA, "contact_id": people.bruno}


# --- overview ------------------------------------------------------------------------------------


async def test_the_overview_counts_tickets_and_people(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, reader: Headers
) -> None:
    """By result and outcome, of a day and of all."""
    await look_at(services, tenant.new_ticket(people.alpine, cc=f"{NINA}, bruno.keller@mail.test"))
    await look_at(services, tenant.new_ticket(people.alpine, cc="paula@harbour-soehne.example"))
    await want(services, 5)
    async with services.sessions() as session, session.begin():
        day_before = datetime.now(UTC) - timedelta(hours=25)
        session.add(TicketRecord(id=1, result="no_list", first_seen_at=day_before))

    shown = (await api.get("/admin/overview", headers=reader)).json()

    assert shown["tickets"] == {"done": 2, "open": 1, "no_list": 1}
    assert shown["tickets_24h"] == {"done": 2, "open": 1}
    assert shown["people_24h"] == {"created_and_linked": 1, "linked": 1, "held": 1}
    assert shown["held"] == 1
    assert shown["oldest_due"] is not None
    assert shown["paused"] is shown["autotask"] is shown["mailbox"] is None
    assert shown["new_outside_24h"] == {
        "in_all": 1,
        "max_new_per_day": 500,
        "by_one_sender": 1,
        "max_new_per_sender": 20,
    }


async def test_the_overview_names_what_keeps_us(
    make_services: Callable[..., Any], server: SandboxServer, people: Seed, writer: Headers
) -> None:
    """A pause, what Autotask refuses, and the mailbox."""
    services = await make_services(**mailbox_of(server))
    why = {"since": func.now(), "code": "forbidden", "reason": "no"}
    async with services.sessions() as session, session.begin():
        await session.execute(update(Gate).values(**why))
        await session.execute(update(MailboxGate).values(**why))
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as api:
        await pause(api, writer, True)
        shown = (await api.get("/admin/overview", headers=writer)).json()
    assert shown["paused"]["by"] == "writer"
    assert (shown["autotask"]["code"], shown["mailbox"]["code"]) == ("forbidden", "forbidden")


async def test_the_overview_of_an_empty_database(api: httpx.AsyncClient, reader: Headers) -> None:
    """Nothing is nothing."""
    shown = (await api.get("/admin/overview", headers=reader)).json()
    assert shown["tickets"] == shown["tickets_24h"] == shown["people_24h"] == {}
    assert (shown["held"], shown["oldest_due"]) == (0, None)
    assert shown["new_outside_24h"]["by_one_sender"] == 0
    assert shown["contacts"] == {"by_state": {}, "for_tickets": 0, "kept": 0}
