"""Undo what we did for a ticket, by our records alone: take links off, then retire contacts.

A link or contact that a person touched since is left alone. Each intent is stored before its
request. After a lost answer Autotask is read again, and the request is sent again. No look has the
ticket while it is undone. A contact whose ending has begun is retired by the chore if undo cannot
finish it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError
from app.contacts.retire import Retiring
from app.contacts.retire_steps import Action, RetireResult
from app.contacts.unlink import UNDER_WAY, Unlinked, links_by_contact, take_off
from app.db import database
from app.db.database import persist_with
from app.db.states import RETIRABLE, Chore, EndedBy, Priority
from app.db.tables import Ledger, LinkRecord
from app.due import work
from app.due.exclusive import InUse, holding, holding_chore
from app.due.work import Lease, LeaseLost
from app.outbound import gate
from app.outbound.rules import NotNow
from app.records import links as link_records
from app.records import rejections, undo
from app.records.undo import Undoable
from app.services import Services

BUSY = "it is being looked at: run it again"

NOT_SHOWN = "Autotask does not show it on the ticket, where it was seen: run it again in 6 minutes"
CHORE_BUSY = "other contacts are being retired: run it again"
_CHORE_DUE = timedelta(minutes=5)  # within which the chore goes on with what undo has begun


@dataclass(frozen=True, slots=True)
class UndoStep:
    """One link or contact to be undone."""

    ticket_id: int
    action: Literal["unlink", "deactivate"]
    contact_id: int | None
    address: str | None
    done: bool
    """It is undone, or a dry run says that it would be."""
    detail: str
    again: bool = False
    """It has to be tried again."""


@dataclass(slots=True)
class Undo:
    """One order to undo."""

    services: Services
    who: str
    dry_run: bool
    off: set[tuple[int, int]] = field(default_factory=set)
    """Links, as ticket and contact, that are off or would be."""
    refused: set[int] = field(default_factory=set)
    """Contacts with a link that Autotask does not let us take off now."""

    async def ticket(self, ticket_id: int) -> list[UndoStep]:
        """Undo one ticket. Raise InUse, or what the client raises before anything is done."""
        async with self._holding(ticket_id) as lease:
            return await self._links(ticket_id, lease) + await self._contacts(ticket_id)

    async def tickets(self, ticket_ids: Sequence[int]) -> AsyncIterator[list[UndoStep]]:
        """Undo tickets: all links first, so that no ticket keeps another's contact.

        Yield the steps of each ticket twice: those of its links, and after the links of all tickets
        those of its contacts. An error that keeps a ticket from being undone is a step, too.
        """
        for links in (True, False):
            for ticket_id in ticket_ids:
                try:
                    async with self._holding(ticket_id) as lease:
                        if links:
                            steps = await self._links(ticket_id, lease)
                        else:
                            steps = await self._contacts(ticket_id)
                except (InUse, LeaseLost):
                    steps = [_again(ticket_id, BUSY)]
                except (AutotaskError, NotNow) as error:
                    steps = [_again(ticket_id, str(error))]
                yield steps

    @asynccontextmanager
    async def _holding(self, ticket_id: int) -> AsyncIterator[Lease | None]:
        """Keep looks away from a ticket; a dry run does not need that."""
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
        """Make the ticket due where a note has to say what was undone."""
        if self.services.settings.ticket_note == "off" or not any(
            t == ticket_id for t, _ in self.off
        ):
            return
        async with work.fenced(self.services.sessions, lease) as session:
            await work.want(session, work.TICKET, ticket_id, timedelta(0), Priority.LIVE)

    async def _undoable(self, ticket_id: int) -> Undoable:
        async with self.services.sessions() as session:
            return await undo.of_ticket(session, ticket_id)

    # --- links -----------------------------------------------------------------------------------

    async def _links(self, ticket_id: int, lease: Lease | None) -> list[UndoStep]:
        undoable = await self._undoable(ticket_id)
        if (undoable.links or undoable.created) and not (self.dry_run or await self._is_paused()):
            await persist_with(
                self.services.sessions, rejections.reject_pending, ticket_id, self.who
            )
        if not undoable.links:
            return []
        autotask = await self.services.autotask(lease)
        ids = await links_by_contact(autotask, ticket_id, missing_ok=True)
        steps = []
        for link in undoable.links:
            off = await self._unlink(autotask, link, ids.get(link.contact_id, []))
            if off.done:
                self.off.add((ticket_id, link.contact_id))
            if off.refused:
                self.refused.add(link.contact_id)
            address = undoable.addresses.get(link.contact_id)
            step = UndoStep(
                ticket_id, "unlink", link.contact_id, address, off.done, off.detail, off.again
            )
            steps.append(step)
        return steps

    async def _is_paused(self) -> bool:
        """Return whether all writes are paused: then nothing is undone, so no one is rejected."""
        async with self.services.sessions() as session:
            return await gate.pause_state(session) is not None

    async def _unlink(self, autotask: Autotask, link: LinkRecord, ids: list[int]) -> Unlinked:
        if not ids:
            return await self._not_there(link)
        if link.link_id and link.link_id not in ids:
            return Unlinked(False, "kept: a person put it on again")
        if self.dry_run:
            return Unlinked(True, "would be taken off the ticket")
        return await take_off(self.services, autotask, link, ids, rejected_by=self.who)

    async def _not_there(self, link: LinkRecord) -> Unlinked:
        if link.unlinked_at:  # by an undo that died before it could record that
            if not self.dry_run:
                await persist_with(
                    self.services.sessions, link_records.unlinked, link, rejected_by=self.who
                )
            return Unlinked(True, "had been taken off the ticket")
        now = await database.now(self.services.sessions)
        settled_since = now - self.services.create_settle
        if link.may_come(settled_since):
            return Unlinked(False, UNDER_WAY, again=True)
        if link.first_seen_linked_at and link.first_seen_linked_at >= settled_since:
            return Unlinked(False, NOT_SHOWN, again=True)
        return Unlinked(False, "is not on the ticket any more")

    # --- contacts --------------------------------------------------------------------------------

    async def _contacts(self, ticket_id: int) -> list[UndoStep]:
        """Retire the contacts that were created for a ticket.

        The chore's lease keeps it from retiring the same contact at the same time.
        """
        steps = await self._ended_before(ticket_id)
        created = (await self._undoable(ticket_id)).created
        if self.dry_run:
            return steps + [await self._retire(row, None) for row in created]
        if not created:
            return steps
        sessions = self.services.sessions
        try:
            async with holding_chore(sessions, Chore.RETIRE, "undo", _CHORE_DUE) as lease:
                return steps + [await self._retire(row, lease) for row in created]
        except InUse:
            return steps + [_of(row, done=False, detail=CHORE_BUSY, again=True) for row in created]

    async def _ended_before(self, ticket_id: int) -> list[UndoStep]:
        """Reject the people whose contacts were ended before, so that no look brings them back."""
        async with self.services.sessions() as session:
            ended = await undo.ended_of_ticket(session, ticket_id)
        for row in ended if not self.dry_run else ():
            await persist_with(self.services.sessions, rejections.reject_created, row, self.who)
        return [_of(row, done=True, detail="was ended before") for row in ended]

    async def _retire(self, row: Ledger, lease: Lease | None) -> UndoStep:
        """Retire one contact, as far as is possible now."""
        if row.state not in RETIRABLE or row.contact_id is None:
            return _of(row, done=False, detail=UNDER_WAY, again=True)
        off = [ticket for ticket, contact in self.off if contact == row.contact_id]
        try:
            retiring = Retiring(
                self.services,
                await self.services.autotask(lease),
                row,
                EndedBy.UNDO,
                grace=timedelta(0),
                who=self.who,
                off=off if self.dry_run else (),
            )
            result = await retiring.run(dry_run=self.dry_run)
        except LeaseLost:
            return _of(row, done=False, detail=CHORE_BUSY, again=True)
        except (AutotaskError, NotNow) as error:
            return _of(row, done=False, detail=str(error), again=True)
        stays = row.contact_id in self.refused
        return _ended(row, result, dry_run=self.dry_run, stays=stays)


def _of(row: Ledger, *, done: bool, detail: str, again: bool = False) -> UndoStep:
    return UndoStep(row.ticket_id, "deactivate", row.contact_id, row.email, done, detail, again)


def _ended(row: Ledger, result: RetireResult, *, dry_run: bool, stays: bool) -> UndoStep:
    """Return the step of a contact. stays: a link of it was to come off and has not."""
    if result.action is Action.RETIRED:
        return _of(row, done=True, detail="would be retired" if dry_run else "retired")
    if result.action is Action.GONE:
        return _of(row, done=True, detail="does not exist any more")
    if result.action is Action.LATER and not result.needed:
        return _of(row, done=False, detail=f"{result.why}: run it again later", again=True)
    return _of(row, done=False, detail=f"kept: {result.why}", again=stays)


def _again(ticket_id: int, detail: str) -> UndoStep:
    return UndoStep(ticket_id, "unlink", None, None, False, detail, again=True)
