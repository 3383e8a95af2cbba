"""Taking off who was in a mail loop: people's links, lost answers, refusals, and deaths between."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update
from structlog.testing import capture_logs

from app.autotask.client import Autotask
from app.autotask.errors import Refusal, Refused
from app.db.tables import Audit, Due, LinkRecord, Loop
from app.due import work
from app.due.exclusive import holding
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.contacts.test_loops import (
    CARLA,
    added,
    broken,
    contact_of,
    look,
    tickets_of,
    to_come_off,
)
from tests.support.helpers import changes, let_links_settle, outcomes, rows
from tests.support.lifetimes import ALPINE, end

PATH = "/AdditionalContacts/"
RELEASED = {"holder": None, "lease_until": None}


async def in_a_loop(services: Services, tenant: Tenant, contact: int) -> None:
    """Let a loop of a contact be broken."""
    await look(services, *tickets_of(tenant, contact))
    assert [one for one, _ in await broken(services)] == [contact]


async def test_a_persons_own_link_stays(
    services: Services, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """On a ticket that we never put them on, and where a person has put them on again."""
    ours, again, theirs = [await added(services, tenant, CARLA) for _ in range(3)]
    tenant.unlink(again, people.carla)
    tenant.link(again, people.carla)
    theirs = tenant.new_ticket(ALPINE, cc="somebody@else.example")
    tenant.link(theirs, people.carla)
    await look(services, theirs)
    await in_a_loop(services, tenant, people.carla)
    await end(services)
    assert people.carla not in tenant.linked_contacts(ours)
    assert people.carla in tenant.linked_contacts(again)
    assert people.carla in tenant.linked_contacts(theirs)
    assert await to_come_off(services) == []


async def test_a_ticket_that_is_looked_at_has_its_turn_at_the_next_pass(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The others do not wait for it."""
    first, second = [await added(services, tenant, CARLA) for _ in range(2)]
    await in_a_loop(services, tenant, people.carla)
    async with holding(services.sessions, first, "test"):
        await end(services)
        assert tenant.linked_contacts(first) == [people.carla]
        assert tenant.linked_contacts(second) == []
    await end(services)
    assert tenant.linked_contacts(first) == []


async def test_a_link_whose_answer_was_lost_comes_off_when_it_shows(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Until it can come no more it is asked for; then nothing is left to be done."""
    on = await added(services, tenant, CARLA)
    late, never = [tenant.new_ticket(ALPINE, cc=CARLA) for _ in range(2)]
    tenant.faults.add(
        Fault("hang_before", "POST", path_contains=f"/Tickets/{never}/Add", seconds=0.1),
        Fault("late_commit", "POST", path_contains=f"/Tickets/{late}/Add", seconds=3),
    )
    await look(services, never, late)
    await in_a_loop(services, tenant, people.carla)
    await end(services)
    assert tenant.linked_contacts(on) == []
    assert never in await to_come_off(services)
    while not tenant.linked_contacts(late):
        await asyncio.sleep(0.05)
    await end(services)
    assert tenant.linked_contacts(late) == []
    async with services.sessions() as session, session.begin():
        await session.execute(update(LinkRecord).values(sent_at=func.now() - timedelta(hours=1)))
    await end(services)
    assert await to_come_off(services) == []


@pytest.mark.parametrize("lost", ["hang_before", "reset_after"])
async def test_an_answer_that_is_lost_is_looked_up(
    services: Services, tenant: Tenant, people: Seed, lost: Any
) -> None:
    """Whether the deletion took effect or not, the contact is off, and we know that it was us."""
    on = await added(services, tenant, CARLA)
    await in_a_loop(services, tenant, people.carla)
    tenant.faults.add(Fault(lost, "DELETE", path_contains=PATH, seconds=0.1))
    await end(services)
    await end(services)
    assert tenant.linked_contacts(on) == []
    assert await to_come_off(services) == []
    assert await outcomes(services, on) == {CARLA: ("known", "unlinked")}


async def test_killed_between_denial_and_unlinking(
    services: Services, tenant: Tenant, people: Seed, make_services: Any
) -> None:
    """Another process goes on: what is to come off stands in the database."""
    on = await added(services, tenant)
    await in_a_loop(services, tenant, contact_of(tenant, on))
    other = await make_services()
    await end(other)
    assert tenant.linked_contacts(on) == []


@pytest.mark.parametrize("left", [False, True], ids=["before the request", "after it"])
async def test_killed_while_unlinking(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    """The next pass goes on, and does not take our own doing for a person's."""
    on = await added(services, tenant, CARLA)
    await in_a_loop(services, tenant, people.carla)
    unlink = Autotask.unlink

    async def dies(self: Autotask, *of: Any) -> None:
        if left:
            await unlink(self, *of)
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(Autotask, "unlink", dies)
        with pytest.raises(asyncio.CancelledError):
            await end(services)
    await look(services, on)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).where(Due.kind == work.CHORE).values(RELEASED))
    await let_links_settle(services)
    await end(services)
    assert tenant.linked_contacts(on) == []
    assert "removed_by_person" not in str(await outcomes(services, on))
    [link] = [one for one in await rows(services, LinkRecord) if one.ticket_id == on]
    assert (link.ours, link.removed_seen_at, link.end_why) == (False, None, None)
    assert link.unlinked_at is not None


async def test_what_autotask_refuses_is_said_and_not_asked_again(
    services: Services, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """An error in the log and a line in the audit, with its words; the others come off."""
    first, second = [await added(services, tenant, CARLA) for _ in range(2)]
    await in_a_loop(services, tenant, people.carla)
    where = f"/Tickets/{first}/Add"
    tenant.faults.add(
        Fault("error_500_errors", "DELETE", path_contains=where, times=None, text="It is locked.")
    )
    with capture_logs() as logged:
        await end(services)
    [said] = [one for one in logged if one["event"] == "loop_link_stays" and "why" in one]
    assert "It is locked." in said["why"]
    [told] = [row for row in await rows(services, Audit) if row.what == "loop_link_stays"]
    assert (told.ticket_id, told.detail["contact_id"]) == (first, people.carla)
    assert tenant.linked_contacts(first) == [people.carla]
    assert tenant.linked_contacts(second) == []
    tenant.forget_calls()
    await end(services)
    assert changes(server) == []


async def test_a_ticket_that_is_gone_or_does_not_answer_keeps_no_other_waiting(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Nothing is left to be done on the one; the other has its turn at the next pass."""
    gone, ill, well = [await added(services, tenant, CARLA) for _ in range(3)]
    await in_a_loop(services, tenant, people.carla)
    tenant.delete_ticket(gone, callout=False)
    tenant.faults.add(Fault("garbage", "GET", path_contains=f"/Tickets/{ill}/Add", times=None))
    await let_links_settle(services)
    await end(services)
    assert tenant.linked_contacts(well) == []
    assert await to_come_off(services) == [ill]
    tenant.faults.clear()
    await end(services)
    assert tenant.linked_contacts(ill) == []
    assert await to_come_off(services) == []


async def test_a_ticket_that_autotask_does_not_know_has_nothing_to_be_taken_off(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """404 for its links, as some tenants say it."""
    await added(services, tenant, CARLA)
    await in_a_loop(services, tenant, people.carla)

    async def missing(*of: Any) -> None:
        raise Refused(["There is no such ticket."], Refusal.MISSING)

    monkeypatch.setattr(Autotask, "additional_contacts", missing)
    await let_links_settle(services)
    await end(services)
    assert await to_come_off(services) == []


async def test_many_that_cannot_come_off_now_keep_no_other_waiting(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the chore come back at once for them."""
    monkeypatch.setattr("app.contacts.loops._AT_ONCE", 2)
    tickets = [await added(services, tenant, CARLA) for _ in range(5)]
    await in_a_loop(services, tenant, people.carla)
    for ticket in tickets[:4]:
        tenant.faults.add(Fault("garbage", "GET", path_contains=f"{ticket}/Add", times=None))
    assert await end(services) > timedelta(seconds=10)
    assert tenant.linked_contacts(tickets[4]) == []


async def test_a_link_that_was_announced_meanwhile_comes_off_too(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A look had asked the policy before it was changed, and stored its intent after."""
    on = await added(services, tenant, CARLA)
    await in_a_loop(services, tenant, people.carla)
    async with services.sessions() as session, session.begin():
        await session.execute(update(LinkRecord).values(end_why=None, sent_at=func.now()))
    await end(services)
    assert tenant.linked_contacts(on) == []


async def test_who_is_linked_after_the_cause_is_mended_stays(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """An old loop says nothing about them."""
    on = await added(services, tenant, CARLA)
    async with services.sessions() as session, session.begin():
        ago = func.now() - timedelta(minutes=5)
        session.add(
            Loop(account_id=ALPINE, contact_id=people.carla, ticket_id=1, tickets=5, at=ago)
        )
    await end(services)
    assert tenant.linked_contacts(on) == [people.carla]


async def test_a_link_that_somebody_else_took_off_since_it_was_listed(
    services: Services, tenant: Tenant, people: Seed, server: SandboxServer
) -> None:
    """A person was faster: nothing is written."""
    on = await added(services, tenant, CARLA)
    await in_a_loop(services, tenant, people.carla)
    tenant.unlink(on, people.carla)
    await let_links_settle(services)
    tenant.forget_calls()
    await end(services)
    assert changes(server) == []
    assert await to_come_off(services) == []
    [link] = [one for one in await rows(services, LinkRecord) if one.ticket_id == on]
    assert link.unlinked_at is None
