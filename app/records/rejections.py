"""Participants who are rejected, taken off or forgotten: not by a look or an approval. SQL only.

What looks decide and do, and what people approve, is written in app/records/participants.py.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Outcome
from app.db.tables import Ledger, LinkRecord, Participant
from app.decide import Reason, Verdict
from app.due import work


def of_link(link: LinkRecord) -> ColumnElement[bool]:
    """Return the condition for the participants of a link."""
    # A participant whose create or link was not finished has no contact on record yet.
    created = select(Ledger.email).where(
        Ledger.contact_id == link.contact_id, Ledger.ticket_id == link.ticket_id
    )
    return and_(
        Participant.ticket_id == link.ticket_id,
        or_(Participant.contact_id == link.contact_id, Participant.key.in_(created)),
    )


async def reject(session: AsyncSession, who: str, *people: ColumnElement[bool]) -> None:
    """Reject participants in the account that their ticket is in; no look brings them again."""
    await session.execute(
        update(Participant)
        .where(*people)
        .values(
            rejected_by=who,
            judged_at=func.clock_timestamp(),
            judged_account=Participant.account_id,
        )
    )


async def reject_pending(session: AsyncSession, ticket_id: int, who: str) -> None:
    """Reject each participant who is pending, or held because the ticket or the day was full."""
    limits = (Reason.OVER_LIMIT, Reason.OVER_DAILY_LIMIT)
    no_room = and_(Participant.outcome == Outcome.HELD, Participant.reason.in_(limits))
    pending = or_(Participant.outcome.is_(None), no_room)
    await reject(session, who, Participant.ticket_id == ticket_id, pending)


async def reject_created(session: AsyncSession, row: Ledger, who: str) -> None:
    """Reject the participant that a contact was created for."""
    its = and_(Participant.ticket_id == row.ticket_id, Participant.key == row.email)
    await reject(session, who, its)
    await session.execute(update(Participant).where(its).values(contact_id=row.contact_id))


async def withdraw(session: AsyncSession, *people: ColumnElement[bool]) -> None:
    """Take a rejection back; an earlier approval stays."""
    before = Participant.approved_by.is_not(None)
    await session.execute(
        update(Participant)
        .where(*people)
        .values(
            rejected_by=None,
            judged_at=case((before, Participant.judged_at)),
            judged_account=case((before, Participant.judged_account)),
        )
    )


async def record_off(session: AsyncSession, outcome: Outcome, *people: ColumnElement[bool]) -> None:
    """Store that participants are off their ticket."""
    await session.execute(
        update(Participant)
        .where(*people)
        .values(outcome=outcome, retry_at=None, acted_at=func.clock_timestamp())
    )


async def blank(session: AsyncSession, key: str, alias: str) -> int:
    """Blank a forgotten address on its tickets, and return their number.

    What was done is kept; what is pending or held is ignored from now on.
    """
    its = Participant.key == key
    rows = await session.execute(select(Participant.ticket_id).where(its))
    tickets = list(rows.scalars())
    await work.hold(session, work.TICKET, tickets)
    # An earlier version stored an alias that was typed into a list, as it stood there.
    typed = (Participant.key == alias, Participant.reason == Reason.INVALID)
    await session.execute(
        delete(Participant)
        .where(Participant.ticket_id.in_(tickets), *typed)
        .execution_options(synchronize_session=False)
    )
    has_alias = select(Participant.ticket_id).where(Participant.key == alias)
    await session.execute(
        delete(Participant)
        .where(its, Participant.ticket_id.in_(has_alias))
        .execution_options(synchronize_session=False)
    )
    waits = Participant.outcome.is_(None) | (Participant.outcome == Outcome.HELD)
    await session.execute(
        update(Participant)
        .where(its)
        .values(
            key=alias,
            name="",
            detail=None,
            decision=Verdict.IGNORE,
            reason=Reason.FORGOTTEN,
            outcome=case((waits, Outcome.IGNORED), else_=Participant.outcome),
            failures=0,
            retry_at=None,
            decided_at=func.clock_timestamp(),
        )
        .execution_options(synchronize_session=False)
    )
    return len(tickets)
