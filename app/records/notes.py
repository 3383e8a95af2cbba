"""Notes that we wrote on tickets or are writing: each intent first, each text once. SQL only.

As with contacts (app/records/ledger/creating.py), a row commits as `sending` before its request is
sent. An unanswered note is looked for among the ticket's notes, by the row's id in the title. It is
given up only when Autotask can no longer carry out the request.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import UNSETTLED, LedgerState, NoteError
from app.db.tables import Note
from app.records.ledger.common import Pending

log = structlog.get_logger()

_LOST = "it got no answer, and is not among the ticket's notes"
_TIMES = 3  # that one text is sent without an answer


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one note."""

    id: int

    @property
    def title(self) -> str:
        """The note's title, by which it is recognised."""
        return f"{_mark(self.id)} people in Cc"


async def of_ticket(session: AsyncSession, ticket_id: int) -> list[Note]:
    """Return the notes that we wrote on a ticket, or are writing, the oldest first."""
    rows = await session.execute(select(Note).where(Note.ticket_id == ticket_id).order_by(Note.id))
    return list(rows.scalars())


async def unsettled(session: AsyncSession, ticket_id: int) -> bool:
    """Return whether a ticket has a note whose fate is unknown."""
    return any(row.state in UNSETTLED for row in await of_ticket(session, ticket_id))


async def uncertain(session: AsyncSession, ticket_id: int) -> bool:
    """Return whether a ticket may have a note that our records do not have as written.

    One that was refused may have been written all the same.
    """
    return any(
        row.state in UNSETTLED or (row.state == LedgerState.REFUSED and row.error_code is None)
        for row in await of_ticket(session, ticket_id)
    )


async def is_said(session: AsyncSession, ticket_id: int, digest: str) -> bool:
    """Return whether a note with this text is on the ticket."""
    rows = await of_ticket(session, ticket_id)
    return any(row.digest == digest and row.state == LedgerState.CREATED for row in rows)


async def recognise(
    session: AsyncSession,
    ticket_id: int,
    titles: Collection[tuple[int, str]],
    *,
    settle: timedelta,
    read_at: datetime,
) -> Pending | None:
    """Settle unanswered notes by the ticket's notes; return Pending to look again later.

    titles: id and title of the ticket's notes, read after `read_at`. settle: how long an unanswered
    request may still take effect.
    """
    pending: Pending | None = None
    for row in await of_ticket(session, ticket_id):
        if row.state == LedgerState.CREATED:
            continue
        ours = [note_id for note_id, title in titles if title.startswith(_mark(row.id))]
        if ours:
            row.state, row.note_id = LedgerState.CREATED, min(ours)
        elif row.state == LedgerState.REFUSED:
            continue
        elif row.sent_at + settle < read_at:
            row.state, row.error = LedgerState.REFUSED, _LOST
            row.error_code = NoteError.NO_ANSWER
        else:
            pending = Pending.since(row.sent_at, await db_now(session), settle)
    return pending


async def claim(session: AsyncSession, ticket_id: int, digest: str) -> Claim | None:
    """Store the intent to write a note; return None if it was written, or tried too often.

    The transaction holds the ticket's lease, and no note of the ticket is unsettled.
    """
    alike = [row for row in await of_ticket(session, ticket_id) if row.digest == digest]
    lost = sum(row.error_code == NoteError.NO_ANSWER for row in alike)
    if lost >= _TIMES or any(row.state == LedgerState.CREATED for row in alike):
        return None
    row = Note(ticket_id=ticket_id, state=LedgerState.SENDING, digest=digest)
    row.sent_at = await db_now(session)
    session.add(row)
    await session.flush()
    return Claim(row.id)


async def created(session: AsyncSession, claim: Claim, note_id: int) -> None:
    """Record that the note was written."""
    if not await _settle(session, claim, LedgerState.CREATED, note_id=note_id):
        known = await session.get(Note, claim.id)
        if known is None or known.note_id != note_id:
            log.error("note_after_it_was_given_up", note=note_id)


async def refused(
    session: AsyncSession, claim: Claim, error: str, code: NoteError | None = None
) -> None:
    """Record that the note was definitely not written, and why."""
    await _settle(session, claim, LedgerState.REFUSED, error=error[:500], error_code=code)


async def unsure(session: AsyncSession, claim: Claim) -> None:
    """Record that the request got no definite answer."""
    await _settle(session, claim, LedgerState.UNSURE)


async def withdraw(session: AsyncSession, claim: Claim) -> None:
    """Delete a request that was not sent, or was turned away for load."""
    await session.execute(delete(Note).where(Note.id == claim.id, Note.state.in_(UNSETTLED)))


async def refused_by_us(
    session: AsyncSession, ticket_id: int, digest: str, error: str, code: NoteError | None
) -> None:
    """Record that a note is not sent, and why; once for each text and reason."""
    alike = [row for row in await of_ticket(session, ticket_id) if row.digest == digest]
    row = next((row for row in alike if row.error == error), None)
    if row is None:
        row = Note(ticket_id=ticket_id, digest=digest, state=LedgerState.REFUSED, error=error)
        row.error_code = code
        session.add(row)
    row.sent_at = await db_now(session)


async def forbidden_within(session: AsyncSession, ago: timedelta) -> bool:
    """Return whether a note was refused within this time because a right is missing."""
    of_late = select(func.count()).where(
        Note.error_code == NoteError.FORBIDDEN, Note.sent_at > func.now() - ago
    )
    return bool((await session.execute(of_late)).scalar_one())


async def take_owed(session: AsyncSession, before: datetime) -> list[int]:
    """Return tickets whose note waits for its readers to be checked, of a day; each once."""
    waits = (
        update(Note)
        .where(
            Note.error_code == NoteError.UNCHECKED,
            Note.sent_at.between(before - timedelta(days=1), before),
        )
        .values(error_code=None)
        .returning(Note.ticket_id)
    )
    return sorted(set((await session.execute(waits)).scalars()))


async def wrong_setting(session: AsyncSession) -> Note | None:
    """Return the latest note if it was not written because of the settings."""
    latest = select(Note).order_by(Note.sent_at.desc()).limit(1)
    row = (await session.execute(latest)).scalar_one_or_none()
    return row if row and row.error_code == NoteError.WRONG_SETTING else None


async def _settle(
    session: AsyncSession, claim: Claim, state: LedgerState, **values: object
) -> bool:
    changed = await session.execute(
        update(Note)
        .where(Note.id == claim.id, Note.state.in_(UNSETTLED))
        .values(state=state, **values)
        .returning(Note.id)
    )
    return changed.scalar_one_or_none() is not None


def _mark(row_id: int) -> str:
    return f"autotask-cc {row_id}:"
