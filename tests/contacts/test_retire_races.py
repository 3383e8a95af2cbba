"""What chaos has found about tickets that end, move and open again, each by itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from app.db.database import db_now
from app.db.states import LedgerState, Result
from app.db.tables import Ledger, LinkRecord, TicketRecord
from app.records.ledger import creating
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clock import Clock
from tests.support.helpers import look_at, look_until_believed, outcomes, rows, want
from tests.support.lifetimes import (
    NINA,
    TICKET,
    complete,
    contact,
    end,
    look_at_all,
    ours,
    say,
    stands,
)

pytestmark = pytest.mark.wait

CREATE = {"method": "POST", "entity": "Contacts", "path_contains": "/Companies/"}
PATCH = {"method": "PATCH", "path_contains": "/Contacts"}


@pytest.fixture
async def ticket(services: Services, tenant: Tenant, people: Seed) -> int:
    """A ticket with Nina, whom we created for it, without a grace."""
    await say(services, lifetime=TICKET, grace_days=0)
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) == Result.DONE
    return made


async def test_whose_ticket_has_moved_away_ends(
    clock: Clock, services: Services, tenant: Tenant, people: Seed
) -> None:
    """She was linked before; her grace begins when she was taken off, though the ticket is open."""
    await say(services, lifetime=TICKET, grace_days=7)
    made = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, made)
    tenant.move_ticket(made, people.harbour, callout=False)
    await look_at(services, made)
    clock.advance(days=6)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    clock.advance(days=1, minutes=1)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)


async def test_who_was_taken_off_before_the_end_stays_off(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """Nobody told us before it was complete; then it is opened again."""
    tenant.unlink(ticket, ours(tenant))
    await complete(services, tenant, ticket)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    tenant.update_ticket(ticket, callout=False, status=1)
    assert await look_until_believed(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == []
    assert await outcomes(services, ticket) == {NINA: ("removed_by_person", "ignored")}


async def test_who_was_not_finished_when_it_was_complete_is_brought_when_it_is_open_again(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """It was nobody's refusal that ended the work on her."""
    tenant.faults.add(Fault("reset_before", **CREATE))  # type: ignore[arg-type]
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) is None
    tenant.update_ticket(made, callout=False, status=5)
    assert await look_at(services, made) == Result.COMPLETE
    assert (await outcomes(services, made))[NINA][1] == "failed"
    tenant.update_ticket(made, callout=False, status=1)
    await asyncio.sleep(3.2)  # CREATE_SETTLE: the create without an answer can come no more
    await want(services, made)
    await look_at_all(services)
    assert await outcomes(services, made) == {NINA: ("outside", "created_and_linked")}


async def test_a_create_without_an_answer_ends_with_its_ticket(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """It took effect after all; no look asks about it any more."""
    await say(services, lifetime=TICKET, grace_days=0)
    tenant.faults.add(Fault("late_commit", seconds=0.5, **CREATE))  # type: ignore[arg-type]
    made = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, made) is None
    tenant.update_ticket(made, callout=False, status=5)
    assert await look_at(services, made) == Result.COMPLETE
    await end(services)
    [row] = await rows(services, Ledger)
    assert row.state == LedgerState.UNSURE  # it may still be carried out
    await asyncio.sleep(3.2)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Ledger).values(end_at=None))
    await end(services)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert [row.state for row in await rows(services, Ledger)] == [LedgerState.RETIRED]


async def test_a_claim_that_was_sent_again_is_not_given_up(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Another ticket took it over while it was looked up."""
    tenant.faults.add(Fault("reset_before", **CREATE))  # type: ignore[arg-type]
    assert await look_at(services, tenant.new_ticket(people.alpine, cc=NINA)) is None
    [row] = await rows(services, Ledger)
    async with services.sessions() as session, session.begin():
        sent = {"state": LedgerState.SENDING, "sends": 2, "sent_at": await db_now(session)}
        await session.execute(update(Ledger).values(sent))
    async with services.sessions() as session, session.begin():
        await creating.never_created(session, row)
    assert [one.state for one in await rows(services, Ledger)] == [LedgerState.SENDING]


async def test_a_late_clearing_does_not_come_after_the_step_back(
    services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """The address may still go: only when it can no more is she as she was."""
    await complete(services, tenant, ticket)
    one, fresh = ours(tenant), tenant.new_ticket(people.alpine, cc=NINA)
    tenant.faults.add(Fault("late_commit", seconds=2.5, **PATCH))  # type: ignore[arg-type]
    tenant.faults.latency = (0.25, 0.25)
    ending = asyncio.create_task(end(services))
    async with asyncio.timeout(10):
        while tenant.count("PATCH") < 1:
            await asyncio.sleep(0.02)
    await look_at(services, fresh)
    await ending
    tenant.faults.latency = (0.0, 0.0)
    for _ in range(12):
        await want(services, fresh)
        await look_at_all(services)
        async with services.sessions() as session, session.begin():
            ago = Ledger.end_at - timedelta(minutes=10)
            await session.execute(update(Ledger).values(end_at=ago))
        await end(services)
        await asyncio.sleep(0.4)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert tenant.linked_contacts(fresh) == [one]


async def test_a_second_link_has_its_answer_when_it_is_seen(
    services: Services, tenant: Tenant, ticket: int
) -> None:
    """When the first one was seen says nothing about it; it stands as the first one did."""
    await complete(services, tenant, ticket)
    await end(services)
    tenant.update_ticket(ticket, callout=False, status=1)
    assert await look_at(services, ticket) == Result.DONE
    assert tenant.linked_contacts(ticket) == [ours(tenant)]
    [link] = await rows(services, LinkRecord)
    assert (link.unanswered, link.ours, link.unlinked_at) == (False, True, None)


async def test_who_was_taken_off_after_a_second_link_stays_off_when_the_ticket_has_moved(
    services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """Somebody else of the old account is still on it: a move takes nobody off here."""
    await complete(services, tenant, ticket)
    await end(services)
    tenant.update_ticket(ticket, callout=False, status=1)
    tenant.link(ticket, people.carla)
    assert await look_at(services, ticket) == Result.DONE
    tenant.unlink(ticket, ours(tenant))
    tenant.move_ticket(ticket, people.harbour, callout=False)
    await say(services, people.harbour, outside="create")
    await want(services, ticket)
    await look_at_all(services)
    assert (await outcomes(services, ticket))[NINA] == ("removed_by_person", "ignored")


async def test_nobody_is_ended_whose_second_link_may_still_come(
    services: Services, tenant: Tenant, people: Seed, ticket: int
) -> None:
    """Both tickets were over; one is opened again, then the other one, whose answer is lost."""
    other = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, other) == Result.DONE
    await complete(services, tenant, ticket, other)
    await end(services)
    tenant.update_ticket(ticket, callout=False, status=1)
    assert await look_at(services, ticket) == Result.DONE
    tenant.update_ticket(other, callout=False, status=1)
    tenant.faults.add(Fault("reset_before", method="POST", path_contains="AdditionalContacts"))
    assert await look_at(services, other) is None
    tenant.update_ticket(ticket, callout=False, status=5)
    over = update(TicketRecord).where(TicketRecord.id == ticket).values(over_at=func.now())
    async with (
        services.sessions() as session,
        session.begin(),
    ):  # a look would take up the other, too
        await session.execute(over)
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
