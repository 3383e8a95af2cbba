"""Watching a test mail: what is said, when it ends, and what is said when none comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from app.autotask.callouts import Callout
from app.db import database
from app.db.database import Sessions
from app.db.states import LedgerState, Priority, Result
from app.db.tables import Due, Ledger, Look, Participant, TicketRecord
from app.due import work
from app.looks.look import look
from app.ops import watch
from app.ops.watch import Shown, news, next_ticket, watch_ticket
from app.records import deliveries, history
from app.records.history import History
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import changes, everything, look_at, want

NINA = "nina@radiology.example"
CARLA = "carla.mendes@alpine-dental.example"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.02)


async def callout(services: Services, ticket: int, ago: float = 4) -> None:
    """Receive a callout of a ticket that was created a while ago."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    one = Callout("Create", "Ticket", ticket, "guid", 1, f"{at:%Y-%m-%dT%H:%M:%SZ}")
    async with services.sessions() as session, session.begin():
        await deliveries.receive(session, one, b"{}", timedelta(0))


async def look_now(services: Services) -> Result | None:
    """Look at the one ticket that is due."""
    async with services.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "test", 1)
    return await look(services, lease)


class Watching:
    """What has been said of a ticket so far, and its records at the end."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.records: History | None = None
        self._more = asyncio.Condition()

    async def listen(self, sessions: Sessions, ticket: int, seconds: float) -> None:
        """Follow the ticket to its end."""
        async for events, self.records in watch_ticket(sessions, ticket, seconds):
            async with self._more:
                self.said += [event.text for event in events]
                self._more.notify_all()

    async def until(self, words: str) -> None:
        """Wait until something was said."""
        async with asyncio.timeout(10), self._more:
            await self._more.wait_for(lambda: any(words in one for one in self.said))


@asynccontextmanager
async def watching(services: Services, ticket: int) -> AsyncIterator[Watching]:
    """Follow a ticket while the test goes on, and to its end."""
    one = Watching()
    task = asyncio.create_task(one.listen(services.sessions, ticket, 20))
    try:
        yield one
        async with asyncio.timeout(10):
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_mail_is_followed_from_callout_to_result(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Each step is told when it happens, once, with its reason in words."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, cc=f"{CARLA}, {NINA}")
    async with watching(services, ticket) as one:
        await callout(services, ticket)
        await one.until("callout of ticket")
        assert len(one.said) == 1
        assert await look_now(services) == Result.DONE
    number = tenant.tickets[ticket]["ticketNumber"]
    [contact] = tenant.contacts_with(NINA)
    assert re.fullmatch(
        f"callout of ticket {ticket}, [0-9]+ s after the ticket was created", one.said[0]
    )
    lasting = [
        f"it is ticket {number} of account {people.alpine}",
        "looked: the list is in udf:CC",
        f"{CARLA}: link, because a contact of the account has it",
        f"{NINA}: create, because it is new, from outside the account",
        f"{NINA}: contact created ({contact['id']})",
        f"contact {people.carla} is on the ticket",
        f"contact {contact['id']} is on the ticket",
        f"{CARLA}: linked",
        f"{NINA}: created_and_linked",
        "result done",
    ]
    assert sorted(lasting) == sorted(text for text in one.said[1:] if " being " not in text)
    assert len(one.said) == len(set(one.said))
    assert one.said[-1] == "result done"
    assert one.records is not None
    assert watch.went_well(one.records)


async def test_nothing_is_asked_or_changed(
    services: Services, tenant: Tenant, server: SandboxServer, people: Seed
) -> None:
    """It reads our records and nothing else."""
    ticket = tenant.new_ticket(people.alpine, cc=CARLA)
    await look_at(services, ticket)
    calls, before, written = len(tenant.calls), await everything(services), changes(server)
    async with watching(services, ticket) as one:
        pass
    assert one.said[-1] == "result done"
    assert (len(tenant.calls), changes(server)) == (calls, written)
    assert await everything(services) == before


async def test_without_a_callout_it_is_said_how_it_was_found(services: Services) -> None:
    """By comparing with Autotask, or because somebody wanted it."""
    await want(services, 7)
    async with services.sessions() as session, session.begin():
        await session.execute(update(Due).values(priority=int(Priority.CATCH_UP)))
    async with services.sessions() as session:
        records = await history.of_ticket(session, 7)
    assert records is not None
    [event] = news(records, Shown())
    assert "(reconciliation); no callout has come" in event.text
    assert not records.over


async def test_a_look_that_ends_early_says_why(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """And when it is made again; the watching goes on."""
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana)
    await look_at(services, ticket)
    async with services.sessions() as session:
        records = await history.of_ticket(session, ticket)
    assert records is not None
    said = [event.text for event in news(records, Shown())]
    assert "looked: no list found" in said
    assert said[-1].startswith("not finished: no source has a list")
    assert "looked at again at " in said[-1]
    assert not records.over


async def test_what_autotask_refuses_is_said(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """With its words; such a mail did not go well."""
    tenant.faults.add(
        Fault("error_500_errors", "POST", "Contacts", "Companies", None, text="Phone is required")
    )
    ticket = tenant.new_ticket(people.alpine, cc=NINA)
    await look_at(services, ticket)
    async with services.sessions() as session:
        records = await history.of_ticket(session, ticket)
    assert records is not None
    said = [event.text for event in news(records, Shown())]
    refused = "Autotask refused to create a contact: POST Contacts: Phone is required"
    assert f"{NINA}: {refused}" in said
    assert any(text.startswith(f"{NINA}: not done: ") for text in said)
    assert not watch.went_well(records)


async def test_the_next_ticket_is_the_first_after_the_start(services: Services) -> None:
    """Those of before are nobody's test mail."""
    await want(services, 5)
    since = await database.now(services.sessions)
    assert await next_ticket(services.sessions, since, 0) is None
    waiting = asyncio.create_task(next_ticket(services.sessions, since, 10))
    await want(services, 4, 6)
    assert await waiting in (4, 6)


def test_what_strangers_wrote_is_one_line() -> None:
    """An address cannot write lines of its own onto the terminal."""
    now = datetime.now(UTC)
    person = Participant(
        ticket_id=7,
        key="a\x1b[31m\nresult done",
        name="",
        position=0,
        account_id=1,
        decision="ignore",
        reason="invalid",
        detail="no_address",
        decided_at=now,
    )
    ended = Look(id=1, ticket_id=7, attempt=1, started_at=now, ended_at=now, result="done")
    records = History(TicketRecord(id=7, first_seen_at=now, result="done"), None, looks=(ended,))
    shown = [event.text for event in news(records, Shown())]
    assert shown[-1] == "result done"
    lines = list(news(History(records.ticket, None, participants=(person,)), Shown()))
    assert "no usable address (no_address)" in lines[-1].text


@pytest.mark.parametrize("action", ["Update", "update"])
async def test_a_change_is_told_as_one(services: Services, action: str) -> None:
    """What came seconds after the ticket was changed says nothing about its creation."""
    await callout(services, 7, ago=3600)
    at = datetime.now(UTC) - timedelta(seconds=4)
    one = Callout(action, "Ticket", 7, "guid", 2, f"{at:%Y-%m-%dT%H:%M:%SZ}")
    async with services.sessions() as session, session.begin():
        await deliveries.receive(session, one, b"{}", timedelta(0))
    async with services.sessions() as session:
        records = await history.of_ticket(session, 7)
    assert records is not None
    first, second = [event.text for event in news(records, Shown())]
    assert re.fullmatch(r"callout of ticket 7, 36[0-9]+ s after the ticket was created", first)
    assert re.fullmatch(
        r"callout of a change of ticket 7, [4-9] s after the ticket was changed", second
    )


@pytest.mark.parametrize("state", LedgerState)
def test_every_state_of_a_contact_has_its_words(state: LedgerState) -> None:
    """Also while it is being ended, or brought back."""
    now = datetime.now(UTC)
    row = Ledger(id=1, email=NINA, ticket_id=7, state=state, contact_id=70, sent_at=now)
    ticket = TicketRecord(id=7, first_seen_at=now)
    said = [event.text for event in news(History(ticket, None, created=(row,)), Shown())]
    assert re.fullmatch(rf"{NINA}: [a-z].+ \(70\)", said[-1], re.IGNORECASE)
