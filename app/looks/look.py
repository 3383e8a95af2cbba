"""One look at one ticket, top to bottom: read it, find the list, decide, act, record."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import sources
from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Barred, Busy, Overloaded, Unanswered
from app.autotask.models import Ticket
from app.contacts import loops
from app.db.database import is_outage
from app.db.states import ENDS_WORK, Result, WaitsFor
from app.decide import decide
from app.decide.waiting import Waiting
from app.due import work
from app.due.work import Lease, LeaseLost, fenced
from app.looks import merges, moves, read, waits
from app.looks.act import Acting, RefusedRequest
from app.looks.end import LookEnd, again_at, unread
from app.looks.facts import gather
from app.looks.note import write_note
from app.looks.read import NobodyToAdd, Reading
from app.looks.writes import Halt, ReadAgain, Writes
from app.mail.addresses import mask
from app.outbound.rules import NotNow
from app.records import absences, participants, tickets
from app.records.ledger import creating
from app.records.tickets import Looked
from app.services import Services
from app.sources import Found, Search

log = structlog.get_logger()

GIVE_UP = timedelta(hours=72)
"""A ticket that could not be finished within this time has failed."""

_PAUSE = timedelta(seconds=30)  # after which a shut gate may be open
_TRIES = 10  # before these no ticket is given up: it may have waited most of the time
_ROUNDS = 20  # readings of a ticket within one look
_SEARCH_SECONDS = 5.0  # a search that took longer is followed by another reading of the ticket
_SEARCHES = 3  # that took so long, in one look
_BARREN = 3  # readings in a row that may lead to no write


async def look(services: Services, lease: Lease) -> Result | None:
    """Look at a ticket and record how the look ended; return None if the ticket is due again.

    Raises LeaseLost if another worker has taken over; then nothing was recorded.
    """
    began = time.monotonic()
    end = await _look_or_wait(services, lease)
    tired = lease.age > GIVE_UP and lease.tries >= _TRIES
    if end.result is None and tired and not end.excused:
        end = LookEnd(Result.FAILED, f"given up after 72 hours: {end.note}", ticket=end.ticket)
    if end.result is None and end.waits:
        # By the database's clock: the look may have taken a while.
        now = lease.claimed_at + timedelta(seconds=time.monotonic() - began)
        end = replace(end, again_at=again_at(now, lease, end))
    await _record(services, lease, end)
    log.info("looked", result=end.result, note=end.note, tries=lease.tries)
    return end.result


async def _look_or_wait(services: Services, lease: Lease) -> LookEnd:
    """Look; after an error, return what the ticket waits for."""
    began = time.monotonic()
    autotask: Autotask | None = None
    try:
        if still := await _still_waiting(services, lease):
            return still
        autotask = await services.autotask(lease)
        end = await _look(services, autotask, lease)
    except NotNow as wait:
        waits = [Waiting(wait.waits_for, wait.until)]
        end = LookEnd(None, wait.reason, waits, excused=True)
    except AutotaskError as error:
        end = _after(error, lease.claimed_at + timedelta(seconds=time.monotonic() - began))
    except LeaseLost:
        raise
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("look_failed")
        note = f"a bug in this service, see the log: {type(error).__name__}"
        end = LookEnd(None, note, [Waiting(WaitsFor.BUG)], spent=True)
    # A look that has changed something is no measure of the next one.
    calls = autotask.made if autotask and not autotask.written else 0
    return replace(end, calls=calls)


def _after(error: AutotaskError, now: datetime) -> LookEnd:
    """Return the end of a look that an error of Autotask's has ended."""
    asked = timedelta(seconds=(error.retry_after or 0) if isinstance(error, Busy) else 0)
    if isinstance(error, Barred | Overloaded):
        waits = [Waiting(WaitsFor.GATE, now + max(asked, _PAUSE))]
        return LookEnd(None, str(error), waits, excused=True)
    cause = WaitsFor.BUSY if isinstance(error, Busy) else WaitsFor.ANSWER
    return LookEnd(None, str(error), [Waiting(cause, now + asked if asked else None)], spent=True)


async def _look(services: Services, autotask: Autotask, lease: Lease) -> LookEnd:
    searched: tuple[Ticket, Search] | None = None
    refused: dict[str, RefusedRequest] = {}
    ask, barren, searches = False, 0, 0
    for _ in range(_ROUNDS):
        reading = await _read(services, autotask, lease)
        if isinstance(reading, LookEnd):
            return reading
        ticket = reading.ticket
        if searched is None or searched[0] != ticket:
            searched = ticket, await sources.find_list(services, autotask, ticket)
            searches += 1
            if time.monotonic() - reading.asked_at > _SEARCH_SECONDS:
                if searches == _SEARCHES:
                    break
                continue
        search = searched[1]
        found = await read.with_earlier(services, ticket, search)
        if found is None or not found.entries:
            return await _without_list(services, lease, ticket, search)
        gathered = await gather(services, autotask, reading, found, ask=ask)
        found = found.without(services.directory.lacks(autotask))
        acting = Acting(Writes(services, autotask, lease, gathered), refused)
        try:
            await acting.carry_out(decide(found.entries, gathered))
        except ReadAgain:
            ask = True
            barren = 0 if acting.writes.announced else barren + 1
            if barren >= _BARREN:
                raise Unanswered("Autotask is too slow to act on what was read") from None
            continue
        except Halt as halt:
            return _halted(halt, ticket, search, found)
        end = _acted(ticket, search, found, acting)
        return end if gathered.observes else await _with_note(services, autotask, lease, end)
    assert searched
    note = "the ticket changed at each reading of this look"
    changing = [Waiting(WaitsFor.CHANGING)]
    return LookEnd(None, note, changing, spent=True, position=searched[1].position)


async def _read(services: Services, autotask: Autotask, lease: Lease) -> Reading | LookEnd:
    """Read the ticket, or return how the look ends that adds nobody.

    If the ticket has moved, our links of the account that it has left are taken back first.
    """
    reading = await read.read_ticket(services, autotask, lease.ref)
    if reading.ticket and await moves.take_back(services, autotask, lease, reading.ticket):
        reading = await read.read_ticket(services, autotask, lease.ref)
    if not isinstance(reading, NobodyToAdd):
        return reading
    if reading.result is Result.COMPLETE and reading.ticket:
        await merges.carry(services, autotask, lease, reading.ticket)
    missing = reading.missing
    again = missing.again_at if missing else None
    return LookEnd(
        reading.result,
        reading.note,
        [Waiting(WaitsFor.SHOWN, again)] if again else (),
        excused=True,
        ticket=reading.ticket,
        missing=missing,
    )


def _halted(halt: Halt, ticket: Ticket, search: Search, found: Found) -> LookEnd:
    note = "a request got no answer; whether it took effect is looked up"
    end = LookEnd(None, note, [halt.waiting], spent=True, ticket=ticket, found=found)
    return replace(end, position=search.position)


def _acted(ticket: Ticket, search: Search, found: Found, acting: Acting) -> LookEnd:
    """Return the end of a look that has done all that could be done now."""
    if acting.waits:
        note = "a participant has to wait: for another ticket's request, or to be tried again"
        note = f"a participant has to wait: {acting.why}" if acting.why else note
        if acting.gathered.again_at:
            note = "Autotask does not show a contact that was there before; it is read again"
        end = LookEnd(None, note, acting.waits, excused=True, ticket=ticket, found=found)
        return replace(end, position=search.position)
    if search.ambiguous:
        over = read.without_list(ticket, search)
        return LookEnd(over.result, over.note, ticket=ticket)
    if search.shut:
        return replace(
            unread(search.shut, None), ticket=ticket, found=found, position=search.position
        )
    return LookEnd(Result.DONE, found.note, ticket=ticket, found=found)


async def _with_note(services: Services, autotask: Autotask, lease: Lease, end: LookEnd) -> LookEnd:
    """Write the note on a ticket that is done; while that fails, the ticket is due again."""
    if end.result is None:
        return end
    try:
        await write_note(services, autotask, lease)
    except NotNow as wait:
        waits = [Waiting(WaitsFor.NOTE, wait.until)]
        return replace(end, result=None, note=wait.reason, waits=waits, excused=True)
    return end


async def _without_list(
    services: Services, lease: Lease, ticket: Ticket, search: Search
) -> LookEnd:
    """Return the end of a look that found nobody to add."""
    over = read.without_list(ticket, search)
    async with services.sessions() as session:
        known_for = await tickets.known_for(session, lease)
    # Late lists are waited for once, not after every change of the ticket.
    age = sources.next_reading(ticket, services.settings, max(lease.age, known_for))
    rereading = lease.since + age if age else None
    if over.shut:
        end = replace(unread(over.shut, rereading), ticket=ticket, waits_for_mailbox=True)
    elif over.result is Result.NO_LIST and rereading:
        waits = [Waiting(WaitsFor.LIST, rereading)]
        end = LookEnd(None, f"{over.note}; asked again", waits, excused=True, ticket=ticket)
    else:
        end = LookEnd(over.result, over.note, ticket=ticket, found=over.found)
    return replace(end, position=search.position)


async def _still_waiting(services: Services, lease: Lease) -> LookEnd | None:
    """Skip the reading of a ticket that waits for a right, or only for the mailbox, still shut."""
    if missing := await waits.for_a_right(services, lease):
        right = [Waiting(missing.waits_for, missing.until)]
        return LookEnd(None, missing.reason, right, excused=True)
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
    mailbox = [Waiting(WaitsFor.MAILBOX, until)]
    return LookEnd(None, note, mailbox, excused=True, waits_for_mailbox=True)


async def _record(services: Services, lease: Lease, end: LookEnd) -> None:
    """Store how the look ended and release the ticket, in one transaction."""
    note = mask(end.note)[:500] if end.note else None
    async with fenced(services.sessions, lease) as session:
        due_at = await work.finish(
            session, lease, end.again_at, spent=end.spent, waits_for=end.waits_for
        )
        if end.result in ENDS_WORK:
            created = await creating.contacts_created_for(session, lease.ref)
            await participants.close(session, lease.ref, created, note or end.result)
        found, ticket = end.found, end.ticket
        looked = Looked(
            ticket,
            end.result,
            note,
            due_at,
            source=found.source if found else None,
            message_id=found.message_id if found else None,
            by_mail=sources.comes_by_mail(ticket, services.settings) if ticket else None,
            waits_for_mailbox=end.waits_for_mailbox,
            mailbox_position=end.position.model_dump(mode="json") if end.position else None,
        )
        await tickets.record_look(session, lease, looked)
        await _record_absence(session, lease.ref, end)
        if ticket:
            await loops.break_loop(session, ticket, services.settings)


async def _record_absence(session: AsyncSession, ticket_id: int, end: LookEnd) -> None:
    """Count a reading that did not show the ticket; one that does ends the count."""
    if end.missing:
        read_at = end.missing.read_at
        await absences.record(session, absences.Kind.TICKET, [ticket_id], (), read_at)
    elif end.ticket:
        await absences.shown(session, absences.Kind.TICKET, [ticket_id])
