"""The writes of a look: create, activate and link contacts, each intent stored before it leaves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import Refused, TooLate, Unanswered
from app.autotask.models import NewContact
from app.db.database import db_now, persist_with
from app.decide import Decision
from app.due.work import Lease, fenced
from app.looks.facts import Seen
from app.looks.reading import Reading
from app.mail.names import person_name
from app.outbound.rules import LEAVE_SECONDS, NOT_DONE
from app.records import forgotten, links, mappings, policies
from app.records.ledger import creating
from app.records.ledger.common import Wanted
from app.services import Services

log = structlog.get_logger()

FRESH_SECONDS = 30.0
"""A link leaves within this time of the reading of the ticket that it was decided on."""


# A reading older than that is renewed before a write, not after a refusal; the first write after a
# reading may be later, or a slow Autotask would be read for ever.
_WORTH_GOING_ON = 20.0
_WORTH_STARTING = FRESH_SECONDS - 3


class ReadAgain(Exception):
    """The ticket must be read and decided anew: what is known of it is old, or proved wrong."""


class Wait(Exception):
    """One person has to wait until a time; the others need not."""

    def __init__(self, until: datetime) -> None:
        super().__init__(until.isoformat())
        self.until = until


class Halt(Wait):
    """Autotask did not answer a write: the whole ticket waits, and that write is looked up."""


@dataclass(slots=True)
class Writes:
    """What a look may write, on one reading of its ticket.

    linked: contacts that are on the ticket by now. created: those that its looks created.
    announced: how many requests were.
    """

    services: Services
    autotask: Autotask
    lease: Lease
    seen: Seen
    linked: set[int] = field(default_factory=set)
    created: set[int] = field(default_factory=set)
    announced: int = 0

    @property
    def reading(self) -> Reading:
        """The ticket as it was read."""
        return self.seen.reading

    async def create(self, one: Decision) -> int:
        """Create a contact, or take the one that another look has created meanwhile."""
        ticket = self.reading.ticket
        self.require_fresh()
        not_after = time.monotonic() + LEAVE_SECONDS
        announced = await self._announce(one)
        if isinstance(announced, creating.Created):
            return announced.contact_id
        if isinstance(announced, creating.Pending):
            raise Wait(announced.until)
        claim, contact = announced
        self.announced += 1
        try:
            contact_id = await self.autotask.create_contact(ticket.company_id, contact, not_after)
        except NOT_DONE as error:
            left = isinstance(error, Refused)
            await persist_with(
                self.services.sessions, creating.refused, claim=claim, error=str(error), left=left
            )
            if isinstance(error, TooLate):
                raise ReadAgain from error
            raise
        except Exception as error:
            await persist_with(
                self.services.sessions, creating.unsure, claim=claim, error=str(error)
            )
            if isinstance(error, Unanswered):
                raise Halt(await self.soon()) from error
            raise

        await persist_with(
            self.services.sessions, _record_created, claim, contact_id, ticket.company_id, one.key
        )
        self.created.add(contact_id)
        log.info("contact_created", account=ticket.company_id, contact=contact_id)
        return contact_id

    async def _announce(
        self, one: Decision
    ) -> tuple[creating.Claim, NewContact] | creating.Created | creating.Pending:
        """Store that a contact is about to be created, and give it."""
        ticket = self.reading.ticket
        async with self.announcing(one) as session:
            claim = await creating.claim(
                session,
                self.wanted(one),
                settle=self.services.create_settle,
                read_at=self.reading.read_at,
            )
            if not isinstance(claim, creating.Claim):
                return claim
            if claim.sends == 1:
                await self.require_left_today(session, one)
            contact = self._new_contact(one, claim)
            await creating.record_sent(session, claim, contact.body(ticket.company_id))
            return claim, contact

    @asynccontextmanager
    async def announcing(self, one: Decision) -> AsyncIterator[AsyncSession]:
        """Give the transaction that announces a write; ReadAgain: nothing of it is stored."""
        async with fenced(self.services.sessions, self.lease) as session:
            if await forgotten.forgotten(session, [one.key]):
                raise ReadAgain  # since the facts were gathered
            await self.require_same_policy(session)
            yield session

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Say what it means for the look when a change of a contact gets no answer."""
        self.announced += 1
        try:
            yield
        except TooLate as error:
            raise ReadAgain from error
        except Unanswered as error:
            raise Halt(await self.soon()) from error

    def counts(self, one: Decision) -> bool:
        """Tell whether somebody counts as new from outside; the approved are not the sender's."""
        return one.is_new_outside and one.key not in self.seen.facts.approved

    def wanted(self, one: Decision) -> Wanted:
        """Return what a claim has to know of a person."""
        ticket = self.reading.ticket
        return Wanted(
            ticket.company_id,
            one.key,
            ticket.id,
            outside=self.counts(one),
            sender_id=ticket.contact_id,
            lifetime=one.whose if self.seen.facts.policy.ends(one.whose) else None,
        )

    async def require_same_policy(self, session: AsyncSession) -> None:
        """Decide anew if somebody has changed what the account allows; nothing is stored."""
        changed_at = await policies.changed_at(session, self.reading.ticket.company_id)
        if changed_at != self.seen.known.words.policy_of:
            raise ReadAgain

    async def require_left_today(self, session: AsyncSession, one: Decision) -> None:
        """Decide anew if other tickets have used up what the day allows; nothing is stored."""
        if not self.counts(one):
            return
        settings = self.services.settings
        ticket = self.reading.ticket
        by_sender, in_all = await creating.new_outside(
            session, ticket.company_id, ticket.contact_id, alone=True
        )
        if by_sender > settings.max_new_per_sender or in_all > settings.max_new_per_day:
            raise ReadAgain

    async def activate(self, contact_id: int) -> None:
        """Activate a contact again, as the account's policy or a person says."""
        self.require_fresh()
        not_after = time.monotonic() + LEAVE_SECONDS
        company_id = self.reading.ticket.company_id
        async with self.changing():
            await self.autotask.activate_contact(company_id, contact_id, not_after)
        # An inactive contact can show company 0; only now is it certain whose it is.
        contact = await self.autotask.contact(contact_id)
        if contact is None or contact.company_id != company_id:
            raise ReadAgain

    def _new_contact(self, one: Decision, claim: creating.Claim) -> NewContact:
        first, last = person_name(one.name, one.key)
        return NewContact(
            first_name=first,
            last_name=last,
            email=one.key,
            note=claim.mark(self.reading.ticket.number),
            extra=self.services.settings.contact_defaults,
        )

    async def link(self, contact_id: int) -> None:
        """Link a contact, unless it is on the ticket by now."""
        if contact_id in self.linked:
            return
        ticket = self.reading.ticket
        if contact_id == ticket.contact_id:
            raise Wait(await self.soon())
        self.require_fresh()
        fresh_until = self.reading.asked_at + FRESH_SECONDS
        not_after = min(time.monotonic() + LEAVE_SECONDS, fresh_until)
        async with fenced(self.services.sessions, self.lease) as session:
            await self.require_same_policy(session)
            settle = self.services.create_settle
            intent = await creating.being_ended(
                session, contact_id, settle
            ) or await links.intend_link(
                session,
                ticket.id,
                ticket.company_id,
                contact_id,
                settle=settle,
                read_at=self.reading.read_at,
            )
        if isinstance(intent, creating.Pending):
            raise Wait(intent.until)
        self.announced += 1
        try:
            link_id = await self.autotask.link_contact(ticket.id, contact_id, not_after)
        except NOT_DONE as error:
            await persist_with(self.services.sessions, links.link_refused, intent=intent)
            if isinstance(error, TooLate):
                raise ReadAgain from error
            raise
        except Unanswered as error:
            raise Halt(await self.soon()) from error
        self.linked.add(contact_id)
        there = {contact_id: link_id}
        await persist_with(
            self.services.sessions, links.saw_linked, ticket.id, ticket.company_id, there, there
        )

    async def soon(self) -> datetime:
        async with self.services.sessions() as session:
            return await db_now(session) + timedelta(seconds=2)

    def require_fresh(self) -> None:
        limit = _WORTH_GOING_ON if self.announced else _WORTH_STARTING
        if time.monotonic() - self.reading.asked_at > limit:
            raise ReadAgain


async def _record_created(
    session: AsyncSession, claim: creating.Claim, contact_id: int, account_id: int, email: str
) -> None:
    await creating.created(session, claim, contact_id)
    if await forgotten.forgotten(session, [email]):
        return
    await mappings.remember(session, account_id, {email: contact_id})
