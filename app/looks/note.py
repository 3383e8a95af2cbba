"""Write the note on a ticket: one when its looks are over, another when something has changed."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import structlog

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Busy, Forbidden, NotSent, Refused
from app.autotask.models import Choice
from app.db import database
from app.db.database import db_now, persist_with
from app.db.states import WOULD, NoteError
from app.due.work import Lease, LeaseLost, fenced
from app.looks.note_text import compose
from app.looks.note_writers import Writers
from app.mail.addresses import mask
from app.outbound.rules import NotNow, RightMissing, leave_by
from app.records import notes, participants, tickets
from app.records.notes import Claim
from app.services import Services

log = structlog.get_logger()

_GIVE_UP = timedelta(hours=24)  # a ticket does not stay open longer than this for its note
_AGAIN = timedelta(minutes=5)
_REST = timedelta(hours=1)  # no note is sent within this time after a 403, which shuts the gate
_VENDORS_TYPE = 1  # the type of the note in Autotask's own sample


async def write_note(services: Services, autotask: Autotask, lease: Lease) -> None:
    """Write the note about a ticket's participants, unless the ticket has it already.

    Raises LeaseLost, and for a day at most NotNow: the note cannot be written now, or it is unknown
    whether it was. A refused note is recorded, and fails neither ticket nor participant.
    """
    text = await _new_text(services, lease.ref)
    if text is None:
        return
    try:
        await _settle_earlier(services, autotask, lease)
        await _write(services, autotask, lease, text)
    except NotNow:
        if lease.age <= _GIVE_UP:
            raise
        log.warning("note_given_up")
    except AutotaskError as error:
        if lease.age > _GIVE_UP:
            log.warning("note_given_up", error=mask(str(error)))
            return
        until = await database.now(services.sessions) + _AGAIN
        raise NotNow(until, f"the note waits: {error}") from error


async def _new_text(services: Services, ticket_id: int) -> str | None:
    """Return the note's text; None if notes are off, the ticket is observed, or it has the note."""
    mode = services.settings.ticket_note
    if mode == "off":
        return None
    async with services.sessions() as session:
        if await tickets.is_observed(session, ticket_id):
            return None
        if await notes.forbidden_within(session, _REST):
            return None
        people = await participants.of_ticket(session, ticket_id)
        if any(row.outcome in WOULD for row in people):
            return None
        text = compose(people, ticket_id, mode)
        unsettled = await notes.unsettled(session, ticket_id)
        if text is None:
            return None
        said = await notes.is_said(session, ticket_id, digest_of(text))
    return text if unsettled or not said else None


async def _settle_earlier(services: Services, autotask: Autotask, lease: Lease) -> None:
    """Find out whether an unanswered note was written. Raises NotNow while that is unknown."""
    async with services.sessions() as session:
        if not await notes.uncertain(session, lease.ref):
            return
        read_at = await db_now(session)
    # A customer's note is not ours, whatever its title says.
    there = await Writers(autotask).not_by_customers(await autotask.notes(lease.ref))
    titles = [(note.id, note.title or "") for note in there]
    async with fenced(services.sessions, lease) as session:
        pending = await notes.recognise(
            session, lease.ref, titles, settle=services.create_settle, read_at=read_at
        )
    if pending:
        raise NotNow(pending.until, "whether the note was written is looked up")


async def _write(services: Services, autotask: Autotask, lease: Lease, text: str) -> None:
    """Write the note once; the intent is stored first."""
    publish = services.settings.ticket_note_publish
    assert publish is not None, "the settings require it"
    choices = await services.directory.note_choices(autotask)
    note_type = note_type_of(choices["noteType"]) if choices else None
    wrong = _wrong_publish(publish, choices["publish"]) if choices else None
    if wrong or note_type is None:
        error = wrong or "Autotask offers no type of note"
        code = NoteError.WRONG_SETTING if wrong else None
        if choices is None:
            error, code = "who may read notes cannot be read at Autotask", NoteError.UNCHECKED
        log.error("note_not_written", reason=error)
        async with fenced(services.sessions, lease) as session:
            await notes.refused_by_us(session, lease.ref, digest_of(text), error, code)
        return
    not_after = leave_by()
    async with fenced(services.sessions, lease) as session:
        claim = await notes.claim(session, lease.ref, digest_of(text))
    if claim is None:
        return
    try:
        note_id = await autotask.create_note(
            lease.ref, claim.title, text, publish, note_type, not_after
        )
    except Refused as error:
        await _refused(services, claim, str(error))
    except (Forbidden, RightMissing) as error:
        await _refused(services, claim, f"forbidden: {error}", NoteError.FORBIDDEN)
    except (Busy, NotSent, NotNow, LeaseLost):
        await persist_with(services.sessions, notes.withdraw, claim=claim)
        raise
    except Exception as error:
        await _unanswered(services, claim, error)
    else:
        await persist_with(services.sessions, notes.created, claim=claim, note_id=note_id)
        log.info("note_written", note=note_id)


async def _refused(
    services: Services, claim: Claim, error: str, code: NoteError | None = None
) -> None:
    log.warning("note_refused", error=mask(error))
    await persist_with(services.sessions, notes.refused, claim=claim, error=error, code=code)


async def _unanswered(services: Services, claim: Claim, error: Exception) -> None:
    """Record that a later look has to find out whether the note was written; raise NotNow."""
    await persist_with(services.sessions, notes.unsure, claim=claim)
    if not isinstance(error, AutotaskError):
        raise error
    until = await database.now(services.sessions) + timedelta(seconds=2)
    raise NotNow(until, "whether the note was written is looked up") from error


def digest_of(text: str) -> str:
    """Return the digest by which a note is known to have been written before."""
    return hashlib.sha256(text.encode()).hexdigest()


def note_type_of(choices: tuple[Choice, ...]) -> int | None:
    """Return the type of a note: that of the vendor's sample, else the lowest active one.

    The type only sorts notes; it does not decide who sees them.
    """
    active = sorted(choice.value for choice in choices if choice.active)
    return _VENDORS_TYPE if _VENDORS_TYPE in active else next(iter(active), None)


def _wrong_publish(publish: int, choices: tuple[Choice, ...]) -> str | None:
    active = {choice.value: choice.label for choice in choices if choice.active}
    if publish in active:
        return None
    offered = ", ".join(f"{value} ({label})" for value, label in sorted(active.items()))
    return f"TICKET_NOTE_PUBLISH {publish} is none of Autotask's choices: {offered}"
