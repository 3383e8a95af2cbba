"""A contact that we created is retired: its intent, each part, and why it is not retired after all.

app/contacts/retire.py decides and sends the requests. Here is what it stores.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import (
    AT_AUTOTASK,
    BY_US,
    ON_TICKET,
    RETIRABLE,
    STANDING,
    EndedBy,
    LedgerError,
    LedgerState,
    Outcome,
)
from app.db.tables import Ledger, LinkRecord, Participant, TicketRecord
from app.records import audit, mappings, rejections
from app.records.ledger.common import (
    IF_FORGOTTEN,
    Pending,
    audit_by_service,
    blank_forgotten,
    is_taken,
)


class Changed(Exception):
    """The contact's row has changed since it was read: read it and the contact again."""


async def order_forgotten(session: AsyncSession, email: str) -> None:
    """Order the retirement of each contact that we created for a forgotten address.

    A contact that was left to a person stays.
    """
    await session.execute(
        update(Ledger)
        .where(Ledger.email == email, Ledger.state.in_(STANDING), Ledger.kept.is_(None))
        .values(end_why=EndedBy.FORGOTTEN, end_at=None)
    )


async def saw_in_use(session: AsyncSession, contact_ids: Collection[int]) -> None:
    """Cancel the ending of contacts that a moved ticket left behind: they are used after all."""
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id.in_(list(contact_ids)), Ledger.end_why == EndedBy.MOVED)
        .where(Ledger.state == LedgerState.CREATED)
        .values(end_why=None, end_at=None)
    )


async def freed(session: AsyncSession, contact_id: int) -> None:
    """Record that the contact came off a ticket that has moved to another account."""
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id == contact_id, Ledger.state == LedgerState.CREATED)
        .values(freed_at=func.clock_timestamp())
    )


async def intend(
    session: AsyncSession,
    row: Ledger,
    why: EndedBy,
    may_be_on: Collection[int],
    settle: timedelta,
    who: str = audit.SERVICE,
) -> set[int]:
    """Store the intent of the next step. Return the tickets that need the contact: then no intent.

    may_be_on: tickets that do not need the contact. settle: how long an unanswered link request
    may still take effect. who: for an undo, the person who ordered it. The row is locked, so that
    no look announces a link of the contact at the same time (being_ended). Raise Changed if it is
    being brought back, or otherwise changed, since it was read.
    """
    locked = await session.get_one(Ledger, row.id, with_for_update=True, populate_existing=True)
    if (locked.state, locked.sent_at) != (row.state, row.sent_at):
        raise Changed
    if locked.end_why == EndedBy.FORGOTTEN:
        why = EndedBy.FORGOTTEN  # ordered since the row was read, and it goes further
    needed = await _needed(session, row, why, may_be_on, settle)
    if locked.state not in AT_AUTOTASK:
        return needed or {locked.ticket_id}
    if needed:
        return needed
    if locked.state != LedgerState.RETIRING or locked.end_why != why:
        locked.state, locked.end_why = LedgerState.RETIRING, why
        locked.needed_at = locked.kept = None
        await _record_intent(session, row, why, who)
    locked.settled_at = await db_now(session)  # from now on links wait for what this step brings
    return set()


async def _needed(
    session: AsyncSession,
    row: Ledger,
    why: EndedBy,
    may_be_on: Collection[int],
    settle: timedelta,
) -> set[int]:
    """Return the open tickets that the contact is on by our records, or may still come onto."""
    may_come = and_(LinkRecord.unanswered, LinkRecord.sent_at > func.now() - settle)
    links = await session.execute(
        select(LinkRecord.ticket_id, may_come)
        .join(TicketRecord, TicketRecord.id == LinkRecord.ticket_id)
        .where(LinkRecord.contact_id == row.contact_id, LinkRecord.stands())
        .where(or_(TicketRecord.over_at.is_(None), may_come))
    )
    # No ticket needs a forgotten person; only a request that is under way has to be waited for.
    by_records = why is not EndedBy.FORGOTTEN
    return {ticket for ticket, comes in links if comes or (by_records and ticket not in may_be_on)}


async def _record_intent(session: AsyncSession, row: Ledger, why: EndedBy, who: str) -> None:
    if why is not EndedBy.UNDO:
        audit_by_service(session, row, "contact_retiring", why=why)
        return
    audit.record(
        session,
        who,
        "undo_deactivate",
        account_id=row.account_id,
        ticket_id=row.ticket_id,
        contact_id=row.contact_id,
    )
    await rejections.reject_created(session, row, who)


async def being_ended(session: AsyncSession, contact_id: int, settle: timedelta) -> Pending | None:
    """Return when to retry if the contact is being retired, or may be; record that it is wanted.

    The lock keeps its retirement from beginning before this transaction ends.
    """
    rows = await session.execute(
        select(Ledger)
        .where(
            Ledger.contact_id == contact_id,
            Ledger.state.in_(RETIRABLE),
        )
        .order_by(Ledger.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    now = await db_now(session)
    ending = [row for row in rows.scalars() if row.state == LedgerState.RETIRING]
    for row in ending:
        row.needed_at = row.needed_at or now
    latest = max((row.settled_at for row in ending if row.settled_at), default=None)
    under_way = latest is not None and latest + settle > now
    return Pending.since(latest, now, settle) if latest and under_way else None


async def is_needed(session: AsyncSession, row: Ledger) -> bool:
    """Return whether a ticket has wanted the contact since its ending began."""
    needed = select(Ledger.needed_at).where(Ledger.id == row.id)
    return (await session.execute(needed)).scalar_one() is not None


async def retired(session: AsyncSession, row: Ledger) -> None:
    """Record that the contact is ended: until it is copied again, no address means it."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.state.in_(AT_AUTOTASK))
        .values(
            state=LedgerState.RETIRED,
            settled_at=func.clock_timestamp(),
            kept=None,
            end_at=None,
            error=None,
            error_code=None,
        )
    )
    await blank_forgotten(session, Ledger.id == row.id)
    undone = row.end_why == EndedBy.UNDO
    unfinished = and_(literal(undone), Participant.outcome.is_(None))
    await rejections.record_off(
        session,
        Outcome.UNLINKED if undone else Outcome.RETIRED,
        Participant.contact_id == row.contact_id,
        or_(Participant.outcome.in_(BY_US), unfinished),
    )
    await mappings.delete_of_contact(session, row.contact_id)
    audit_by_service(session, row, "contact_retired")


async def gone(session: AsyncSession, row: Ledger, rejected_by: str | None = None) -> None:
    """Record that the contact does not exist any more.

    rejected_by: who does not want the person on its ticket again, if a person ordered that.
    """
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id)
        .values(state=LedgerState.GONE, settled_at=func.clock_timestamp(), end_at=None)
    )
    await blank_forgotten(session, Ledger.id == row.id)
    await mappings.delete_of_contact(session, row.contact_id)
    if rejected_by:
        await rejections.reject_created(session, row, rejected_by)


async def leave_to_person(session: AsyncSession, row: Ledger, why: str) -> None:
    """Record that the contact is a person's, and is never ended by itself."""
    state = LedgerState.GONE if await is_taken(session, row) else LedgerState.CREATED
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.state.in_(AT_AUTOTASK))
        .values(state=state, kept=why[:200], end_at=None)
    )
    await blank_forgotten(session, Ledger.id == row.id)
    await _record_unlinked(session, row)
    audit_by_service(session, row, "contact_kept", why=why[:200])


async def later(
    session: AsyncSession,
    row: Ledger,
    until: datetime,
    error: str | None = None,
    code: LedgerError | None = None,
) -> None:
    """Put the ending, or the rest of it, off. error: what was in the way."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id)
        .values(end_at=until, error=error and error[:500], error_code=code)
    )


async def sent(
    session: AsyncSession, row: Ledger, settle: timedelta, *, address: bool = False
) -> None:
    """Store that a request is about to leave, which may take effect late.

    address: it sets the contact's address.
    """
    until = func.clock_timestamp() + settle
    values = {"unsure_until": until} | ({"address_until": until} if address else {})
    await session.execute(update(Ledger).where(Ledger.id == row.id).values(values))


async def answered(session: AsyncSession, row: Ledger) -> None:
    """Store that the request was answered. row: as it was read before the request was sent."""
    before = {"unsure_until": row.unsure_until, "address_until": row.address_until}
    await session.execute(update(Ledger).where(Ledger.id == row.id).values(before))


async def reactivated(session: AsyncSession, row: Ledger) -> None:
    """Record that a contact that an old undo deactivated is active, and can be retired anew."""
    await session.execute(
        update(Ledger).where(Ledger.id == row.id).values(settled_at=func.clock_timestamp())
    )


async def cancel_retirement(session: AsyncSession, row: Ledger) -> None:
    """Record that the contact is as it was: a ticket needs it.

    That its address is forgotten stays on record.
    """
    state = LedgerState.GONE if await is_taken(session, row) else LedgerState.CREATED
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.state.in_(AT_AUTOTASK))
        .values(
            state=state,
            settled_at=func.clock_timestamp(),
            end_at=None,
            end_why=IF_FORGOTTEN,
            needed_at=None,
            error=None,
            error_code=None,
        )
    )
    await _record_unlinked(session, row)
    audit_by_service(session, row, "contact_needed_again")


async def _record_unlinked(session: AsyncSession, row: Ledger) -> None:
    """Store that the contact, which stays, is off the tickets that its ending took it off."""
    taken_off = LinkRecord.contact_id == row.contact_id, LinkRecord.unlinked_at.is_not(None)
    off = select(LinkRecord.ticket_id).where(*taken_off)
    its = and_(Participant.contact_id == row.contact_id, Participant.ticket_id.in_(off))
    await rejections.record_off(session, Outcome.UNLINKED, its, Participant.outcome.in_(ON_TICKET))
