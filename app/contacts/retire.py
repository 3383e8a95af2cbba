"""One contact being ended: read, take the next step, read again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.autotask.client import Autotask
from app.autotask.errors import Refused, Unanswered
from app.autotask.models import ContactLink
from app.contacts.retire_steps import Action, Ours, Step, There, next_step
from app.contacts.unlink import Marks, take_off
from app.db.database import db_now, persist_with
from app.db.states import EndedBy, LedgerState
from app.db.tables import Ledger
from app.due.exclusive import InUse, holding
from app.outbound.rules import LEAVE_SECONDS, NOT_DONE
from app.records import links as link_records
from app.records import tickets
from app.records.ledger import candidates, common, ending
from app.services import Services

AGAIN = timedelta(minutes=10)
"""After which what could not be done is tried again."""

_ROUNDS = 12  # readings of one contact
_SOON = timedelta(seconds=30)
_UNLINK = Marks(ending.intend_unlink, ending.unlinked, ending.keep_link)
_TO_DO = (Action.UNLINK, Action.CLEAR, Action.DEACTIVATE)


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of it: one of the actions that are an end, and why."""

    action: Action
    why: str = ""


@dataclass(slots=True)
class Retiring:
    """One contact being ended. grace: from when its last ticket was over.

    stuck: links that Autotask does not let us take off. clears: how an address can be taken away
    that has not been tried: which of them Autotask takes is not known. halt: why an ending that
    has begun is not to go on.
    """

    services: Services
    autotask: Autotask
    row: Ledger
    why: EndedBy
    grace: timedelta
    stuck: set[int] = field(default_factory=set)
    clears: list[str | None] = field(default_factory=lambda: ["", None])
    portal: bool | None = None
    halt: str | None = None

    async def run(self, *, dry_run: bool = False) -> Ended:
        """End it, as far as that may be now. Raises what the client and its throttle raise."""
        named = self.services.settings.complete_statuses
        complete = await self.services.directory.complete_statuses(self.autotask, named)
        for _ in range(_ROUNDS):
            before = await self._ours()
            there = await self._there()
            # A link of ours that came while Autotask was asked is in the later records only.
            ours = await self._ours()
            ours = replace(ours, links={**before.links, **ours.links})
            if not dry_run and self._is_back(there):
                wait = await self._may_take_effect()
                said = "it is back"
                return await (self._later(said, wait) if wait else self._step_back(said))
            step = next_step(ours, there, complete, await self._now())
            if dry_run:
                would = step.action in _TO_DO
                return Ended(Action.RETIRED if would else step.action, step.why)
            if ended := await self._take(step, there):
                return ended
        return await self._later("it did not keep still", AGAIN)

    def _is_back(self, there: There) -> bool:
        """Tell whether it was to be brought back, and is, though nobody could record it."""
        contact = there.contact
        is_back = contact is not None and contact.active and bool(contact.email)
        return is_back and self.row.state == LedgerState.RESTORING

    # --- reading ---------------------------------------------------------------------------------

    async def _ours(self) -> Ours:
        async with self.services.sessions() as session:
            self.row = await session.get_one(Ledger, self.row.id)
            known = await candidates.known(session, self.row)
        return Ours(
            self.row.account_id,
            self.row.sent,
            self.row.state in (LedgerState.RETIRING, LedgerState.RESTORING),
            known.links,
            self.grace,
            known.over_at,
            known.by_person,
            await self.services.directory.contact_udfs(self.autotask),
            self.halt,
            self.row.unsure_until is not None,
        )

    async def _there(self) -> There:
        assert self.row.contact_id is not None
        contact = await self.autotask.whole_contact(self.row.contact_id)
        if contact is None or not contact.active:
            return There(contact)
        if self.portal is None:
            calm = await self.services.autotask(calm=True)
            self.portal = await calm.is_portal_user(contact.id)
        links = await self.autotask.links_of(contact.id)
        on = sorted({link.ticket_id for link in links})
        return There(
            contact,
            links,
            await self.autotask.own_tickets(contact.id),
            self.portal,
            {one.id: one for one in await self.autotask.states_of(on)} if on else {},
            self.stuck,
        )

    async def _now(self) -> datetime:
        async with self.services.sessions() as session:
            return await db_now(session)

    # --- doing -----------------------------------------------------------------------------------

    async def _take(  # noqa: PLR0911  a step each
        self, step: Step, there: There
    ) -> Ended | None:
        """Take a step; gives the end of it, None while there is more to do."""
        sessions, action = self.services.sessions, step.action
        if action is Action.GONE:
            await persist_with(sessions, ending.gone, self.row)
            return Ended(action, step.why)
        if action is Action.RETIRED:
            return await self._retired()
        if action is Action.REACTIVATE:
            return await self._reactivate(step.why)
        if action in _TO_DO and self.row.state == LedgerState.RETIRING:
            return await self._do(step, there)
        if wait := await self._may_take_effect():
            # What is said now could be made wrong by a request of ours that comes late.
            return await self._later(step.why, wait)
        if action in _TO_DO:
            return await self._do(step, there)
        if action is Action.PUT_BACK:
            return await self._put_back(step.why)
        if action is Action.KEEP:
            await persist_with(sessions, ending.keep, self.row, step.why)
            return Ended(action, step.why)
        if self.row.state != LedgerState.CREATED:
            return await self._step_back(step.why)
        return await self._not_yet(step)

    async def _do(self, step: Step, there: There) -> Ended | None:
        """Announce a step that changes something, and take it."""
        over = {link.ticket_id for link in there.links}
        clearing = step.action is not Action.DEACTIVATE
        async with self.services.sessions() as session, session.begin():
            settle = self.services.create_settle
            wanted = await ending.intend(session, self.row, self.why, over, settle)
            if not wanted and clearing and await ending.is_needed(session, self.row):
                wanted = {self.row.ticket_id}
        if wanted and clearing:
            if wait := await self._may_take_effect():
                return await self._later("it is wanted, and its address may still go", wait)
            return await self._step_back(f"it is wanted on ticket {min(wanted)}")
        if wanted:
            return await self._change_address(self.row.email)
        if step.action is Action.UNLINK:
            return await self._unlink(step.links)
        if step.action is Action.CLEAR:
            return await self._clear()
        return await self._deactivate()

    async def _unlink(self, links: Sequence[ContactLink]) -> Ended | None:
        assert self.row.contact_id is not None
        for link in links:
            try:
                async with holding(self.services.sessions, link.ticket_id, "retire"):
                    async with self.services.sessions() as session:
                        records = await link_records.links_of(session, link.ticket_id)
                    record = records.get(self.row.contact_id)
                    if record is None:
                        return await self._later("its link has just gone", _SOON)
                    taken = await take_off(self.services, self.autotask, record, [link.id], _UNLINK)
            except InUse:
                return await self._later(f"ticket {link.ticket_id} is being looked at", _SOON)
            if taken.refused:
                self.stuck.add(link.id)
            elif not taken.done:
                return await self._later(taken.detail, AGAIN)
        return None

    async def _clear(self) -> Ended | None:
        """Take the address away, in a way that has not been tried."""
        if not self.clears:
            if wait := await self._may_take_effect():
                return await self._later("whether its address is away is looked up", wait)
            why = "Autotask does not let its address be taken away"
            await persist_with(self.services.sessions, ending.keep, self.row, why)
            return Ended(Action.KEEP, why)
        return await self._change_address(self.clears.pop(0))

    async def _change_address(self, email: str | None) -> Ended | None:
        back = email == self.row.email

        async def change(account_id: int, contact_id: int, not_after: float) -> None:
            await self.autotask.set_address(account_id, contact_id, email, not_after)

        try:
            await self._send(change)
        except Unanswered:
            self.clears[:0] = [] if back else [email]
        except Refused as refused:
            if back or not self.clears:
                return await self._later(str(refused), AGAIN)
        return None

    async def _put_back(self, why: str) -> Ended | None:
        """Give it its address again, unless another contact of ours has it by now."""
        async with self.services.sessions() as session:
            taken = await common.is_taken(session, self.row)
        if not taken:
            return await self._change_address(self.row.email)
        await persist_with(self.services.sessions, ending.keep, self.row, why)
        return Ended(Action.KEEP, why)

    async def _deactivate(self) -> Ended | None:
        assert self.row.contact_id is not None
        try:
            await self._send(self.autotask.deactivate_contact)
        except Unanswered:
            return None
        # Somebody may have typed its address in again since it was read.
        contact = await self.autotask.whole_contact(self.row.contact_id)
        if contact and not contact.active and contact.emails:
            return await self._reactivate("somebody gave it an address again")
        return await self._retired()

    async def _reactivate(self, why: str) -> Ended | None:
        """Make it active again: inactive with an address the mail from it would be refused."""
        try:
            await self._send(self.autotask.activate_contact)
        except Unanswered:
            return None
        await persist_with(self.services.sessions, ending.keep, self.row, why)
        return Ended(Action.KEEP, why)

    async def _send(self, request: Callable[[int, int, float], Awaitable[None]]) -> None:
        """Send a change of the contact; until it has its answer it may take effect late."""
        assert self.row.contact_id is not None
        sessions, before = self.services.sessions, self.row.unsure_until
        await persist_with(sessions, ending.sent, self.row, self.services.create_settle)
        not_after = time.monotonic() + LEAVE_SECONDS
        try:
            await request(self.row.account_id, self.row.contact_id, not_after)
        except NOT_DONE:
            await persist_with(sessions, ending.answered, self.row, before)
            raise
        await persist_with(sessions, ending.answered, self.row, before)

    async def _retired(self) -> Ended:
        await persist_with(self.services.sessions, ending.retired, self.row)
        return Ended(Action.RETIRED)

    # --- not now ---------------------------------------------------------------------------------

    async def _may_take_effect(self) -> timedelta | None:
        """Say how long a request of ours may still take effect that got no answer."""
        if self.row.unsure_until is None:
            return None
        left = self.row.unsure_until - await self._now()
        return left if left > timedelta(0) else None

    async def _not_yet(self, step: Step) -> Ended:
        if step.open:
            async with self.services.sessions() as session, session.begin():
                await tickets.reopened(session, step.open)
        async with self.services.sessions() as session, session.begin():
            until = step.until or await db_now(session) + AGAIN
            await ending.later(session, self.row, until)
        return Ended(Action.LATER, step.why)

    async def _later(self, why: str, pause: timedelta) -> Ended:
        async with self.services.sessions() as session, session.begin():
            await ending.later(session, self.row, await db_now(session) + pause, why)
        return Ended(Action.LATER, why)

    async def _step_back(self, why: str) -> Ended:
        await persist_with(self.services.sessions, ending.step_back, self.row)
        return Ended(Action.LATER, why)
