"""Slots for calls, by several processes' budgets on one database."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

from app.autotask.client import Autotask, http_client
from app.autotask.errors import Busy, NotSent, Unanswered, Unauthorized
from app.autotask.models import NewContact
from app.autotask.protocol import THREADS_PER_ENTITY
from app.db.database import Sessions, is_outage, make_engine, make_sessions
from app.db.states import Priority
from app.db.tables import Calls, Due, Slot
from app.due import work
from app.due.work import LeaseLost
from app.outbound import budget
from app.outbound.budget import Budget
from app.outbound.rules import NotNow
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.budgets import MakeBudget, all_of, call, fail, run

# --- slots ---------------------------------------------------------------------------------------


async def test_never_more_than_three_at_once(make_budget: MakeBudget, sessions: Sessions) -> None:
    """Thirty callers of three processes on one entity; another entity is not held up by them."""
    budgets = [make_budget() for _ in range(3)]
    inside = {"Contacts": 0, "Tickets": 0}
    peaks = dict(inside)
    full = asyncio.Event()

    async def caller(n: int) -> None:
        entity = "Tickets" if n % 10 == 9 else "Contacts"
        async with budgets[n % 3].throttle()(entity, write=False):
            inside[entity] += 1
            peaks[entity] = max(peaks[entity], inside[entity])
            if inside["Contacts"] == THREADS_PER_ENTITY:
                full.set()
            await full.wait()
            assert len({(s.entity, s.n) for s in await all_of(sessions, Slot)}) <= 6
            inside[entity] -= 1

    await asyncio.gather(*(caller(n) for n in range(30)))

    assert peaks["Contacts"] == THREADS_PER_ENTITY
    assert await all_of(sessions, Slot) == []
    assert sum(row.count for row in await all_of(sessions, Calls)) == 30


async def test_child_and_root_paths_share_the_slots(
    make_budget: MakeBudget, server: SandboxServer, tenant: Tenant, people: Seed
) -> None:
    """As Autotask counts them: creates under a company and queries of contacts are one entity."""
    tenant.faults.latency = (0.1, 0.2)
    async with http_client() as http:

        def client() -> Autotask:
            throttle = make_budget().throttle()
            return Autotask(http, server.api_url, _credentials(tenant), throttle)

        one, other = client(), client()
        creates = [
            one.create_contact(174, NewContact("A", "B", f"n{n}@x.example", "", {}), inf)
            for n in range(7)
        ]
        queries = [other.contacts(174, ["n1@x.example"], []) for _ in range(7)]
        await asyncio.gather(*creates, *queries)

    assert tenant.peak == {"Contacts": THREADS_PER_ENTITY}
    assert tenant.thread_refusals == 0


def _credentials(tenant: Tenant) -> Any:
    from app.autotask.client import Credentials

    return Credentials(tenant.username, tenant.secret, tenant.integration_code)


async def occupy(sessions: Sessions, seconds: int) -> None:
    """Let a process that was killed have all slots, for so long."""
    async with sessions() as session, session.begin():
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        session.add_all(
            Slot(entity="Tickets", n=n, holder="killed", expires_at=until)
            for n in range(THREADS_PER_ENTITY)
        )


async def test_slots_of_a_killed_process_are_free_when_they_expire(
    make_budget: MakeBudget, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the others wait, and give way after a while without having called."""
    monkeypatch.setattr(budget, "_SLOT_WAIT", 0.05)
    await occupy(sessions, 60)
    with pytest.raises(NotNow, match="no free slot for Tickets"):
        await call(make_budget())
    assert await all_of(sessions, Calls) == []

    await run(sessions, "UPDATE slots SET expires_at = now() WHERE n = 1")
    await call(make_budget())
    assert {slot.n for slot in await all_of(sessions, Slot)} == {0, 2}


async def test_who_comes_late_does_not_take_the_slot_of_the_next(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """A process that was stopped for long gives back what is its own, and nothing else."""
    await occupy(sessions, 60)
    await run(sessions, "DELETE FROM slots WHERE n = 0")
    stopped, other = (
        make_budget().throttle()("Tickets", write=False),
        make_budget().throttle()("Tickets", write=False),
    )
    async with other:
        await run(sessions, "UPDATE slots SET holder = 'next' WHERE n = 0")
    assert "next" in {slot.holder for slot in await all_of(sessions, Slot)}

    await run(sessions, "DELETE FROM slots WHERE n = 0")
    async with stopped:
        await run(sessions, "UPDATE slots SET expires_at = now() WHERE n = 0")
        async with make_budget().throttle()("Tickets", write=False):
            assert len(await all_of(sessions, Slot)) == THREADS_PER_ENTITY


@pytest.mark.parametrize(
    "error", [Busy("x"), NotSent("x"), Unanswered("x"), Unauthorized("x"), ValueError("x")]
)
async def test_a_slot_is_given_back_after_each_failure(
    make_budget: MakeBudget, sessions: Sessions, error: Exception
) -> None:
    """Also after one of our own."""
    await fail(make_budget(), error)
    assert await all_of(sessions, Slot) == []


async def test_a_cancelled_call_gives_its_slot_back(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """A look is cancelled when its lease is lost or the process stops."""
    entered = asyncio.Event()

    async def caller() -> None:
        async with make_budget().throttle()("Tickets", write=False):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(caller())
    await entered.wait()
    assert len(await all_of(sessions, Slot)) == 1
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert await all_of(sessions, Slot) == []


async def test_a_call_whose_slot_cannot_be_given_back_keeps_its_answer(
    make_budget: MakeBudget, sessions: Sessions
) -> None:
    """The database went away during the call: the slot expires, the answer is what counts."""
    one = make_budget()
    async with one.throttle()("Tickets", write=False):
        one._sessions = make_sessions(make_engine(_nowhere()))
    assert len(await all_of(sessions, Slot)) == 1


def _nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return f"postgresql+psycopg://nobody@127.0.0.1:{port}/nothing"


async def test_without_the_database_no_call_leaves(server: SandboxServer, tenant: Tenant) -> None:
    """Nobody knows then what the others do."""
    engine = make_engine(_nowhere())
    throttle = Budget(make_sessions(engine), share=1, window=3600).throttle()
    async with http_client() as http:
        autotask = Autotask(http, server.api_url, _credentials(tenant), throttle)
        with pytest.raises(Exception, match="connection") as caught:
            await autotask.ticket(1)
    await engine.dispose()
    assert is_outage(caught.value)
    assert tenant.calls == []


# --- the lease -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "lease_until = now() - interval '1 ms'",
        "attempt = attempt + 1",
        "holder = 'another'",
        "holder = NULL, lease_until = NULL",
    ],
)
async def test_without_the_lease_no_call_leaves_and_none_is_counted(
    make_budget: MakeBudget, sessions: Sessions, change: str
) -> None:
    """It ran out, or another has the ticket by now."""
    one = make_budget()
    async with sessions() as session, session.begin():
        await work.want(session, work.TICKET, 7, timedelta(0), Priority.LIVE)
    async with sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, "me", 1)
    await call(one, lease=lease)
    await run(sessions, f"UPDATE due SET {change}")

    with pytest.raises(LeaseLost):
        await call(one, lease=lease)
    assert [row.count for row in await all_of(sessions, Calls)] == [1]
    assert await all_of(sessions, Slot) == []
    assert len(await all_of(sessions, Due)) == 1
