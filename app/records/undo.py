"""What we did for a ticket, by our records alone, and that it was undone. SQL only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Update, and_, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import EndedBy, LedgerState, Outcome
from app.db.tables import Ledger, LinkRecord, Mapping, Participant
from app.decide import Reason
from app.records import audit

_STANDING = (
    LedgerState.SENDING,
    LedgerState.UNSURE,
    LedgerState.CREATED,
    LedgerState.RETIRING,
    LedgerState.RESTORING,
)


@dataclass(frozen=True, slots=True)
class Traces:
    """Links that we made or may have made, contacts that we created or may have, addresses."""

    links: Sequence[LinkRecord]
    created: Sequence[Ledger]
    addresses: dict[int, str]


async def tickets_since(session: AsyncSession, ago: timedelta | datetime) -> list[int]:
    """Name the tickets for which we linked or created somebody since a time, or for so long."""
    since = func.now() - ago if isinstance(ago, timedelta) else ago
    linked = select(LinkRecord.ticket_id).where(
        LinkRecord.may_be_ours(),
        or_(LinkRecord.sent_at >= since, LinkRecord.first_seen_linked_at >= since),
    )
    created = select(Ledger.ticket_id).where(Ledger.state.in_(_STANDING), Ledger.sent_at >= since)
    return sorted(set((await session.execute(linked.union(created))).scalars()))


async def of_ticket(session: AsyncSession, ticket_id: int) -> Traces:
    """Give what we did for a ticket and have not undone."""
    links = await session.execute(
        select(LinkRecord)
        .where(LinkRecord.ticket_id == ticket_id, LinkRecord.may_be_ours())
        .order_by(LinkRecord.contact_id)
    )
    created = await session.execute(
        select(Ledger)
        .where(Ledger.ticket_id == ticket_id, Ledger.state.in_(_STANDING))
        .order_by(Ledger.id)
    )
    people = await session.execute(
        select(Participant.contact_id, Participant.key).where(
            Participant.ticket_id == ticket_id, Participant.contact_id.is_not(None)
        )
    )
    addresses = {contact_id: key for contact_id, key in people if contact_id is not None}
    return Traces(list(links.scalars()), list(created.scalars()), addresses)


async def ended_of_ticket(session: AsyncSession, ticket_id: int) -> list[Ledger]:
    """Give the contacts that we created for a ticket and have ended since by ourselves."""
    ended = await session.execute(
        select(Ledger)
        .where(Ledger.ticket_id == ticket_id, Ledger.state == LedgerState.RETIRED)
        .where(Ledger.end_why.is_not(None), Ledger.end_why != EndedBy.UNDO)
        .order_by(Ledger.id)
    )
    return list(ended.scalars())


async def linked_elsewhere(session: AsyncSession, contact_id: int) -> set[int]:
    """Name the tickets that a contact is on by our records, or may come onto."""
    found = await session.execute(
        select(LinkRecord.ticket_id).where(LinkRecord.contact_id == contact_id, LinkRecord.stands())
    )
    return set(found.scalars())


async def stop(session: AsyncSession, ticket_id: int, who: str) -> None:
    """Let no look bring whom it has not brought yet, or held for want of room, which undo makes."""
    limits = (Reason.OVER_LIMIT, Reason.OVER_DAILY_LIMIT)
    no_room = and_(Participant.outcome == Outcome.HELD, Participant.reason.in_(limits))
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == ticket_id, or_(Participant.outcome.is_(None), no_room))
        .values(
            rejected_by=who,
            judged_at=func.clock_timestamp(),
            judged_account=Participant.account_id,
        )
    )


async def intend_unlink(
    session: AsyncSession, link: LinkRecord, who: str, what: str = "undo_unlink"
) -> None:
    """Store that a contact is about to be taken off; from now on no look brings them again."""
    audit.record(session, who, what, ticket_id=link.ticket_id, contact_id=link.contact_id)
    await session.execute(link.update().values(unlinked_at=func.clock_timestamp(), ours=True))
    await session.execute(
        _people(link).values(
            rejected_by=who,
            judged_at=func.clock_timestamp(),
            judged_account=Participant.account_id,
        )
    )


async def keep_link(session: AsyncSession, link: LinkRecord) -> None:
    """Take that back: the contact is on the ticket as before."""
    await session.execute(link.update().values(unlinked_at=None))
    before = Participant.approved_by.is_not(None)
    await session.execute(
        _people(link).values(
            rejected_by=None,
            judged_at=case((before, Participant.judged_at)),
            judged_account=case((before, Participant.judged_account)),
        )
    )


async def unlinked(session: AsyncSession, link: LinkRecord) -> None:
    """Record that a contact is off the ticket; a link that is seen later is a person's."""
    await session.execute(
        link.update().values(
            unlinked_at=func.coalesce(LinkRecord.unlinked_at, func.clock_timestamp()),
            ours=False,
            sent_at=None,
            link_id=None,
        )
    )
    await session.execute(
        _people(link).values(
            outcome=Outcome.UNLINKED, retry_at=None, acted_at=func.clock_timestamp()
        )
    )


async def intend_retire(
    session: AsyncSession, row: Ledger, who: str, off: Collection[int]
) -> set[int]:
    """Store that a contact is about to be deactivated; no address means it any more.

    off: tickets that it was taken off. Gives the tickets that it has been announced for since it
    was seen to be on none: then nothing is stored.
    """
    assert row.contact_id is not None
    # With the lock no link of it is announced in between (participants.intend_link).
    await session.execute(select(Ledger.id).where(Ledger.id == row.id).with_for_update())
    needed = await linked_elsewhere(session, row.contact_id) - {row.ticket_id, *off}
    if needed:
        return needed
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id)
        .values(
            state=LedgerState.RETIRING,
            settled_at=func.clock_timestamp(),
            end_why=EndedBy.UNDO,
        )
    )
    audit.record(
        session,
        who,
        "undo_deactivate",
        account_id=row.account_id,
        ticket_id=row.ticket_id,
        contact_id=row.contact_id,
    )
    await never_again(session, row, who)
    await _drop_mappings(session, row)
    return set()


async def never_again(session: AsyncSession, row: Ledger, who: str) -> None:
    """Let no look bring the person again for whom a contact was created, finished or not."""
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == row.ticket_id, Participant.key == row.email)
        .values(
            rejected_by=who,
            judged_at=func.clock_timestamp(),
            judged_account=Participant.account_id,
            contact_id=row.contact_id,
        )
    )


async def over(session: AsyncSession, row: Ledger, who: str) -> None:
    """Record that a contact of ours was inactive or gone before, and let no look bring another."""
    await never_again(session, row, who)
    await retired(session, row)


async def retired(session: AsyncSession, row: Ledger) -> None:
    """Record that a contact of ours is inactive or gone."""
    await session.execute(
        update(Ledger)
        .where(
            Ledger.id == row.id,
            Ledger.state.in_((LedgerState.CREATED, LedgerState.RETIRING)),
        )
        .values(state=LedgerState.RETIRED, settled_at=func.clock_timestamp(), end_why=EndedBy.UNDO)
    )
    await session.execute(
        update(Participant)
        .where(
            Participant.ticket_id == row.ticket_id,
            or_(Participant.contact_id == row.contact_id, Participant.key == row.email),
            or_(
                Participant.outcome.is_(None),
                Participant.outcome == Outcome.CREATED_NOT_LINKED,
            ),
        )
        .values(outcome=Outcome.UNLINKED)
    )
    await _drop_mappings(session, row)


async def _drop_mappings(session: AsyncSession, row: Ledger) -> None:
    await session.execute(delete(Mapping).where(Mapping.contact_id == row.contact_id))


def _people(link: LinkRecord) -> Update:
    # Somebody whose create or link was not finished has no contact on record yet.
    created = select(Ledger.email).where(
        Ledger.contact_id == link.contact_id, Ledger.ticket_id == link.ticket_id
    )
    return update(Participant).where(
        Participant.ticket_id == link.ticket_id,
        or_(Participant.contact_id == link.contact_id, Participant.key.in_(created)),
    )
