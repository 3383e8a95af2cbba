"""A ticket that was merged into another one: its participants are carried over.

No field shows a merge. By the vendor's page, the source is complete and has a note with the
destination's number, and the destination has a note `Absorbed Ticket Description [number]` with
the source's, which cannot be edited. Both notes are required: a number in one is only a guess.
https://ww2.autotask.net/help/content/3_Features/7_ServiceDesk/ManageTickets/Ticket_Merge.htm
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.models import Note, Ticket
from app.db import database
from app.db.states import ON_TICKET, Outcome, Priority
from app.db.tables import Participant
from app.decide import Reason
from app.due.work import Lease, fenced
from app.looks.note_writers import Writers
from app.mail.subjects import ticket_numbers
from app.outbound.rules import NotNow
from app.records import absences, participants, tickets
from app.services import Services

log = structlog.get_logger()

_ABSORBED = "absorbed ticket description"
_CANDIDATES = 5  # the last numbers in a ticket's notes are looked up
_CARRIED = (*ON_TICKET, Outcome.CREATED_NOT_LINKED, Outcome.HELD, None)
_STAYS = (Reason.AUTOMATIC_MAIL, Reason.MOVED, Reason.UNKNOWN_SENDER)


async def carry(services: Services, autotask: Autotask, lease: Lease, ticket: Ticket) -> None:
    """Carry a complete ticket's participants over, if it was merged into another one."""
    async with services.sessions() as session:
        known = await tickets.is_merged(session, ticket.id)
        people = await participants.of_ticket(session, ticket.id)
    if ticket.number is None or not any(_is_news(row, known) for row in people):
        return
    into = await _destination(autotask, ticket, ticket.number)
    if into is None:
        return
    read_at = await database.now(services.sessions)
    linked = {link.contact_id for link in await autotask.additional_contacts(ticket.id)}
    async with fenced(services.sessions, lease) as session:
        again_at = await _count(session, ticket.id, people, linked, read_at)
    if again_at:
        raise NotNow(again_at, "a contact is not shown on the merged ticket; it is read again")
    async with fenced(services.sessions, lease) as session:
        # Read again: a participant may have been rejected meanwhile.
        people = await participants.of_ticket(session, ticket.id)
        carried = to_carry(people, linked, ticket.company_id)
        # The destination's due row before its participants, as everywhere.
        await tickets.want(session, into, timedelta(0), Priority.LIVE)
        new = await participants.carry_over(session, carried, into)
        await tickets.merged(session, ticket.id, into)
    log.info("ticket_merged", into=into, carried=len(new))


async def _count(
    session: AsyncSession,
    ticket_id: int,
    people: Sequence[Participant],
    linked: Collection[int],
    read_at: datetime,
) -> datetime | None:
    """Count a reading of the links; return when to read again, if it may be wrong."""
    on_record = {row.contact_id for row in people if row.outcome in ON_TICKET}
    missing = {contact_id for contact_id in on_record if contact_id is not None} - {*linked}
    kind = absences.Kind.LINK
    missed = await absences.judge(session, kind, missing, read_at, of=ticket_id)
    await absences.record(session, kind, missing, linked, read_at, of=ticket_id)
    return missed.again_at


def _is_news(row: Participant, merged: bool) -> bool:
    """Return whether a participant may have to be carried over.

    merged: the merge was recorded earlier, and its participants carried over then. A merged ticket
    may still get participants of a ticket that was merged into it before.
    """
    return row.outcome is None and bool(row.carried_from) if merged else row.outcome in _CARRIED


def to_carry(
    people: Sequence[Participant], linked: Collection[int], account_id: int
) -> list[Participant]:
    """Return the participants to carry over: those still on the ticket, waiting, or held.

    Left out are those that a person took off or rejected, that a machine's mail named, and, unless
    approved, that were copied in another account, or by a sender who is no contact: on the other
    ticket they would be strangers.
    """
    return [
        row
        for row in people
        if row.outcome in _CARRIED
        and row.rejected_by is None
        and row.account_id == account_id
        and row.reason not in _STAYS
        and (row.outcome not in ON_TICKET or row.contact_id in linked)
    ]


async def _destination(autotask: Autotask, ticket: Ticket, number: str) -> int | None:
    # A customer's note is no merge, whatever it says: anybody can write a number, or that title.
    writers = Writers(autotask)
    naming = [note for note in await autotask.notes(ticket.id) if numbers_in([note], number)]
    named = numbers_in(await writers.by_technicians(naming), number)
    if not named:
        return None
    tickets_named = await autotask.tickets_numbered(named)
    for other in sorted(tickets_named, key=lambda ticket: -ticket.id):
        if other.id == ticket.id or other.company_id != ticket.company_id:
            continue
        absorbing = [note for note in await autotask.notes(other.id) if has_absorbed(note, number)]
        if await writers.by_technicians(absorbing):
            return other.id
    return None


def numbers_in(notes: Iterable[Note], own: str) -> list[str]:
    """Return the last ticket numbers in notes, but for the ticket's own."""
    texts = [f"{note.title or ''} {note.description or ''}" for note in notes]
    named = [number for text in texts for number in ticket_numbers(text)]
    return [number for number in dict.fromkeys(named) if number != own.upper()][-_CANDIDATES:]


def has_absorbed(note: Note, number: str) -> bool:
    """Return whether a note says that its ticket has absorbed another one."""
    title = " ".join((note.title or "").split()).casefold()
    return title.startswith(_ABSORBED) and number.upper() in ticket_numbers(title)
