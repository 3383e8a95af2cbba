"""Calls that wait for a right: for an account, for all, and how they are tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from app.autotask.errors import AutotaskError, Forbidden, Intercepted, Unauthorized
from app.db.database import Sessions
from app.db.states import Priority
from app.db.tables import RefusedCall
from app.due import work
from app.due.work import Lease
from app.outbound.budget import Budget
from app.outbound.gate import GateCode
from app.outbound.refusals import Why, latest
from app.outbound.rules import NotNow, RightMissing
from tests.support.budgets import MakeBudget, all_of, call, state
from tests.support.clock import Clock

Make = Callable[..., Any]
HOUR = timedelta(hours=1)


async def create(
    budget: Budget,
    account_id: int,
    error: AutotaskError | None = None,
    *,
    verb: str = "create",
    entity: str = "Contacts",
    lease: Lease | None = None,
) -> None:
    """Make a write in an account that ends so."""
    about = f"account {account_id}"
    async with budget.throttle(lease)(entity, write=True, verb=verb, about=about):
        if error:
            raise error


async def refuse(budget: Budget, account_id: int, **more: Any) -> None:
    with pytest.raises((RightMissing, Forbidden)):
        await create(budget, account_id, Forbidden("no"), **more)


async def lease_of(sessions: Sessions, ticket_id: int, holder: str = "me") -> Lease:
    async with sessions() as session, session.begin():
        await work.want(session, work.TICKET, ticket_id, timedelta(0), Priority.LIVE)
    async with sessions() as session, session.begin():
        lease = await work.take(session, work.TICKET, ticket_id, holder)
    assert lease
    return lease


async def test_one_accounts_refusal_is_that_accounts(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Its other calls, other accounts and other rights go on; the gate stays open."""
    here, there = make_budget(), make_budget()
    with pytest.raises(RightMissing, match="may not create Contacts of account 174"):
        await create(here, 174, Forbidden("no"))
    with pytest.raises(RightMissing, match="account 174"):
        await create(there, 174)

    await create(there, 176)
    await create(there, 174, verb="change")
    await create(there, 174, entity="TicketAdditionalContacts")
    await call(there, "Contacts")
    assert await state(sessions) is None


async def test_a_second_account_makes_it_everybodys(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """If such a call has succeeded for nobody since the first refusal."""
    budget = make_budget()
    await refuse(budget, 174)
    with pytest.raises(Forbidden):
        await create(budget, 176, Forbidden("no"))
    shut = await state(sessions)
    assert shut
    assert (shut.code, shut.call) == (GateCode.FORBIDDEN, "create Contacts")
    with pytest.raises(NotNow, match="paused"):
        await call(budget)


@pytest.mark.parametrize("succeeds", [175, 176, 0])
async def test_a_success_elsewhere_keeps_it_the_accounts(
    make_budget: MakeBudget, sessions: Sessions, clock: Clock, succeeds: int
) -> None:
    """Some accounts lack the right and some do not: nobody else ever waits."""
    budget = make_budget()
    await refuse(budget, 174)
    await create(budget, succeeds)
    for account_id in (177, 174):
        clock.advance(minutes=2)
        await refuse(budget, account_id)
    await create(budget, succeeds)
    assert await state(sessions) is None


async def test_a_right_that_tickets_can_do_without_stops_its_calls_only(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Two accounts in which contacts may not be changed: creating goes on everywhere."""
    budget = make_budget()
    await refuse(budget, 174, verb="change")
    await refuse(budget, 175, verb="change")
    with pytest.raises(RightMissing, match=r"may not change Contacts$"):
        await create(budget, 176, verb="change")
    await create(budget, 176)
    assert await state(sessions) is None


async def test_a_right_without_an_account(make_budget: MakeBudget, sessions: Sessions) -> None:
    """Portal users that may not be read keep nothing but that back."""
    budget = make_budget()
    with pytest.raises(RightMissing):
        async with budget.throttle()("ClientPortalUsers", write=False, verb="read"):
            raise Forbidden("no")
    await call(budget, "Tickets")
    with pytest.raises(RightMissing):
        await call(budget, "ClientPortalUsers")
    assert await state(sessions) is None


async def test_it_is_tried_again_by_itself_and_less_and_less_often(
    clock: Clock, make_budget: MakeBudget, sessions: Sessions
) -> None:
    """By one ticket for all of its account; at most so many calls an hour."""
    budget = make_budget()
    leases = [await lease_of(sessions, ticket_id) for ticket_id in (1, 2, 3)]
    await refuse(budget, 174)
    tried = []
    for minute in range(60):
        clock.advance(minutes=1, seconds=1)
        for old in leases:
            lease = await lease_of(sessions, old.ref)
            try:
                await create(budget, 174, Forbidden("no"), lease=lease)
            except RightMissing as missing:
                if isinstance(missing.__cause__, Forbidden):
                    tried.append(minute)
    assert tried == [0, 2, 7, 17, 32, 47]

    clock.advance(minutes=16)
    await create(budget, 174)
    assert await all_of(sessions, RefusedCall) == []
    await create(budget, 174)


async def test_one_tries_and_the_others_wait_for_what_comes_of_it(
    clock: Clock, make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Also other processes' tickets."""
    one, other = make_budget(), make_budget()
    await refuse(one, 174)
    clock.advance(minutes=2)
    first, second = await lease_of(sessions, 1), await lease_of(sessions, 2)
    about = {"verb": "create", "about": "account 174"}
    async with one.throttle(first)("Contacts", write=True, **about):
        with pytest.raises(RightMissing):
            await create(other, 174, lease=second)
    await create(other, 174, lease=second)


async def test_what_was_refused_is_told_for_health(
    make_budget: MakeBudget, sessions: Sessions, clock: Clock
) -> None:
    """Which call, where, since when, and when it is tried again."""
    budget = make_budget()
    await refuse(budget, 174)
    clock.advance(minutes=2)
    await refuse(budget, 174)
    async with sessions() as session:
        [known] = await latest(session, Why.RIGHT, HOUR)
    assert (known.call, known.about) == ("create Contacts", "account 174")
    assert known.until
    assert timedelta(minutes=3.9) < known.until - known.since < timedelta(minutes=4.1)

    clock.advance(days=2)  # nobody waited for it since: it begins anew
    async with sessions() as session:
        assert await latest(session, Why.RIGHT, HOUR) == []
    await refuse(budget, 174)
    async with sessions() as session:
        [anew] = await latest(session, Why.RIGHT, HOUR)
    assert anew.until
    assert anew.until - anew.since < timedelta(minutes=1.1)


async def test_an_observer_and_a_calm_call_store_nothing(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """The doctor, and what the service can do without: they see the refusal itself."""
    observer = Budget(sessions, share=1.0, window=3600.0, observer=True)
    for throttle in (observer.throttle(), make_budget().throttle(calm=True)):
        with pytest.raises(Forbidden):
            async with throttle("Contacts", write=False, verb="read", about="account 174"):
                raise Forbidden("no")
    assert await all_of(sessions, RefusedCall) == []
    assert await state(sessions) is None


BLOCKED = Intercepted("something answered in its place (403, text/html)")


async def test_one_answer_from_in_between_is_remembered_and_stops_nobody(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """Neither its account, nor others."""
    budget = make_budget()
    for _ in range(4):
        with pytest.raises(Intercepted):
            await create(budget, 174, BLOCKED)
    await create(budget, 174)
    await create(budget, 176)
    assert await state(sessions) is None
    async with sessions() as session:
        [known] = await latest(session, Why.INTERCEPTED, HOUR)
    assert (known.call, known.about, known.until) == ("create Contacts", "account 174", None)
    assert "403" in known.reason


async def test_several_in_a_row_are_an_outage(make_budget: MakeBudget, sessions: Sessions) -> None:
    """With no proper answer in between, as silence is; it says what is in the way."""
    budget = make_budget()
    for account_id in range(5):
        with pytest.raises(Intercepted):
            await create(budget, account_id, BLOCKED)
    shut = await state(sessions)
    assert shut
    assert shut.code == GateCode.AWAY
    assert "answers in its place" in shut.reason


async def test_credentials_are_everybodys(make_budget: MakeBudget, sessions: Sessions) -> None:
    """Though the call names an account; any call that is accepted ends it."""
    budget = make_budget()
    with pytest.raises(Unauthorized):
        await create(budget, 174, Unauthorized("401"))
    shut = await state(sessions)
    assert shut
    assert (shut.code, shut.call) == (GateCode.UNAUTHORIZED, None)
