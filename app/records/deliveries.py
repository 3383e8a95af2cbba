"""Store a delivery and make its ticket due, in the caller's transaction: both or neither."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.callouts import Callout
from app.db.states import Priority
from app.db.tables import CalloutCount, Delivery
from app.records import tickets, webhook

UPDATE_SETTLE = timedelta(seconds=5)
"""How long a changed ticket waits at least: many changes come at once, ours among them."""

_ENTITIES = {"ticket", "ticketnote", "contact", "account", "installedproduct"}
_ACTIONS = {"create", "update", "delete"}
_DEACTIVATED = "deactivated"


async def is_wanted(session: AsyncSession, callout: Callout) -> bool:
    """Return whether a callout makes a ticket due: a new one, or a change of one on record.

    Status and account decide about its participants. Changes of other tickets are skipped:
    reconciliation finds those that matter.
    """
    if callout.is_new_ticket:
        return True
    changed = callout.changed_ticket
    return changed is not None and not await tickets.unknown(session, [changed])


async def receive(session: AsyncSession, callout: Callout, body: bytes, settle: timedelta) -> bool:
    """Store a wanted callout, and make its ticket due after `settle`, or at its earlier time.

    Return False for a delivery that was stored before: its ticket has been made due already.
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
    delay = settle if callout.is_new_ticket else max(settle, UPDATE_SETTLE)
    await tickets.want(session, callout.entity_id, delay, Priority.LIVE)
    return True


async def says_deleted(session: AsyncSession, ticket_id: int) -> bool:
    """Return whether Autotask has called out that a ticket was deleted."""
    deleted = select(Delivery.id).where(
        Delivery.entity_id == ticket_id, func.lower(Delivery.action) == "delete"
    )
    return (await session.execute(deleted.limit(1))).first() is not None


async def take_note(session: AsyncSession, callout: Callout) -> None:
    """Count a callout that makes no ticket due."""
    kind = _kind_of(callout)
    if kind == _DEACTIVATED:
        await deactivated(session)
    else:
        await _count(session, kind)


async def deactivated(session: AsyncSession, number: int = 1) -> None:
    """Count a message that the webhook is disabled, and read it back: any sender can claim it."""
    await _count(session, _DEACTIVATED, number)
    await webhook.look_soon(session)


async def _count(session: AsyncSession, kind: str, number: int = 1) -> None:
    """Count callouts of a kind."""
    await session.execute(
        insert(CalloutCount)
        .values(kind=kind, count=number)
        .on_conflict_do_update(
            index_elements=[CalloutCount.kind],
            set_={"count": CalloutCount.count + number, "last_at": func.now()},
        )
    )


def _kind_of(callout: Callout) -> str:
    """Return a callout's kind, out of a short list: a sender must not be able to fill the table."""
    action = callout.action.lower()
    if action in (_DEACTIVATED, "probe"):  # a probe is our own: see app/ops/webhook
        return action
    entity = (callout.entity_type or "").lower()
    parts = (entity if entity in _ENTITIES else "other", action if action in _ACTIONS else "other")
    return ".".join(parts)
