"""What we did for a ticket, by our records alone, for undo. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import STANDING, EndedBy, LedgerState
from app.db.tables import Ledger, LinkRecord, Participant


@dataclass(frozen=True, slots=True)
class Undoable:
    """What we did for a ticket and have not undone."""

    links: Sequence[LinkRecord]
    """Links that we made or may have made."""
    created: Sequence[Ledger]
    """Contacts that we created or may have created."""
    addresses: dict[int, str]
    """Addresses of the ticket's participants by contact."""


async def tickets_since(session: AsyncSession, ago: timedelta | datetime) -> list[int]:
    """Return the tickets for which we linked or created a contact since a time."""
    since = func.now() - ago if isinstance(ago, timedelta) else ago
    linked = select(LinkRecord.ticket_id).where(
        LinkRecord.may_be_ours(),
        or_(LinkRecord.sent_at >= since, LinkRecord.first_seen_linked_at >= since),
    )
    created = select(Ledger.ticket_id).where(Ledger.state.in_(STANDING), Ledger.sent_at >= since)
    return sorted(set((await session.execute(linked.union(created))).scalars()))


async def of_ticket(session: AsyncSession, ticket_id: int) -> Undoable:
    """Return what we did for a ticket and have not undone."""
    links = await session.execute(
        select(LinkRecord)
        .where(LinkRecord.ticket_id == ticket_id, LinkRecord.may_be_ours())
        .order_by(LinkRecord.contact_id)
    )
    created = await session.execute(
        select(Ledger)
        .where(Ledger.ticket_id == ticket_id, Ledger.state.in_(STANDING))
        .order_by(Ledger.id)
    )
    people = await session.execute(
        select(Participant.contact_id, Participant.key).where(
            Participant.ticket_id == ticket_id, Participant.contact_id.is_not(None)
        )
    )
    addresses = {contact_id: key for contact_id, key in people if contact_id is not None}
    return Undoable(list(links.scalars()), list(created.scalars()), addresses)


async def ended_of_ticket(session: AsyncSession, ticket_id: int) -> list[Ledger]:
    """Return the contacts that we created for a ticket and have ended since, but not by undo."""
    ended = await session.execute(
        select(Ledger)
        .where(Ledger.ticket_id == ticket_id, Ledger.state == LedgerState.RETIRED)
        .where(Ledger.end_why.is_not(None), Ledger.end_why != EndedBy.UNDO)
        .order_by(Ledger.id)
    )
    return list(ended.scalars())
