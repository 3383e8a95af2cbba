"""The mailbox: one pause over all processes, a problem of its own for each trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update

from app.db.database import db_now
from app.db.tables import MailboxGate
from app.graph import client as graph_client
from app.outbound.mailbox import MailboxShut, Unread
from app.services import Services
from app.web.app import create_app
from sandbox.graph import HELP_DESK, MailFault
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.support.helpers import due_of, look_at, mailbox_of, rows
from tests.support.mails import ANA, SUBJECT

MakeServices = Callable[..., Any]
LONG_AGO = timedelta(hours=1)


@pytest.fixture
async def services(make_services: MakeServices, server: SandboxServer, people: Seed) -> Services:
    """The parts of a process that has a mailbox."""
    services: Services = await make_services(**mailbox_of(server))
    return services


@pytest.fixture
async def api(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP application of that process."""
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


async def read(services: Services) -> int:
    """Read the last hour's messages."""
    now = datetime.now(UTC)
    page = await services.mailbox.page(now - LONG_AGO, now + LONG_AGO)
    found = {message.id for message in page.messages}
    while page.next_url:
        page = await services.mailbox.page(now - LONG_AGO, now + LONG_AGO, url=page.next_url)
        found |= {message.id for message in page.messages}
    return len(found)


async def gate_of(services: Services) -> MailboxGate:
    """Give the gate's row."""
    [gate] = await rows(services, MailboxGate)
    assert isinstance(gate, MailboxGate)
    return gate


async def let_pause_pass(services: Services) -> None:
    """Let the pause be over."""
    async with services.sessions() as session, session.begin():
        await session.execute(update(MailboxGate).values(shut_until=func.now()))


async def mailbox_problems(api: httpx.AsyncClient) -> list[str]:
    """Give the problems of /health/work that are the mailbox's."""
    answer = (await api.get("/health/work")).json()
    return [p["code"] for p in answer["problems"] if p["code"].startswith("mailbox")]


async def test_messages_are_read(services: Services, tenant: Tenant) -> None:
    """All of the window, over pages; nothing is stored where nothing is wrong."""
    for n in range(7):
        tenant.mail.deliver(HELP_DESK, sender="ana@alpine-dental.example", subject=f"{n}")
    assert await read(services) == 7
    assert (await gate_of(services)).code is None


def expire_secret(tenant: Tenant) -> None:
    """As Microsoft does after two years at most."""
    tenant.mail.switches.secret_expired = True


def change_secret(tenant: Tenant) -> None:
    """Somebody removed the secret that we have."""
    tenant.mail.client_secret = "another"


def other_directory(tenant: Tenant) -> None:
    """The directory is not the one that the settings name."""
    tenant.mail.tenant_id = "00000000-0000-4000-8000-000000000000"


def out_of_scope(tenant: Tenant) -> None:
    """The role's scope does not contain the mailbox."""
    tenant.mail.in_scope.clear()


def no_mailbox(tenant: Tenant) -> None:
    """It was deleted, or turned into a group."""
    tenant.mail.mailboxes.clear()


def throttle(tenant: Tenant) -> None:
    """Others read this mailbox, too."""
    tenant.mail.fail(MailFault("throttled", retry_after="45"))


def reset(tenant: Tenant) -> None:
    """The connection is cut."""
    tenant.mail.fail(MailFault("reset"))


TROUBLES = {
    expire_secret: "mailbox_secret_expired",
    change_secret: "mailbox_credentials",
    other_directory: "mailbox_tenant",
    out_of_scope: "mailbox_out_of_scope",
    no_mailbox: "mailbox_missing",
    throttle: "mailbox_throttled",
    reset: "mailbox_away",
}


@pytest.mark.parametrize(("breaks", "code"), TROUBLES.items(), ids=TROUBLES.values())
async def test_each_trouble_is_a_problem_of_its_own(
    services: Services,
    api: httpx.AsyncClient,
    tenant: Tenant,
    breaks: Callable[[Tenant], None],
    code: str,
) -> None:
    """With its cure; neither a secret nor an address is in it."""
    breaks(tenant)
    with pytest.raises(MailboxShut):
        await read(services)

    answer = await api.get("/health/work")
    problems = {problem["code"]: problem for problem in answer.json()["problems"]}
    assert answer.status_code == 503
    assert "docs/setup/m365.md" in problems[code]["cure"]
    assert "@" not in answer.text
    assert tenant.mail.client_secret not in answer.text


async def test_a_pause_holds_for_every_process(
    services: Services, make_services: MakeServices, server: SandboxServer, tenant: Tenant
) -> None:
    """Nobody asks before it is over, and Retry-After says how long it is."""
    other: Services = await make_services(**mailbox_of(server))
    tenant.mail.fail(MailFault("throttled", retry_after="45"))
    with pytest.raises(MailboxShut) as first:
        await read(services)
    asked = tenant.mail.calls.total()

    with pytest.raises(MailboxShut) as second:
        await read(other)

    assert tenant.mail.calls.total() == asked
    assert first.value.until == second.value.until
    assert second.value.until > datetime.now(UTC) + timedelta(seconds=40)
    assert await other.mailbox.pause() == second.value.until


ASKED: dict[str, tuple[MailFault, float]] = {
    "429, a second": (MailFault("throttled", retry_after="1"), 1),
    "429, half a second": (MailFault("throttled", retry_after="0.5"), 1),
    "429, nothing to wait": (MailFault("throttled", retry_after="0"), 1),
    "429, a date": (MailFault("throttled", retry_in=90), 90),
    "429, a date that is over": (MailFault("throttled", retry_in=-90), 1),
    "429, a day": (MailFault("throttled", retry_after="86400"), 3600),
    "503": (MailFault("unavailable", retry_after="2"), 2),
    "503, a date": (MailFault("unavailable", retry_in=20), 20),
    "504": (MailFault("timeout", retry_after="3"), 3),
    "of the directory": (MailFault("throttled", on="token", retry_after="2"), 2),
}


@pytest.mark.parametrize(("fault", "seconds"), ASKED.values(), ids=ASKED)
async def test_a_pause_is_as_long_as_microsoft_asks(
    services: Services, tenant: Tenant, fault: MailFault, seconds: float
) -> None:
    """No longer, the third time either, and from a second to an hour."""
    for _ in range(3):
        tenant.mail.fail(replace(fault))
        tenant.mail.tokens.clear()
        services.mailbox._client._token = None  # type: ignore[union-attr]
        begun = datetime.now(UTC)
        with pytest.raises(MailboxShut) as caught:
            await read(services)
        waits = (caught.value.until - begun).total_seconds()
        assert seconds - 1 <= waits <= seconds + 1.5
        await let_pause_pass(services)
    assert await read(services) == 0


@pytest.mark.parametrize("value", [None, "soon", "-5", "Mon, 99 Foo"])
async def test_without_a_time_the_pauses_grow(
    services: Services, tenant: Tenant, value: str | None
) -> None:
    """What is neither seconds nor a date says nothing."""
    pauses = []
    for _ in range(3):
        tenant.mail.fail(MailFault("throttled", retry_after=value))
        with pytest.raises(MailboxShut) as caught:
            await read(services)
        pauses.append((caught.value.until - datetime.now(UTC)).total_seconds())
        await let_pause_pass(services)
    assert [round(pause, -1) for pause in pauses] == [10, 30, 60]


async def test_after_a_429_a_ticket_is_looked_at_when_microsoft_says(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A second later it gets its people."""
    tenant.mail.fail(MailFault("throttled", retry_after="1"))
    ticket = tenant.receive_mail(
        people.alpine, sender=ANA, subject=SUBJECT, cc=["nina@radiology.example"]
    )
    assert await look_at(services, ticket) is None
    async with services.sessions() as session:
        wait = (await due_of(services, ticket)).due_at - await db_now(session)  # type: ignore[operator]
    assert wait < timedelta(seconds=1.5)


async def test_a_pause_that_was_asked_for_does_not_lengthen_others(
    services: Services, tenant: Tenant
) -> None:
    """And one hang is judged by the mailbox's own answer."""
    tenant.mail.fail(MailFault("throttled", retry_after="1", times=3))
    for _ in range(3):
        with pytest.raises(MailboxShut):
            await read(services)
        await let_pause_pass(services)
    tenant.mail.fail(MailFault("reset"))
    with pytest.raises(MailboxShut) as caught:
        await read(services)
    assert (caught.value.until - datetime.now(UTC)).total_seconds() < 11


async def test_a_mailbox_that_does_not_answer_even_the_check_is_shut(
    services: Services, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page without an answer in time may be long; the check is short."""
    monkeypatch.setattr(graph_client, "REQUEST_SECONDS", 0.2)
    tenant.mail.fail(MailFault("hang", pages=True))
    with pytest.raises(Unread):
        await read(services)
    assert (await gate_of(services)).code is None
    tenant.mail.fail(MailFault("hang", times=2))
    with pytest.raises(MailboxShut):
        await read(services)
    assert (await gate_of(services)).code == "mailbox_away"


async def test_after_a_pause_one_call_asks_for_all(services: Services, tenant: Tenant) -> None:
    """While it is on its way the others wait; its answer opens the mailbox."""
    out_of_scope(tenant)
    with pytest.raises(MailboxShut):
        await read(services)
    await let_pause_pass(services)
    probe = await services.mailbox._enter()
    assert probe
    with pytest.raises(MailboxShut):
        await read(services)

    tenant.mail.in_scope.add(HELP_DESK)
    await let_pause_pass(services)
    assert await read(services) == 0
    gate = await gate_of(services)
    assert (gate.code, gate.shut_until, gate.times) == (None, None, 0)


async def test_pauses_grow_and_since_stays(services: Services, tenant: Tenant) -> None:
    """Who looks at the problem sees since when there is one."""
    out_of_scope(tenant)
    pauses = []
    for _ in range(9):
        with pytest.raises(MailboxShut) as caught:
            await read(services)
        pauses.append((caught.value.until - datetime.now(UTC)).total_seconds())
        since = (await gate_of(services)).since
        await let_pause_pass(services)
    assert [round(pause, -1) for pause in pauses] == [10, 30, 60, 120, 300, 600, 900, 900, 900]
    assert since is not None
    assert since < datetime.now(UTC)
    assert (await gate_of(services)).since == since


async def test_two_failures_at_once_are_one_trouble(
    services: Services, make_services: MakeServices, server: SandboxServer, tenant: Tenant
) -> None:
    """What left before the mailbox was shut tells nothing new, and does not prolong the pause."""
    other: Services = await make_services(**mailbox_of(server))
    tenant.mail.switches.latency = 0.3
    tenant.mail.fail(MailFault("reset", times=2))
    shut = await asyncio.gather(read(services), read(other), return_exceptions=True)
    assert tenant.mail.calls["messages"] == 2
    assert {error.until for error in shut if isinstance(error, MailboxShut)} == {
        (await gate_of(services)).shut_until
    }
    assert (await gate_of(services)).times == 1


async def test_a_process_asks_the_mailbox_one_thing_at_a_time(
    services: Services, tenant: Tenant
) -> None:
    """Microsoft takes four at once, and there are several processes."""
    tenant.mail.switches.latency = 0.05
    await asyncio.gather(*(read(services) for _ in range(6)))
    assert tenant.mail.peak == 1


async def test_who_mends_it_and_restarts_need_not_wait(
    services: Services, make_services: MakeServices, server: SandboxServer, tenant: Tenant
) -> None:
    """The first check of a process ignores an old pause, unless Microsoft asked for it."""
    out_of_scope(tenant)
    with pytest.raises(MailboxShut):
        await read(services)
    tenant.mail.in_scope.add(HELP_DESK)
    restarted: Services = await make_services(**mailbox_of(server))
    await restarted.mailbox.check()
    assert (await gate_of(services)).code is None

    throttle(tenant)
    with pytest.raises(MailboxShut):
        await read(services)
    again: Services = await make_services(**mailbox_of(server))
    await again.mailbox.check()
    assert (await gate_of(services)).code == "mailbox_throttled"


async def test_a_mailbox_that_is_no_source_is_left_alone(
    make_services: MakeServices, server: SandboxServer
) -> None:
    """Taking it out of CC_SOURCES is enough; its old trouble is nobody's."""
    services: Services = await make_services(cc_sources=("udf:CC",), **mailbox_of(server))
    assert not services.mailbox.configured


async def test_a_worker_finds_out_before_a_ticket_has_to(
    services: Services, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    """At its start, by a call; and that it works again without a ticket, too."""
    out_of_scope(tenant)

    async def shown() -> bool:
        return await mailbox_problems(api) == ["mailbox_out_of_scope"]

    await work_until(services, shown)

    tenant.mail.in_scope.add(HELP_DESK)
    await let_pause_pass(services)

    async def gone() -> bool:
        return await mailbox_problems(api) == []

    await work_until(services, gone)


async def test_checking_costs_one_call_a_process(services: Services, tenant: Tenant) -> None:
    """Where nothing is wrong, tickets find out by themselves."""
    for _ in range(3):
        await services.mailbox.check()
    assert tenant.mail.calls["messages"] == 1


async def test_without_settings_there_is_no_mailbox(
    make_services: MakeServices, tenant: Tenant
) -> None:
    """Nothing is asked, and old trouble is nobody's."""
    services: Services = await make_services()
    assert not services.mailbox.configured
    await services.mailbox.check()
    assert await services.mailbox.pause() is None
    assert tenant.mail.calls.total() == 0
