"""A delivery in, a ticket due: on the caller's transaction, so that both are kept or neither."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import work
from app.autotask.protocol import Callout
from app.models import CalloutCount, Delivery, Priority, TicketRecord

_COUNTED = {"ticket", "ticketnote", "contact", "account", "installedproduct"}
_ACTIONS = {"create", "update", "delete", "deactivated"}


async def receive(session: AsyncSession, callout: Callout, body: bytes, settle: timedelta) -> bool:
    """Store a ticket-created callout and make its ticket due after `settle`.

    Gives False for a delivery that was stored before: its ticket has been made due already.
    """
    assert callout.entity_id is not None
    stored = await session.execute(
        insert(Delivery)
        .values(
            guid=callout.guid,
            entity_type=callout.entity_type,
            entity_id=callout.entity_id,
            action=callout.action,
            sequence_number=callout.sequence_number,
            event_time=callout.event_time,
            body_sha256=hashlib.sha256(body).hexdigest(),
        )
        .on_conflict_do_nothing()
        .returning(Delivery.id)
    )
    if stored.scalar_one_or_none() is None:
        return False
    await want_ticket(session, callout.entity_id, settle, Priority.LIVE)
    return True


async def want_ticket(
    session: AsyncSession, ticket_id: int, delay: timedelta, priority: Priority
) -> None:
    """Make a ticket due, be it known or not; it has no result until it has been looked at."""
    known = insert(TicketRecord).values(id=ticket_id)
    await session.execute(
        known.on_conflict_do_update(index_elements=[TicketRecord.id], set_={"result": None})
    )
    await work.want(session, work.TICKET, ticket_id, delay, priority)


async def count(session: AsyncSession, callout: Callout) -> None:
    """Count an authentic callout that nothing is to be done about."""
    entity, action = (callout.entity_type or "none").lower(), callout.action.lower()
    kind = (
        f"{entity if entity in _COUNTED else 'other'}.{action if action in _ACTIONS else 'other'}"
        if action != "deactivated"
        else action
    )
    await session.execute(
        insert(CalloutCount)
        .values(kind=kind, count=1)
        .on_conflict_do_update(
            index_elements=[CalloutCount.kind],
            set_={"count": CalloutCount.count + 1, "last_at": func.now()},
        )
    )
