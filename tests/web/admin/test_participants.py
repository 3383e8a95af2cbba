"""Held participants: listed, approved or rejected in bulk, and the audit of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.db.tables import Audit
from app.due import work
from app.looks import look
from app.services import Services
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import look_at, outcomes, people_of, rows
from tests.support.judges import ALPINE, CARLA, DORA, NINA, OLE, Headers, Judge, held, id_of, say


@pytest.fixture
def judge(api: httpx.AsyncClient, services: Services, writer: Headers) -> Judge:
    """An admin with a key that may write."""
    return Judge(api, services, writer)


# --- many ----------------------------------------------------------------------------------------


async def test_many_are_judged_each_for_itself(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Who cannot be approved keeps nobody from it, and each says how it stands."""
    one = await held(services, tenant, f"{CARLA}, {NINA}")
    two = await held(services, tenant, f"{NINA}, {OLE}")
    await judge("reject", two)
    wanted = [(one, NINA), (one, CARLA), (two, NINA), (two, OLE)]
    ids = [await id_of(services, ticket, key) for ticket, key in wanted]

    answer = await judge.many("approve", ids=[*ids, ids[0], 999_999])

    assert [item["id"] for item in answer["items"]] == [*ids, 999_999]
    assert [item["status"] for item in answer["items"]] == [200, 409, 409, 200, 404]
    assert answer["more"] is False
    details = [item["detail"] for item in answer["items"]]
    assert details[1] == "Not held now, but linked: reason known."
    assert details[2] == "Not held now, but ignored: reason rejected, rejected by writer."
    assert answer["items"][3]["participant"]["address"] == OLE
    for _ in range(2):
        async with services.sessions() as session, session.begin():
            [lease] = await work.claim(session, work.TICKET, "test", 1)
        await look.look(services, lease)
    assert (await outcomes(services, one))[NINA][1] == "created_and_linked"
    assert await outcomes(services, two) == {
        NINA: ("rejected", "ignored"),
        OLE: ("outside", "created_and_linked"),
    }


async def test_all_of_an_account_are_judged(
    services: Services, tenant: Tenant, people: Seed, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By reason if that is said; the rest of a great many is asked for again."""
    monkeypatch.setattr("app.web.admin.participants.AT_ONCE", 2)
    await say(services, people.harbour, preset="guarded")
    elsewhere = tenant.new_ticket(people.harbour, cc=NINA)
    await look_at(services, elsewhere)
    ticket = await held(services, tenant, f"{DORA}, {NINA}, {OLE}, third@radiology.example")

    answers = [
        await judge.many("approve", account=people.alpine, reason="outside") for _ in range(3)
    ]

    assert [(len(a["items"]), a["more"]) for a in answers] == [(2, True), (1, False), (0, False)]
    people_there = await people_of(services, ticket)
    approved = {key for key, row in people_there.items() if row.approved_by}
    assert approved == {NINA, OLE, "third@radiology.example"}
    answer = await judge.many("reject", account=people.alpine)
    assert [item["participant"]["address"] for item in answer["items"]] == [DORA]
    assert await outcomes(services, elsewhere) == {NINA: ("outside", "held")}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": [1], "account": 174},
        {"ids": [1], "reason": "outside"},
        {"reason": "outside"},
        {"account": 174, "reason": "whatever"},
        {"account": 174, "always": "domain"},
        {"ids": list(range(501))},
    ],
)
async def test_what_is_no_choice_of_people_is_refused(
    api: httpx.AsyncClient, writer: Headers, body: dict[str, Any]
) -> None:
    """Nobody is approved by a slip."""
    answer = await api.post("/admin/participants/approve", headers=writer, json=body)
    assert answer.status_code == 422


# --- shown ---------------------------------------------------------------------------------------


async def test_people_are_listed_by_what_became_of_them(
    services: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, reader: Headers
) -> None:
    """Newest first, page by page, over all tickets or of one."""
    one = await held(services, tenant, f"Nina Osei <{NINA}>, {CARLA}")
    two = await held(services, tenant, f"{DORA}, {OLE}")

    async def listed(**query: Any) -> list[str]:
        found, cursor = [], None
        while True:
            query |= {"limit": "1"} | ({"cursor": cursor} if cursor else {})
            answer = await api.get("/admin/participants", headers=reader, params=query)
            assert answer.status_code == 200, answer.text
            found += [item["address"] for item in answer.json()["items"]]
            cursor = answer.json()["next"]
            if cursor is None:
                return found

    assert await listed() == [OLE, DORA, CARLA, NINA]
    assert await listed(outcome="held") == [OLE, DORA, NINA]
    assert await listed(outcome="held", reason="outside") == [OLE, NINA]
    assert await listed(ticket=one) == [CARLA, NINA]
    assert await listed(account=people.harbour) == []
    answer = await api.get(f"/admin/participants?ticket={one}&outcome=held", headers=reader)
    [nina] = answer.json()["items"]
    assert nina["ticket_number"] == tenant.tickets[one]["ticketNumber"]
    assert (nina["ticket_id"], nina["account_id"], nina["name"]) == (one, ALPINE, "Nina Osei")
    assert (nina["decision"], nina["reason"], nina["outcome"]) == ("hold", "outside", "held")
    assert nina["approved_by"] is nina["rejected_by"] is nina["judged_at"] is nina["muted"] is None
    of_ticket = (await api.get(f"/admin/tickets/{two}", headers=reader)).json()["participants"]
    assert {row["id"] for row in of_ticket} == {await id_of(services, two, k) for k in (DORA, OLE)}


async def test_a_readers_key_judges_nobody(
    services: Services, tenant: Tenant, people: Seed, api: httpx.AsyncClient, reader: Headers
) -> None:
    """403, one by one and in bulk, and nothing changes."""
    ticket = await held(services, tenant)
    judge = Judge(api, services, reader)
    for verb in ("approve", "reject"):
        assert (await judge(verb, ticket)).status_code == 403
        path = f"/admin/participants/{verb}"
        answer = await api.post(path, headers=reader, json={"account": ALPINE})
        assert answer.status_code == 403
    assert await outcomes(services, ticket) == {NINA: ("outside", "held")}


async def test_nobody_is_nobody(api: httpx.AsyncClient, writer: Headers) -> None:
    """An id that is none."""
    answer = await api.post("/admin/participants/1/approve", headers=writer)
    assert answer.status_code == 404


async def test_who_judged_is_recorded(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Key, person, account and ticket; a change of the policy as one."""
    ticket = await held(services, tenant, f"{NINA}, {OLE}")
    await judge("approve", ticket, NINA)
    await judge("reject", ticket, OLE, always="address")

    records = await rows(services, Audit)

    assert [(row.who, row.what) for row in records] == [
        ("writer", "participant_approved"),
        ("writer", "policy_set"),
        ("writer", "participant_rejected"),
    ]
    assert {row.account_id for row in records} == {ALPINE}
    assert records[0].ticket_id == ticket
    expected = {"email": NINA, "reason": "outside", "always": None}
    assert records[0].detail == expected | {"participant": await id_of(services, ticket)}
    assert records[1].detail["new"] == {"preset": "guarded", "denied": [OLE]}
