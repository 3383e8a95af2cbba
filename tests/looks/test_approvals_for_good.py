"""People who are held: judged once and for all, for an account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.db.tables import AccountPolicy, Audit
from app.decide.policy import MAX_ENTRIES, PolicyDocument
from app.records import policies
from app.services import Services
from sandbox.seed import Seed
from sandbox.tenant import Tenant
from tests.support.helpers import due_of, look_at, outcomes, rows
from tests.support.judges import ALPINE, NINA, OLE, Headers, Judge, held, next_look, say


@pytest.fixture
def judge(api: httpx.AsyncClient, services: Services, writer: Headers) -> Judge:
    """An admin with a key that may write."""
    return Judge(api, services, writer)


@pytest.mark.parametrize(("always", "entry"), [("address", NINA), ("domain", "radiology.example")])
async def test_who_is_approved_for_good_needs_no_approval_again(
    services: Services, tenant: Tenant, people: Seed, judge: Judge, always: str, entry: str
) -> None:
    """The account's list `allowed` has the address, or its domain with all its people."""
    ticket = await held(services, tenant)
    assert (await judge("approve", ticket, always=always)).status_code == 200
    await next_look(services)
    [policy] = await rows(services, AccountPolicy)
    assert policy.document == {"preset": "guarded", "allowed": [entry]}
    assert policy.changed_by == "writer"

    second = tenant.new_ticket(people.alpine, cc=f"{NINA}, {OLE}")
    await look_at(services, second)

    assert await outcomes(services, second) == {
        NINA: ("known", "linked"),
        OLE: ("outside", "created_and_linked" if always == "domain" else "held"),
    }


async def test_who_is_rejected_for_good_is_denied_from_then_on(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """A whole domain, in this account alone."""
    ticket = await held(services, tenant)
    assert (await judge("reject", ticket, always="domain")).status_code == 200
    await next_look(services)
    assert await outcomes(services, ticket) == {NINA: ("rejected", "ignored")}

    second = tenant.new_ticket(people.alpine, cc=OLE)
    elsewhere = tenant.new_ticket(people.bakery, cc=OLE)
    await look_at(services, second)
    await look_at(services, elsewhere)

    assert await outcomes(services, second) == {OLE: ("denied", "ignored")}
    assert await outcomes(services, elsewhere) == {OLE: ("outside", "created_and_linked")}


async def test_a_word_for_good_takes_back_the_opposite_and_keeps_what_was_inherited(
    make_services: Callable[..., Any], services: Services
) -> None:
    """A list of the account's own replaces the inherited one, so it begins with its entries."""
    default = PolicyDocument(allowed=(NINA,), denied=("spam.example", "radiology.example"))
    async with services.sessions() as session, session.begin():
        await policies.put_on_list(
            session, ALPINE, "radiology.example", "allowed", default, "somebody"
        )
        await policies.put_on_list(session, ALPINE, NINA, "denied", default, "somebody")
    [row] = await rows(services, AccountPolicy)
    assert row.document == {
        "allowed": ["radiology.example"],
        "denied": ["spam.example", NINA],
    }


async def test_words_for_good_at_once_are_all_kept(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """Also where the account had no policy of its own before."""
    keys = [f"new{n}@harbour-soehne.example" for n in range(6)]
    tickets = [tenant.new_ticket(people.alpine, cc=key) for key in keys]
    for ticket in tickets:
        await look_at(services, ticket)
    assert await rows(services, AccountPolicy) == []

    await asyncio.gather(
        *(judge("approve", t, k, always="address") for t, k in zip(tickets, keys, strict=True))
    )

    [policy] = await rows(services, AccountPolicy)
    assert sorted(policy.document["allowed"]) == keys


async def test_where_a_list_is_full_nothing_is_done(
    services: Services, tenant: Tenant, people: Seed, judge: Judge
) -> None:
    """The person stays held, and the answer says what to do."""
    ticket = await held(services, tenant)
    full = [f"x{n}.example" for n in range(MAX_ENTRIES)]
    await say(services, preset="guarded", allowed=full)

    answer = await judge("approve", ticket, always="domain")

    assert answer.status_code == 409
    assert "list `allowed` is full" in answer.json()["detail"]
    assert (await outcomes(services, ticket))[NINA] == ("outside", "held")
    assert (await due_of(services, ticket)).due_at is None
    assert await rows(services, Audit) == []
