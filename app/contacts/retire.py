"""Retire one contact: read it, take the next step, read it again.

This is the only way in which a contact that we created is ended: for its lifetime, an undo, a
forgotten address, a move, or a person's clean-up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.autotask.client import Autotask
from app.autotask.errors import Refused, Unanswered
from app.autotask.models import ContactLink
from app.contacts.retire_changes import ContactChanges, in_words, was_in_vain
from app.contacts.retire_reading import ContactReader
from app.contacts.retire_steps import Action, AtAutotask, OurRecord, RetireResult, Step, next_step
from app.contacts.unlink import take_off
from app.db import database
from app.db.database import persist_with
from app.db.states import EndedBy, LedgerError, LedgerState
from app.db.tables import Ledger
from app.due.exclusive import InUse, holding
from app.records import audit, tickets
from app.records.ledger import ending
from app.services import Services

AGAIN = timedelta(minutes=10)
"""After which a step that could not be taken is tried again."""

_ROUNDS = 12  # readings of one contact
_SOON = timedelta(seconds=30)
_TO_DO = (Action.UNLINK, Action.CLEAR, Action.DEACTIVATE)
_PREVIEWED = dict.fromkeys(_TO_DO, Action.RETIRED) | {Action.NOT_SHOWN: Action.LATER}

_SELDOM = timedelta(hours=6)  # after which a change is looked for again that had no effect


@dataclass(slots=True)
class Retiring:
    """One contact that is being retired."""

    services: Services
    autotask: Autotask
    row: Ledger
    why: EndedBy
    grace: timedelta
    """Begins when its last ticket is over."""
    halt: str | None = None
    """Why an ending that has begun is not to go on."""
    who: str = audit.SERVICE
    """The person who ordered an undo."""
    off: Collection[int] = ()
    """Tickets whose links of the contact are not read: an undo would take them off first."""
    stuck: set[int] = field(default_factory=set)
    """Links that Autotask does not let us take off."""
    reading: ContactReader = field(init=False)
    changes: ContactChanges = field(init=False)

    def __post_init__(self) -> None:
        self.changes = ContactChanges(self.services, self.autotask)
        self.reading = ContactReader(self.services, self.autotask, self.off)

    async def run(self, *, dry_run: bool = False) -> RetireResult:
        """Retire the contact as far as possible now. Raise what the client and throttle raise."""
        named = self.services.settings.complete_statuses
        complete = await self.services.directory.complete_statuses(self.autotask, named)
        for _ in range(_ROUNDS):
            record, actual = await self._read()
            if not dry_run:
                await self.reading.count(self.row, actual)
            being_restored = self.row.state == LedgerState.RESTORING
            if not dry_run and being_restored and actual.is_active_with_address:
                # It was brought back, though that was not recorded.
                wait = await self.reading.time_left(self.row.unsure_until)
                why = "it is back"
                return await (self._later(why, wait) if wait else self._cancel(why))
            step = next_step(record, actual, complete, await database.now(self.services.sessions))
            if dry_run:
                action = _PREVIEWED.get(step.action, step.action)
                return RetireResult(action, step.why, needed=bool(step.needed_on))
            if result := await self._take(step, actual):
                return result
        return await self._later("it changed during each reading", AGAIN)

    async def _read(self) -> tuple[OurRecord, AtAutotask]:
        """Read our records and Autotask.

        The records are read twice: our link that came while Autotask was asked is in the later
        records only.
        """
        before = await self._our_record()
        actual = await self.reading.at_autotask(self.row, self.stuck)
        record = await self._our_record()
        return replace(record, links={**before.links, **record.links}), actual

    async def _our_record(self) -> OurRecord:
        self.row = await self.reading.row(self.row.id)
        if self.row.end_why == EndedBy.FORGOTTEN:  # perhaps ordered meanwhile
            self.why, self.grace = EndedBy.FORGOTTEN, timedelta(0)
        return await self.reading.our_record(self.row, self.why, self.grace, self.halt)

    # --- doing -----------------------------------------------------------------------------------

    async def _take(  # noqa: PLR0911  a step each
        self, step: Step, actual: AtAutotask
    ) -> RetireResult | None:
        """Take a step. Return how it ended; None while there is more to do."""
        action = step.action
        if actual.contact is None:
            return await self._gone(step)
        if self.who == audit.SERVICE and was_in_vain(self.row, action):
            return await self._in_vain(action)
        if action is Action.REACTIVATE:
            return await self._reactivate(step.why)
        if wait := await self.reading.time_left(self._unsafe_until(action)):
            return await self._later(step.why or "a request may still take effect", wait)
        if action is Action.RETIRED:
            return await self._retired()
        if action in _TO_DO:
            return await self._do(step, actual)
        if action is Action.PUT_BACK:
            return await self._put_back(step.why)
        if action is Action.KEEP:
            return await self._leave_to_person(step.why)
        if self.row.state != LedgerState.CREATED:
            return await self._cancel(step.why, needed=bool(step.needed_on))
        return await self._not_yet(step)

    def _unsafe_until(self, action: Action) -> datetime | None:
        """Return until when a request that takes effect late could make an action wrong."""
        if self.row.state != LedgerState.RETIRING or action not in (*_TO_DO, Action.RETIRED):
            return self.row.unsure_until
        if action in (Action.UNLINK, Action.CLEAR):
            return None
        return self.row.address_until  # an inactive contact must not get its address

    async def _do(self, step: Step, actual: AtAutotask) -> RetireResult | None:
        """Store the intent of a step that changes something, and take it."""
        clearing = step.action is not Action.DEACTIVATE
        try:
            needed = await self._intend(actual, clearing=clearing)
        except ending.Changed:
            return None
        if needed:
            return await self._stay(needed, clearing=clearing)
        if step.action is Action.UNLINK:
            return await self._unlink(step.links)
        if step.action is Action.CLEAR:
            return await self._clear()
        return await self._deactivate()

    async def _intend(self, actual: AtAutotask, *, clearing: bool) -> str | None:
        """Store the intent of a step. Return why a ticket needs the contact; None if none does."""
        may_be_on = {link.ticket_id for link in actual.links}
        if self.why is EndedBy.UNDO:
            may_be_on.add(self.row.ticket_id)  # whatever our records contain, it is off there
        settle = self.services.create_settle
        async with self.services.sessions() as session, session.begin():
            on = await ending.intend(session, self.row, self.why, may_be_on, settle, self.who)
            if on:
                return f"it comes onto ticket {min(on)}"
            # No ticket gets a forgotten person, and one whose address is cleared is looked up anew.
            asked = clearing and self.why is not EndedBy.FORGOTTEN
            wanted = asked and await ending.is_needed(session, self.row)
        return "a ticket wants it" if wanted else None

    async def _stay(self, why: str, *, clearing: bool) -> RetireResult | None:
        """Keep a contact that a ticket needs, with its address."""
        if self.why is EndedBy.FORGOTTEN:
            return await self._later(why, _SOON)  # until its link is there, and can be taken off
        if wait := await self.reading.time_left(self.row.unsure_until):
            return await self._later(f"{why}, and a request may still take effect", wait)
        if not clearing:
            return await self._return_address()
        return await self._cancel(why, needed=True)

    async def _unlink(self, links: Sequence[ContactLink]) -> RetireResult | None:
        for link in links:
            try:
                async with holding(self.services.sessions, link.ticket_id, "retire"):
                    record = await self.reading.our_link(self.row, link.ticket_id)
                    if record is None:
                        return await self._later("its link has just gone", _SOON)
                    unlinked = await take_off(self.services, self.autotask, record, [link.id])
            except InUse:
                return await self._later(f"ticket {link.ticket_id} is being looked at", _SOON)
            if unlinked.refused:
                self.stuck.add(link.id)
            elif not unlinked.done:
                return await self._later(unlinked.detail, AGAIN)
        return None

    async def _clear(self) -> RetireResult | None:
        try:
            cleared = await self.changes.clear(self.row)
        except Unanswered:
            return None
        except Refused as refused:
            return await self._later(str(refused), AGAIN)
        return None if cleared else await self._no_effect(Action.CLEAR)

    async def _put_back(self, why: str) -> RetireResult | None:
        """Set its address again, unless another contact that we created has it."""
        if await self.reading.is_taken(self.row):
            return await self._leave_to_person(why)
        return await self._return_address()

    async def _return_address(self) -> RetireResult | None:
        try:
            shown = await self.changes.put_back(self.row)
        except Unanswered:
            return None
        except Refused as refused:
            return await self._later(str(refused), AGAIN)
        return None if shown else await self._no_effect(Action.PUT_BACK)

    async def _deactivate(self) -> RetireResult | None:
        try:
            contact = await self.changes.deactivate(self.row)
        except Unanswered:
            return None
        except Refused:
            if self.why is EndedBy.FORGOTTEN or not await self.reading.is_needed(self.row):
                raise
            return await self._stay("a ticket wants it", clearing=False)
        if contact is None:
            return await self._no_effect(Action.DEACTIVATE)
        return None if contact.emails else await self._retired()

    async def _reactivate(self, why: str) -> RetireResult | None:
        """Activate it: Autotask would refuse the mail of an inactive contact with an address."""
        try:
            if not await self.changes.activate(self.row):
                return await self._no_effect(Action.REACTIVATE)
        except Unanswered:
            return None
        if self.row.settled_at is None:  # an undo of a version before 0007 left its address
            await persist_with(self.services.sessions, ending.reactivated, self.row)
            return None
        return await self._leave_to_person(why)

    async def _in_vain(self, action: Action) -> RetireResult:
        """Only look, from time to time, whether a change that had no effect is there."""
        if action is not Action.CLEAR:
            return await self._no_effect(action, _SELDOM)
        if wait := await self.reading.time_left(self.row.unsure_until):
            return await self._no_effect(action, wait)
        return await self._leave_to_person("Autotask does not let its address be taken away")

    async def _no_effect(self, action: Action, pause: timedelta = AGAIN) -> RetireResult:
        why = in_words(action)
        await self._put_off(await self._after(pause), why, LedgerError.NO_EFFECT)
        return RetireResult(Action.LATER, why)

    # --- how it ends -----------------------------------------------------------------------------

    async def _retired(self) -> RetireResult:
        await persist_with(self.services.sessions, ending.retired, self.row)
        return RetireResult(Action.RETIRED)

    async def _gone(self, step: Step) -> RetireResult:
        if step.until:
            return await self._later(step.why, step.until - self.reading.read_at)
        ordered = self.why is EndedBy.UNDO and self.row.end_why != EndedBy.UNDO
        rejected_by = self.who if ordered else None
        await persist_with(self.services.sessions, ending.gone, self.row, rejected_by)
        return RetireResult(Action.GONE, step.why)

    async def _leave_to_person(self, why: str) -> RetireResult:
        await persist_with(self.services.sessions, ending.leave_to_person, self.row, why)
        return RetireResult(Action.KEEP, why)

    async def _not_yet(self, step: Step) -> RetireResult:
        """Put off an ending that has not begun; an undo leaves no trace then."""
        needed = bool(step.needed_on)
        if self.why is not EndedBy.UNDO:
            if needed:
                async with self.services.sessions() as session, session.begin():
                    await tickets.reopened(session, step.needed_on)
            await self._put_off(step.until or await self._after(AGAIN))
        return RetireResult(Action.LATER, step.why, needed=needed)

    async def _later(self, why: str, pause: timedelta) -> RetireResult:
        await self._put_off(await self._after(pause), why)
        return RetireResult(Action.LATER, why)

    async def _after(self, pause: timedelta) -> datetime:
        return await database.now(self.services.sessions) + pause

    async def _put_off(
        self, until: datetime, why: str | None = None, code: LedgerError | None = None
    ) -> None:
        async with self.services.sessions() as session, session.begin():
            await ending.later(session, self.row, until, why, code)

    async def _cancel(self, why: str, *, needed: bool = False) -> RetireResult:
        await persist_with(self.services.sessions, ending.cancel_retirement, self.row)
        return RetireResult(Action.LATER, why, needed=needed)
