"""Reconciliation: what no callout told of is found, once, and nobody's history is mailed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app import reconcile, tickets, work
from app.autotask import calls
from app.desk import Desk
from app.errors import LeaseLost
from app.models import Due, Reconciliation, TicketRecord
from app.states import Priority, Result
from app.work import Chore, Lease
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.helpers import look_at, outcomes, result_of, rows, want

NINA = "nina@radiology.example"


async def seize(desk: Desk, holder: str = "test") -> Lease:
    """Take the chore, whether it is due or not."""
    async with desk.sessions() as session, session.begin():
        delay = timedelta(hours=1)
        await work.want(session, work.CHORE, Chore.RECONCILE, delay, Priority.LIVE)
        lease = await work.seize(session, work.CHORE, Chore.RECONCILE, holder)
    assert lease
    return lease


async def compare(desk: Desk) -> timedelta:
    """Compare once, as the chore does."""
    lease = await seize(desk)
    again = await reconcile.run(desk, lease)
    async with work.fenced(desk.sessions, lease) as session:
        await work.finish(session, lease)
    return again


async def found(desk: Desk) -> list[int]:
    """Name the tickets that are due, by id."""
    async with desk.sessions() as session:
        due = select(Due.ref).where(Due.kind == work.TICKET, Due.due_at.is_not(None))
        return sorted((await session.execute(due)).scalars())


async def claim_all(desk: Desk) -> list[int]:
    """Claim one ticket after the other."""
    claimed: list[int] = []
    while True:
        async with desk.sessions() as session, session.begin():
            leases = await work.claim(session, work.TICKET, "order", 1, at_once=1000)
        if not leases:
            return claimed
        claimed.append(leases[0].ref)


async def state(desk: Desk) -> Reconciliation:
    [row] = await rows(desk, Reconciliation)
    assert isinstance(row, Reconciliation)
    return row


def dated(moment: datetime) -> str:
    """Write a date as Autotask does."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def queries(tenant: Tenant) -> int:
    """Count the queries for tickets since the last call of this."""
    count = sum("tickets/query" in call.path.lower() for call in tenant.calls)
    tenant.calls.clear()
    return count


async def test_the_first_pass_begins_with_the_newest_ticket(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Nobody's history is mailed, not even that of the last quarter of an hour."""
    history = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(3)]
    await compare(desk)
    await compare(desk)
    assert await found(desk) == []
    row = await state(desk)
    assert row.floor == max(history)
    assert row.watermark is not None

    new = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(desk)
    assert await found(desk) == [new]


async def test_a_tenant_without_a_ticket_begins_with_its_first(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """There is no watermark to begin with, and everything is new."""
    tenant.tickets.clear()
    await compare(desk)
    assert (await state(desk)).watermark is None
    first = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(desk)
    assert await found(desk) == [first]
    assert (await state(desk)).watermark is not None


async def test_one_query_when_nothing_is_missing(desk: Desk, tenant: Tenant, people: Seed) -> None:
    """Every five minutes, for as long as the service runs."""
    known = tenant.new_ticket(people.alpine, cc=NINA)
    await want(desk, known)
    await compare(desk)
    tenant.calls.clear()
    assert await compare(desk) == timedelta(seconds=300)
    assert len(tenant.calls) == 1


async def test_what_is_known_is_left_alone(desk: Desk, tenant: Tenant, people: Seed) -> None:
    """A ticket that a callout brought is not made due again, though it is read again."""
    await compare(desk)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(desk, ticket)
    await compare(desk)
    assert await found(desk) == []
    assert await result_of(desk, ticket) == Result.DONE


async def test_the_watermark_is_the_greatest_date_that_autotask_told(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Never our clock: Autotask's may be hours behind, and no gap must open."""
    hours_ago = datetime.now(UTC) - timedelta(hours=5)
    tenant.tickets.clear()
    await compare(desk)
    tenant.new_ticket(people.alpine, cc=NINA, createDate=dated(hours_ago))
    await compare(desk)
    row = await state(desk)
    assert row.watermark is not None
    assert abs(row.watermark - hours_ago) < timedelta(seconds=2)

    late = tenant.new_ticket(people.alpine, cc=NINA, createDate=dated(hours_ago))
    await compare(desk)
    assert late in await found(desk)


async def test_a_ticket_from_the_future_hides_none_that_comes_after_it(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """It is taken up, and moves no watermark."""
    await compare(desk)
    odd = tenant.new_ticket(
        people.alpine, cc=NINA, createDate=dated(datetime(2199, 1, 1, tzinfo=UTC))
    )
    await compare(desk)
    late = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(desk)
    assert {odd, late} <= set(await found(desk))


async def test_what_is_seen_later_than_it_is_dated_is_found(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Up to a quarter of an hour, as a ticket may be committed long after its createDate."""
    now = datetime.now(UTC)
    await compare(desk)
    tenant.new_ticket(people.alpine, cc=NINA)
    await compare(desk)
    dated_back = dated(now - timedelta(minutes=14))
    late = tenant.new_ticket(people.alpine, cc=NINA, createDate=dated_back)
    await compare(desk)
    assert late in await found(desk)


async def test_the_newest_goes_first_and_behind_live_tickets(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """After an outage those who just wrote are told before those who have given up."""
    await compare(desk)
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(3)]
    await compare(desk)
    live = tenant.new_ticket(people.alpine, cc=NINA)
    await want(desk, live)
    assert await claim_all(desk) == [live, *sorted(missed, reverse=True)]


async def test_without_a_webhook_what_is_new_is_live(
    make_desk: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """Nothing else tells of it; what is older is still caught up with."""
    desk: Desk = await make_desk(webhook_secrets=())
    tenant.tickets.clear()
    await compare(desk)
    now = datetime.now(UTC)
    an_hour_ago = dated(now - timedelta(hours=1))
    old = tenant.new_ticket(people.alpine, cc=NINA, createDate=an_hour_ago)
    new = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(desk)
    urgency = {due.ref: due.priority for due in await rows(desk, Due) if due.kind == work.TICKET}
    assert urgency == {old: Priority.CATCH_UP, new: Priority.LIVE}


async def test_1200_missing_tickets_take_three_calls(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Paged by id, and all made due in one transaction."""
    await compare(desk)
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(1200)]
    queries(tenant)
    await compare(desk)
    assert queries(tenant) == 3
    assert await found(desk) == missed
    assert (await state(desk)).found == 1200


async def test_killed_between_two_pages_nothing_has_moved(
    desk: Desk, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker finds the same tickets, and each is made due once."""
    await compare(desk)
    before = (await state(desk)).watermark
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(12)]
    monkeypatch.setattr(calls, "_PAGE", 5)
    lease = await seize(desk)
    killed = asyncio.create_task(reconcile.run(desk, lease))
    queries(tenant)
    tenant.faults.add(Fault("hang_before", entity="Tickets", after=1))
    async with asyncio.timeout(10):
        while len(tenant.calls) < 2:
            await asyncio.sleep(0.01)
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    assert (await state(desk)).watermark == before
    assert await found(desk) == []

    async with desk.sessions() as session, session.begin():
        await session.execute(
            update(Due).where(Due.kind == work.CHORE).values(lease_until=func.now())
        )
    await compare(desk)
    assert await found(desk) == missed
    assert (await state(desk)).watermark != before


async def test_a_worker_that_was_taken_for_dead_moves_nothing(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Its successor has the chore, and the watermark with it."""
    await compare(desk)
    tenant.new_ticket(people.alpine, cc=NINA)
    lease = await seize(desk)
    async with desk.sessions() as session, session.begin():
        await session.execute(
            update(Due).where(Due.kind == work.CHORE).values(attempt=Due.attempt + 1)
        )
    with pytest.raises(LeaseLost):
        await reconcile.run(desk, lease)
    assert await found(desk) == []


async def test_a_callout_and_a_pass_at_once_make_one_look_of_it(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Neither waits for the other for ever, whoever is first."""
    await compare(desk)
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(60)]

    async def callout(ticket_id: int) -> None:
        async with desk.sessions() as session, session.begin():
            await tickets.want(session, ticket_id, timedelta(0), Priority.LIVE)

    await asyncio.gather(compare(desk), *(callout(one) for one in reversed(missed)))
    assert await found(desk) == missed
    assert {due.priority for due in await rows(desk, Due) if due.kind == work.TICKET} == {
        Priority.LIVE
    }


# --- parked tickets ------------------------------------------------------------------------------


async def test_a_parked_ticket_is_taken_up_when_it_has_an_account(
    desk: Desk, tenant: Tenant, people: Seed
) -> None:
    """Somebody gave it its account: the people of its Cc are added within one interval."""
    parked, stays = (tenant.new_ticket(people.msp, cc=NINA) for _ in range(2))
    assert await look_at(desk, parked) == await look_at(desk, stays) == Result.PARKED
    await compare(desk)
    assert await found(desk) == []

    tenant.update_ticket(parked, callout=False, companyID=people.alpine)
    await compare(desk)
    assert await found(desk) == [parked]
    await work_until(desk, lambda: _is(desk, parked, Result.DONE))
    assert await outcomes(desk, parked) == {NINA: ("outside", "created_and_linked")}
    assert await result_of(desk, stays) == Result.PARKED


async def _is(desk: Desk, ticket_id: int, result: Result) -> bool:
    return await result_of(desk, ticket_id) == result


async def test_501_parked_tickets_take_two_calls(desk: Desk, tenant: Tenant, people: Seed) -> None:
    """One per 500; those that are complete by now are looked at a last time."""
    parked = [tenant.new_ticket(people.msp) for _ in range(501)]
    await want(desk, *parked)
    async with desk.sessions() as session, session.begin():
        await session.execute(update(TicketRecord).values(result=Result.PARKED))
        await session.execute(update(Due).values(due_at=None))
    tenant.update_ticket(parked[7], callout=False, status=5)
    await compare(desk)
    assert queries(tenant) == 2 + 2  # two pages of what is newest, two of what is parked
    assert await found(desk) == [parked[7]]


# --- the whole way -------------------------------------------------------------------------------


async def test_it_works_alone_when_no_webhook_is_configured(
    make_desk: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """A worker and nothing else: tickets are found and their people added."""
    desk: Desk = await make_desk(webhook_secrets=(), reconcile_interval=1)
    await compare(desk)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await work_until(desk, lambda: _is(desk, ticket, Result.DONE))
    assert await outcomes(desk, ticket) == {NINA: ("outside", "created_and_linked")}
