"""Carry decisions out, one person after another; each outcome is stored at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import Intercepted, NoEffect, Refusal, Refused
from app.db.database import db_now
from app.db.states import ON_TICKET, WOULD, Outcome, WaitsFor
from app.db.tables import Participant
from app.decide import Decision, Reason, Verdict
from app.decide.waiting import Waiting
from app.looks import facts, read
from app.looks.on_record import Gathered, what_people_said
from app.looks.restore import restore
from app.looks.writes import Halt, ReadAgain, Wait, Writes
from app.outbound.rules import RightMissing
from app.records import links, mappings, participants, tickets
from app.records.ledger import creating

log = structlog.get_logger()

_IN_VAIN = (
    "Autotask answered three times that the contact was changed, and does not show it active with "
    "its address; make it so in Autotask, then have the ticket processed"
)


_KINDS = {NoEffect: "no_effect", Intercepted: "intercepted"}


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that was refused, and may have taken effect all the same."""

    error: Refused
    contact_id: int | None
    """The contact that was to be linked; None: it was to be created, or brought back."""


@dataclass(slots=True)
class Acting:
    """One ticket's decisions being carried out, on one reading of it."""

    writes: Writes
    refused: dict[str, RefusedRequest]
    """By key the refusals that have made this look read again: the next one counts as a failure."""
    waits: list[Waiting] = field(default_factory=list)
    """What those wait for who could not be finished now."""
    why: str | None = None
    """What one of them waits for, if it is not the ticket's own trouble."""

    @property
    def gathered(self) -> Gathered:
        """What the decisions were made on."""
        return self.writes.gathered

    async def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Act on every decision, and store each outcome as soon as it is known.

        Raises ReadAgain, and every error that concerns more than one person.
        """
        rows = await self._record(decisions)
        for decision in decisions:
            row = rows[decision.key]
            if row.outcome is not None:
                continue
            if row.retry_at and row.retry_at > self.gathered.read_at:
                cause = WaitsFor.RETRY if row.failures else WaitsFor.RIGHT
                self.waits.append(Waiting(cause, row.retry_at))
                self.why = self.why or (None if row.failures else row.detail)
                continue
            try:
                in_vain = row.retry_at is not None and row.failures >= participants.TRIES
                await self._bring(decision, in_vain=in_vain)
            except Halt:
                raise
            except Wait as wait:
                self.waits.append(wait.waiting)
        if self.gathered.again_at:
            self.waits.append(Waiting(WaitsFor.SHOWN, self.gathered.again_at))

    async def _record(self, decisions: Sequence[Decision]) -> dict[str, Participant]:
        """Store what was seen and decided, and each outcome that takes no request."""
        ticket_id, account_id = self.gathered.ticket.id, self.gathered.ticket.company_id
        async with self.writes.fenced() as session:
            await self._require_unchanged(session)
            await facts.record(session, self.gathered, self.writes.services.create_settle)
            refused = {one.contact_id for one in self.refused.values() if one.contact_id}
            await links.took_effect(session, ticket_id, refused & self.gathered.seen)
            if self.gathered.observes and not await participants.of_ticket(session, ticket_id):
                await tickets.observe(session, ticket_id)
            on_record = await links.links_of(session, ticket_id)
            self.writes.linked |= self.gathered.linked
            self.writes.created |= await creating.contacts_created_for(session, ticket_id)
            ours = {contact_id for contact_id, link in on_record.items() if link.ours}
            if await tickets.is_back(session, ticket_id, account_id):
                await participants.retry_failures(session, ticket_id)
            await tickets.decided_in(session, ticket_id, account_id)
            rows = await participants.record_decisions(
                session,
                ticket_id,
                account_id,
                decisions,
                ours | self.writes.created,
                self.gathered.forgotten,
            )
            now = await db_now(session)
            for decision in decisions:
                row = rows[decision.key]
                if self._is_open_again(decision, row):
                    participants.reopen(row)
                if row.outcome is None and (outcome := self._at_once(decision, ours)):
                    participants.conclude(row, outcome, decision.contact_id, now)
            await self._remember_contacts(session, decisions)
        return rows

    async def _require_unchanged(self, session: AsyncSession) -> None:
        """Decide again if an address was approved, rejected or forgotten since the facts.

        A forgotten address must not be stored again. What is asked here is what the facts asked,
        of the same addresses, or a ticket could be decided about for ever.
        """
        facts = self.gathered
        if facts.said != await what_people_said(session, facts.ticket, facts.listed):
            raise ReadAgain

    async def _remember_contacts(
        self, session: AsyncSession, decisions: Sequence[Decision]
    ) -> None:
        """Store which contacts the addresses mean, if Autotask was asked for them."""
        if self.gathered.contacts is None:
            return
        met = {
            decision.key: decision.contact_id
            for decision in decisions
            if decision.reason in (Reason.KNOWN, Reason.ALREADY_LINKED) and decision.contact_id
        }
        muted = {decision.key: decision.muted for decision in decisions}
        await mappings.remember(session, self.gathered.ticket.company_id, met, muted=muted)

    def _is_open_again(self, decision: Decision, row: Participant) -> bool:
        """Return whether an outcome holds no longer, so that there is something to do."""
        there = decision.contact_id if decision.contact_id is not None else row.contact_id
        if row.outcome in ON_TICKET and not {row.contact_id, there} <= self.writes.linked:
            return True
        if decision.reason is Reason.ALREADY_LINKED and row.outcome not in ON_TICKET:
            return True
        # The ticket came before observe mode, which is over; or the ticket was over and is open
        # again, or was in another account meanwhile. People that an undo took off stay off.
        over = row.outcome in WOULD and not self.gathered.observes
        return over or (decision.acts and row.outcome in (Outcome.RETIRED, Outcome.UNLINKED))

    def _at_once(self, decision: Decision, ours: Collection[int]) -> Outcome | None:
        """Return the outcome of a decision that takes no request; None if it takes one."""
        if decision.verdict is Verdict.IGNORE:
            return Outcome.IGNORED
        if decision.verdict is Verdict.HOLD:
            return Outcome.HELD
        if decision.reason is not Reason.ALREADY_LINKED or decision.contact_id is None:
            if not self.gathered.observes:
                return None
            return Outcome.WOULD_CREATE if decision.contact_id is None else Outcome.WOULD_LINK
        if decision.contact_id in ours:
            return self._brought(decision.contact_id)
        return Outcome.ALREADY_LINKED

    def _brought(self, contact_id: int) -> Outcome:
        created = contact_id in self.writes.created
        return Outcome.CREATED_AND_LINKED if created else Outcome.LINKED

    async def _bring(self, decision: Decision, *, in_vain: bool) -> None:
        """Put one person on the ticket: find or create the contact, then link it.

        in_vain: changes of its contact had no effect, and are not requested again.
        """
        contact_id = decision.contact_id
        earlier = self.refused.get(decision.key)
        if contact_id is None and earlier and earlier.contact_id is None:
            # The contacts were read again, and none has come. As readings may lag, another request
            # within the second could make a second one.
            await self._failed(decision, earlier.error, None)
            return
        missed = self.gathered.missed_contacts
        may_have_one = contact_id is None and self.gathered.is_unsure(decision.key)
        if missed.again_at and (may_have_one or contact_id in missed.unsure):
            raise Wait(missed.again_at, WaitsFor.SHOWN)
        try:
            contact_id = await self._make_ready(decision, in_vain=in_vain)
            await self.writes.link(contact_id)
        except Refused as refusal:
            await self._refused(decision, contact_id, refusal)
            return
        except Intercepted as error:
            made = contact_id if contact_id in self.writes.created else None
            await self._failed(decision, error, made)
            return
        except NoEffect as error:
            await self._failed(decision, error, None, participants.RETRY_EFFECT)
            return
        except RightMissing as missing:
            await self._wait_for_right(decision, missing)
            return
        ticket_id, outcome = self.gathered.ticket.id, self._brought(contact_id)
        async with self.writes.fenced() as session:
            await participants.record_outcome(session, ticket_id, decision.key, outcome, contact_id)

    async def _make_ready(self, decision: Decision, *, in_vain: bool) -> int:
        """Create, bring back or activate a person's contact, and return its id."""
        contact_id = decision.contact_id
        changes = decision.reason is Reason.INACTIVE or decision.restores is not None
        if changes and in_vain:
            raise NoEffect(_IN_VAIN)
        if contact_id is None and decision.restores is not None:
            return await restore(self.writes, decision, decision.restores)
        if contact_id is None:
            return await self.writes.create(decision)
        if decision.reason is Reason.INACTIVE:
            await self.writes.activate(contact_id)
        return contact_id

    async def _refused(self, decision: Decision, contact_id: int | None, refusal: Refused) -> None:
        """Read again after a refusal that the ticket's state may explain; else count it."""
        # A link is refused for the ticket's state, whatever the text says of it.
        explained = contact_id is not None or refusal.kind is not Refusal.OTHER
        if explained and decision.key not in self.refused:
            self.refused[decision.key] = RefusedRequest(refusal, contact_id)
            raise ReadAgain from refusal
        made = contact_id if contact_id in self.writes.created else None
        ticket = self.gathered.ticket
        if contact_id and contact_id in await read.linked(self.writes.autotask, ticket):
            self.refused[decision.key] = RefusedRequest(refusal, contact_id)
            raise ReadAgain from refusal
        await self._failed(decision, refusal, made)

    async def _failed(
        self,
        decision: Decision,
        error: Refused | NoEffect | Intercepted,
        made: int | None,
        pauses: Sequence[timedelta] | None = None,
    ) -> None:
        """Count a failure of one person; raise Wait if it is to be tried again."""
        async with self.writes.fenced() as session:
            retry_at = await participants.record_failure(
                session, self.gathered.ticket.id, decision.key, str(error), made, pauses
            )
        kind = error.kind if isinstance(error, Refused) else _KINDS[type(error)]
        log.warning("refused", kind=kind, again_at=retry_at and retry_at.isoformat())
        if retry_at:
            raise Wait(retry_at, WaitsFor.RETRY)

    async def _wait_for_right(self, decision: Decision, missing: RightMissing) -> None:
        """Let a person wait for a right; the ticket's others need not, nor other accounts."""
        async with self.writes.fenced() as session:
            await participants.record_wait(
                session, self.gathered.ticket.id, decision.key, missing.reason, missing.until
            )
        self.why = missing.reason
        raise Wait(missing.until, missing.waits_for)
