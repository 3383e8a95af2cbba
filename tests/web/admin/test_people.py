"""One address over all accounts, and forgetting it: what goes, what stays, what comes of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import psycopg
from sqlalchemy import func

from app.db.states import LedgerState, Result
from app.db.tables import Audit, Ledger, Mapping, Participant, TicketContact
from app.decide.policy import PolicyDocument
from app.due import work
from app.records import forgotten, mappings, participants, policies
from app.records.forgetting import forget
from app.services import Services
from app.settings.settings import Settings
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.databases import plain
from tests.support.helpers import look_at, outcomes, people_of, rows, want
from tests.support.lifetimes import TICKET, complete, end, say

ALPINE, HARBOUR = 174, 176
NINA = "nina@radiology.example"
PERSON = f"/admin/people/{NINA}"
Headers = dict[str, str]


async def forget_nina(api: httpx.AsyncClient, headers: Headers) -> dict[str, Any]:
    """Forget her."""
    answer = await api.delete(PERSON, headers=headers)
    assert answer.status_code == 200
    return dict(answer.json())


async def hold_nina(services: Services, account: int = ALPINE) -> None:
    """Let people from outside be held in an account."""
    async with services.sessions() as session, session.begin():
        document = PolicyDocument.model_validate({"outside": "hold"})
        await policies.store(session, account, document, "test")


async def test_a_person_is_shown_over_all_accounts(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, reader: Headers
) -> None:
    """Mappings, whom we created, and tickets, the latest first; by any spelling."""
    tickets = [
        tenant.new_ticket(c, cc=f"Nina Ray <{NINA}>") for c in (people.alpine, people.harbour)
    ]
    for ticket in tickets:
        await look_at(services, ticket)
    shown = (await api.get("/admin/people/NINA@Radiology.example", headers=reader)).json()
    assert (shown["address"], shown["forgotten_at"]) == (NINA, None)
    assert [(m["account_id"], m["origin"]) for m in shown["mappings"]] == [
        (ALPINE, "created"),
        (HARBOUR, "created"),
    ]
    assert [(t["ticket_id"], t["name"], t["outcome"]) for t in shown["tickets"]] == [
        (ticket, "Nina Ray", "created_and_linked") for ticket in reversed(tickets)
    ]
    assert [c["contact_id"] for c in shown["created"]] == [
        m["contact_id"] for m in shown["mappings"]
    ]


async def test_somebody_unknown_is_nowhere(api: httpx.AsyncClient, reader: Headers) -> None:
    """An empty answer: whether an address is known is what was asked."""
    shown = (await api.get(PERSON, headers=reader)).json()
    assert (shown["mappings"], shown["created"], shown["tickets"]) == ([], [], [])
    assert (await api.get("/admin/people/nonsense", headers=reader)).status_code == 422


async def test_a_forgotten_person_is_ignored_in_every_account(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Line 2: by new tickets, also where a contact carries the address; others are added."""
    known = tenant.add_contact(people.harbour, NINA)
    await forget_nina(api, writer)
    tickets = [
        tenant.new_ticket(c, cc=f"Nina Ray <{NINA}>, max@other.example")
        for c in (people.alpine, people.harbour)
    ]
    for ticket in tickets:
        assert await look_at(services, ticket) is Result.DONE
        assert await outcomes(services, ticket) == {
            forgotten.alias(NINA): ("forgotten", "ignored"),
            "max@other.example": ("outside", "created_and_linked"),
        }
        assert known not in tenant.linked_contacts(ticket)
    assert tenant.contacts_with(NINA, people.alpine) == []


async def test_what_waited_for_her_waits_no_more(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Somebody held is ignored then, and stays so when the ticket is looked at again."""
    await hold_nina(services)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == {NINA: ("outside", "held")}
    await forget_nina(api, writer)
    ignored = {forgotten.alias(NINA): ("forgotten", "ignored")}
    assert await outcomes(services, ticket) == ignored
    await look_at(services, ticket)
    assert await outcomes(services, ticket) == ignored


async def test_what_was_done_stays_to_be_seen_without_whom(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """The outcome stands; whoever knows the address finds the tickets and our contact."""
    ticket = tenant.new_ticket(people.alpine, cc=f"Nina Ray <{NINA}>")
    await look_at(services, ticket)
    [contact] = tenant.contacts_with(NINA)
    assert await forget_nina(api, writer) == {
        "tickets": 1,
        "mappings": 1,
        "policies": 0,
        "created": [
            {
                "account_id": ALPINE,
                "contact_id": contact["id"],
                "ticket_id": ticket,
                "state": "created",
                "lifetime": None,
                "ended_by": "forgotten",
                "kept": None,
                "ends_after": None,
                "delayed_by": None,
                "becomes": "retiring",
            }
        ],
    }
    [person] = (await people_of(services, ticket)).values()
    assert (person.key, person.name) == (forgotten.alias(NINA), "")
    assert (person.outcome, person.contact_id) == ("created_and_linked", contact["id"])
    shown = (await api.get(PERSON, headers=writer)).json()
    assert shown["forgotten_at"] is not None
    assert [one["ticket_id"] for one in shown["tickets"]] == [ticket]
    assert len(shown["created"]) == 1


def everything(settings: Settings) -> dict[str, str]:
    """Read the whole database, a text for each table."""
    assert settings.database_url
    with psycopg.connect(plain(settings.database_url)) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        return {
            name: json.dumps(connection.execute(f"SELECT to_jsonb(t) FROM {name} t").fetchall())
            for (name,) in names
        }


async def test_no_table_knows_a_forgotten_address(
    api: httpx.AsyncClient,
    services: Services,
    tenant: Tenant,
    people: Seed,
    settings: Settings,
    writer: Headers,
) -> None:
    """Wherever it stood: on tickets, in mappings, policies, the audit, the ledger's history."""
    path = f"/admin/accounts/{ALPINE}"
    body = {"allowed": [NINA, "max@other.example"], "denied": ["radiology.example"]}
    await api.put(f"{path}/policy", json=body, headers=writer)
    await api.put(f"{path}/contacts/{NINA}", json={"contact_id": people.bruno}, headers=writer)
    other = tenant.new_ticket(people.harbour, cc=f"Nina Ray <{NINA}>")
    await look_at(services, other)
    her_own = tenant.add_contact(people.alpine, NINA, last="Ray")
    await look_at(
        services, tenant.new_ticket(people.alpine, contact_id=her_own, cc="max@other.example")
    )
    assert await rows(services, TicketContact) != []
    async with services.sessions() as session, session.begin():
        for row in await rows(services, Ledger):
            if row.email == NINA:
                (await session.get_one(Ledger, row.id)).state = LedgerState.RETIRED
    before = everything(settings)
    knew = {name for name, text in before.items() if NINA in text or "Ray" in text}
    assert knew == {"participants", "mappings", "policies", "audit", "ledger", "ticket_contacts"}

    assert (await forget_nina(api, writer))["policies"] == 1

    after = everything(settings)
    assert {name for name, text in after.items() if NINA in text or "Ray" in text} == set()
    shown = (await api.get(f"{path}/policy", headers=writer)).json()
    assert shown["own"] == {"allowed": ["max@other.example"], "denied": ["radiology.example"]}
    assert [row.what for row in await rows(services, Audit)][-1] == "person_forgotten"


async def test_the_ledger_keeps_what_stands(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """A contact that we created can only be ended as long as it is known what we wrote."""
    await look_at(services, tenant.new_ticket(people.alpine, cc=NINA))
    await forget_nina(api, writer)
    [row] = await rows(services, Ledger)
    assert (row.email, row.state, row.sent["emailAddress"]) == (NINA, "created", NINA)


async def test_a_mapping_of_a_forgotten_address_is_refused(
    api: httpx.AsyncClient, services: Services, people: Seed, writer: Headers
) -> None:
    """422: nobody brings it back by the way."""
    await forget_nina(api, writer)
    path = f"/admin/accounts/{ALPINE}/contacts/{NINA}"
    answer = await api.put(path, json={"contact_id": people.bruno}, headers=writer)
    assert (answer.status_code, "forgotten" in answer.json()["detail"]) == (422, True)
    assert await rows(services, Mapping) == []


async def test_forgetting_twice_cleans_what_a_look_left(
    api: httpx.AsyncClient, services: Services, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """One that had read the list before, and stored her after."""
    await hold_nina(services)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    await forget_nina(api, writer)
    [person] = await rows(services, Participant)
    async with services.sessions() as session, session.begin():
        names = [column.name for column in Participant.__table__.columns if column.name != "id"]
        values = {name: getattr(person, name) for name in names} | {"key": NINA, "name": "Nina"}
        session.add(Participant(**values))
    assert (await forget_nina(api, writer))["tickets"] == 1
    assert [row.key for row in await rows(services, Participant)] == [forgotten.alias(NINA)]


async def test_forgotten_while_autotask_refuses_her_the_look_ends_well(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Between the decision and the refusal: nothing is left to be counted."""
    path, text = f"/Companies/{ALPINE}/Contacts", "Phone is required."
    tenant.faults.add(Fault("error_500_errors", method="POST", path_contains=path, text=text))
    tenant.faults.latency = (0.3, 0.3)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    looking = asyncio.create_task(look_at(services, ticket))
    while not tenant.count("POST", path_contains=path):
        await asyncio.sleep(0.01)
    async with services.sessions() as session, session.begin():
        await forget(session, NINA)
    assert await looking is Result.DONE
    assert await outcomes(services, ticket) == {forgotten.alias(NINA): ("forgotten", "ignored")}


async def test_forgetting_waits_for_a_look_that_is_storing(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The row of due work first, as everywhere: neither ends in a deadlock."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    await want(services, ticket)
    async with services.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "test", 1)

    async def forget_her() -> None:
        async with services.sessions() as session, session.begin():
            await forget(session, NINA)

    async with work.fenced(services.sessions, lease) as session:
        forgetting = asyncio.create_task(forget_her())
        await asyncio.sleep(0.3)
        assert not forgetting.done()
        await mappings.remember(session, ALPINE, {NINA: 1})
        for row in await participants.of_ticket(session, ticket):
            row.position += 1
    await asyncio.wait_for(forgetting, 5)
    assert await rows(services, Mapping) == []
    assert [row.key for row in await rows(services, Participant)] == [forgotten.alias(NINA)]


async def created(api: httpx.AsyncClient, headers: Headers) -> list[dict[str, Any]]:
    """Give the contacts that we created for her."""
    answer = await api.get(PERSON, headers=headers)
    assert answer.status_code == 200
    return list(answer.json()["created"])


async def test_a_whole_life_is_to_be_seen(
    clock: Clock,
    services: Services,
    tenant: Tenant,
    people: Seed,
    api: httpx.AsyncClient,
    reader: Headers,
) -> None:
    """For tickets, over, ended and by what; brought back, and a person's for ever, and why."""
    await say(services, lifetime=TICKET, grace_days=7)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    [one] = await created(api, reader)
    nina = one["contact_id"]
    assert (one["state"], one["lifetime"], one["ended_by"]) == ("created", "outside", None)
    await complete(services, tenant, ticket)
    await end(services)
    [one] = await created(api, reader)
    assert (one["state"], one["ends_after"] is None, one["delayed_by"]) == ("created", False, None)

    clock.advance(days=8)
    await end(services)
    [one] = await created(api, reader)
    assert (one["state"], one["contact_id"], one["ended_by"]) == ("retired", nina, "lifetime")
    assert one["ends_after"] is None

    clock.advance(hours=1)
    again = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, again)
    tenant.change_contact(nina, phone="555-0199")
    await complete(services, tenant, again)
    clock.advance(days=8)
    await end(services)
    [one] = await created(api, reader)
    assert (one["state"], one["kept"]) == ("created", "a person changed phone")
    assert (one["ended_by"], one["ends_after"]) == (None, None)


def row(n: int, state: str, **values: Any) -> Ledger:
    """Make a row of the ledger for her."""
    usual = {"account_id": ALPINE + n, "email": NINA, "ticket_id": 7, "contact_id": n}
    return Ledger(state=state, sent_at=func.now(), **{**usual, **values})


async def test_which_contacts_are_shown(
    services: Services, api: httpx.AsyncClient, writer: Headers
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
    async with services.sessions() as session, session.begin():
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
    assert forgotten.alias(NINA) not in str(forgot)


async def test_the_overview_counts_our_contacts(
    api: httpx.AsyncClient, services: Services, reader: Headers
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
    async with services.sessions() as session, session.begin():
        for n, (state, more) in enumerate(rows):
            session.add(row(n, state, **more))
    shown = (await api.get("/admin/overview", headers=reader)).json()
    assert shown["contacts"] == {
        "by_state": {"created": 3, "retiring": 1, "retired": 1, "gone": 1},
        "for_tickets": 2,
        "kept": 1,
    }
