"""Reconciliation: what no callout told of is found, once, and nobody's history is mailed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app.autotask import calls
from app.db.states import Chore, Priority, Result
from app.db.tables import Due, Reconciliation, TicketRecord
from app.due import work
from app.due.work import Lease, LeaseLost
from app.ops import follow, reconcile
from app.records import tickets
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.clock import Clock
from tests.support.helpers import look_at, outcomes, result_of, rows, want

NINA = "nina@radiology.example"


async def seize(services: Services, chore: Chore = Chore.RECONCILE) -> Lease:
    """Take the chore, whether it is due or not."""
    async with services.sessions() as session, session.begin():
        await work.want(session, work.CHORE, chore, timedelta(hours=1), Priority.LIVE)
        lease = await work.take(session, work.CHORE, chore, "test")
    assert lease
    return lease


async def compare(services: Services) -> timedelta:
    """Compare once, as the two chores do."""
    for chore, do in ((Chore.RECONCILE, reconcile.reconcile), (Chore.FOLLOW, follow.follow)):
        lease = await seize(services, chore)
        again = await do(services, lease)
        async with work.fenced(services.sessions, lease) as session:
            await work.finish(session, lease)
    return again


async def found(services: Services) -> list[int]:
    """Name the tickets that are due, by id."""
    async with services.sessions() as session:
        due = select(Due.ref).where(Due.kind == work.TICKET, Due.due_at.is_not(None))
        return sorted((await session.execute(due)).scalars())


async def claim_all(services: Services) -> list[int]:
    """Claim one ticket after the other."""
    claimed: list[int] = []
    while True:
        async with services.sessions() as session, session.begin():
            leases = await work.claim(session, work.TICKET, "order", 1, at_once=1000)
        if not leases:
            return claimed
        claimed.append(leases[0].ref)


async def state(services: Services) -> Reconciliation:
    [row] = await rows(services, Reconciliation)
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
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nobody's history is mailed, not even that of the last quarter of an hour."""
    history = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(3)]
    await compare(services)
    await compare(services)
    assert await found(services) == []
    row = await state(services)
    assert row.floor == max(history)
    assert row.watermark is not None

    new = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(services)
    assert await found(services) == [new]


async def test_a_tenant_without_a_ticket_begins_with_its_first(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """There is no watermark to begin with, and everything is new."""
    tenant.tickets.clear()
    await compare(services)
    assert (await state(services)).watermark is None
    first = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(services)
    assert await found(services) == [first]
    assert (await state(services)).watermark is not None


async def test_one_query_when_nothing_is_missing(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Every five minutes, for as long as the service runs."""
    known = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, known)
    await compare(services)
    tenant.calls.clear()
    assert await compare(services) == timedelta(seconds=300)
    assert len(tenant.calls) == 1


async def test_what_is_known_is_left_alone(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A ticket that a callout brought is not made due again, though it is read again."""
    await compare(services)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    await compare(services)
    assert await found(services) == []
    assert await result_of(services, ticket) == Result.DONE


async def test_the_watermark_is_the_greatest_date_that_autotask_told(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Never our clock: Autotask's may be hours behind, and no gap must open."""
    hours_ago = datetime.now(UTC) - timedelta(hours=5)
    tenant.tickets.clear()
    await compare(services)
    tenant.new_ticket(people.alpine, cc=NINA, createDate=dated(hours_ago))
    await compare(services)
    row = await state(services)
    assert row.watermark is not None
    assert abs(row.watermark - hours_ago) < timedelta(seconds=2)

    late = tenant.new_ticket(people.alpine, cc=NINA, createDate=dated(hours_ago))
    await compare(services)
    assert late in await found(services)


@pytest.mark.parametrize(
    "ahead",
    [
        timedelta(minutes=1),
        timedelta(minutes=20),
        timedelta(hours=3),
        timedelta(hours=23),
        timedelta(days=1, minutes=1),
        timedelta(days=60_000),
    ],
)
@pytest.mark.parametrize("begin", [True, False])
async def test_a_ticket_from_the_future_hides_none_that_comes_after_it(
    clock: Clock, services: Services, tenant: Tenant, people: Seed, ahead: timedelta, begin: bool
) -> None:
    """It is taken up, and moves no watermark; also as the newest of all at the first start."""
    if begin:
        tenant.tickets.clear()
    else:
        await compare(services)
    odd = tenant.new_ticket(people.alpine, cc=NINA, createDate=dated(tenant.clock() + ahead))
    await compare(services)
    assert (odd in await found(services)) is not begin
    for minutes in (1, 10, 30, 90):
        clock.advance(minutes=minutes)
        late = tenant.new_ticket(people.alpine, cc=NINA)
        await compare(services)
        assert late in await found(services)
        watermark = (await state(services)).watermark
        assert watermark is not None
        assert watermark <= tenant.clock()


async def test_a_watermark_that_lies_ahead_is_mended(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """An earlier version believed dates of less than a day ahead."""
    await compare(services)
    ahead = datetime.now(UTC) + timedelta(hours=20)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Reconciliation).values(watermark=ahead))
    late = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(services)
    assert late in await found(services)
    watermark = (await state(services)).watermark
    assert watermark is not None
    assert watermark < datetime.now(UTC)


@pytest.mark.parametrize("ahead", [timedelta(minutes=1), timedelta(hours=30)])
async def test_a_date_ahead_makes_no_others_old(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed, ahead: timedelta
) -> None:
    """Without a webhook those that are new are live all the same."""
    services: Services = await make_services(webhook_secrets=())
    await compare(services)
    tenant.new_ticket(people.alpine, cc=NINA, createDate=dated(datetime.now(UTC) + ahead))
    new = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(services)
    urgency = {
        due.ref: due.priority for due in await rows(services, Due) if due.kind == work.TICKET
    }
    assert urgency[new] == Priority.LIVE


async def test_what_is_seen_later_than_it_is_dated_is_found(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Up to a quarter of an hour, as a ticket may be committed long after its createDate."""
    now = datetime.now(UTC)
    await compare(services)
    tenant.new_ticket(people.alpine, cc=NINA)
    await compare(services)
    dated_back = dated(now - timedelta(minutes=14))
    late = tenant.new_ticket(people.alpine, cc=NINA, createDate=dated_back)
    await compare(services)
    assert late in await found(services)


async def test_the_newest_goes_first_and_behind_live_tickets(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """After an outage those who just wrote are told before those who have given up."""
    await compare(services)
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(3)]
    await compare(services)
    live = tenant.new_ticket(people.alpine, cc=NINA)
    await want(services, live)
    assert await claim_all(services) == [live, *sorted(missed, reverse=True)]


async def test_without_a_webhook_what_is_new_is_live(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """Nothing else tells of it; what is older is still caught up with."""
    services: Services = await make_services(webhook_secrets=())
    tenant.tickets.clear()
    await compare(services)
    now = datetime.now(UTC)
    an_hour_ago = dated(now - timedelta(hours=1))
    old = tenant.new_ticket(people.alpine, cc=NINA, createDate=an_hour_ago)
    new = tenant.new_ticket(people.alpine, cc=NINA)
    await compare(services)
    urgency = {
        due.ref: due.priority for due in await rows(services, Due) if due.kind == work.TICKET
    }
    assert urgency == {old: Priority.CATCH_UP, new: Priority.LIVE}


async def test_1200_missing_tickets_take_three_calls(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Paged by id, and all made due in one transaction."""
    await compare(services)
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(1200)]
    queries(tenant)
    await compare(services)
    assert queries(tenant) == 3
    assert await found(services) == missed
    assert (await state(services)).found == 1200


async def test_killed_between_two_pages_nothing_has_moved(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker finds the same tickets, and each is made due once."""
    await compare(services)
    before = (await state(services)).watermark
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(12)]
    monkeypatch.setattr(calls, "_PAGE", 5)
    lease = await seize(services)
    killed = asyncio.create_task(reconcile.reconcile(services, lease))
    queries(tenant)
    tenant.faults.add(Fault("hang_before", entity="Tickets", after=1))
    async with asyncio.timeout(10):
        while len(tenant.calls) < 2:
            await asyncio.sleep(0.01)
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    assert (await state(services)).watermark == before
    assert await found(services) == []

    async with services.sessions() as session, session.begin():
        await session.execute(
            update(Due)
            .where(Due.kind == work.CHORE, Due.ref == Chore.RECONCILE)
            .values(lease_until=func.now())
        )
    await compare(services)
    assert await found(services) == missed
    assert (await state(services)).watermark != before


async def test_a_worker_that_was_taken_for_dead_moves_nothing(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Its successor has the chore, and the watermark with it."""
    await compare(services)
    tenant.new_ticket(people.alpine, cc=NINA)
    lease = await seize(services)
    async with services.sessions() as session, session.begin():
        await session.execute(
            update(Due).where(Due.kind == work.CHORE).values(attempt=Due.attempt + 1)
        )
    with pytest.raises(LeaseLost):
        await reconcile.reconcile(services, lease)
    assert await found(services) == []


async def test_a_callout_and_a_pass_at_once_make_one_look_of_it(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Neither waits for the other for ever, whoever is first."""
    await compare(services)
    missed = [tenant.new_ticket(people.alpine, cc=NINA) for _ in range(60)]

    async def callout(ticket_id: int) -> None:
        async with services.sessions() as session, session.begin():
            await tickets.want(session, ticket_id, timedelta(0), Priority.LIVE)

    await asyncio.gather(compare(services), *(callout(one) for one in reversed(missed)))
    assert await found(services) == missed
    assert {due.priority for due in await rows(services, Due) if due.kind == work.TICKET} == {
        Priority.LIVE
    }


# --- parked tickets ------------------------------------------------------------------------------


async def test_a_parked_ticket_is_taken_up_when_it_has_an_account(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Somebody gave it its account: the people of its Cc are added within one interval."""
    parked, stays = (tenant.new_ticket(people.msp, cc=NINA) for _ in range(2))
    assert await look_at(services, parked) == await look_at(services, stays) == Result.PARKED
    await compare(services)
    assert await found(services) == []

    tenant.update_ticket(parked, callout=False, companyID=people.alpine)
    await compare(services)
    assert await found(services) == [parked]
    await work_until(services, lambda: _is(services, parked, Result.DONE))
    assert await outcomes(services, parked) == {NINA: ("outside", "created_and_linked")}
    assert await result_of(services, stays) == Result.PARKED


async def _is(services: Services, ticket_id: int, result: Result) -> bool:
    return await result_of(services, ticket_id) == result


async def test_501_parked_tickets_take_two_calls(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """One per 500; those that are complete by now are looked at a last time."""
    parked = [tenant.new_ticket(people.msp) for _ in range(501)]
    await want(services, *parked)
    async with services.sessions() as session, session.begin():
        await session.execute(update(TicketRecord).values(result=Result.PARKED))
        await session.execute(update(Due).values(due_at=None))
    tenant.update_ticket(parked[7], callout=False, status=5)
    await compare(services)
    assert queries(tenant) == 2 + 2  # two pages of what is newest, two of what is parked
    assert await found(services) == [parked[7]]


# --- the whole way -------------------------------------------------------------------------------


async def test_it_works_alone_when_no_webhook_is_configured(
    make_services: Callable[..., Any], tenant: Tenant, people: Seed
) -> None:
    """A worker and nothing else: tickets are found and their people added."""
    services: Services = await make_services(webhook_secrets=(), reconcile_interval=1)
    await compare(services)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await work_until(services, lambda: _is(services, ticket, Result.DONE))
    assert await outcomes(services, ticket) == {NINA: ("outside", "created_and_linked")}
