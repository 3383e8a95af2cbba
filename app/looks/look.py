"""One look at one ticket, top to bottom: read it, find the list, decide, act, record."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from app import sources
from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Barred, Busy, Overloaded, Unanswered
from app.autotask.models import Ticket
from app.contacts import loops
from app.db.database import is_outage
from app.db.states import Result
from app.decide import decide
from app.due import work
from app.due.work import Lease, LeaseLost, fenced
from app.looks import merges, moves, preview
from app.looks import note as notes
from app.looks.act import Acting
from app.looks.facts import gather
from app.looks.reading import Reading
from app.looks.writes import Halt, ReadAgain, Writes
from app.mail.addresses import mask
from app.outbound.rules import NotNow
from app.records import participants, tickets
from app.records.ledger import creating
from app.records.tickets import Looked
from app.services import Services
from app.sources import Found, Search

log = structlog.get_logger()

GIVE_UP = timedelta(hours=72)
"""A ticket that could not be finished for so long has failed."""

_PAUSE = timedelta(seconds=30)  # after which a shut gate may be open
_TRIES = 10  # before that nothing is given up: it may have waited most of the time
_ROUNDS = 20  # readings of a ticket within one look
_SEARCH_SECONDS = 5.0  # after which what was read before is read once more
_BARREN = 3  # of which so many in a row may lead to nothing
_OVER = (Result.COMPLETE, Result.PARKED, Result.GONE, Result.FAILED)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a look ended. Without a result there is something left to do at again_at.

    spent: it counts as a try, so the next pause is longer.
    excused: not the ticket's own trouble, so it never makes the ticket fail.
    """

    result: Result | None
    note: str | None = None
    again_at: datetime | None = None
    spent: bool = False
    excused: bool = False
    ticket: Ticket | None = None
    found: Found | None = None
    waits_for_mailbox: bool = False


async def look(services: Services, lease: Lease) -> Result | None:
    """Look at a ticket and record how it ended; None when it is due again.

    Raises LeaseLost when another worker has taken over, in which case nothing was recorded.
    """
    ending = await _look_and_judge(services, lease)
    tired = lease.age > GIVE_UP and lease.tries >= _TRIES
    if ending.result is None and tired and not ending.excused:
        ending = Ending(
            Result.FAILED, f"given up after 72 hours: {ending.note}", ticket=ending.ticket
        )
    await _record(services, lease, ending)
    log.info("looked", result=ending.result, note=ending.note, tries=lease.tries)
    return ending.result


async def _look_and_judge(services: Services, lease: Lease) -> Ending:  # noqa: PLR0911  a case each
    """Look, and turn what kept it from its end into when to look again."""
    began = time.monotonic()

    def after(pause: timedelta) -> datetime:
        """Count from now, by the database's clock: the look may have taken a while."""
        return lease.claimed_at + timedelta(seconds=time.monotonic() - began) + pause

    try:
        return await _look(services, lease)
    except NotNow as wait:
        return Ending(None, wait.reason, _jittered(wait.until, 2), excused=True)
    except Barred as error:
        return Ending(None, str(error), _jittered(after(_PAUSE), 5), excused=True)
    except Overloaded as error:
        pause = max(timedelta(seconds=error.retry_after or 0), _PAUSE)
        return Ending(None, str(error), _jittered(after(pause), 5), excused=True)
    except Busy as error:
        pause = timedelta(seconds=error.retry_after or 0) + _backoff(lease.tries, longest=60)
        return Ending(None, str(error), after(pause), spent=True)
    except AutotaskError as error:
        return Ending(None, str(error), after(_backoff(lease.tries)), spent=True)
    except LeaseLost:
        raise
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("look_failed")
        note = f"a defect of ours, see the log: {type(error).__name__}"
        return Ending(None, note, after(_backoff(lease.tries)), spent=True)


async def _look(services: Services, lease: Lease) -> Ending:
    if still := await _still_waiting(services, lease):
        return still
    autotask = await services.autotask(lease)
    searched: tuple[Ticket, Search] | None = None
    refused: set[str] = set()
    ask, barren = False, 0
    for _ in range(_ROUNDS):
        reading = await _read(services, autotask, lease)
        if isinstance(reading, Ending):
            return reading
        ticket = reading.ticket
        if searched is None or searched[0] != ticket:
            searched = ticket, await sources.find_list(services, autotask, ticket)
            if time.monotonic() - reading.asked_at > _SEARCH_SECONDS:
                continue
        search = searched[1]
        found = await preview.with_earlier(services, ticket, search)
        if found is None or not found.entries:
            return await _without_list(services, lease, ticket, search)
        reading = replace(reading, linked=await preview.linked(autotask, ticket))
        seen = await gather(services, autotask, reading, found, ask=ask)
        acting = Acting(Writes(services, autotask, lease, seen), refused)
        try:
            await acting.carry_out(decide(found.entries, seen.facts))
        except ReadAgain:
            ask = True
            barren = 0 if acting.writes.announced else barren + 1
            if barren >= _BARREN:
                raise Unanswered("Autotask is too slow to act on what was read") from None
            continue
        except Halt as halt:
            note = "a request got no answer; whether it took effect is looked up"
            return Ending(None, note, halt.until, spent=True, ticket=ticket, found=found)
        ending = _acted(ticket, search, found, acting.waits)
        return ending if seen.observes else await _told(services, autotask, lease, ending)
    raise Unanswered(f"the ticket did not keep still for {_ROUNDS} readings")


async def _read(services: Services, autotask: Autotask, lease: Lease) -> Reading | Ending:
    """Read the ticket; how the look ends where nobody is to be added.

    Where it has moved, what we did for the account that it has left is taken back first.
    """
    reading = await preview.read(services, autotask, lease.ref)
    if reading.ticket and await moves.take_back(services, autotask, lease, reading.ticket):
        reading = await preview.read(services, autotask, lease.ref)
    if isinstance(reading, Reading):
        return reading
    if reading.result is Result.COMPLETE and reading.ticket:
        await merges.carry(services, autotask, lease, reading.ticket)
    return Ending(reading.result, reading.note, ticket=reading.ticket)


def _acted(ticket: Ticket, search: Search, found: Found, waits: list[datetime]) -> Ending:
    """End a look that did what could be done now."""
    if waits:
        note = "somebody has to wait: for another ticket's request, or to be tried again"
        return Ending(None, note, min(waits), excused=True, ticket=ticket, found=found)
    if search.ambiguous:
        over = preview.without_list(ticket, search)
        return Ending(over.result, over.note, ticket=ticket)
    if search.shut:
        until = _jittered(search.shut.until, 5)
        return Ending(None, search.shut.reason, until, excused=True, ticket=ticket, found=found)
    return Ending(Result.DONE, found.note, ticket=ticket, found=found)


async def _told(services: Services, autotask: Autotask, lease: Lease, ending: Ending) -> Ending:
    """Write the note about a ticket that is done; while it cannot be told, the looks go on."""
    if ending.result is None:
        return ending
    try:
        await notes.tell(services, autotask, lease)
    except NotNow as wait:
        until = _jittered(wait.until, 2)
        return replace(ending, result=None, note=wait.reason, again_at=until, excused=True)
    return ending


async def _without_list(services: Services, lease: Lease, ticket: Ticket, search: Search) -> Ending:
    """End a look that found nobody to add."""
    over = preview.without_list(ticket, search)
    async with services.sessions() as session:
        known_for = await tickets.known_for(session, lease)
    # Late lists are waited for once, not after every change of the ticket.
    age = sources.next_reading(ticket, services.settings, max(lease.age, known_for))
    again_at = lease.since + age if age else None
    if over.shut:
        until = _jittered(over.shut.until, 5)
        # A field or an attachment may come earlier than the mailbox.
        again_at = min(until, again_at) if again_at else until
        return Ending(
            None, over.note, again_at, excused=True, ticket=ticket, waits_for_mailbox=True
        )
    if over.result is Result.NO_LIST and again_at:
        return Ending(None, f"{over.note}; asked again", again_at, excused=True, ticket=ticket)
    return Ending(over.result, over.note, ticket=ticket, found=over.found)


async def _still_waiting(services: Services, lease: Lease) -> Ending | None:
    """Spare Autotask the readings of tickets that only the mailbox can help, while it is shut."""
    if lease.age <= sources.REREADS[-1]:
        return None  # fields and attachments may still come
    until = await services.mailbox.pause()
    if until is None:
        return None
    async with services.sessions() as session:
        if not await tickets.waits_for_mailbox(session, lease.ref):
            return None
        if await participants.of_ticket(session, lease.ref):
            return None
    note = "the mailbox cannot be read now; see /health/work"
    return Ending(None, note, _jittered(until, 60), excused=True, waits_for_mailbox=True)


async def _record(services: Services, lease: Lease, ending: Ending) -> None:
    """Store the look's end and free the ticket, in one transaction."""
    note = mask(ending.note)[:500] if ending.note else None
    async with fenced(services.sessions, lease) as session:
        due_at = await work.finish(session, lease, ending.again_at, spent=ending.spent)
        if ending.result in _OVER:
            created = await creating.contacts_created_for(session, lease.ref)
            await participants.close(session, lease.ref, created, note or ending.result)
        found, ticket = ending.found, ending.ticket
        looked = Looked(
            ticket,
            ending.result,
            note,
            due_at,
            source=found.source if found else None,
            message_id=found.message_id if found else None,
            by_mail=sources.comes_by_mail(ticket, services.settings) if ticket else None,
            waits_for_mailbox=ending.waits_for_mailbox,
        )
        await tickets.record_look(session, lease, looked)
        if ticket:
            await loops.break_loop(session, ticket, services.settings)


def _backoff(tries: int, longest: float = 1800) -> timedelta:
    """Wait longer after each try: from 5 seconds to `longest`, give or take a fifth."""
    seconds = min(5 * 2 ** min(tries - 1, 20), longest)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311  no secret


def _jittered(at: datetime, seconds: float) -> datetime:
    """Add up to some seconds, so that those who wait for one thing do not all come at once."""
    return at + timedelta(seconds=random.uniform(0, seconds))  # noqa: S311  no secret
