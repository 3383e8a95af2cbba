"""People who are held: rejected, or judged while a ticket moves, ends or is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.db.states import Result
from app.db.tables import Audit
from app.looks.facts import gather
from app.records.absences import Kind
from app.services import Services
from sandbox.model import COMPLETE
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import (
    due_of,
    look_at,
    missed_before,
    outcomes,
    people_of,
    result_of,
    rows,
    want,
)
from tests.support.judges import NINA, Headers, Judge, held, next_look, say


@pytest.fixture
def judge(api: httpx.AsyncClient, services: Services, writer: Headers) -> Judge:
    """An admin with a key that may write."""
    return Judge(api, services, writer)


# --- rejected ------------------------------------------------------------------------------------


async def test_somebody_rejected_is_never_asked_for_again(
    services: Services,
    tenant: Tenant,
    people: Seed,
    judge: Judge,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """At once; and whatever happens later: looked at again, policy opened, ticket moved."""
    ticket = await held(services, tenant)

    answer = await judge("reject", ticket)

    assert (answer.status_code, answer.json()["rejected_by"]) == (200, "writer")
    rejected = {NINA: ("rejected", "ignored")}
    assert await outcomes(services, ticket) == rejected
    assert await next_look(services) == Result.DONE
    await say(services, preset="open", allowed=[NINA])
    assert (await api.post(f"/admin/tickets/{ticket}/process", headers=writer)).is_success
    assert await next_look(services) == Result.DONE
    assert await outcomes(services, ticket) == rejected
    tenant.update_ticket(ticket, companyID=people.harbour, contactID=None)
    assert await look_at(services, ticket) == Result.DONE
    assert await outcomes(services, ticket) == rejected
    assert (await people_of(services, ticket))[NINA].account_id == people.harbour
    assert tenant.contacts_with(NINA) == []
    assert (await judge("approve", ticket)).status_code == 409


@pytest.mark.parametrize("verb", ["approve", "reject"])
async def test_a_word_that_is_said_during_a_look_counts_in_it(
    services: Services, tenant: Tenant, people: Seed, judge: Judge, verb: str, monkeypatch: Any
) -> None:
    """What a look gathered before is old: nobody is created who was just rejected."""
    ticket = await held(services, tenant)
    said: list[httpx.Response] = []

    async def slow(*args: Any, **rest: Any) -> Any:
        seen = await gather(*args, **rest)
        if not said:
            said.append(await judge(verb, ticket))
        return seen

    if verb == "reject":
        await say(services, preset="open")
    monkeypatch.setattr("app.looks.look.gather", slow)

    assert await look_at(services, ticket) == Result.DONE

    assert said[0].status_code == 200
    outcome = {"approve": ("outside", "created_and_linked"), "reject": ("rejected", "ignored")}
    assert await outcomes(services, ticket) == {NINA: outcome[verb]}
    assert len(tenant.contacts_with(NINA)) == (verb == "approve")


# --- meanwhile -----------------------------------------------------------------------------------


async def test_an_approval_is_for_one_account(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The ticket has moved, which nobody knew: there the person is held anew, which is said."""
    await say(services, people.harbour, preset="guarded")
    ticket = await held(services, tenant)
    tenant.update_ticket(ticket, companyID=people.harbour, contactID=None)

    assert (await judge("approve", ticket)).status_code == 200
    assert await next_look(services) == Result.DONE

    assert await outcomes(services, ticket) == {NINA: ("outside", "held")}
    nina = (await people_of(services, ticket))[NINA]
    assert nina.detail == "was approved in account 174; the ticket has moved"
    answer = await judge("approve", ticket, account=people.alpine)
    assert answer.status_code == 409
    assert answer.json()["detail"] == "Held (outside) in account 176 now, not in 174."
    assert (await judge("approve", ticket, account=people.harbour)).status_code == 200
    await next_look(services)
    [contact] = tenant.contacts_with(NINA)
    assert contact["companyID"] == people.harbour


async def test_a_ticket_that_has_moved_is_decided_anew_first(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """It is parked now; nobody may be approved for the account that it has left."""
    ticket = await held(services, tenant)
    tenant.update_ticket(ticket, companyID=people.msp, contactID=None)
    assert await look_at(services, ticket) == Result.PARKED

    answer = await judge("approve", ticket)

    assert answer.status_code == 409
    assert "Held in account 174, and the ticket has moved to 0 since" in answer.json()["detail"]
    assert (await due_of(services, ticket)).due_at is None
    assert await result_of(services, ticket) == "parked"


OVER: dict[str, tuple[Callable[[Tenant, int], None], Result, str]] = {
    "complete": (
        lambda tenant, ticket: tenant.update_ticket(ticket, status=COMPLETE),
        Result.COMPLETE,
        "it is complete: no one is added",
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
    services: Services, tenant: Tenant, people: Seed, judge: Judge, what: str
) -> None:
    """The next look ends it, with what has happened to the ticket; nobody is created."""
    end, result, detail = OVER[what]
    ticket = await held(services, tenant)
    end(tenant, ticket)
    await missed_before(services, Kind.TICKET, ticket)

    assert (await judge("approve", ticket)).status_code == 200
    assert await next_look(services) == result

    nina = (await people_of(services, ticket))[NINA]
    assert nina.outcome == "failed"
    assert nina.detail
    assert nina.detail.startswith(detail)
    assert tenant.contacts_with(NINA) == []


async def test_a_ticket_that_is_opened_again_honours_the_approval(
    services: Services,
    tenant: Tenant,
    people: Seed,
    judge: Judge,
    api: httpx.AsyncClient,
    writer: Headers,
) -> None:
    """What came too late is done when a person lets the ticket be looked at again."""
    ticket = await held(services, tenant)
    tenant.update_ticket(ticket, status=COMPLETE)
    await judge("approve", ticket)
    await next_look(services)
    tenant.update_ticket(ticket, status=1)

    await api.post(f"/admin/tickets/{ticket}/process", headers=writer)
    await next_look(services)

    assert (await outcomes(services, ticket))[NINA] == ("outside", "created_and_linked")


async def test_of_two_words_at_once_one_counts(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The other one is told how it stands, and who did it."""
    ticket = await held(services, tenant)

    answers = await asyncio.gather(
        *(judge(verb, ticket) for verb in ("approve", "reject", "approve", "reject"))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    details = {answer.json()["detail"] for answer in answers if answer.status_code == 409}
    assert len(details) == 1
    assert "ed by writer." in details.pop()
    assert len(await rows(services, Audit)) == 1


async def test_looks_and_words_at_once_do_not_block_each_other(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Both lock the due row first; all who were approved are brought in the end, once."""
    keys = [f"s{n}@radiology.example" for n in range(8)]
    ticket = await held(services, tenant, ", ".join(keys))
    await want(services, ticket)

    answers = await asyncio.gather(
        next_look(services), *(judge("approve", ticket, k) for k in keys)
    )

    assert [answer.status_code for answer in answers[1:]] == [200] * 8  # type: ignore[union-attr]
    await look_at(services, ticket)
    assert {o for _, o in (await outcomes(services, ticket)).values()} == {"created_and_linked"}
    assert len(tenant.linked_contacts(ticket)) == 8
