"""A pause in the middle of a burst, over two worker processes and the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from app.db.states import LedgerState, Result
from app.db.tables import Due, Ledger, TicketRecord
from app.services import Services
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.helpers import changes, rows, want
from tests.support.processes import process

pytestmark = pytest.mark.process

TICKETS = 30
TWO_POLLS = 1.2  # seconds in which each worker has asked twice for work


async def test_nothing_is_written_in_a_pause_and_all_is_done_once_after_it(
    environ: dict[str, str],
    api: httpx.AsyncClient,
    services: Services,
    server: SandboxServer,
    tenant: Tenant,
    people: Seed,
    writer: dict[str, str],
) -> None:
    """Each of thirty tickets is to get a new contact: sixty writes."""
    emails = [f"person{n}@alpine-dental.example" for n in range(TICKETS)]
    tickets = [tenant.new_ticket(people.alpine, cc=email, callout=False) for email in emails]
    tenant.faults.latency = (0.01, 0.05)
    await want(services, *tickets)

    with process("worker", environ), process("worker", environ):
        await until(lambda: holds(len(changes(server)) > TICKETS // 2))
        answer = await api.put("/admin/pause", json={"paused": True}, headers=writer)
        written = len(changes(server))
        assert (answer.status_code, answer.json()["writing"]) == (200, 0)
        assert written < 2 * TICKETS  # it was in the middle

        await until(lambda: nobody_looks(services))
        await asyncio.sleep(TWO_POLLS)
        assert len(changes(server)) == written

        await api.put("/admin/pause", json={"paused": False}, headers=writer)
        await until(lambda: all_done(services))

    for ticket, email in zip(tickets, emails, strict=True):
        [contact] = tenant.contacts_with(email)
        assert tenant.linked_contacts(ticket) == [contact["id"]]
    created = [
        row.email for row in await rows(services, Ledger) if row.state == LedgerState.CREATED
    ]
    assert sorted(created) == sorted(emails)
    assert len(changes(server)) == 2 * TICKETS


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait until the condition is true; fail after so many seconds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def holds(condition: bool) -> bool:
    """Return what is known without asking the database."""
    return condition


async def nobody_looks(services: Services) -> bool:
    """Return whether every look that was under way has ended."""
    return all(due.holder is None for due in await rows(services, Due))


async def all_done(services: Services) -> bool:
    """Return whether every ticket is done."""
    return {ticket.result for ticket in await rows(services, TicketRecord)} == {Result.DONE}
