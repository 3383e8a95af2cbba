"""Everything that our records say about one ticket. SQL only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import Delivery, Due, Ledger, LinkRecord, Look, Note, Participant, TicketRecord
from app.due.work import TICKET
from app.records import links, notes, participants


@dataclass(frozen=True, slots=True)
class History:
    """What our records say about a ticket; each list begins with the oldest."""

    ticket: TicketRecord
    due: Due | None
    deliveries: Sequence[Delivery] = ()
    looks: Sequence[Look] = ()
    participants: Sequence[Participant] = ()
    """In the order of the list."""
    created: Sequence[Ledger] = ()
    """Contacts that were created for it."""
    links: Mapping[int, LinkRecord] = field(default_factory=dict)
    """By contact."""
    notes: Sequence[Note] = ()

    @property
    def over(self) -> bool:
        """Whether it has a result and is not due."""
        return self.ticket.result is not None and (self.due is None or self.due.due_at is None)


async def of_ticket(
    session: AsyncSession, ticket_id: int, latest: int | None = None
) -> History | None:
    """Return what our records say about a ticket at this moment; None if they do not know it.

    latest: so many deliveries and looks at most.
    """
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    ticket = await session.get(TicketRecord, ticket_id)
    if ticket is None:
        return None
    deliveries = select(Delivery).where(
        Delivery.entity_id == ticket_id, func.lower(Delivery.entity_type) == "ticket"
    )
    looks = select(Look).where(Look.ticket_id == ticket_id)
    created = select(Ledger).where(Ledger.ticket_id == ticket_id).order_by(Ledger.id)
    return History(
        ticket,
        await session.get(Due, (TICKET, ticket_id)),
        await _latest(session, deliveries.order_by(Delivery.id.desc()), latest),
        await _latest(session, looks.order_by(Look.id.desc()), latest),
        await participants.of_ticket(session, ticket_id),
        list((await session.execute(created)).scalars()),
        await links.links_of(session, ticket_id),
        await notes.of_ticket(session, ticket_id),
    )


async def _latest(session: AsyncSession, newest_first: Select[Any], limit: int | None) -> list[Any]:
    rows = (await session.execute(newest_first.limit(limit))).scalars().all()
    return list(reversed(rows))
