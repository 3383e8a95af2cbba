"""A contact of ours is ended: the intent, each part of it, and when it is not to be."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import AT_AUTOTASK, EndedBy, LedgerState, Outcome
from app.db.tables import Ledger, LinkRecord, Participant, TicketRecord
from app.records import forgotten
from app.records.ledger.common import drop_mappings, is_taken, record


async def intend(
    session: AsyncSession,
    row: Ledger,
    why: EndedBy,
    may_be_on: Collection[int],
    settle: timedelta,
) -> set[int]:
    """Store that a contact is about to be ended; gives the tickets that want it, or nothing.

    may_be_on: tickets that are over, says Autotask. settle: how long a link without an answer may
    still come. With the lock none is announced in between (ledger.being_ended).
    """
    locked = await session.get_one(Ledger, row.id, with_for_update=True, populate_existing=True)
    may_come = and_(LinkRecord.unanswered, LinkRecord.sent_at > func.now() - settle)
    on = (
        select(LinkRecord.ticket_id, may_come)
        .join(TicketRecord, TicketRecord.id == LinkRecord.ticket_id)
        .where(LinkRecord.contact_id == row.contact_id, LinkRecord.stands())
        .where(or_(TicketRecord.over_at.is_(None), may_come))
    )
    found = await session.execute(on)
    wanted = {ticket for ticket, comes in found if comes or ticket not in may_be_on}
    if locked.state not in AT_AUTOTASK:
        return wanted or {locked.ticket_id}
    if wanted:
        return wanted
    if locked.state != LedgerState.RETIRING:
        locked.state, locked.end_why, locked.needed_at = LedgerState.RETIRING, why, None
        record(session, row, "contact_retiring", why=why)
    locked.settled_at = await db_now(session)  # from now on links wait for what this step brings
    return set()


async def is_needed(session: AsyncSession, row: Ledger) -> bool:
    """Tell whether a ticket has wanted a contact since its ending began."""
    needed = select(Ledger.needed_at).where(Ledger.id == row.id)
    return (await session.execute(needed)).scalar_one() is not None


async def unlinked(session: AsyncSession, link: LinkRecord) -> None:
    """Record that our link is off a ticket that is over."""
    await session.execute(
        link.update().values(
            unlinked_at=func.coalesce(LinkRecord.unlinked_at, func.clock_timestamp()),
            ours=False,
            sent_at=None,
            link_id=None,
            end_why=None,
        )
    )


async def intend_unlink(session: AsyncSession, link: LinkRecord) -> None:
    """Store that our link is about to come off."""
    await session.execute(link.update().values(unlinked_at=func.clock_timestamp(), ours=True))


async def keep_link(session: AsyncSession, link: LinkRecord) -> None:
    """Take that back: the link stays."""
    await session.execute(link.update().values(unlinked_at=None))


async def retired(session: AsyncSession, row: Ledger) -> None:
    """Record that a contact is ended: no address means it until it is copied again.

    One that is to be forgotten is not kept any longer: the contact does not carry it any more.
    """
    if await forgotten.forgotten(session, [row.email]):
        blank = {"email": forgotten.alias(row.email), "sent": None}
        await session.execute(update(Ledger).where(Ledger.id == row.id).values(blank))
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.state.in_(AT_AUTOTASK))
        .values(
            state=LedgerState.RETIRED,
            settled_at=func.clock_timestamp(),
            end_at=None,
            error=None,
        )
    )
    on_ticket = (Outcome.LINKED, Outcome.CREATED_AND_LINKED, Outcome.CREATED_NOT_LINKED)
    await session.execute(
        update(Participant)
        .where(Participant.contact_id == row.contact_id, Participant.outcome.in_(on_ticket))
        .values(outcome=Outcome.RETIRED, acted_at=func.clock_timestamp())
    )
    await drop_mappings(session, row)
    record(session, row, "contact_retired")


async def gone(session: AsyncSession, row: Ledger) -> None:
    """Record that a contact does not exist any more."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id)
        .values(state=LedgerState.GONE, settled_at=func.clock_timestamp(), end_at=None)
    )
    await drop_mappings(session, row)


async def keep(session: AsyncSession, row: Ledger, why: str) -> None:
    """Record that a contact is a person's, and never ended by itself."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.state.in_(AT_AUTOTASK))
        .values(state=await _stands_as(session, row), kept=why[:200], end_at=None)
    )
    record(session, row, "contact_kept", why=why[:200])


async def later(
    session: AsyncSession, row: Ledger, until: datetime, error: str | None = None
) -> None:
    """Put off what has not begun, and go on later with what has. error: what was in the way."""
    await session.execute(
        update(Ledger).where(Ledger.id == row.id).values(end_at=until, error=error and error[:500])
    )


async def sent(session: AsyncSession, row: Ledger, settle: timedelta) -> None:
    """Store that a request is about to leave that may take effect late."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id)
        .values(unsure_until=func.clock_timestamp() + settle)
    )


async def answered(session: AsyncSession, row: Ledger, before: datetime | None) -> None:
    """Store that it got its answer. before: until when an earlier one may take effect."""
    await session.execute(update(Ledger).where(Ledger.id == row.id).values(unsure_until=before))


async def never_created(session: AsyncSession, row: Ledger) -> None:
    """Record that a request without an answer created nothing, unless it was sent again since."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.sends == row.sends)
        .where(Ledger.state.in_((LedgerState.SENDING, LedgerState.UNSURE)))
        .values(state=LedgerState.REFUSED, settled_at=func.clock_timestamp(), end_at=None)
    )


async def step_back(session: AsyncSession, row: Ledger) -> None:
    """Record that a contact is as it was: a ticket needs it."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.state.in_(AT_AUTOTASK))
        .values(
            state=await _stands_as(session, row),
            settled_at=func.clock_timestamp(),
            end_at=None,
            end_why=None,
            needed_at=None,
            error=None,
        )
    )
    record(session, row, "contact_needed_again")


async def _stands_as(session: AsyncSession, row: Ledger) -> LedgerState:
    """Say what a contact is that stays: none of ours, where its address has another by now."""
    return LedgerState.GONE if await is_taken(session, row) else LedgerState.CREATED
