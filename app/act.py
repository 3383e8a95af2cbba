"""Carry decisions out: create contacts and link them, each intent stored before its request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import facts, ledger, mappings, participants
from app.autotask.client import Autotask
from app.autotask.errors import Barred, Busy, NotSent, Refusal, Refused, TooLate, Unanswered
from app.autotask.models import NewContact
from app.db import db_now, persist
from app.decide import Decision, Reason, Verdict
from app.desk import Desk
from app.errors import LeaseLost, NotNow
from app.facts import Reading, Seen
from app.models import Participant
from app.names import person_name
from app.states import Outcome
from app.work import Lease, fenced

log = structlog.get_logger()

FRESH_SECONDS = 30.0
"""A link leaves within this time of the reading of the ticket that it was decided on."""

LEAVE_SECONDS = 20.0
"""A write leaves within this time of its announcement, slot and all, or not at all. Together with
the five minutes that Autotask may work on it this stays below CREATE_SETTLE."""

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
class Acting:
    """One ticket's decisions being carried out, on one reading of it.

    refused: keys whose refusal has made this look read again; the next one counts against them.
    waits: when those who could not be finished now should be looked at again.
    linked: contacts that are on the ticket by now. created: those that its looks created.
    writes: requests that were announced.
    """

    desk: Desk
    autotask: Autotask
    lease: Lease
    seen: Seen
    refused: set[str]
    waits: list[datetime] = field(default_factory=list)
    linked: set[int] = field(default_factory=set)
    created: set[int] = field(default_factory=set)
    writes: int = 0

    async def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Act on every decision; what came of each is stored as soon as it is known.

        Raises ReadAgain, and whatever concerns more than one person.
        """
        rows = await self._record(decisions)
        for one in decisions:
            row = rows[one.key]
            if row.outcome is not None:
                continue
            if row.retry_at and row.retry_at > self.reading.read_at:
                self.waits.append(row.retry_at)
                continue
            try:
                await self._bring(one)
            except Halt:
                raise
            except Wait as wait:
                self.waits.append(wait.until)

    @property
    def reading(self) -> Reading:
        """The ticket as it was read."""
        return self.seen.reading

    async def _record(self, decisions: Sequence[Decision]) -> dict[str, Participant]:
        """Store what was seen and decided, and what comes of it without a request."""
        ticket = self.reading.ticket
        async with fenced(self.desk.sessions, self.lease) as session:
            await facts.record(session, self.seen, self.desk.create_settle)
            links = await participants.links_of(session, ticket.id)
            self.linked |= self.reading.linked
            self.created |= await ledger.contacts_created_for(session, ticket.id)
            our_links = {contact_id for contact_id, link in links.items() if link.ours}
            rows = await participants.record_decisions(
                session, ticket.id, ticket.company_id, decisions, our_links | self.created
            )
            now = await db_now(session)
            for one in decisions:
                row = rows[one.key]
                there = one.contact_id if one.contact_id is not None else row.contact_id
                if row.outcome in _ON_TICKET and not {row.contact_id, there} <= self.linked:
                    row.outcome = None
                if one.reason is Reason.ALREADY_LINKED and row.outcome not in _ON_TICKET:
                    row.outcome = None
                if row.outcome is None and (outcome := self._at_once(one, our_links)):
                    row.outcome, row.contact_id, row.acted_at = outcome, one.contact_id, now
            met = {
                one.key: one.contact_id
                for one in decisions
                if one.reason in (Reason.KNOWN, Reason.ALREADY_LINKED) and one.contact_id
            }
            if self.seen.contacts is not None:
                await mappings.remember(session, ticket.company_id, met)
        return rows

    def _at_once(self, one: Decision, our_links: Collection[int]) -> Outcome | None:
        """Tell what comes of a decision that there is nothing to be done about."""
        if one.verdict is Verdict.IGNORE:
            return Outcome.IGNORED
        if one.verdict is Verdict.HOLD:
            return Outcome.HELD
        if one.reason is not Reason.ALREADY_LINKED or one.contact_id is None:
            return None
        return self._brought(one.contact_id) if one.contact_id in our_links else _THERE

    def _brought(self, contact_id: int) -> Outcome:
        created = contact_id in self.created
        return Outcome.CREATED_AND_LINKED if created else Outcome.LINKED

    async def _bring(self, one: Decision) -> None:
        """Put one person on the ticket: find or create the contact, then link it."""
        ticket, contact_id = self.reading.ticket, one.contact_id
        try:
            if contact_id is None:
                contact_id = await self._create(one)
            await self._link(contact_id)
        except Refused as refusal:
            await self._refused(one, contact_id, refusal)
            return
        async with fenced(self.desk.sessions, self.lease) as session:
            outcome = self._brought(contact_id)
            await participants.record_outcome(session, ticket.id, one.key, outcome, contact_id)

    async def _refused(self, one: Decision, contact_id: int | None, refusal: Refused) -> None:
        """Read again after a refusal that the ticket's state may explain; else count it."""
        # What a link is refused for is the ticket's state, whatever the text says of it.
        explained = contact_id is not None or refusal.kind is not Refusal.OTHER
        if explained and one.key not in self.refused:
            self.refused.add(one.key)
            raise ReadAgain from refusal
        ticket = self.reading.ticket
        made = contact_id if contact_id in self.created else None
        async with fenced(self.desk.sessions, self.lease) as session:
            retry_at = await participants.record_failure(
                session, ticket.id, one.key, str(refusal), made
            )
        log.warning("refused", kind=refusal.kind, again_at=retry_at and retry_at.isoformat())
        if retry_at:
            raise Wait(retry_at)

    async def _create(self, one: Decision) -> int:
        """Create a contact, or take the one that another look has created meanwhile."""
        ticket = self.reading.ticket
        self._require_fresh()
        not_after = time.monotonic() + LEAVE_SECONDS
        async with fenced(self.desk.sessions, self.lease) as session:
            claim = await ledger.claim(
                session,
                ticket.company_id,
                one.key,
                ticket.id,
                settle=self.desk.create_settle,
                read_at=self.reading.read_at,
            )
            if isinstance(claim, ledger.Claim):
                contact = self._new_contact(one, claim)
                await ledger.record_sent(session, claim, contact.body(ticket.company_id))
        if isinstance(claim, ledger.Created):
            return claim.contact_id
        if isinstance(claim, ledger.Pending):
            raise Wait(claim.until)
        self.writes += 1
        try:
            contact_id = await self.autotask.create_contact(ticket.company_id, contact, not_after)
        except _NOT_DONE as error:
            await self._persist(partial(ledger.refused, claim=claim, error=str(error)))
            if isinstance(error, TooLate):
                raise ReadAgain from error
            raise
        except Exception as error:
            await self._persist(partial(ledger.unsure, claim=claim, error=str(error)))
            if isinstance(error, Unanswered):
                raise Halt(await self._soon()) from error
            raise

        await self._persist(partial(_record_created, claim, contact_id, ticket.company_id, one.key))
        self.created.add(contact_id)
        log.info("contact_created", account=ticket.company_id, contact=contact_id)
        return contact_id

    def _new_contact(self, one: Decision, claim: ledger.Claim) -> NewContact:
        first, last = person_name(one.name, one.key)
        return NewContact(
            first_name=first,
            last_name=last,
            email=one.key,
            note=claim.mark(self.reading.ticket.number),
            extra=self.desk.settings.contact_defaults,
        )

    async def _link(self, contact_id: int) -> None:
        """Link a contact, unless it is on the ticket by now."""
        if contact_id in self.linked:
            return
        ticket = self.reading.ticket
        if contact_id == ticket.contact_id:
            raise Wait(await self._soon())
        self._require_fresh()
        fresh_until = self.reading.asked_at + FRESH_SECONDS
        not_after = min(time.monotonic() + LEAVE_SECONDS, fresh_until)
        async with fenced(self.desk.sessions, self.lease) as session:
            intent = await participants.intend_link(
                session,
                ticket.id,
                ticket.company_id,
                contact_id,
                settle=self.desk.create_settle,
                read_at=self.reading.read_at,
            )
        if isinstance(intent, ledger.Pending):
            raise Wait(intent.until)
        self.writes += 1
        try:
            await self.autotask.link_contact(ticket.id, contact_id, not_after)
        except _NOT_DONE as error:
            await self._persist(partial(participants.link_refused, intent=intent))
            if isinstance(error, TooLate):
                raise ReadAgain from error
            raise
        except Unanswered as error:
            raise Halt(await self._soon()) from error
        self.linked.add(contact_id)
        await self._persist(
            lambda s: participants.saw_linked(s, ticket.id, ticket.company_id, [contact_id])
        )

    async def _persist(self, write: Callable[[AsyncSession], Awaitable[None]]) -> None:
        """Record what a request did, lease or not: it is true whoever works on the ticket now."""

        async def transaction() -> None:
            async with self.desk.sessions() as session, session.begin():
                await write(session)

        await persist(transaction)

    async def _soon(self) -> datetime:
        async with self.desk.sessions() as session:
            return await db_now(session) + timedelta(seconds=2)

    def _require_fresh(self) -> None:
        limit = _WORTH_GOING_ON if self.writes else _WORTH_STARTING
        if time.monotonic() - self.reading.asked_at > limit:
            raise ReadAgain


_THERE = Outcome.ALREADY_LINKED
_ON_TICKET = (Outcome.LINKED, _THERE, Outcome.CREATED_AND_LINKED)

# By the client's word, or because it was not permitted to leave, the request took no effect. After
# anything else it may have.
_NOT_DONE = (Refused, Busy, Barred, NotSent, NotNow, LeaseLost)


async def _record_created(
    claim: ledger.Claim, contact_id: int, account_id: int, email: str, session: AsyncSession
) -> None:
    await ledger.created(session, claim, contact_id)
    await mappings.remember(session, account_id, {email: contact_id})
