"""People who are held: shown, approved, rejected, one by one or many, or once and for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update

from app import look as looks
from app import policies, work
from app.db import db_now
from app.desk import Desk
from app.facts import gather
from app.models import AccountPolicy, Audit, Due, Participant
from app.policy import MAX_ENTRIES, PolicyDocument
from app.states import Priority, Result
from sandbox.model import COMPLETE
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.helpers import (
    changes,
    due_of,
    look_at,
    mailbox_of,
    outcomes,
    people_of,
    result_of,
    rows,
    want,
)

ALPINE, HARBOUR = 174, 176
ANA = "Ana Ruiz <ana.ruiz@alpine-dental.example>"
BRUNO = "bruno.keller@alpine-dental.example"
CARLA = "carla.mendes@alpine-dental.example"
DORA = "dora.lind@alpine-dental.example"
NINA = "nina@radiology.example"
OLE = "ole@radiology.example"
Headers = dict[str, str]


async def say(desk: Desk, account_id: int = ALPINE, **fields: Any) -> None:
    """Give an account a policy."""
    async with desk.sessions() as session, session.begin():
        await policies.store(session, account_id, PolicyDocument(**fields), "test")


async def held(desk: Desk, tenant: Tenant, cc: str = NINA, preset: str = "guarded") -> int:
    """Make a ticket on which strangers are held, and look at it."""
    await say(desk, preset=preset)
    ticket = tenant.new_ticket(ALPINE, cc=cc)
    await look_at(desk, ticket)
    return ticket


async def id_of(desk: Desk, ticket: int, key: str = NINA) -> int:
    """Give a participant's id."""
    return (await people_of(desk, ticket))[key].id


async def next_look(desk: Desk) -> Result | None:
    """Look at the one ticket that is due now; nobody makes it due for this."""
    async with desk.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "test", 2)
    return await looks.look(desk, lease)


class Judge:
    """An admin who approves and rejects over HTTP."""

    def __init__(self, api: httpx.AsyncClient, desk: Desk, headers: Headers) -> None:
        self.api, self.desk, self.headers = api, desk, headers

    async def __call__(
        self, verb: str, ticket: int, key: str = NINA, **body: Any
    ) -> httpx.Response:
        """Approve or reject somebody on a ticket."""
        path = f"/admin/participants/{await id_of(self.desk, ticket, key)}/{verb}"
        return await self.api.post(path, headers=self.headers, json=body or None)

    async def many(self, verb: str, **body: Any) -> dict[str, Any]:
        """Approve or reject many at once."""
        answer = await self.api.post(f"/admin/participants/{verb}", headers=self.headers, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def judge(api: httpx.AsyncClient, desk: Desk, writer: Headers) -> Judge:
    """An admin with a key that may write."""
    return Judge(api, desk, writer)


# --- approved ------------------------------------------------------------------------------------


Setting = tuple[str, dict[str, Any], dict[str, Any]]
HELD: dict[str, Setting] = {
    "outside": (NINA, {"preset": "guarded"}, {}),
    "inside": ("new@alpine-dental.example", {"inside": "hold"}, {}),
    "inactive": (DORA, {}, {}),
    "other_client": ("new@harbour-soehne.example", {}, {}),
    "non_ascii": ("rené@radiology.example", {}, {}),
    "over_limit": (NINA, {"max_new_per_ticket": 0}, {}),
    "over_daily_limit": (NINA, {}, {"max_new_per_sender": 0}),
}


@pytest.mark.parametrize("reason", HELD)
async def test_somebody_held_is_approved_and_brought(
    make_desk: Callable[..., Any], tenant: Tenant, people: Seed, judge: Judge, reason: str
) -> None:
    """Lines 11 to 15 give way to a person's word; the next look does it, first of all."""
    key, policy, settings = HELD[reason]
    desk: Desk = await make_desk(**settings)
    await say(desk, **policy)
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=key)
    await look_at(desk, ticket)
    assert await outcomes(desk, ticket) == {key: (reason, "held")}

    answer = await judge("approve", ticket, key)

    assert (answer.status_code, answer.json()["outcome"]) == (200, None)
    assert answer.json()["approved_by"] == "writer"
    assert (await due_of(desk, ticket)).priority == Priority.URGENT
    assert await next_look(desk) == Result.DONE
    outcome = "linked" if reason == "inactive" else "created_and_linked"
    assert (await outcomes(desk, ticket))[key][1] == outcome
    [contact] = tenant.contacts_with(key, people.alpine)
    assert contact["isActive"] == 1
    assert tenant.linked_contacts(ticket) == [contact["id"]]

    before = await outcomes(desk, ticket)
    assert await look_at(desk, ticket) == Result.DONE
    assert await outcomes(desk, ticket) == before


async def test_one_of_an_automatic_mail_is_approved(
    make_desk: Callable[..., Any], tenant: Tenant, people: Seed, server: SandboxServer, judge: Judge
) -> None:
    """The others of the mail stay held."""
    desk: Desk = await make_desk(cc_sources=("mailbox",), **mailbox_of(server))
    headers = {"Auto-Submitted": "auto-replied"}
    ticket = tenant.receive_mail(
        people.alpine, sender=ANA, subject="Out of office", cc=[CARLA, NINA], headers=headers
    )
    await look_at(desk, ticket)

    assert (await judge("approve", ticket, CARLA)).status_code == 200

    assert await next_look(desk) == Result.DONE
    assert await outcomes(desk, ticket) == {
        CARLA: ("known", "linked"),
        NINA: ("automatic_mail", "held"),
    }


async def test_somebody_far_down_the_list_is_looked_up_when_approved(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Of those after the hundredth nobody is looked up, but whom somebody wants."""
    strangers = [f"s{n}@radiology.example" for n in range(100)]
    ticket = await held(desk, tenant, ", ".join([*strangers, BRUNO]))
    assert (await outcomes(desk, ticket))[BRUNO] == ("over_limit", "held")

    assert (await judge("approve", ticket, BRUNO)).status_code == 200

    await next_look(desk)
    assert (await outcomes(desk, ticket))[BRUNO] == ("known", "linked")
    assert tenant.linked_contacts(ticket) == [people.bruno]


async def test_a_full_ticket_holds_even_who_was_approved(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Autotask's thirty are no policy; when there is room, another approval brings them."""
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    others = [tenant.add_contact(people.alpine, f"p{n}@x.example") for n in range(30)]
    for contact in others:
        tenant.link(ticket, contact)
    await look_at(desk, ticket)

    assert (await judge("approve", ticket)).status_code == 200
    await next_look(desk)
    assert await outcomes(desk, ticket) == {NINA: ("over_limit", "held")}

    tenant.unlink(ticket, others[0])
    assert (await judge("approve", ticket)).status_code == 200
    await next_look(desk)
    assert (await outcomes(desk, ticket))[NINA] == ("outside", "created_and_linked")


async def test_an_approval_does_not_wait_for_somebody_elses_retry(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The ticket is due in hours, for another person: the approved one is brought now."""
    tenant.faults.add(
        Fault("error_500_errors", "POST", path_contains="AdditionalContacts", times=2, text="No.")
    )
    ticket = await held(desk, tenant, f"{CARLA}, {NINA}")
    async with desk.sessions() as session, session.begin():
        later = func.now() + timedelta(hours=5)
        waits = update(Participant).where(Participant.key == CARLA, Participant.failures == 1)
        await session.execute(waits.values(retry_at=later))
        await session.execute(update(Due).values(due_at=later))
        now = await db_now(session)

    assert (await judge("approve", ticket)).status_code == 200
    assert await next_look(desk) is None

    assert await outcomes(desk, ticket) == {
        CARLA: ("known", None),
        NINA: ("outside", "created_and_linked"),
    }
    due = (await due_of(desk, ticket)).due_at
    assert due
    assert due > now + timedelta(hours=4)


async def test_what_stands_above_the_policy_is_not_overridden(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Approved, and denied or switched off before the look: ignored, with the reason."""
    for policy, reason in (({"denied": [NINA]}, "denied"), ({"preset": "off"}, "policy_off")):
        ticket = await held(desk, tenant)
        assert (await judge("approve", ticket)).status_code == 200
        await say(desk, **policy)
        assert await next_look(desk) == Result.DONE
        assert await outcomes(desk, ticket) == {NINA: (reason, "ignored")}
        assert (await people_of(desk, ticket))[NINA].approved_by == "writer"
    assert tenant.contacts_with(NINA) == []


async def test_in_observe_mode_an_approval_writes_nothing(
    desk: Desk, server: SandboxServer, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """It shows what it would have done."""
    await say(desk, preset="guarded", act="observe")
    ticket = tenant.new_ticket(people.alpine, cc=f"{NINA}, {DORA}")
    await look_at(desk, ticket)
    for key in (NINA, DORA):
        assert (await judge("approve", ticket, key)).status_code == 200

    assert await next_look(desk) == Result.DONE

    expected = {NINA: ("outside", "would_create"), DORA: ("inactive", "would_link")}
    assert await outcomes(desk, ticket) == expected
    assert changes(server) == []


# --- rejected ------------------------------------------------------------------------------------


async def test_somebody_rejected_is_never_asked_for_again(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge, api: httpx.AsyncClient, writer: Headers
) -> None:
    """At once; and whatever happens later: looked at again, policy opened, ticket moved."""
    ticket = await held(desk, tenant)

    answer = await judge("reject", ticket)

    assert (answer.status_code, answer.json()["rejected_by"]) == (200, "writer")
    rejected = {NINA: ("rejected", "ignored")}
    assert await outcomes(desk, ticket) == rejected
    assert await next_look(desk) == Result.DONE
    await say(desk, preset="open", allowed=[NINA])
    assert (await api.post(f"/admin/tickets/{ticket}/process", headers=writer)).is_success
    assert await next_look(desk) == Result.DONE
    assert await outcomes(desk, ticket) == rejected
    tenant.update_ticket(ticket, companyID=people.harbour, contactID=None)
    assert await look_at(desk, ticket) == Result.DONE
    assert await outcomes(desk, ticket) == rejected
    assert (await people_of(desk, ticket))[NINA].account_id == people.harbour
    assert tenant.contacts_with(NINA) == []
    assert (await judge("approve", ticket)).status_code == 409


@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_a_word_that_is_said_during_a_look_counts_in_it(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge, verb: str, monkeypatch: Any
) -> None:
    """What a look gathered before is old: nobody is created whom somebody just rejected."""
    ticket = await held(desk, tenant)
    said: list[httpx.Response] = []

    async def slow(*args: Any, **rest: Any) -> Any:
        seen = await gather(*args, **rest)
        if not said:
            said.append(await judge(verb, ticket))
        return seen

    if verb == "reject":
        await say(desk, preset="open")
    monkeypatch.setattr("app.look.gather", slow)

    assert await look_at(desk, ticket) == Result.DONE

    assert said[0].status_code == 200
    outcome = {"approve": ("outside", "created_and_linked"), "reject": ("rejected", "ignored")}
    assert await outcomes(desk, ticket) == {NINA: outcome[verb]}
    assert len(tenant.contacts_with(NINA)) == (verb == "approve")


# --- meanwhile -----------------------------------------------------------------------------------


async def test_an_approval_is_for_one_account(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The ticket has moved, which nobody knew: there the person is held anew, which is said."""
    await say(desk, people.harbour, preset="guarded")
    ticket = await held(desk, tenant)
    tenant.update_ticket(ticket, companyID=people.harbour, contactID=None)

    assert (await judge("approve", ticket)).status_code == 200
    assert await next_look(desk) == Result.DONE

    assert await outcomes(desk, ticket) == {NINA: ("outside", "held")}
    nina = (await people_of(desk, ticket))[NINA]
    assert nina.detail == "was approved in account 174; the ticket has moved"
    answer = await judge("approve", ticket, account=people.alpine)
    assert answer.status_code == 409
    assert answer.json()["detail"] == "Held (outside) in account 176 now, not in 174."
    assert (await judge("approve", ticket, account=people.harbour)).status_code == 200
    await next_look(desk)
    [contact] = tenant.contacts_with(NINA)
    assert contact["companyID"] == people.harbour


async def test_a_ticket_that_has_moved_is_decided_anew_first(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """It is parked now; nobody may be approved for the account that it has left."""
    ticket = await held(desk, tenant)
    tenant.update_ticket(ticket, companyID=people.msp, contactID=None)
    assert await look_at(desk, ticket) == Result.PARKED

    answer = await judge("approve", ticket)

    assert answer.status_code == 409
    assert "Held in account 174, and the ticket has moved to 0 since" in answer.json()["detail"]
    assert (await due_of(desk, ticket)).due_at is None
    assert await result_of(desk, ticket) == "parked"


OVER: dict[str, tuple[Callable[[Tenant, int], None], Result, str]] = {
    "complete": (
        lambda tenant, ticket: tenant.update_ticket(ticket, status=COMPLETE),
        Result.COMPLETE,
        "it is complete: nobody is added",
    ),
    "gone": (
        lambda tenant, ticket: tenant.delete_ticket(ticket),
        Result.GONE,
        "Autotask has no such ticket",
    ),
    "parked": (
        lambda tenant, ticket: tenant.update_ticket(ticket, companyID=0, contactID=None),
        Result.PARKED,
        "no customer account yet",
    ),
}


@pytest.mark.parametrize("what", OVER)
async def test_an_approval_that_comes_too_late_says_so(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge, what: str
) -> None:
    """The next look ends it, with what has happened to the ticket; nobody is created."""
    end, result, detail = OVER[what]
    ticket = await held(desk, tenant)
    end(tenant, ticket)

    assert (await judge("approve", ticket)).status_code == 200
    assert await next_look(desk) == result

    nina = (await people_of(desk, ticket))[NINA]
    assert nina.outcome == "failed"
    assert nina.detail
    assert nina.detail.startswith(detail)
    assert tenant.contacts_with(NINA) == []


async def test_a_ticket_that_is_opened_again_honours_the_approval(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge, api: httpx.AsyncClient, writer: Headers
) -> None:
    """What came too late is done when a person lets the ticket be looked at again."""
    ticket = await held(desk, tenant)
    tenant.update_ticket(ticket, status=COMPLETE)
    await judge("approve", ticket)
    await next_look(desk)
    tenant.update_ticket(ticket, status=1)

    await api.post(f"/admin/tickets/{ticket}/process", headers=writer)
    await next_look(desk)

    assert (await outcomes(desk, ticket))[NINA] == ("outside", "created_and_linked")


async def test_of_two_words_at_once_one_counts(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The other one is told how it stands, and by whom."""
    ticket = await held(desk, tenant)

    answers = await asyncio.gather(
        *(judge(verb, ticket) for verb in ("approve", "reject", "approve", "reject"))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    details = {answer.json()["detail"] for answer in answers if answer.status_code == 409}
    assert len(details) == 1
    assert "ed by writer." in details.pop()
    assert len(await rows(desk, Audit)) == 1


async def test_looks_and_words_at_once_do_not_block_each_other(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Both lock the due row first; all who were approved are brought in the end, once."""
    keys = [f"s{n}@radiology.example" for n in range(8)]
    ticket = await held(desk, tenant, ", ".join(keys))
    await want(desk, ticket)

    answers = await asyncio.gather(next_look(desk), *(judge("approve", ticket, k) for k in keys))

    assert [answer.status_code for answer in answers[1:]] == [200] * 8  # type: ignore[union-attr]
    await look_at(desk, ticket)
    assert {o for _, o in (await outcomes(desk, ticket)).values()} == {"created_and_linked"}
    assert len(tenant.linked_contacts(ticket)) == 8


# --- once and for all ----------------------------------------------------------------------------


@pytest.mark.parametrize(("always", "entry"), [("address", NINA), ("domain", "radiology.example")])
async def test_who_is_approved_for_good_needs_no_approval_again(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge, always: str, entry: str
) -> None:
    """The account's list `allowed` has the address, or its domain with all its people."""
    ticket = await held(desk, tenant)
    assert (await judge("approve", ticket, always=always)).status_code == 200
    await next_look(desk)
    [policy] = await rows(desk, AccountPolicy)
    assert policy.document == {"preset": "guarded", "allowed": [entry]}
    assert policy.changed_by == "writer"

    second = tenant.new_ticket(people.alpine, cc=f"{NINA}, {OLE}")
    await look_at(desk, second)

    assert await outcomes(desk, second) == {
        NINA: ("known", "linked"),
        OLE: ("outside", "created_and_linked" if always == "domain" else "held"),
    }


async def test_who_is_rejected_for_good_is_denied_from_then_on(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """A whole domain, in this account alone."""
    ticket = await held(desk, tenant)
    assert (await judge("reject", ticket, always="domain")).status_code == 200
    await next_look(desk)
    assert await outcomes(desk, ticket) == {NINA: ("rejected", "ignored")}

    second = tenant.new_ticket(people.alpine, cc=OLE)
    elsewhere = tenant.new_ticket(people.bakery, cc=OLE)
    await look_at(desk, second)
    await look_at(desk, elsewhere)

    assert await outcomes(desk, second) == {OLE: ("denied", "ignored")}
    assert await outcomes(desk, elsewhere) == {OLE: ("outside", "created_and_linked")}


async def test_a_word_for_good_takes_back_the_opposite_and_keeps_what_was_inherited(
    make_desk: Callable[..., Any], desk: Desk
) -> None:
    """A list of the account's own replaces the inherited one, so it begins with its entries."""
    default = PolicyDocument(allowed=(NINA,), denied=("spam.example", "radiology.example"))
    async with desk.sessions() as session, session.begin():
        await policies.put_on_list(
            session, ALPINE, "radiology.example", "allowed", default, "somebody"
        )
        await policies.put_on_list(session, ALPINE, NINA, "denied", default, "somebody")
    [row] = await rows(desk, AccountPolicy)
    assert row.document == {
        "allowed": ["radiology.example"],
        "denied": ["spam.example", NINA],
    }


async def test_words_for_good_at_once_are_all_kept(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Also where the account had no policy of its own before."""
    keys = [f"new{n}@harbour-soehne.example" for n in range(6)]
    tickets = [tenant.new_ticket(people.alpine, cc=key) for key in keys]
    for ticket in tickets:
        await look_at(desk, ticket)
    assert await rows(desk, AccountPolicy) == []

    await asyncio.gather(
        *(judge("approve", t, k, always="address") for t, k in zip(tickets, keys, strict=True))
    )

    [policy] = await rows(desk, AccountPolicy)
    assert sorted(policy.document["allowed"]) == keys


async def test_where_a_list_is_full_nothing_is_done(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The person stays held, and the answer says what to do."""
    ticket = await held(desk, tenant)
    full = [f"x{n}.example" for n in range(MAX_ENTRIES)]
    await say(desk, preset="guarded", allowed=full)

    answer = await judge("approve", ticket, always="domain")

    assert answer.status_code == 409
    assert "list `allowed` is full" in answer.json()["detail"]
    assert (await outcomes(desk, ticket))[NINA] == ("outside", "held")
    assert (await due_of(desk, ticket)).due_at is None
    assert await rows(desk, Audit) == []


# --- many ----------------------------------------------------------------------------------------


async def test_many_are_judged_each_for_itself(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Who cannot be approved keeps nobody from it, and each says how it stands."""
    one = await held(desk, tenant, f"{CARLA}, {NINA}")
    two = await held(desk, tenant, f"{NINA}, {OLE}")
    await judge("reject", two)
    wanted = [(one, NINA), (one, CARLA), (two, NINA), (two, OLE)]
    ids = [await id_of(desk, ticket, key) for ticket, key in wanted]

    answer = await judge.many("approve", ids=[*ids, ids[0], 999_999])

    assert [item["id"] for item in answer["items"]] == [*ids, 999_999]
    assert [item["status"] for item in answer["items"]] == [200, 409, 409, 200, 404]
    assert answer["more"] is False
    details = [item["detail"] for item in answer["items"]]
    assert details[1] == "Not held now, but linked: reason known."
    assert details[2] == "Not held now, but ignored: reason rejected, rejected by writer."
    assert answer["items"][3]["participant"]["address"] == OLE
    for _ in range(2):
        async with desk.sessions() as session, session.begin():
            [lease] = await work.claim(session, work.TICKET, "test", 1)
        await looks.look(desk, lease)
    assert (await outcomes(desk, one))[NINA][1] == "created_and_linked"
    assert await outcomes(desk, two) == {
        NINA: ("rejected", "ignored"),
        OLE: ("outside", "created_and_linked"),
    }


async def test_all_of_an_account_are_judged(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By reason if that is said; the rest of a great many is asked for again."""
    monkeypatch.setattr("app.admin.held.AT_ONCE", 2)
    await say(desk, people.harbour, preset="guarded")
    elsewhere = tenant.new_ticket(people.harbour, cc=NINA)
    await look_at(desk, elsewhere)
    ticket = await held(desk, tenant, f"{DORA}, {NINA}, {OLE}, third@radiology.example")

    answers = [
        await judge.many("approve", account=people.alpine, reason="outside") for _ in range(3)
    ]

    assert [(len(a["items"]), a["more"]) for a in answers] == [(2, True), (1, False), (0, False)]
    people_there = await people_of(desk, ticket)
    approved = {key for key, row in people_there.items() if row.approved_by}
    assert approved == {NINA, OLE, "third@radiology.example"}
    answer = await judge.many("reject", account=people.alpine)
    assert [item["participant"]["address"] for item in answer["items"]] == [DORA]
    assert await outcomes(desk, elsewhere) == {NINA: ("outside", "held")}


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
    desk: Desk, tenant: Tenant, people: Seed, api: httpx.AsyncClient, reader: Headers
) -> None:
    """Newest first, page by page, over all tickets or of one."""
    one = await held(desk, tenant, f"Nina Osei <{NINA}>, {CARLA}")
    two = await held(desk, tenant, f"{DORA}, {OLE}")

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
    assert {row["id"] for row in of_ticket} == {await id_of(desk, two, k) for k in (DORA, OLE)}


async def test_a_readers_key_judges_nobody(
    desk: Desk, tenant: Tenant, people: Seed, api: httpx.AsyncClient, reader: Headers
) -> None:
    """403, one by one and in bulk, and nothing changes."""
    ticket = await held(desk, tenant)
    judge = Judge(api, desk, reader)
    for verb in ("approve", "reject"):
        assert (await judge(verb, ticket)).status_code == 403
        path = f"/admin/participants/{verb}"
        answer = await api.post(path, headers=reader, json={"account": ALPINE})
        assert answer.status_code == 403
    assert await outcomes(desk, ticket) == {NINA: ("outside", "held")}


async def test_nobody_is_nobody(api: httpx.AsyncClient, writer: Headers) -> None:
    """An id that is none."""
    answer = await api.post("/admin/participants/1/approve", headers=writer)
    assert answer.status_code == 404


async def test_who_judged_is_recorded(
    desk: Desk, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Key, person, account and ticket; a change of the policy as one."""
    ticket = await held(desk, tenant, f"{NINA}, {OLE}")
    await judge("approve", ticket, NINA)
    await judge("reject", ticket, OLE, always="address")

    records = await rows(desk, Audit)

    assert [(row.who, row.what) for row in records] == [
        ("writer", "participant_approved"),
        ("writer", "policy_set"),
        ("writer", "participant_rejected"),
    ]
    assert {row.account_id for row in records} == {ALPINE}
    assert records[0].ticket_id == ticket
    expected = {"email": NINA, "reason": "outside", "always": None}
    assert records[0].detail == expected | {"participant": await id_of(desk, ticket)}
    assert records[1].detail["new"] == {"preset": "guarded", "denied": [OLE]}
