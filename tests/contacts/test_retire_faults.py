"""Ending a contact under fire: killed anywhere, answers lost, somebody there at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import update

from app.db.states import LedgerError, LedgerState, Result
from app.db.tables import Ledger
from app.services import Services
from sandbox.calls import Call
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.databases import plain
from tests.support.helpers import changes, look_at, rows, want
from tests.support.lifetimes import (
    NINA,
    TICKET,
    complete,
    contact,
    end,
    ledger_of,
    look_at_all,
    ours,
    say,
    stands,
    watch_mail,
)
from tests.support.processes import kill, process, wait_until

pytestmark = pytest.mark.process

PATCH = {"method": "PATCH", "path_contains": "/Contacts"}


@pytest.fixture
async def over(services: Services, tenant: Tenant, people: Seed) -> int:
    """A complete ticket without a grace, with Nina whom we created for it."""
    await say(services, lifetime=TICKET, grace_days=0)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) == Result.DONE
    await complete(services, tenant, ticket)
    return ticket


@pytest.fixture
def always_sane(tenant: Tenant) -> list[str]:
    """At each call: the mail of a person whose contact we created is never refused."""
    return watch_mail(tenant)


async def until_ended(services: Services, tenant: Tenant) -> None:
    """Do the chore until the contact is ended; what waits is not waited for."""
    for _ in range(40):
        async with services.sessions() as session, session.begin():
            await session.execute(update(Ledger).values(end_at=None))
        await end(services)
        if (await ledger_of(services, ours(tenant))).state == LedgerState.RETIRED:
            return
        await asyncio.sleep(0.2)
    raise AssertionError("it was not ended")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "hang_before", "method": "DELETE"}, id="unlink never arrives"),
        pytest.param({"kind": "hang_after", "method": "DELETE"}, id="unlinked, answer lost"),
        pytest.param({"kind": "hang_before", **PATCH}, id="between unlink and clearing"),
        pytest.param({"kind": "hang_after", **PATCH}, id="cleared, answer lost"),
        pytest.param({"kind": "hang_before", "after": 1, **PATCH}, id="before deactivating"),
        pytest.param({"kind": "hang_after", "after": 1, **PATCH}, id="deactivated, answer lost"),
        pytest.param({"kind": "late_commit", "after": 1, **PATCH}, id="deactivated later"),
        pytest.param({"kind": "late_commit", **PATCH}, id="cleared later"),
    ],
)
def test_killed_in_the_middle_it_is_ended_all_the_same(
    environ: dict[str, str],
    tenant: Tenant,
    people: Seed,
    always_sane: list[str],
    fault: dict[str, Any],
) -> None:
    """kill -9 while a request is on its way; at each call the person's mail would be taken."""
    policy = {"lifetime": TICKET, "grace_days": 0}
    environ = environ | {"DEFAULT_POLICY": json.dumps(policy), "RECONCILE_INTERVAL": "1"}
    environ |= {"WEBHOOK_SECRETS": ""}
    seconds = 2.0 if fault["kind"] == "late_commit" else 30.0

    def state() -> list[str]:
        with psycopg.connect(plain(environ["DATABASE_URL"])) as connection:
            return [one for (one,) in connection.execute("SELECT state FROM ledger").fetchall()]

    with process("worker", environ) as first:
        wait_until(lambda: tenant.count("POST", "Tickets", "query") > 0)
        ticket = tenant.new_ticket(people.alpine, cc=NINA, callout=False)
        wait_until(lambda: tenant.linked_contacts(ticket))
        wait_until(lambda: state() == ["created"])
        tenant.faults.add(Fault(seconds=seconds, **fault))
        tenant.update_ticket(ticket, callout=False, status=5)
        wait_until(lambda: not tenant.faults.pending())
        kill(first)
        assert tenant.insane_contacts() == []
        assert tenant.who_mails(NINA, people.alpine) in ("contact", "nobody")
    with process("worker", environ):
        wait_until(lambda: state() == ["retired"])

    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert tenant.linked_contacts(ticket) == []
    assert always_sane == []


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "garbage", "error_500"])
@pytest.mark.parametrize("what", ["DELETE", "PATCH", "GET", "POST"])
async def test_a_lost_answer_is_looked_up(
    services: Services, tenant: Tenant, over: int, always_sane: list[str], kind: Any, what: str
) -> None:
    """A read that fails means later; a write is read again and done again."""
    tenant.faults.add(Fault(kind, method=what))
    await until_ended(services, tenant)
    assert tenant.faults.pending() == []
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert always_sane == []


async def test_a_failed_read_changes_nothing(
    services: Services, tenant: Tenant, over: int, server: SandboxServer
) -> None:
    """Whether she can use the portal is not known: nothing is written, and why is on record."""
    tenant.faults.add(Fault("error_500", entity="ClientPortalUsers", times=None))
    tenant.forget_calls()
    await end(services)
    assert changes(server) == []
    row = await ledger_of(services, ours(tenant))
    assert (row.state, row.end_at is not None) == (LedgerState.CREATED, True)
    assert "ClientPortalUsers" in (row.error or "")


async def test_a_right_that_is_missing_stops_nothing_else(
    services: Services, tenant: Tenant, people: Seed, over: int
) -> None:
    """The portal's users may not be read: nobody is ended, and tickets go on."""
    tenant.faults.add(Fault("forbidden", entity="ClientPortalUsers", times=None))
    await end(services)
    assert (await ledger_of(services, ours(tenant))).error_code == LedgerError.FORBIDDEN
    ticket = tenant.new_ticket(people.alpine, cc="carla.mendes@alpine-dental.example")
    assert await look_at(services, ticket) == Result.DONE


@pytest.mark.parametrize("clearing", ["empty", "null", "either"])
async def test_an_address_is_taken_away_as_autotask_lets_it(
    services: Services, tenant: Tenant, over: int, clearing: Any, always_sane: list[str]
) -> None:
    """An empty text or null: nobody knows which one counts, so it is read again."""
    tenant.switches.clearing_address = clearing
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert always_sane == []


async def test_an_address_that_stays_keeps_the_contact_active(
    services: Services, tenant: Tenant, over: int, always_sane: list[str]
) -> None:
    """An inactive contact with an address would have its mail refused."""
    tenant.switches.clearing_address = "neither"
    await end(services)
    async with services.sessions() as session, session.begin():
        # A change that is not shown may come late; that time is over.
        await session.execute(update(Ledger).values(end_at=None, unsure_until=None))
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (1, NINA)
    row = await ledger_of(services, ours(tenant))
    assert row.kept == "Autotask does not let its address be taken away"
    assert tenant.insane_contacts() == []
    assert always_sane == []


async def test_a_link_that_cannot_be_taken_off_stays(
    services: Services, tenant: Tenant, over: int
) -> None:
    """Unlinked where that is possible; the contact is ended all the same."""
    tenant.faults.add(Fault("error_500_errors", method="DELETE", text="No.", times=None))
    await end(services)
    assert stands(contact(tenant, ours(tenant))) == (0, None)
    assert tenant.linked_contacts(over) == [ours(tenant)]


def meanwhile(tenant: Tenant, method: str, number: int, then: Callable[[], object]) -> None:
    """Let somebody be faster: just before the n-th request of a method is worked on."""
    left = [number]

    def before(call: Call) -> None:
        if call.method == method and (method != "PATCH" or "Contacts" in call.path):
            left[0] -= 1
            if left[0] == 0:
                then()

    tenant.before_call = before


async def test_a_fresh_ticket_makes_it_step_back(
    services: Services, tenant: Tenant, people: Seed, over: int
) -> None:
    """Copied by mail on another ticket while it is unlinked: it stays, and comes onto that one."""
    one, fresh = ours(tenant), tenant.new_ticket(people.alpine, cc=NINA)
    tenant.faults.latency = (0.3, 0.3)
    ending = asyncio.create_task(end(services))
    async with asyncio.timeout(10):
        while (await ledger_of(services, one)).state != LedgerState.RETIRING:
            await asyncio.sleep(0.02)
    assert await look_at(services, fresh) is None  # it waits for what is about to end the contact
    await ending
    tenant.faults.latency = (0.0, 0.0)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert (await ledger_of(services, one)).state == LedgerState.CREATED
    assert tenant.linked_contacts(over) == []
    await want(services, fresh)
    await look_at_all(services)
    assert tenant.linked_contacts(fresh) == [one]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_person_who_is_faster_keeps_the_contact(
    services: Services, tenant: Tenant, people: Seed, over: int, number: int
) -> None:
    """Touched before its address goes, or before it is inactive: it is active, with its address."""
    one = ours(tenant)
    meanwhile(tenant, "PATCH", number, lambda: tenant.change_contact(one, phone="555-0100"))
    await end(services)
    if number == 1:  # seen only at the next reading, when the address is away
        assert (await ledger_of(services, one)).kept == "a person changed phone"
        assert stands(contact(tenant, one)) == (1, NINA)
    else:  # in the same moment as the last request: ended, without an address
        assert stands(contact(tenant, one)) == (0, None)


async def test_a_link_by_hand_after_its_address_is_away_brings_it_back(
    services: Services, tenant: Tenant, people: Seed, over: int
) -> None:
    """The technician finds her by her name."""
    one, other = ours(tenant), tenant.new_ticket(people.alpine, callout=False)
    meanwhile(tenant, "PATCH", 1, lambda: tenant.link(other, one))
    await end(services)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert ((await ledger_of(services, one)).kept or "").startswith("a person put it on ticket")
    assert tenant.linked_contacts(other) == [one]


async def test_a_late_end_does_not_end_whom_it_was_brought_back(
    services: Services, tenant: Tenant, people: Seed, over: int, always_sane: list[str]
) -> None:
    """The deactivation got no answer: nobody brings her back before it can come late no more."""
    tenant.faults.add(Fault("late_commit", after=1, seconds=1.0, **PATCH))  # type: ignore[arg-type]
    await end(services)
    one = ours(tenant)
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) is None
    await asyncio.sleep(3.5)  # CREATE_SETTLE, as the tests have it
    await want(services, ticket)
    await look_at_all(services)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert tenant.linked_contacts(ticket) == [one]
    assert always_sane == []


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "late_commit"])
@pytest.mark.parametrize("after", [0, 1])
async def test_bringing_back_may_be_repeated(
    services: Services,
    tenant: Tenant,
    people: Seed,
    over: int,
    always_sane: list[str],
    kind: Any,
    after: int,
) -> None:
    """Active first, then the address; what got no answer is done again by the next look."""
    await end(services)
    one = ours(tenant)
    tenant.faults.add(Fault(kind, after=after, seconds=0.3, **PATCH))  # type: ignore[arg-type]
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    assert await look_at(services, ticket) is None
    assert await look_at(services, ticket) == Result.DONE
    await asyncio.sleep(0.4)
    assert stands(contact(tenant, one)) == (1, NINA)
    assert tenant.linked_contacts(ticket) == [one]
    assert always_sane == []
    assert len(await rows(services, Ledger)) == 1
