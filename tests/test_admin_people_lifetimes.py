"""Contacts that we created, over HTTP: on a person's page, ended ones too; and in numbers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import func

from app import policies
from app.desk import Desk
from app.models import Ledger
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.clock import Clock
from tests.helpers import look_at
from tests.lifetimes import ALPINE, NINA, TICKET, complete, end, say

PERSON = f"/admin/people/{NINA}"
Headers = dict[str, str]


@pytest.fixture
def clock(database_url: str, tenant: Tenant) -> Clock:
    """Time that passes when a test says so; before anything connects."""
    return Clock(database_url, tenant)


async def created(api: httpx.AsyncClient, headers: Headers) -> list[dict[str, Any]]:
    """Give the contacts that we created for her."""
    answer = await api.get(PERSON, headers=headers)
    assert answer.status_code == 200
    return list(answer.json()["created"])


async def test_a_whole_life_is_to_be_seen(
    clock: Clock, desk: Desk, tenant: Tenant, people: Seed, api: httpx.AsyncClient, reader: Headers
) -> None:
    """For tickets, over, ended and by what; brought back, and a person's for ever, and why."""
    await say(desk, lifetime=TICKET, grace_days=7)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(desk, ticket)
    [one] = await created(api, reader)
    nina = one["contact_id"]
    assert (one["state"], one["lifetime"], one["ended_by"]) == ("created", "outside", None)
    await complete(desk, tenant, ticket)
    await end(desk)
    [one] = await created(api, reader)
    assert (one["state"], one["ends_after"] is None, one["delayed_by"]) == ("created", False, None)

    clock.advance(days=8)
    await end(desk)
    [one] = await created(api, reader)
    assert (one["state"], one["contact_id"], one["ended_by"]) == ("retired", nina, "lifetime")
    assert one["ends_after"] is None

    clock.advance(hours=1)
    again = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(desk, again)
    tenant.change_contact(nina, phone="555-0199")
    await complete(desk, tenant, again)
    clock.advance(days=8)
    await end(desk)
    [one] = await created(api, reader)
    assert (one["state"], one["kept"]) == ("created", "a person changed phone")
    assert (one["ended_by"], one["ends_after"]) == (None, None)


def row(n: int, state: str, **values: Any) -> Ledger:
    """Make a row of the ledger for her."""
    usual = {"account_id": ALPINE + n, "email": NINA, "ticket_id": 7, "contact_id": n}
    return Ledger(state=state, sent_at=func.now(), **{**usual, **values})


async def test_which_contacts_are_shown(
    desk: Desk, api: httpx.AsyncClient, writer: Headers
) -> None:
    """Those that are at Autotask by our records; also of somebody who is forgotten."""
    why = "forbidden: no right to read nina@radiology.example"
    rows = [
        row(1, "created", error="no answer"),
        row(2, "retiring", end_at=func.now(), error=why, end_why="lifetime"),
        row(3, "retired", end_why="undo"),
        row(4, "restoring", end_why="lifetime"),
        row(5, "gone"),
        row(6, "refused", contact_id=None),
        row(7, "sending", contact_id=None),
    ]
    async with desk.sessions() as session, session.begin():
        session.add_all(rows)
    shown = await created(api, writer)
    assert [(one["contact_id"], one["state"], one["ended_by"]) for one in shown] == [
        (1, "created", None),
        (2, "retiring", "lifetime"),
        (3, "retired", "undo"),
        (4, "restoring", "lifetime"),
    ]
    assert shown[0]["delayed_by"] is None  # what went wrong with its creation
    assert shown[1]["delayed_by"].startswith("forbidden: no right to read n")
    assert NINA not in shown[1]["delayed_by"]

    forgot = (await api.delete(PERSON, headers=writer)).json()
    assert {1, 2, 3} <= {one["contact_id"] for one in forgot["created"]}
    assert {1, 2, 3} <= {one["contact_id"] for one in await created(api, writer)}
    assert policies.alias(NINA) not in str(forgot)


async def test_the_overview_counts_our_contacts(
    api: httpx.AsyncClient, desk: Desk, reader: Headers
) -> None:
    """By state; of those that stand, how many are for their tickets only, and how many are kept."""
    rows: list[tuple[str, dict[str, Any]]] = [
        ("created", {"lifetime": "outside"}),
        ("created", {}),
        ("created", {"lifetime": "inside", "kept": "a person changed phone"}),
        ("retiring", {"lifetime": "outside"}),
        ("retired", {"lifetime": "outside"}),
        ("gone", {"kept": "a person changed phone"}),
        ("refused", {"contact_id": None, "lifetime": "inside"}),
    ]
    async with desk.sessions() as session, session.begin():
        for n, (state, more) in enumerate(rows):
            session.add(row(n, state, **more))
    shown = (await api.get("/admin/overview", headers=reader)).json()
    assert shown["contacts"] == {
        "by_state": {"created": 3, "retiring": 1, "retired": 1, "gone": 1},
        "for_tickets": 2,
        "kept": 1,
    }
