"""A ticket that was merged into another one: its people are carried over.

No field tells of a merge. What does, says the vendor: the source is complete, its note names the
destination's number, and the destination has a note `Absorbed Ticket Description [number]` with
the source's, which nobody can edit. Both have to say so: a number in a note alone is a guess.
https://ww2.autotask.net/help/content/3_Features/7_ServiceDesk/ManageTickets/Ticket_Merge.htm
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta

import structlog

from app.autotask.client import Autotask
from app.autotask.models import Note, Ticket
from app.db.states import ON_TICKET, Outcome, Priority
from app.db.tables import Participant
from app.decide import Reason
from app.due.work import Lease, fenced
from app.mail.subjects import ticket_numbers
from app.records import participants, tickets
from app.services import Services

log = structlog.get_logger()

_ABSORBED = "absorbed ticket description"
_CANDIDATES = 5  # numbers in a ticket's notes that are looked up, the last ones
_CARRIED = (*ON_TICKET, Outcome.CREATED_NOT_LINKED, Outcome.HELD, None)
_STAYS = (Reason.AUTOMATIC_MAIL, Reason.MOVED)


async def carry(services: Services, autotask: Autotask, lease: Lease, ticket: Ticket) -> None:
    """Carry a complete ticket's people over, where it was merged into another one."""
    async with services.sessions() as session:
        known = await tickets.is_merged(session, ticket.id)
        people = await participants.of_ticket(session, ticket.id)
    if ticket.number is None or not any(_is_news(one, known) for one in people):
        return
    into = await _destination(autotask, ticket, ticket.number)
    if into is None:
        return
    there = {link.contact_id for link in await autotask.additional_contacts(ticket.id)}
    async with fenced(services.sessions, lease) as session:
        # As it stands now: somebody may have been rejected meanwhile.
        people = await participants.of_ticket(session, ticket.id)
        carried = whom_to_carry(people, there, ticket.company_id)
        # The destination's due row before its people, as everywhere.
        await tickets.want(session, into, timedelta(0), Priority.LIVE)
        new = await participants.carry_over(session, carried, into)
        await tickets.merged(session, ticket.id, into)
    log.info("ticket_merged", into=into, carried=len(new))


def _is_news(one: Participant, merged: bool) -> bool:
    """Tell whether somebody may have to be carried over; merged: all who were there then are.

    A ticket that was merged may itself get people of one that was merged into it before.
    """
    return one.outcome is None and bool(one.carried_from) if merged else one.outcome in _CARRIED


def whom_to_carry(
    people: Sequence[Participant], there: Collection[int], account_id: int
) -> list[Participant]:
    """Pick whom a merged ticket hands on: who is on it still, and who waits or is held.

    Not whom a person took off, rejected or left out, nor whom a machine's mail named. Nor whom
    another account's ticket brought here, unless a person has let them in: on the other ticket they
    would be strangers like any.
    """
    return [
        one
        for one in people
        if one.outcome in _CARRIED
        and one.rejected_by is None
        and one.account_id == account_id
        and one.reason not in _STAYS
        and (one.outcome not in ON_TICKET or one.contact_id in there)
    ]


async def _destination(autotask: Autotask, ticket: Ticket, number: str) -> int | None:
    named = numbers_in(await autotask.notes(ticket.id), number)
    if not named:
        return None
    found = await autotask.tickets_numbered(named)
    for other in sorted(found, key=lambda one: -one.id):
        if other.id == ticket.id or other.company_id != ticket.company_id:
            continue
        if has_absorbed(await autotask.notes(other.id), number):
            return other.id
    return None


def numbers_in(notes: Iterable[Note], own: str) -> list[str]:
    """List the other tickets' numbers that notes name, the last ones."""
    # One by a contact is a mail, whatever it says: anybody can write a number, or that title.
    by_us = [note for note in notes if note.creator_id is not None]
    texts = [f"{note.title or ''} {note.description or ''}" for note in by_us]
    named = [number for text in texts for number in ticket_numbers(text)]
    return [one for one in dict.fromkeys(named) if one != own.upper()][-_CANDIDATES:]


def has_absorbed(notes: Iterable[Note], number: str) -> bool:
    """Tell whether a ticket's notes say that it has absorbed another one."""
    for note in notes:
        if note.creator_id is None:
            continue  # a mail, whose subject is its title
        title = " ".join((note.title or "").split()).casefold()
        if title.startswith(_ABSORBED) and number.upper() in ticket_numbers(title):
            return True
    return False
