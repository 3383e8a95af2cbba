"""Carry decisions out, one person after another; what came of each is stored at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from app.autotask.errors import Refusal, Refused
from app.db.database import db_now
from app.db.states import Outcome
from app.db.tables import Participant
from app.decide import Decision, Reason, Verdict
from app.due.work import fenced
from app.looks import facts
from app.looks.facts import Seen
from app.looks.reading import Reading
from app.looks.restore import restore
from app.looks.writes import Halt, ReadAgain, Wait, Writes
from app.records import forgotten, mappings, participants, tickets
from app.records import links as link_records
from app.records.ledger import creating

log = structlog.get_logger()

_THERE = Outcome.ALREADY_LINKED
_ON_TICKET = (Outcome.LINKED, _THERE, Outcome.CREATED_AND_LINKED)
_NO_ADDRESS = (Reason.INVALID, Reason.FORGOTTEN)
_WOULD = (Outcome.WOULD_LINK, Outcome.WOULD_CREATE)


@dataclass(slots=True)
class Acting:
    """One ticket's decisions being carried out, on one reading of it.

    refused: keys whose refusal has made this look read again; the next one counts against them.
    waits: when those who could not be finished now should be looked at again.
    """

    writes: Writes
    refused: set[str]
    waits: list[datetime] = field(default_factory=list)

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

    @property
    def seen(self) -> Seen:
        """What the decisions were made on."""
        return self.writes.seen

    async def _record(self, decisions: Sequence[Decision]) -> dict[str, Participant]:
        """Store what was seen and decided, and what comes of it without a request."""
        ticket = self.reading.ticket
        async with fenced(self.writes.services.sessions, self.writes.lease) as session:
            judged = await participants.judged(session, ticket.id, ticket.company_id)
            if judged != (self.seen.facts.approved, self.seen.facts.rejected):
                raise ReadAgain  # somebody was approved or rejected since the facts were gathered
            unsaid = [one.key for one in decisions if one.reason not in _NO_ADDRESS]
            if await forgotten.forgotten(session, unsaid):
                raise ReadAgain  # or forgotten, and must not be stored again
            await facts.record(session, self.seen, self.writes.services.create_settle)
            if self.seen.observes and not await participants.of_ticket(session, ticket.id):
                await tickets.observe(session, ticket.id)
            links = await link_records.links_of(session, ticket.id)
            self.writes.linked |= self.reading.linked
            self.writes.created |= await creating.contacts_created_for(session, ticket.id)
            our_links = {contact_id for contact_id, link in links.items() if link.ours}
            if await tickets.is_back(session, ticket.id, ticket.company_id):
                await participants.forgive(session, ticket.id)
            await tickets.decided_in(session, ticket.id, ticket.company_id)
            rows = await participants.record_decisions(
                session, ticket.id, ticket.company_id, decisions, our_links | self.writes.created
            )
            now = await db_now(session)
            for one in decisions:
                row = rows[one.key]
                if self._is_open_again(one, row):
                    row.outcome = None
                if row.outcome is None and (outcome := self._at_once(one, our_links)):
                    row.outcome, row.contact_id, row.acted_at = outcome, one.contact_id, now
            met = {
                one.key: one.contact_id
                for one in decisions
                if one.reason in (Reason.KNOWN, Reason.ALREADY_LINKED) and one.contact_id
            }
            if self.seen.contacts is not None:
                muted = {one.key: one.muted for one in decisions}
                await mappings.remember(session, ticket.company_id, met, muted=muted)
        return rows

    def _is_open_again(self, one: Decision, row: Participant) -> bool:
        """Tell whether what came of somebody holds no longer, so that there is something to do."""
        there = one.contact_id if one.contact_id is not None else row.contact_id
        if row.outcome in _ON_TICKET and not {row.contact_id, there} <= self.writes.linked:
            return True
        if one.reason is Reason.ALREADY_LINKED and row.outcome not in _ON_TICKET:
            return True
        # The ticket came before observe mode, which is over; or it was over and is open again, or
        # in another account meanwhile. Whom an undo took off is not to be brought.
        over = row.outcome in _WOULD and not self.seen.observes
        return over or (one.acts and row.outcome in (Outcome.RETIRED, Outcome.UNLINKED))

    def _at_once(self, one: Decision, our_links: Collection[int]) -> Outcome | None:
        """Tell what comes of a decision that there is nothing to be done about."""
        if one.verdict is Verdict.IGNORE:
            return Outcome.IGNORED
        if one.verdict is Verdict.HOLD:
            return Outcome.HELD
        if one.reason is not Reason.ALREADY_LINKED or one.contact_id is None:
            if not self.seen.observes:
                return None
            return Outcome.WOULD_CREATE if one.contact_id is None else Outcome.WOULD_LINK
        return self._brought(one.contact_id) if one.contact_id in our_links else _THERE

    def _brought(self, contact_id: int) -> Outcome:
        created = contact_id in self.writes.created
        return Outcome.CREATED_AND_LINKED if created else Outcome.LINKED

    async def _bring(self, one: Decision) -> None:
        """Put one person on the ticket: find or create the contact, then link it."""
        ticket, contact_id = self.reading.ticket, one.contact_id
        try:
            if contact_id is None and one.restores is not None:
                contact_id = await restore(self.writes, one, one.restores)
            elif contact_id is None:
                contact_id = await self.writes.create(one)
            elif one.reason is Reason.INACTIVE:
                await self.writes.activate(contact_id)
            await self.writes.link(contact_id)
        except Refused as refusal:
            await self._refused(one, contact_id, refusal)
            return
        async with fenced(self.writes.services.sessions, self.writes.lease) as session:
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
        made = contact_id if contact_id in self.writes.created else None
        async with fenced(self.writes.services.sessions, self.writes.lease) as session:
            retry_at = await participants.record_failure(
                session, ticket.id, one.key, str(refusal), made
            )
        log.warning("refused", kind=refusal.kind, again_at=retry_at and retry_at.isoformat())
        if retry_at:
            raise Wait(retry_at)
