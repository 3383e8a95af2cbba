"""One address over all accounts, and forgetting it: what goes, what stays, what comes of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import psycopg

from app import mappings, participants, policies, work
from app.desk import Desk
from app.forgetting import forget
from app.models import Audit, Ledger, Mapping, Participant, TicketContact
from app.policy import PolicyDocument
from app.settings import Settings
from app.states import LedgerState, Result
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import plain
from tests.helpers import look_at, outcomes, people_of, rows, want

ALPINE, HARBOUR = 174, 176
NINA = "nina@radiology.example"
PERSON = f"/admin/people/{NINA}"
Headers = dict[str, str]


async def forget_nina(api: httpx.AsyncClient, headers: Headers) -> dict[str, Any]:
    """Forget her."""
    answer = await api.delete(PERSON, headers=headers)
    assert answer.status_code == 200
    return dict(answer.json())


async def hold_nina(desk: Desk, account: int = ALPINE) -> None:
    """Let people from outside be held in an account."""
    async with desk.sessions() as session, session.begin():
        document = PolicyDocument.model_validate({"outside": "hold"})
        await policies.store(session, account, document, "test")


async def test_a_person_is_shown_over_all_accounts(
    api: httpx.AsyncClient, desk: Desk, tenant: Tenant, people: Seed, reader: Headers
) -> None:
    """Mappings, whom we created, and tickets, the latest first; by any spelling."""
    tickets = [
        tenant.new_ticket(c, cc=f"Nina Ray <{NINA}>") for c in (people.alpine, people.harbour)
    ]
    for ticket in tickets:
        await look_at(desk, ticket)
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
    api: httpx.AsyncClient, desk: Desk, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Line 2: by new tickets, also where a contact carries the address; others are added."""
    known = tenant.add_contact(people.harbour, NINA)
    await forget_nina(api, writer)
    tickets = [
        tenant.new_ticket(c, cc=f"Nina Ray <{NINA}>, max@other.example")
        for c in (people.alpine, people.harbour)
    ]
    for ticket in tickets:
        assert await look_at(desk, ticket) is Result.DONE
        assert await outcomes(desk, ticket) == {
            policies.alias(NINA): ("forgotten", "ignored"),
            "max@other.example": ("outside", "created_and_linked"),
        }
        assert known not in tenant.linked_contacts(ticket)
    assert tenant.contacts_with(NINA, people.alpine) == []


async def test_what_waited_for_her_waits_no_more(
    api: httpx.AsyncClient, desk: Desk, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """Somebody held is ignored then, and stays so when the ticket is looked at again."""
    await hold_nina(desk)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(desk, ticket)
    assert await outcomes(desk, ticket) == {NINA: ("outside", "held")}
    await forget_nina(api, writer)
    ignored = {policies.alias(NINA): ("forgotten", "ignored")}
    assert await outcomes(desk, ticket) == ignored
    await look_at(desk, ticket)
    assert await outcomes(desk, ticket) == ignored


async def test_what_was_done_stays_to_be_seen_without_whom(
    api: httpx.AsyncClient, desk: Desk, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """The outcome stands; whoever knows the address finds the tickets and our contact."""
    ticket = tenant.new_ticket(people.alpine, cc=f"Nina Ray <{NINA}>")
    await look_at(desk, ticket)
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
                "ended_by": None,
                "kept": None,
                "ends_after": None,
                "delayed_by": None,
            }
        ],
    }
    [person] = (await people_of(desk, ticket)).values()
    assert (person.key, person.name) == (policies.alias(NINA), "")
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
    desk: Desk,
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
    await look_at(desk, other)
    her_own = tenant.add_contact(people.alpine, NINA, last="Ray")
    await look_at(
        desk, tenant.new_ticket(people.alpine, contact_id=her_own, cc="max@other.example")
    )
    assert await rows(desk, TicketContact) != []
    async with desk.sessions() as session, session.begin():
        for row in await rows(desk, Ledger):
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
    assert [row.what for row in await rows(desk, Audit)][-1] == "person_forgotten"


async def test_the_ledger_keeps_what_stands(
    api: httpx.AsyncClient, desk: Desk, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """A contact that we created can only be ended as long as it is known what we wrote."""
    await look_at(desk, tenant.new_ticket(people.alpine, cc=NINA))
    await forget_nina(api, writer)
    [row] = await rows(desk, Ledger)
    assert (row.email, row.state, row.sent["emailAddress"]) == (NINA, "created", NINA)


async def test_a_mapping_of_a_forgotten_address_is_refused(
    api: httpx.AsyncClient, desk: Desk, people: Seed, writer: Headers
) -> None:
    """422: nobody brings it back by the way."""
    await forget_nina(api, writer)
    path = f"/admin/accounts/{ALPINE}/contacts/{NINA}"
    answer = await api.put(path, json={"contact_id": people.bruno}, headers=writer)
    assert (answer.status_code, "forgotten" in answer.json()["detail"]) == (422, True)
    assert await rows(desk, Mapping) == []


async def test_forgetting_twice_cleans_what_a_look_left(
    api: httpx.AsyncClient, desk: Desk, tenant: Tenant, people: Seed, writer: Headers
) -> None:
    """One that had read the list before, and stored her after."""
    await hold_nina(desk)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(desk, ticket)
    await forget_nina(api, writer)
    [person] = await rows(desk, Participant)
    async with desk.sessions() as session, session.begin():
        names = [column.name for column in Participant.__table__.columns if column.name != "id"]
        values = {name: getattr(person, name) for name in names} | {"key": NINA, "name": "Nina"}
        session.add(Participant(**values))
    assert (await forget_nina(api, writer))["tickets"] == 1
    assert [row.key for row in await rows(desk, Participant)] == [policies.alias(NINA)]


async def test_forgotten_while_autotask_refuses_her_the_look_ends_well(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Between the decision and the refusal: nothing is left to be counted."""
    path, text = f"/Companies/{ALPINE}/Contacts", "Phone is required."
    tenant.faults.add(Fault("error_500_errors", method="POST", path_contains=path, text=text))
    tenant.faults.latency = (0.3, 0.3)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    looking = asyncio.create_task(look_at(desk, ticket))
    while not tenant.count("POST", path_contains=path):
        await asyncio.sleep(0.01)
    async with desk.sessions() as session, session.begin():
        await forget(session, NINA)
    assert await looking is Result.DONE
    assert await outcomes(desk, ticket) == {policies.alias(NINA): ("forgotten", "ignored")}


async def test_forgetting_waits_for_a_look_that_is_storing(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """The row of due work first, as everywhere: neither ends in a deadlock."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(desk, ticket)
    await want(desk, ticket)
    async with desk.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "test", 1)

    async def forget_her() -> None:
        async with desk.sessions() as session, session.begin():
            await forget(session, NINA)

    async with work.fenced(desk.sessions, lease) as session:
        forgetting = asyncio.create_task(forget_her())
        await asyncio.sleep(0.3)
        assert not forgetting.done()
        await mappings.remember(session, ALPINE, {NINA: 1})
        for row in await participants.of_ticket(session, ticket):
            row.position += 1
    await asyncio.wait_for(forgetting, 5)
    assert await rows(desk, Mapping) == []
    assert [row.key for row in await rows(desk, Participant)] == [policies.alias(NINA)]
