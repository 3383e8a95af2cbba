"""The writes of a look: create, activate and link contacts; each intent is stored first."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NoReturn

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import Intercepted, NoEffect, Refused, TooLate, Unanswered
from app.autotask.models import NewContact, Ticket
from app.db import database
from app.db.database import persist_with
from app.db.states import WaitsFor
from app.decide import Decision, counts_today
from app.decide.waiting import Waiting
from app.due.work import Lease, fenced
from app.looks.on_record import Gathered
from app.looks.room import is_over
from app.mail.names import person_name
from app.outbound.rules import NOT_DONE, leave_by
from app.records import forgotten, links, mappings, policies
from app.records.ledger import creating, ending
from app.records.ledger.common import Pending, Wanted
from app.services import Services

log = structlog.get_logger()

FRESH_SECONDS = 30.0
"""A link is sent within this time after the reading of the ticket that it was decided on."""

# Before a write, an older reading is renewed rather than risked. The first write after a reading
# may be later: otherwise a slow Autotask would be read for ever.
_WORTH_GOING_ON = 20.0
_WORTH_STARTING = FRESH_SECONDS - 3


class ReadAgain(Exception):
    """The ticket must be read and decided again: what is known of it is old, or proved wrong."""


class Wait(Exception):
    """One participant has to wait; the others need not."""

    def __init__(
        self,
        until: datetime,
        waits_for: WaitsFor = WaitsFor.REQUEST,
        ends: datetime | None = None,
    ) -> None:
        super().__init__(until.isoformat())
        self.waiting = Waiting(waits_for, until, ends)

    @classmethod
    def for_other(cls, pending: Pending) -> Wait:
        """Wait for what is under way already."""
        return cls(pending.until, pending.waits_for, pending.ends)


class Halt(Wait):
    """Autotask did not answer a write: the whole ticket waits until that write is looked up."""


@dataclass(slots=True)
class Writes:
    """What a look may write, on one reading of its ticket."""

    services: Services
    autotask: Autotask
    lease: Lease
    gathered: Gathered
    linked: set[int] = field(default_factory=set)
    """Contacts that are on the ticket by now."""
    created: set[int] = field(default_factory=set)
    """Contacts that the ticket's looks created."""
    announced: int = 0
    """Writes whose intent was stored on this reading."""

    @property
    def ticket(self) -> Ticket:
        """The ticket as it was read."""
        return self.gathered.ticket

    def fenced(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a transaction that holds the ticket's lease; it raises LeaseLost."""
        return fenced(self.services.sessions, self.lease)

    async def create(self, decision: Decision) -> int:
        """Create a contact, or take the one that another look has created meanwhile."""
        self.require_fresh()
        not_after = leave_by()
        announced = await self._announce(decision)
        if isinstance(announced, creating.Created):
            return announced.contact_id
        if isinstance(announced, Pending):
            raise Wait.for_other(announced)
        claim, contact = announced
        sessions, account_id = self.services.sessions, self.ticket.company_id
        self.announced += 1
        try:
            contact_id = await self.autotask.create_contact(account_id, contact, not_after)
        except NOT_DONE as error:
            left = isinstance(error, Refused)
            await persist_with(sessions, creating.refused, claim=claim, error=str(error), left=left)
            if isinstance(error, TooLate):
                raise ReadAgain from error
            raise
        except Exception as error:
            await persist_with(sessions, creating.unsure, claim=claim, error=str(error))
            if isinstance(error, Unanswered):
                await self._halt(error)
            raise
        await persist_with(sessions, _record_created, claim, contact_id, account_id, decision.key)
        self.created.add(contact_id)
        log.info("contact_created", account=account_id, contact=contact_id)
        return contact_id

    async def _announce(
        self, decision: Decision
    ) -> tuple[creating.Claim, NewContact] | creating.Created | Pending:
        """Store the intent to create a contact, and return that contact."""
        ticket = self.ticket
        async with self.announcing(decision) as session:
            claim = await creating.claim(
                session,
                self.wanted(decision),
                settle=self.services.create_settle,
                read_at=self.gathered.read_at,
            )
            if not isinstance(claim, creating.Claim):
                return claim
            if claim.sends == 1:
                await self.require_left_today(session, decision)
            contact = self._new_contact(decision, claim)
            await creating.record_sent(session, claim, contact.body(ticket.company_id))
            return claim, contact

    @asynccontextmanager
    async def announcing(self, decision: Decision) -> AsyncIterator[AsyncSession]:
        """Open the transaction that stores the intent of a write.

        Raises ReadAgain if an address was forgotten or the policy changed; nothing is stored then.
        """
        async with self.fenced() as session:
            if await forgotten.forgotten(session, [decision.key]):
                raise ReadAgain  # since the facts were gathered
            await self.require_same_policy(session)
            yield session

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Turn an unanswered change of a contact into what it means for the look."""
        self.announced += 1
        try:
            yield
        except TooLate as error:
            raise ReadAgain from error
        except Unanswered as error:
            await self._halt(error)

    async def _halt(self, error: Unanswered) -> NoReturn:
        """Let the ticket wait for a write without an answer; one that was intercepted need not."""
        if isinstance(error, Intercepted):
            raise error
        raise Halt(await self.soon()) from error

    def wanted(self, decision: Decision) -> Wanted:
        """Return what a claim has to know of a person."""
        ticket = self.ticket
        counts = counts_today(decision, self.gathered.approved)
        return Wanted(
            ticket.company_id,
            decision.key,
            ticket.id,
            counts_as=decision.whose if counts else None,
            sender_id=ticket.contact_id,
            chain_id=self.gathered.chain_id,
            lifetime=decision.whose if self.gathered.policy.ends(decision.whose) else None,
        )

    async def require_same_policy(self, session: AsyncSession) -> None:
        """Raise ReadAgain if the account's policy has changed since the facts were gathered."""
        changed_at = await policies.changed_at(session, self.ticket.company_id)
        if changed_at != self.gathered.policy_changed_at:
            raise ReadAgain

    async def require_left_today(self, session: AsyncSession, decision: Decision) -> None:
        """Raise ReadAgain if other tickets have used up today's caps of new people.

        The person of this decision is claimed, and so is among those who are counted.
        """
        if not counts_today(decision, self.gathered.approved):
            return
        settings, chain_id = self.services.settings, self.gathered.chain_id
        if await is_over(session, settings, self.ticket, chain_id, decision.whose):
            raise ReadAgain

    async def activate(self, contact_id: int) -> None:
        """Activate a contact again, as the account's policy or an approval says.

        Raise NoEffect if it is not active then.
        """
        self.require_fresh()
        not_after = leave_by()
        company_id = self.ticket.company_id
        async with self.changing():
            await self.autotask.activate_contact(company_id, contact_id, not_after)
        contact = await self.autotask.contact(contact_id)
        if contact is None or not contact.active:
            raise NoEffect("it answers that the contact was activated, and does not show it active")
        # An inactive contact can show company 0; only now is it certain whose it is.
        if contact.company_id != company_id:
            raise ReadAgain

    def _new_contact(self, decision: Decision, claim: creating.Claim) -> NewContact:
        first, last = person_name(decision.name, decision.key)
        return NewContact(
            first_name=first,
            last_name=last,
            email=decision.key,
            note=claim.mark(self.ticket.number),
            extra=self.services.settings.contact_defaults,
        )

    async def link(self, contact_id: int) -> None:
        """Link a contact, unless it is on the ticket already."""
        if contact_id in self.linked:
            return
        ticket = self.ticket
        if contact_id == ticket.contact_id:
            raise Wait(await self.soon())
        self.require_fresh()
        not_after = min(leave_by(), self.gathered.asked_at + FRESH_SECONDS)
        async with self.fenced() as session:
            await self.require_same_policy(session)
            settle = self.services.create_settle
            intent = await ending.being_ended(
                session, contact_id, settle
            ) or await links.intend_link(
                session,
                ticket.id,
                ticket.company_id,
                contact_id,
                settle=settle,
                read_at=self.gathered.read_at,
            )
        if isinstance(intent, Pending):
            raise Wait.for_other(intent)
        self.announced += 1
        send = self.autotask.link_contact
        try:
            link_id = await send(ticket.id, contact_id, not_after, ticket.company_id)
        except NOT_DONE as error:
            await persist_with(self.services.sessions, links.link_refused, intent=intent)
            if isinstance(error, TooLate):
                raise ReadAgain from error
            raise
        except Unanswered as error:
            await self._halt(error)
        self.linked.add(contact_id)
        there = {contact_id: link_id}
        await persist_with(
            self.services.sessions, links.saw_linked, ticket.id, ticket.company_id, there, there
        )

    async def soon(self) -> datetime:
        """Return when to look up what a request did."""
        return await database.now(self.services.sessions) + timedelta(seconds=2)

    def require_fresh(self) -> None:
        limit = _WORTH_GOING_ON if self.announced else _WORTH_STARTING
        if time.monotonic() - self.gathered.asked_at > limit:
            raise ReadAgain


async def _record_created(
    session: AsyncSession, claim: creating.Claim, contact_id: int, account_id: int, email: str
) -> None:
    await creating.created(session, claim, contact_id)
    if await forgotten.forgotten(session, [email]):
        return
    await mappings.remember(session, account_id, {email: contact_id})
