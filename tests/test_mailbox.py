"""The mailbox: one pause over all processes, a problem of its own for each trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update

from app.desk import Desk
from app.mailbox import MailboxShut
from app.main import create_app
from app.models import MailboxGate
from sandbox.graph import HELP_DESK, MailFault
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.conftest import work_until
from tests.helpers import mailbox_of, rows

MakeDesk = Callable[..., Any]
LONG_AGO = timedelta(hours=1)


@pytest.fixture
async def desk(make_desk: MakeDesk, server: SandboxServer, people: Seed) -> Desk:
    """The parts of a process that has a mailbox."""
    desk: Desk = await make_desk(**mailbox_of(server))
    return desk


@pytest.fixture
async def api(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP application of that process."""
    transport = httpx.ASGITransport(create_app(desk), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client


async def read(desk: Desk) -> int:
    """Read the last hour's messages."""
    now = datetime.now(UTC)
    return len(await desk.mailbox.messages(now - LONG_AGO, now + LONG_AGO))


async def gate_of(desk: Desk) -> MailboxGate:
    """Give the gate's row."""
    [gate] = await rows(desk, MailboxGate)
    assert isinstance(gate, MailboxGate)
    return gate


async def let_pause_pass(desk: Desk) -> None:
    """Let the pause be over."""
    async with desk.sessions() as session, session.begin():
        await session.execute(update(MailboxGate).values(shut_until=func.now()))


async def mailbox_problems(api: httpx.AsyncClient) -> list[str]:
    """Give the problems of /health/work that are the mailbox's."""
    answer = (await api.get("/health/work")).json()
    return [p["code"] for p in answer["problems"] if p["code"].startswith("mailbox")]


async def test_messages_are_read(desk: Desk, tenant: Tenant) -> None:
    """All of the window, over pages; nothing is stored where nothing is wrong."""
    for n in range(7):
        tenant.mail.deliver(HELP_DESK, sender="ana@alpine-dental.example", subject=f"{n}")
    assert await read(desk) == 7
    assert (await gate_of(desk)).code is None


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
    desk: Desk, api: httpx.AsyncClient, tenant: Tenant, breaks: Callable[[Tenant], None], code: str
) -> None:
    """With its cure; neither a secret nor an address is in it."""
    breaks(tenant)
    with pytest.raises(MailboxShut):
        await read(desk)

    answer = await api.get("/health/work")
    problems = {problem["code"]: problem for problem in answer.json()["problems"]}
    assert answer.status_code == 503
    assert "docs/setup/m365.md" in problems[code]["cure"]
    assert "@" not in answer.text
    assert tenant.mail.client_secret not in answer.text


async def test_a_pause_holds_for_every_process(
    desk: Desk, make_desk: MakeDesk, server: SandboxServer, tenant: Tenant
) -> None:
    """Nobody asks before it is over, and Retry-After says how long it is."""
    other: Desk = await make_desk(**mailbox_of(server))
    tenant.mail.fail(MailFault("throttled", retry_after="45"))
    with pytest.raises(MailboxShut) as first:
        await read(desk)
    asked = tenant.mail.calls.total()

    with pytest.raises(MailboxShut) as second:
        await read(other)

    assert tenant.mail.calls.total() == asked
    assert first.value.until == second.value.until
    assert second.value.until > datetime.now(UTC) + timedelta(seconds=40)
    assert await other.mailbox.pause() == second.value.until


async def test_after_a_pause_one_call_asks_for_all(desk: Desk, tenant: Tenant) -> None:
    """While it is on its way the others wait; its answer opens the mailbox."""
    out_of_scope(tenant)
    with pytest.raises(MailboxShut):
        await read(desk)
    await let_pause_pass(desk)
    probe = await desk.mailbox._enter()
    assert probe
    with pytest.raises(MailboxShut):
        await read(desk)

    tenant.mail.in_scope.add(HELP_DESK)
    await let_pause_pass(desk)
    assert await read(desk) == 0
    gate = await gate_of(desk)
    assert (gate.code, gate.shut_until, gate.times) == (None, None, 0)


async def test_pauses_grow_and_since_stays(desk: Desk, tenant: Tenant) -> None:
    """Who looks at the problem sees since when there is one."""
    out_of_scope(tenant)
    pauses = []
    for _ in range(9):
        with pytest.raises(MailboxShut) as caught:
            await read(desk)
        pauses.append((caught.value.until - datetime.now(UTC)).total_seconds())
        since = (await gate_of(desk)).since
        await let_pause_pass(desk)
    assert [round(pause, -1) for pause in pauses] == [10, 30, 60, 120, 300, 600, 900, 900, 900]
    assert since is not None
    assert since < datetime.now(UTC)
    assert (await gate_of(desk)).since == since


async def test_two_failures_at_once_are_one_trouble(
    desk: Desk, make_desk: MakeDesk, server: SandboxServer, tenant: Tenant
) -> None:
    """What left before the mailbox was shut tells nothing new, and does not prolong the pause."""
    other: Desk = await make_desk(**mailbox_of(server))
    tenant.mail.switches.latency = 0.3
    tenant.mail.fail(MailFault("reset", times=2))
    shut = await asyncio.gather(read(desk), read(other), return_exceptions=True)
    assert tenant.mail.calls["messages"] == 2
    assert {error.until for error in shut if isinstance(error, MailboxShut)} == {
        (await gate_of(desk)).shut_until
    }
    assert (await gate_of(desk)).times == 1


async def test_a_process_asks_the_mailbox_one_thing_at_a_time(desk: Desk, tenant: Tenant) -> None:
    """Microsoft takes four at once, and there are several processes."""
    tenant.mail.switches.latency = 0.05
    await asyncio.gather(*(read(desk) for _ in range(6)))
    assert tenant.mail.peak == 1


async def test_who_mends_it_and_restarts_need_not_wait(
    desk: Desk, make_desk: MakeDesk, server: SandboxServer, tenant: Tenant
) -> None:
    """The first check of a process ignores an old pause, unless Microsoft asked for it."""
    out_of_scope(tenant)
    with pytest.raises(MailboxShut):
        await read(desk)
    tenant.mail.in_scope.add(HELP_DESK)
    restarted: Desk = await make_desk(**mailbox_of(server))
    await restarted.mailbox.check()
    assert (await gate_of(desk)).code is None

    throttle(tenant)
    with pytest.raises(MailboxShut):
        await read(desk)
    again: Desk = await make_desk(**mailbox_of(server))
    await again.mailbox.check()
    assert (await gate_of(desk)).code == "mailbox_throttled"


async def test_a_mailbox_that_is_no_source_is_left_alone(
    make_desk: MakeDesk, server: SandboxServer
) -> None:
    """Taking it out of CC_SOURCES is enough; its old trouble is nobody's."""
    desk: Desk = await make_desk(cc_sources=("udf:CC",), **mailbox_of(server))
    assert not desk.mailbox.configured


async def test_a_worker_finds_out_before_a_ticket_has_to(
    desk: Desk, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    """At its start, by a call; and that it works again without a ticket, too."""
    out_of_scope(tenant)

    async def shown() -> bool:
        return await mailbox_problems(api) == ["mailbox_out_of_scope"]

    await work_until(desk, shown)

    tenant.mail.in_scope.add(HELP_DESK)
    await let_pause_pass(desk)

    async def gone() -> bool:
        return await mailbox_problems(api) == []

    await work_until(desk, gone)


async def test_checking_costs_one_call_a_process(desk: Desk, tenant: Tenant) -> None:
    """Where nothing is wrong, tickets find out by themselves."""
    for _ in range(3):
        await desk.mailbox.check()
    assert tenant.mail.calls["messages"] == 1


async def test_without_settings_there_is_no_mailbox(make_desk: MakeDesk, tenant: Tenant) -> None:
    """Nothing is asked, and old trouble is nobody's."""
    desk: Desk = await make_desk()
    assert not desk.mailbox.configured
    await desk.mailbox.check()
    assert await desk.mailbox.pause() is None
    assert tenant.mail.calls.total() == 0
