"""Undo what we did for a ticket, by our records alone: unlink, then deactivate whom we created.

What a person touched since is left alone. Each intent is stored before its request; what got no
answer is read again and done again, as both requests may be repeated. While a ticket is being
undone no look has it, and a ticket that is being looked at is not undone.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Literal

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Refusal, Refused, Unanswered
from app.contacts.changes import touched
from app.contacts.unlink import UNDER_WAY, Marks, rows_of, take_off
from app.db.database import db_now, persist_with
from app.db.states import EndedBy, LedgerState, Priority
from app.db.tables import Ledger, LinkRecord
from app.due import work
from app.due.exclusive import InUse, holding
from app.due.work import Lease, LeaseLost
from app.outbound.rules import LEAVE_SECONDS, NotNow
from app.records import undo
from app.records.undo import Traces
from app.services import Services

_TRIES = 3
BUSY = "it is being looked at: run it again"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be undone. done: it is, or would be. again: it has to be tried again."""

    ticket_id: int
    action: Literal["unlink", "deactivate"]
    contact_id: int | None
    address: str | None
    done: bool
    detail: str
    again: bool = False


@dataclass(slots=True)
class Undo:
    """One order to undo. off: links, as ticket and contact, that are gone or would be."""

    services: Services
    who: str
    dry_run: bool
    off: set[tuple[int, int]] = field(default_factory=set)

    async def ticket(self, ticket_id: int) -> list[Step]:
        """Undo one ticket. Raises InUse, and what the client raises before anything is done."""
        async with self._holding(ticket_id) as lease:
            return await self._links(ticket_id, lease) + await self._contacts(ticket_id, lease)

    async def tickets(self, ticket_ids: Sequence[int]) -> AsyncIterator[list[Step]]:
        """Undo several: all links first, so that none of them keeps another's contact.

        Gives the steps twice for each: those of its links, and after everybody's those of its
        contacts. What keeps a ticket from being undone becomes a step.
        """
        for part in (self._links, self._contacts):
            for ticket_id in ticket_ids:
                try:
                    async with self._holding(ticket_id) as lease:
                        steps = await part(ticket_id, lease)
                except (InUse, LeaseLost):
                    steps = [_again(ticket_id, BUSY)]
                except (AutotaskError, NotNow) as error:
                    steps = [_again(ticket_id, str(error))]
                yield steps

    @asynccontextmanager
    async def _holding(self, ticket_id: int) -> AsyncIterator[Lease | None]:
        """Keep looks away from a ticket; a dry run needs no such thing."""
        if self.dry_run:
            yield None
            return
        async with holding(self.services.sessions, ticket_id, "undo") as lease:
            try:
                yield lease
            finally:
                with suppress(LeaseLost):
                    await self._want_note(ticket_id, lease)

    async def _want_note(self, ticket_id: int, lease: Lease) -> None:
        """Have it looked at, where the note has to say what was undone."""
        if self.services.settings.ticket_note == "off" or not any(
            t == ticket_id for t, _ in self.off
        ):
            return
        async with work.fenced(self.services.sessions, lease) as session:
            await work.want(session, work.TICKET, ticket_id, timedelta(0), Priority.LIVE)

    async def _known(self, ticket_id: int) -> Traces:
        async with self.services.sessions() as session:
            return await undo.of_ticket(session, ticket_id)

    # --- links -----------------------------------------------------------------------------------

    async def _links(self, ticket_id: int, lease: Lease | None) -> list[Step]:
        known = await self._known(ticket_id)
        if (known.links or known.created) and not self.dry_run:
            await persist_with(self.services.sessions, undo.stop, ticket_id, self.who)
        if not known.links:
            return []
        autotask = await self.services.autotask(lease)
        try:
            rows = await rows_of(autotask, ticket_id)
        except Refused as refused:
            if refused.kind is not Refusal.MISSING:
                raise
            rows = {}  # the ticket was deleted
        steps = []
        for link in known.links:
            done, detail, again = await self._unlink(autotask, link, rows.get(link.contact_id, []))
            if done:
                self.off.add((ticket_id, link.contact_id))
            address = known.addresses.get(link.contact_id)
            steps.append(Step(ticket_id, "unlink", link.contact_id, address, done, detail, again))
        return steps

    async def _unlink(
        self, autotask: Autotask, link: LinkRecord, rows: list[int]
    ) -> tuple[bool, str, bool]:
        """Take one contact off; tell whether that is done, in words, and whether to do it again."""
        if not rows:
            return await self._not_there(link)
        if link.link_id and link.link_id not in rows:
            return False, "kept: a person put it on again", False
        if self.dry_run:
            return True, "would be taken off the ticket", False
        marks = Marks(partial(undo.intend_unlink, who=self.who), undo.unlinked, undo.keep_link)
        taken = await take_off(self.services, autotask, link, rows, marks)
        return taken.done, taken.detail, taken.again

    async def _not_there(self, link: LinkRecord) -> tuple[bool, str, bool]:
        if link.unlinked_at:  # an undo that died before it could say so
            if not self.dry_run:
                await persist_with(self.services.sessions, undo.unlinked, link=link)
            return True, "had been taken off the ticket", False
        async with self.services.sessions() as session:
            now = await db_now(session)
        if link.may_come(now - self.services.create_settle):
            return False, UNDER_WAY, True
        return False, "is not on the ticket any more", False

    # --- contacts --------------------------------------------------------------------------------

    async def _contacts(self, ticket_id: int, lease: Lease | None) -> list[Step]:
        known = await self._known(ticket_id)
        steps = await self._ended_before(ticket_id)
        if not known.created:
            return steps
        autotask = await self.services.autotask(lease)
        for row in known.created:
            try:
                done, detail, again = await self._retire(autotask, row)
            except (AutotaskError, NotNow) as error:
                done, detail, again = False, str(error), True
            whom = (row.contact_id, row.email)
            steps.append(Step(ticket_id, "deactivate", *whom, done, detail, again))
        return steps

    async def _ended_before(self, ticket_id: int) -> list[Step]:
        """Let no look bring those back whom we have ended by ourselves."""
        async with self.services.sessions() as session:
            ended = await undo.ended_of_ticket(session, ticket_id)
        for row in ended if not self.dry_run else ():
            await persist_with(self.services.sessions, undo.never_again, row, self.who)
        said = "was ended before"
        return [
            Step(ticket_id, "deactivate", row.contact_id, row.email, True, said) for row in ended
        ]

    async def _retire(  # noqa: PLR0911  an end each
        self, autotask: Autotask, row: Ledger
    ) -> tuple[bool, str, bool]:
        """Deactivate one contact; tell whether that is done, in words, and whether again."""
        if row.state not in (LedgerState.CREATED, LedgerState.RETIRING) or row.contact_id is None:
            return False, UNDER_WAY, True
        for attempt in range(_TRIES):
            contact = await autotask.whole_contact(row.contact_id)
            if contact is None or not contact.active:
                if not self.dry_run:
                    await persist_with(self.services.sessions, undo.over, row, self.who)
                was = "deactivated" if attempt else "was inactive already"
                return True, was if contact else "does not exist any more", False
            cleared = row.state == LedgerState.RETIRING and row.end_why != EndedBy.UNDO
            why = touched(contact, row.account_id, row.sent, cleared=cleared)
            why = why or await self._in_use(autotask, row, row.contact_id)
            if why:
                return False, f"kept: {why}", False
            if self.dry_run:
                return True, "would be deactivated", False
            async with self.services.sessions() as session, session.begin():
                off = {ticket for ticket, one in self.off if one == row.contact_id}
                if needed := await undo.intend_retire(session, row, self.who, off):
                    return False, f"kept: it comes onto ticket {min(needed)}", False
            not_after = time.monotonic() + LEAVE_SECONDS
            try:
                await autotask.deactivate_contact(row.account_id, row.contact_id, not_after)
            except Unanswered:
                continue
            await persist_with(self.services.sessions, undo.retired, row=row)
            return True, "deactivated", False
        return False, UNDER_WAY, True

    async def _in_use(self, autotask: Autotask, row: Ledger, contact_id: int) -> str | None:
        """Say on which ticket the contact is needed: by our records, or at Autotask."""
        async with self.services.sessions() as session:
            recorded = await undo.linked_elsewhere(session, contact_id)
        there = await autotask.tickets_of(contact_id)
        off = {ticket for ticket, one in self.off if one == contact_id}
        on = recorded - off | (there - off if self.dry_run else there)  # there: put on again
        # Our record of this ticket's link says less than Autotask, which was asked just now.
        on -= {row.ticket_id} - there
        if not on:
            return None
        some = ", ".join(str(ticket) for ticket in sorted(on)[:5])
        by_hand = " (not linked by us, or not taken off)" if row.ticket_id in on else ""
        return f"it is on ticket {some}{by_hand}"


def _again(ticket_id: int, detail: str) -> Step:
    return Step(ticket_id, "unlink", None, None, False, detail, again=True)
