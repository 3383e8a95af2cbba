"""One look at one ticket, top to bottom: read it, find the list, decide, act, record."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, update

from app import participants, sources, work
from app.act import Acting, Halt, ReadAgain
from app.addresses import Address
from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Barred, Busy
from app.autotask.models import Ticket
from app.autotask.protocol import OWN_ORGANISATION, STATUS_COMPLETE
from app.db import db_now
from app.decide import decide
from app.desk import Desk
from app.errors import NotNow
from app.facts import Entries, Reading, gather
from app.models import Look, Participant, Result, TicketRecord
from app.work import Lease, fenced

log = structlog.get_logger()

GIVE_UP = timedelta(hours=72)
"""A ticket that could not be finished for so long has failed."""

_ROUNDS = 20  # readings of a ticket within one look


@dataclass(frozen=True, slots=True)
class Ending:
    """How a look ended. Without a result there is something left to do at again_at.

    spent: it counts as a try, for the pause before the next one.
    excused: not the ticket's own trouble, so it never makes the ticket fail.
    """

    result: Result | None
    note: str | None = None
    again_at: datetime | None = None
    spent: bool = False
    excused: bool = False
    ticket: Ticket | None = None


async def look(desk: Desk, lease: Lease) -> Result | None:
    """Look at a ticket and record how it ended; None when it is due again.

    Raises LeaseLost when another worker has taken over, in which case nothing was recorded.
    """
    ending = await _look_and_judge(desk, lease)
    if ending.result is None and lease.age > GIVE_UP and not ending.excused:
        ending = Ending(
            Result.FAILED, f"given up after 72 hours: {ending.note}", ticket=ending.ticket
        )
    await _record(desk, lease, ending)
    log.info("looked", result=ending.result, note=ending.note, tries=lease.tries)
    return ending.result


async def _look_and_judge(desk: Desk, lease: Lease) -> Ending:
    """Look, and turn what kept it from its end into when to look again."""
    now = lease.claimed_at
    try:
        return await _look(desk, lease)
    except NotNow as wait:
        return Ending(None, wait.reason, _jittered(wait.until, 2), excused=True)
    except Barred as error:
        return Ending(None, str(error), _jittered(now + timedelta(seconds=30), 5), excused=True)
    except Busy as error:
        again_at = now + timedelta(seconds=error.retry_after or 3)
        return Ending(None, str(error), _jittered(again_at, 3))
    except AutotaskError as error:
        return Ending(None, str(error), now + _backoff(lease.tries), spent=True)


async def _look(desk: Desk, lease: Lease) -> Ending:
    autotask = await desk.autotask(lease)
    refused: set[str] = set()
    ask = False
    for _ in range(_ROUNDS):
        reading = await _read(desk, autotask, lease)
        if isinstance(reading, Ending):
            return reading
        ticket = reading.ticket
        entries = await _find_list(desk, ticket)
        if not entries:
            note = "the list is empty" if entries is not None else None
            return Ending(Result.NO_LIST, note, ticket=ticket)
        facts = await gather(desk, autotask, lease, reading, entries, ask=ask)
        acting = Acting(desk, autotask, lease, reading, refused)
        try:
            await acting.carry_out(decide(entries, facts))
        except ReadAgain:
            ask = True
            continue
        except Halt as halt:
            acting.waits.append(halt.until)
        if acting.waits:
            note = "waiting for the outcome of a request, or to try again"
            return Ending(None, note, min(acting.waits), ticket=ticket)
        return Ending(Result.DONE, ticket=ticket)
    note = f"the ticket kept changing, or did not keep still for {_ROUNDS} readings"
    return Ending(None, note, lease.claimed_at + _backoff(lease.tries), spent=True, ticket=ticket)


async def _read(desk: Desk, autotask: Autotask, lease: Lease) -> Reading | Ending:
    """Read the ticket and who is on it; an Ending where that tells that nobody is to be added."""
    async with desk.sessions() as session:
        read_at = await db_now(session)
    ticket = await autotask.ticket(lease.ref)
    if ticket is None:
        return Ending(Result.GONE, "Autotask has no such ticket")
    asked_at = autotask.asked_at
    if ticket.status == STATUS_COMPLETE:
        return Ending(Result.COMPLETE, ticket=ticket)
    if ticket.company_id in (OWN_ORGANISATION, *desk.settings.catch_all_accounts):
        return Ending(Result.PARKED, "waits for a customer account", ticket=ticket)
    links = await autotask.additional_contacts(ticket.id)
    linked = frozenset(link.contact_id for link in links)
    return Reading(ticket, linked, asked_at, read_at)


async def _find_list(desk: Desk, ticket: Ticket) -> Entries | None:
    """Find the Cc list, and add those who were in it before: their work may not be done."""
    entries = sources.read_list(ticket, desk.settings.udf_names)
    async with desk.sessions() as session:
        before = await participants.of_ticket(session, ticket.id)
    if entries is None and not before:
        return None
    present = {entry.key for entry in entries or () if isinstance(entry, Address)}
    earlier = [Address(row.key, row.name) for row in before if _was_address(row)]
    return [*(entries or ()), *(one for one in earlier if one.key not in present)]


def _was_address(row: Participant) -> bool:
    return row.reason != "invalid"


async def _record(desk: Desk, lease: Lease, ending: Ending) -> None:
    """Store the look's end and free the ticket, in one transaction."""
    ticket = ending.ticket
    known = (
        {"number": ticket.number, "account_id": ticket.company_id, "contact_id": ticket.contact_id}
        if ticket
        else {}
    )
    note = ending.note[:500] if ending.note else None
    async with fenced(desk.sessions, lease) as session:
        await session.execute(
            update(TicketRecord)
            .where(TicketRecord.id == lease.ref)
            .values(result=ending.result, note=note, looked_at=func.now(), **known)
        )
        session.add(
            Look(
                ticket_id=lease.ref,
                attempt=lease.attempt,
                started_at=lease.claimed_at,
                result=ending.result,
                note=note,
                again_at=ending.again_at,
            )
        )
        await work.finish(session, lease, ending.again_at, spent=ending.spent)


def _backoff(tries: int) -> timedelta:
    """Wait longer after each try: 5 seconds to 30 minutes, give or take a fifth."""
    seconds = min(5 * 2 ** min(tries - 1, 20), 1800)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))  # noqa: S311  no secret


def _jittered(at: datetime, seconds: float) -> datetime:
    """Add up to some seconds, so that those who wait for one thing do not all come at once."""
    return at + timedelta(seconds=random.uniform(0, seconds))  # noqa: S311  no secret
