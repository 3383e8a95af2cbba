"""A ticket's part of the mailbox that is long, slow or broken: it costs that ticket alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from app.autotask.models import Ticket
from app.db.states import Result, WaitsFor
from app.db.tables import MailboxGate
from app.due import work
from app.graph import client as graph_client
from app.looks.look import look
from app.looks.preview import preview
from app.services import Services
from app.sources import window
from sandbox.graph import HELP_DESK, MailFault
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import due_of, look_at, mailbox_of, outcomes, rows, want
from tests.support.mails import ANA, BRUNO, NINA, SUBJECT, record_of

MakeServices = Callable[..., Any]
FOR_EVER = 10**6
NINAS = {NINA: ("outside", "created_and_linked")}


@pytest.fixture
async def services(make_services: MakeServices, server: SandboxServer, people: Seed) -> Services:
    """A process that reads the mailbox, in pages of a hundred."""
    server.tenant.mail.switches.page_size = 100
    services: Services = await make_services(cc_sources=("mailbox",), **mailbox_of(server))
    return services


async def look_until_done(services: Services, ticket: int, most: int = 12) -> int:
    """Look until there is a result, and return how many looks that took."""
    for looks in range(1, most + 1):
        if await look_at(services, ticket):
            return looks
        assert await services.mailbox.pause() is None
    raise AssertionError(f"no result after {most} looks")


async def test_many_mails_are_read_over_several_looks(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The mailbox stays open, no page is read twice, and what is kept names nobody."""
    tenant.mail.flood(HELP_DESK, 1400)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    assert await look_at(services, ticket) is None
    kept = (await record_of(services, ticket)).mailbox_position
    assert kept
    assert len(kept["fitting"]) == 1
    assert not [word for word in ("@", "Röntgen", "Alert", "Ana") if word in json.dumps(kept)]
    assert (await due_of(services, ticket)).waits_for == WaitsFor.WINDOW

    assert await look_until_done(services, ticket) == 1
    assert await outcomes(services, ticket) == NINAS
    assert (await record_of(services, ticket)).mailbox_position is None
    assert tenant.mail.calls["messages"] <= 15 + 1
    assert [row.times for row in await rows(services, MailboxGate)] == [0]


async def test_two_that_fit_are_ambiguous_however_far_apart(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The one that an earlier look has read is not forgotten."""
    tenant.mail.flood(HELP_DESK, 1400)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    early = tenant.clock() - timedelta(minutes=58)
    tenant.mail.deliver(HELP_DESK, sender=ANA, subject=SUBJECT, cc=[BRUNO], received_at=early)
    await look_until_done(services, ticket)
    assert (await record_of(services, ticket)).result == Result.AMBIGUOUS_MESSAGE
    assert tenant.linked_contacts(ticket) == []


async def test_a_crowd_that_fits_ends_the_reading(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """No list of it is read, and its times are not kept."""
    now = tenant.clock()
    for n in range(900):
        at = now - timedelta(seconds=n)
        tenant.mail.deliver(HELP_DESK, sender=ANA, subject=SUBJECT, received_at=at)
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title=SUBJECT)
    assert await look_at(services, ticket) == Result.AMBIGUOUS_MESSAGE
    assert (await record_of(services, ticket)).mailbox_position is None


async def test_what_comes_while_older_mails_are_read_counts(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """The copy that a mail-flow rule makes may arrive after the ticket."""
    tenant.mail.flood(HELP_DESK, 800)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA], copy=False)
    assert await look_at(services, ticket) is None
    tenant.deliver_copy(ticket)
    await look_until_done(services, ticket)
    assert await outcomes(services, ticket) == NINAS


async def test_a_ticket_that_is_renamed_is_compared_anew(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """What was read was compared with the old title."""
    tenant.mail.flood(HELP_DESK, 800)
    tenant.mail.deliver(HELP_DESK, sender=ANA, subject=SUBJECT, cc=[NINA])
    ticket = tenant.new_ticket(people.alpine, contact_id=people.ana, title="something else")
    assert await look_at(services, ticket) is None
    tenant.update_ticket(ticket, title=SUBJECT, callout=False)
    await look_until_done(services, ticket)
    assert await outcomes(services, ticket) == NINAS


async def test_a_second_that_has_more_mails_than_are_read_ends(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A storm of alerts, all dated alike: reading cannot go on below them."""
    now = tenant.clock() - timedelta(minutes=1)
    tenant.mail.switches.page_size = 3
    for n in range(60):
        tenant.mail.deliver(HELP_DESK, sender="a@x.example", subject=str(n), received_at=now)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, copy=False)
    for _ in range(10):
        assert await look_at(services, ticket) is None
    assert "more than" in str((await record_of(services, ticket)).note)
    assert tenant.mail.calls["messages"] == 40


async def test_where_large_pages_are_too_slow_smaller_ones_are_read(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a hundred takes longer than we wait, one of twenty does not."""
    monkeypatch.setattr(graph_client, "REQUEST_SECONDS", 0.6)
    tenant.mail.flood(HELP_DESK, 150)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    tenant.mail.switches.message_seconds = 0.008
    assert await look_at(services, ticket) is None
    assert "no answer within" in str((await record_of(services, ticket)).note)
    await look_until_done(services, ticket)
    assert await outcomes(services, ticket) == NINAS


async def test_a_dry_run_reads_all_at_once(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """No other look will go on, and it stores nothing."""
    tenant.mail.flood(HELP_DESK, 800)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    shown = await preview(services, ticket)
    assert [decision.key for decision in shown.decisions] == [NINA]


def cycle(tenant: Tenant) -> None:
    """Two pages name each other."""
    tenant.mail.switches.next_link = "cycle"


def same(tenant: Tenant) -> None:
    """A page names itself."""
    tenant.mail.switches.next_link = "same"


def foreign(tenant: Tenant) -> None:
    """The next page is elsewhere."""
    tenant.mail.switches.next_link = "foreign"


def faulty(kind: Any, **how: Any) -> Callable[[Tenant], None]:
    """Each page of messages has this fault, and the mailbox answers otherwise."""
    return lambda tenant: tenant.mail.fail(MailFault(kind, times=FOR_EVER, pages=True, **how))


BROKEN = {
    "foreign": foreign,
    "unreadable message": faulty("unreadable"),
    "504": faulty("timeout"),
    "500": faulty("broken"),
    "503 without a time": faulty("unavailable"),
    "second page reset": faulty("reset", after=1),
    "second page for people": faulty("garbage", after=1),
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN)
async def test_a_part_that_cannot_be_read_costs_its_ticket_alone(
    services: Services, tenant: Tenant, people: Seed, breaks: Callable[[Tenant], None]
) -> None:
    """That ticket waits and says why; the mailbox stays open to the others."""
    tenant.mail.flood(HELP_DESK, 250)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    breaks(tenant)
    for _ in range(3):
        assert await look_at(services, ticket) is None
        assert await services.mailbox.pause() is None
    due = await due_of(services, ticket)
    assert (due.waits_for, due.tries, due.vain) == (WaitsFor.WINDOW, 3, 3)
    assert str((await record_of(services, ticket)).note).startswith("the mailbox: ")

    await services.mailbox.check()
    assert [row.code for row in await rows(services, MailboxGate)] == [None]


@pytest.mark.parametrize("breaks", [same, cycle])
async def test_pages_without_end_are_left_by_time(
    services: Services, tenant: Tenant, people: Seed, breaks: Callable[[Tenant], None]
) -> None:
    """Graph was seen to name the same page for ever; the next look asks for what is older."""
    tenant.mail.flood(HELP_DESK, 250)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    breaks(tenant)
    await look_until_done(services, ticket)
    assert await outcomes(services, ticket) == NINAS
    assert tenant.mail.calls["messages"] <= 12


async def test_trouble_of_the_mailbox_in_the_middle_shuts_it_and_reading_goes_on_later(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A refusal that others would meet, too; what was read is not read again."""
    tenant.mail.flood(HELP_DESK, 450)
    ticket = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    tenant.mail.fail(MailFault("throttled", retry_after="40", after=3))
    assert await look_at(services, ticket) is None
    assert await services.mailbox.pause()
    assert (await due_of(services, ticket)).waits_for == WaitsFor.MAILBOX
    async with services.sessions() as session, session.begin():
        await session.execute(update(MailboxGate).values(shut_until=func.now()))
    assert await look_until_done(services, ticket) == 1
    assert tenant.mail.calls["messages"] <= 4 + 2 + 2


async def test_no_other_ticket_waits_for_a_long_reading(
    services: Services, tenant: Tenant, people: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its further pages have a turn of their own: others' are asked for at the same time."""
    tenant.mail.flood(HELP_DESK, 1200)
    tenant.mail.switches.latency = 0.1
    long = tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA])
    started = asyncio.Event()
    usual = services.mailbox.page

    async def page(*where: Any, **how: Any) -> Any:
        if how["further"]:
            started.set()
        return await usual(*where, **how)

    monkeypatch.setattr(type(services.mailbox), "page", lambda _self, *a, **k: page(*a, **k))
    reading = asyncio.create_task(look_at(services, long))
    await started.wait()
    now = tenant.clock() + timedelta(seconds=1)
    await usual(now - timedelta(seconds=0.1), now)
    assert not reading.done()
    assert await reading is None
    assert tenant.mail.peak == 2


async def test_a_busy_hour_does_not_take_up_all_looks(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Of its tickets two are read on; the others end their looks, and come again later."""
    tenant.mail.flood(HELP_DESK, 1200)
    tenant.mail.switches.latency = 0.05
    long = [
        tenant.receive_mail(people.alpine, sender=ANA, subject=SUBJECT, cc=[NINA], copy=False)
        for _ in range(4)
    ]
    await want(services, *long)
    async with services.sessions() as session, session.begin():
        leases = await work.claim(session, work.TICKET, "test", 4)
    await asyncio.gather(*(look(services, lease) for lease in leases))
    kept = [(await record_of(services, one)).mailbox_position for one in long]
    pages = sorted(position["pages"] for position in kept if position)
    assert len(pages) == 4
    assert pages[1] < 8 == pages[3]
    assert await services.mailbox.pause() is None


def test_a_position_that_cannot_be_read_is_none() -> None:
    """A later version may store another form."""
    ticket = Ticket(id=1, companyID=2)
    whole = {"about": window.about(ticket), "down_to": "2026-11-23T12:00:00Z"}
    assert window.position_of(whole, ticket)
    for stored in (None, {}, {"about": 5}, {**whole, "about": "another"}, {**whole, "pages": "x"}):
        assert window.position_of(stored, ticket) is None
