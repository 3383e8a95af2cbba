"""An hour of each thing that a ticket can wait for: what it costs, and what health said when.

The clock of the database and of the sandbox is moved from one look to the next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, TypeAlias

import pytest
from sqlalchemy import func

from app.db import database
from app.db.tables import Calls, Ledger, Slot, TicketRecord, Worker
from app.due import work
from app.looks import look as look_module
from app.looks.look import look
from app.outbound import budget, gate
from app.services import Services
from sandbox.graph import HELP_DESK, MailFault
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clients import client_of
from tests.support.clock import Clock
from tests.support.helpers import due_of, mailbox_of, want
from tests.support.mails import ANA, NINA, SUBJECT, eml

MARKS = (60, 12 * 60, 61 * 60)
"""Seconds after which health is asked."""

FOR_EVER: int = 10**6
CREATE: dict[str, Any] = {"method": "POST", "entity": "Contacts", "path_contains": "/Companies/"}


@dataclass
class World:
    """A deployment, its Autotask and Microsoft, and the clock."""

    services: Services
    tenant: Tenant
    people: Seed
    monkeypatch: pytest.MonkeyPatch

    def mail(self, **fields: Any) -> int:
        """Let Ana write; return the ticket."""
        return self.tenant.receive_mail(self.people.alpine, sender=ANA, subject=SUBJECT, **fields)

    def ticket(self) -> int:
        """Return a ticket whose field names somebody new."""
        return self.tenant.new_ticket(self.people.alpine, contact_id=self.people.ana, cc=NINA)

    async def store(self, *records: Any) -> None:
        """Put rows into the database."""
        async with self.services.sessions() as session, session.begin():
            session.add_all(records)


async def gate_shut(world: World) -> int:
    world.tenant.secret = "changed at Autotask"
    return world.ticket()


async def autotask_away(world: World) -> int:
    world.tenant.faults.add(Fault("error_500", times=None))
    return world.ticket()


async def busy(world: World) -> int:
    world.tenant.faults.add(Fault("status_429", times=None, method="GET", entity="Tickets"))
    return world.ticket()


async def no_good_answer(world: World) -> int:
    world.tenant.faults.add(Fault("error_500", times=None, path_contains="AdditionalContacts"))
    return world.ticket()


async def right_missing(world: World) -> int:
    world.tenant.faults.add(Fault("forbidden", times=None, **CREATE))
    return world.ticket()


async def no_slot(world: World) -> int:
    world.monkeypatch.setattr(budget, "_SLOT_WAIT", 0.01)
    expires = func.now() + timedelta(days=1)
    entity = "TicketAdditionalContacts"
    await world.store(*(Slot(entity=entity, n=n, holder="x", expires_at=expires) for n in range(3)))
    return world.ticket()


async def budget_spent(world: World) -> int:
    now = await database.now(world.services.sessions)
    await world.store(Calls(since=now + timedelta(minutes=30), count=10_000))
    return world.ticket()


async def paused(world: World) -> int:
    async with world.services.sessions() as session, session.begin():
        await gate.pause(session, "writer")
    return world.ticket()


async def mailbox_shut(world: World) -> int:
    world.tenant.mail.in_scope.clear()
    return world.mail(cc=[NINA])


async def long_window(world: World) -> int:
    world.tenant.mail.switches.page_size = 100
    world.tenant.mail.flood(HELP_DESK, 1400)
    return world.mail(cc=[NINA], copy=False)


async def unreadable_message(world: World) -> int:
    world.tenant.mail.fail(MailFault("unreadable", times=FOR_EVER, pages=True))
    return world.mail(cc=[NINA])


async def slow_window(world: World) -> int:
    world.tenant.mail.fail(MailFault("timeout", times=FOR_EVER, pages=True))
    return world.mail(cc=[NINA])


async def create_unanswered(world: World) -> int:
    world.tenant.faults.add(Fault("reset_before", times=None, **CREATE))
    return world.ticket()


async def create_unanswered_with_files(world: World) -> int:
    """Each look reads five attached messages, too."""
    ticket = await create_unanswered(world)
    world.tenant.update_ticket(ticket, cc=None, title=SUBJECT, callout=False)
    for n in range(5):
        world.tenant.attach(ticket, f"{n}.eml", eml(NINA))
    return ticket


async def link_unanswered(world: World) -> int:
    world.tenant.faults.add(
        Fault("reset_before", times=None, method="POST", path_contains="/AdditionalContacts")
    )
    return world.ticket()


async def contact_being_retired(world: World) -> int:
    now = await database.now(world.services.sessions)
    contact = world.tenant.add_contact(world.people.alpine, None, active=0)
    row = Ledger(
        account_id=world.people.alpine, email=NINA, ticket_id=1, state="retiring",
        contact_id=contact, sent_at=now, settled_at=now, end_why="lifetime",
    )  # fmt: skip
    await world.store(row, TicketRecord(id=1))
    return world.ticket()


async def person_refused(world: World) -> int:
    world.tenant.faults.add(Fault("error_500_errors", times=None, text="No.", **CREATE))
    return world.ticket()


async def no_list(world: World) -> int:
    return world.mail(copy=False)


async def changing(world: World) -> int:
    """The search takes too long to act on its reading, and the ticket is another one each time."""
    world.monkeypatch.setattr(look_module, "_SEARCH_SECONDS", -1.0)
    ticket, numbers = world.ticket(), count()

    def change(_call: object) -> None:
        world.tenant.tickets[ticket]["title"] = f"No. {next(numbers)}"

    world.tenant.before_call = change
    return ticket


async def bug(world: World) -> int:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    world.monkeypatch.setattr(look_module, "_look", broken)
    return world.ticket()


Health: TypeAlias = tuple[set[str], set[str], set[str]]


@dataclass
class Case:
    """A state: how it begins, and what health says at each of MARKS of the ticket's waiting."""

    begin: Callable[[World], Awaitable[int]]
    health: Health
    looks: int
    """At most."""


OURS = {"late", "stuck", "unanswered_creates", "contacts_wanted", "failed_tickets"}
NOTHING: Health = set(), set(), set()
LATE_STUCK: Health = set(), {"late"}, {"late", "stuck"}
CREATES: Health = set(), {"late", "unanswered_creates"}, {"late", "stuck", "unanswered_creates"}
CASES = [
    Case(gate_shut, LATE_STUCK, 12),
    Case(autotask_away, LATE_STUCK, 36),
    Case(busy, LATE_STUCK, 10),
    Case(no_good_answer, LATE_STUCK, 10),
    Case(right_missing, LATE_STUCK, 12),
    Case(no_slot, LATE_STUCK, 10),
    Case(budget_spent, LATE_STUCK, 0),
    Case(paused, LATE_STUCK, 0),
    Case(mailbox_shut, LATE_STUCK, 14),
    Case(long_window, NOTHING, 8),
    Case(unreadable_message, LATE_STUCK, 12),
    Case(slow_window, LATE_STUCK, 12),
    Case(create_unanswered, CREATES, 12),
    Case(create_unanswered_with_files, CREATES, 10),
    Case(link_unanswered, LATE_STUCK, 12),
    Case(contact_being_retired, (set(), {"late"}, {"late", "stuck", "contacts_wanted"}), 10),
    Case(person_refused, NOTHING, 3),
    Case(no_list, NOTHING, 5),
    Case(changing, LATE_STUCK, 10),
    Case(bug, LATE_STUCK, 10),
]


@dataclass
class Hour:
    """What happened in an hour."""

    looks: int = 0
    pauses: list[float] = field(default_factory=list)
    health: list[set[str]] = field(default_factory=list)
    reason: str = ""


async def live_through(world: World, ticket: int, clock: Clock) -> Hour:
    """Work as a worker does, and let the time pass in between."""
    hour, passed = Hour(), 0.0
    for mark in MARKS:
        while passed < mark:
            looked = await work_once(world.services)
            hour.looks += looked
            wait = await seconds_to_wait(world.services, ticket)
            if looked and wait is not None:
                hour.pauses.append(wait)
            step = min(mark if wait is None else max(wait, 0.1), mark - passed)
            clock.advance(seconds=step)
            passed += step
        await ask_health(world.services, hour)
    return hour


async def work_once(services: Services) -> int:
    """Look at what is due, if the pace allows."""
    async with services.sessions() as session, session.begin():
        pace = await services.budget.pace(session)
        leases = []
        if pace.until is None:
            leases = await work.claim(session, work.TICKET, "test", 1, pace.at_once, pace.least)
    for lease in leases:
        await look(services, lease)
    return len(leases)


async def seconds_to_wait(services: Services, ticket: int) -> float | None:
    """Return the seconds until the ticket can be looked at; None if it is not due."""
    due = await due_of(services, ticket)
    if due.due_at is None:
        return None
    async with services.sessions() as session:
        pace = await services.budget.pace(session)
        now = await database.db_now(session)
    at = max(due.due_at, pace.until) if pace.until else due.due_at
    return max((at - now).total_seconds(), 0.0)


async def ask_health(services: Services, hour: Hour) -> None:
    """Note the problems that concern waiting, and why tickets are stuck."""
    async with client_of(services) as api:
        problems = (await api.get("/health/work")).json()["problems"]
    assert all(problem["detail"] and problem["cure"] for problem in problems)
    hour.health.append({problem["code"] for problem in problems} & OURS)
    hour.reason = next((one["detail"] for one in problems if one["code"] == "stuck"), "")
    assert "@" not in hour.reason


@pytest.mark.parametrize("case", CASES, ids=[case.begin.__name__ for case in CASES])
async def test_an_hour_of_waiting(
    clock: Clock,
    make_services: Callable[..., Any],
    server: SandboxServer,
    tenant: Tenant,
    people: Seed,
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At most 60 calls, never two pauses below 5 seconds in a row, and health says so in time."""
    services: Services = await make_services(
        cc_sources=("udf:CC", "mailbox", "eml"), create_settle=310.0, **mailbox_of(server)
    )
    await services.tenancy.api_url()
    world = World(services, tenant, people, monkeypatch)
    await world.store(Worker(id="one", seen_at=func.now() + timedelta(days=1)))
    ticket = await case.begin(world)
    await want(services, ticket)
    tenant.calls.clear()
    tenant.mail.calls.clear()

    hour = await live_through(world, ticket, clock)

    asked = len(tenant.calls), tenant.mail.calls["messages"]
    figures = f"looks {hour.looks}, Autotask {asked[0]}, Graph {asked[1]}, {hour.reason}"
    print(f"{case.begin.__name__}: {figures}")  # noqa: T201  the table of figures: pytest -s
    assert sum(asked) <= 60, figures
    assert 0 < hour.looks <= case.looks or case.looks == 0, figures
    assert hour.health == list(case.health), figures
    pairs = zip(hour.pauses, hour.pauses[1:], strict=False)
    assert not [pair for pair in pairs if max(pair) < 5], hour.pauses
