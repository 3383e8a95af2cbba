"""How many new people a ticket may still bring today: for the facts, and again at each claim."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.models import Ticket
from app.decide import Caps
from app.decide.policy import Side
from app.records.ledger import caps
from app.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Room:
    """How many new people may still be brought today, and who answers for them."""

    chain_id: int
    """The contact who answers for the ticket's new people, see caps.chain_of."""
    outside: int
    inside: int


async def room_of(session: AsyncSession, settings: Settings, ticket: Ticket) -> Room:
    """Return how many new people a ticket may still bring today."""
    chain_id = await caps.chain_of(session, ticket.contact_id)
    outside, inside = [
        await _left(session, settings, ticket, chain_id, whose) for whose in ("outside", "inside")
    ]
    return Room(chain_id, outside, inside)


async def is_over(
    session: AsyncSession, settings: Settings, ticket: Ticket, chain_id: int, whose: Side
) -> bool:
    """Return whether the person who was claimed just now is one too many.

    Other claims count only after this transaction.
    """
    return await _left(session, settings, ticket, chain_id, whose, alone=True) < 0


async def _left(
    session: AsyncSession,
    settings: Settings,
    ticket: Ticket,
    chain_id: int,
    whose: Side,
    *,
    alone: bool = False,
) -> int:
    sender = caps.Sender(ticket.company_id, ticket.contact_id, chain_id)
    brought = await caps.brought(session, sender, whose, alone=alone)
    return Caps(settings.max_new_per_sender, settings.max_new_per_day).left(brought, whose)
