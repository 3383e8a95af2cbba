"""An approval while workers run: within seconds it is acted upon, or says why it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from app.db.database import db_now
from app.db.states import Result
from app.db.tables import Due, Participant
from app.records.absences import Kind
from app.services import Services
from app.worker.loop import Worker
from sandbox.model import COMPLETE
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import due_of, missed_before, people_of, result_of, want

pytestmark = pytest.mark.wait

SECONDS = 5.0
"""What an admin waits for; without load it is less than one."""

NINA = "nina@radiology.example"
Headers = dict[str, str]


@pytest.fixture(autouse=True)
async def worker(services: Services) -> AsyncIterator[None]:
    """A worker that works throughout."""
    one = Worker(services)
    running = asyncio.create_task(one.run())
    yield
    one.stop()
    await running


class Admin:
    """Holds strangers in two accounts, and approves them over HTTP."""

    def __init__(self, api: httpx.AsyncClient, services: Services, headers: Headers) -> None:
        self._api, self._services, self._headers = api, services, headers

    async def guards(self, *account_ids: int) -> None:
        """Hold unknown people for approval in these accounts."""
        for account_id in account_ids:
            path = f"/admin/accounts/{account_id}/policy"
            answer = await self._api.put(path, json={"preset": "guarded"}, headers=self._headers)
            assert answer.status_code == 200

    async def held(self, tenant: Tenant, company_id: int, cc: str = NINA) -> int:
        """Make a ticket on which NINA is held, and wait for that."""
        ticket = tenant.new_ticket(company_id, cc=cc, callout=False)
        await want(self._services, ticket)
        await within(20.0, lambda: self._is_held(ticket))
        return ticket

    async def approves(self, ticket: int) -> tuple[str | None, dict[str, Any]]:
        """Approve NINA; gives the ticket's result and what NINA's row says, seconds later."""
        nina = (await people_of(self._services, ticket))[NINA]
        path = f"/admin/participants/{nina.id}/approve"
        answer = await self._api.post(path, headers=self._headers)
        assert (answer.status_code, answer.json()["outcome"]) == (200, None)

        await within(SECONDS, lambda: self._is_settled(ticket))
        answer = await self._api.get(f"/admin/tickets/{ticket}", headers=self._headers)
        shown: dict[str, Any] = answer.json()
        [row] = [one for one in shown["participants"] if one["address"] == NINA]
        assert row["approved_by"] == "writer"
        return shown["result"], row

    async def _is_held(self, ticket: int) -> bool:
        nina = (await people_of(self._services, ticket)).get(NINA)
        return bool(nina and nina.outcome == "held") and await self._rests(ticket)

    async def _is_settled(self, ticket: int) -> bool:
        nina = (await people_of(self._services, ticket))[NINA]
        return nina.outcome is not None and await self._rests(ticket)

    async def _rests(self, ticket: int) -> bool:
        """No look at it is under way or due."""
        due = await due_of(self._services, ticket)
        async with self._services.sessions() as session:
            soon = await db_now(session) + timedelta(minutes=1)
        return due.holder is None and (due.due_at is None or due.due_at > soon)


@pytest.fixture
async def admin(api: httpx.AsyncClient, services: Services, people: Seed, writer: Headers) -> Admin:
    """An admin of an MSP that holds strangers at two customers."""
    one = Admin(api, services, writer)
    await one.guards(people.alpine, people.harbour)
    return one


async def within(seconds: float, holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what the worker brings about; bounded."""
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_somebody_approved_is_on_the_ticket(
    admin: Admin, tenant: Tenant, people: Seed
) -> None:
    """The plain case."""
    ticket = await admin.held(tenant, people.alpine)
    result, nina = await admin.approves(ticket)

    assert (result, nina["reason"], nina["outcome"]) == ("done", "outside", "created_and_linked")
    assert tenant.linked_contacts(ticket) == [nina["contact_id"]]


async def test_an_approval_does_not_wait_for_a_retry_hours_away(
    admin: Admin, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Autotask refused a colleague, whose turn is in six hours; it stays so."""
    tenant.faults.add(Fault("error_500_errors", "POST", "Contacts", "/174/Contacts", text="No."))
    new = "new@alpine-dental.example"
    ticket = await admin.held(tenant, people.alpine, f"{new}, {NINA}")
    later = await put_off(services, ticket, timedelta(hours=6))

    result, nina = await admin.approves(ticket)
    assert (nina["outcome"], nina["retry_at"]) == ("created_and_linked", None)
    assert tenant.linked_contacts(ticket) == [nina["contact_id"]]
    colleague = (await people_of(services, ticket))[new]
    assert (colleague.outcome, colleague.failures, colleague.retry_at) == (None, 1, later)
    assert (result, (await due_of(services, ticket)).due_at) == (None, later)


async def put_off(services: Services, ticket: int, pause: timedelta) -> datetime:
    """Postpone the ticket and its participants; return until when."""
    async with services.sessions() as session, session.begin():
        until = await db_now(session) + pause
        await session.execute(update(Due).where(Due.ref == ticket).values(due_at=until))
        waiting = update(Participant).where(
            Participant.ticket_id == ticket, Participant.retry_at.is_not(None)
        )
        await session.execute(waiting.values(retry_at=until))
    return until


async def test_an_approval_does_not_wait_for_the_next_try_of_the_ticket(
    admin: Admin, services: Services, tenant: Tenant, people: Seed
) -> None:
    """Autotask had been away, and the next try of the ticket is six hours away."""
    ticket = await admin.held(tenant, people.alpine)
    tenant.faults.add(Fault("error_500", method="GET", entity="Tickets"))
    await want(services, ticket)
    await within(20.0, lambda: waits(services, ticket))
    await put_off(services, ticket, timedelta(hours=6))

    result, nina = await admin.approves(ticket)
    assert (result, nina["outcome"]) == ("done", "created_and_linked")


async def waits(services: Services, ticket: int) -> bool:
    """Return whether a ticket was tried and is to be tried again."""
    due = await due_of(services, ticket)
    return due.holder is None and due.due_at is not None and due.tries > 0


async def test_after_a_move_somebody_approved_is_held_and_told_why(
    admin: Admin, services: Services, tenant: Tenant, people: Seed
) -> None:
    """The word was for the account that the ticket has left: the other one is asked anew."""
    ticket = await admin.held(tenant, people.alpine)
    tenant.update_ticket(ticket, callout=False, companyID=people.harbour)
    result, nina = await admin.approves(ticket)

    assert (result, nina["reason"], nina["outcome"]) == ("done", "outside", "held")
    moved = f"was approved in account {people.alpine}; the ticket has moved"
    assert nina["detail"] == moved
    assert (await people_of(services, ticket))[NINA].account_id == people.harbour
    assert (tenant.linked_contacts(ticket), tenant.contacts_with(NINA)) == ([], [])


async def test_after_completion_nobody_is_added_and_that_is_said(
    admin: Admin, tenant: Tenant, people: Seed
) -> None:
    """The ticket was completed while a participant was held."""
    ticket = await admin.held(tenant, people.alpine)
    tenant.update_ticket(ticket, callout=False, status=COMPLETE)
    result, nina = await admin.approves(ticket)

    assert (result, nina["outcome"]) == ("complete", "failed")
    assert nina["detail"] == "it is complete: no one is added"
    assert (tenant.linked_contacts(ticket), tenant.contacts_with(NINA)) == ([], [])


async def test_of_a_deleted_ticket_an_approval_says_so(
    admin: Admin, services: Services, tenant: Tenant, people: Seed
) -> None:
    """The ticket was deleted at Autotask."""
    ticket = await admin.held(tenant, people.alpine)
    tenant.delete_ticket(ticket, callout=False)
    await missed_before(services, Kind.TICKET, ticket)
    result, nina = await admin.approves(ticket)

    assert (result, nina["outcome"]) == ("gone", "failed")
    assert nina["detail"] == "Autotask has no such ticket"
    assert await result_of(services, ticket) == Result.GONE
