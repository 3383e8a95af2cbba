"""Which calls wait for a right, for an account or in all, and what was answered in between.

A call that waits is tried again by itself, once for all tickets, and less and less often.
Statements run in the transactions of app/outbound/budget.py that hold the gate's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import Intercepted
from app.db.database import db_now
from app.db.tables import RefusedCall
from app.outbound.reach import Call
from app.outbound.rules import RightMissing

log = structlog.get_logger()

CURRENT = timedelta(hours=24)
"""An older refusal proves nothing any more."""

_PAUSES = (60, 120, 300, 600, 900)  # seconds, longer each time
_PROBE = timedelta(seconds=60)  # one ticket tries for all that long
_KEPT = timedelta(days=30)
_EVERYWHERE = ""


class Why(StrEnum):
    """Why a call is remembered."""

    RIGHT = "right"  # the API user's security level lacks a right
    INTERCEPTED = "intercepted"  # something in between answered in Autotask's place


@dataclass(frozen=True, slots=True)
class KnownRefusal:
    """A kind of call that was refused, and where."""

    call: str
    about: str
    """The account or record; empty: whatever it is about."""

    since: datetime
    until: datetime | None
    """When it is tried again; None if that is the ticket's business."""

    reason: str


async def require_right(session: AsyncSession, call: Call, ticket_id: int | None) -> bool:
    """Raise RightMissing while such calls wait; return whether any such refusal is remembered.

    When the wait is over, the first ticket tries, and the others wait for what comes of it.
    """
    now = await db_now(session)
    rows = await _waiting(session, call)
    for row in rows:
        if row.about not in _places(call):
            continue
        if row.until and row.until > now and (ticket_id is None or row.probe != ticket_id):
            raise RightMissing(row.until, row.reason)
        row.until, row.probe = now + _PROBE, ticket_id
    return bool(rows)


async def let_try(session: AsyncSession, account_id: int, ticket_id: int) -> RightMissing | None:
    """Return why a ticket that waits for a right in its account has to go on waiting.

    None: nothing is refused there any more, or this ticket is the one that tries.
    """
    now = await db_now(session)
    rows = await session.execute(
        select(RefusedCall)
        .where(RefusedCall.code == Why.RIGHT, RefusedCall.about == f"account {account_id}")
        .order_by(RefusedCall.call)
        .with_for_update()
    )
    known = list(rows.scalars())
    for row in known:
        if row.until and row.until > now and row.probe != ticket_id:
            return RightMissing(row.until, row.reason)
    for row in known:
        row.until, row.probe = now + _PROBE, ticket_id
    return None


async def refused_elsewhere(session: AsyncSession, call: Call) -> int:
    """Count the other accounts and records where such calls are refused, with no success since.

    0 if they have succeeded elsewhere since they were first refused here: that proves it local.
    """
    fresh = await db_now(session) - CURRENT
    rows = [row for row in await _waiting(session, call) if row.last_at > fresh]
    if any(row.about == call.about and row.elsewhere for row in rows):
        return 0
    return sum(row.about not in _places(call) and not row.elsewhere for row in rows)


async def record_refusal(session: AsyncSession, call: Call, *, everywhere: bool) -> RightMissing:
    """Let such calls wait, for the call's account or for all, and return for how long."""
    place = _EVERYWHERE if everywhere else call.about
    row, now = await _row(session, Why.RIGHT, call, place, CURRENT)
    row.until = now + timedelta(seconds=_PAUSES[min(row.times, len(_PAUSES) - 1)])
    row.times, row.last_at, row.probe = row.times + 1, now, None
    where = f" of {place}" if place else ""
    row.reason = f"the API user may not {call.name}{where}"
    log.warning("right_missing", call=call.name, about=call.about)
    return RightMissing(row.until, row.reason)


async def record_interception(session: AsyncSession, call: Call, error: Intercepted) -> None:
    """Record that something in between answered a call."""
    row, now = await _row(session, Why.INTERCEPTED, call, call.about, timedelta(hours=1))
    row.times, row.last_at, row.reason = row.times + 1, now, str(error)[:300]
    log.warning("call_intercepted", call=call.name, about=call.about)


async def record_success(session: AsyncSession, call: Call) -> None:
    """End the wait for a right that a call has shown to be there."""
    for row in await _waiting(session, call):
        if row.about in _places(call):
            await session.delete(row)
            log.info("right_granted", call=call.name, about=call.about)
        else:
            row.elsewhere = True


async def forget(session: AsyncSession) -> None:
    """Forget which rights were missing: they were another API user's."""
    await session.execute(delete(RefusedCall).where(RefusedCall.code == Why.RIGHT))


async def latest(session: AsyncSession, why: Why, within: timedelta) -> list[KnownRefusal]:
    """Return the calls that were refused of late, by call and what they were about."""
    rows = await session.execute(
        select(RefusedCall)
        .where(RefusedCall.code == why, RefusedCall.last_at > await db_now(session) - within)
        .order_by(RefusedCall.call, RefusedCall.about)
    )
    return [
        KnownRefusal(row.call, row.about, row.since, row.until, row.reason)
        for row in rows.scalars()
    ]


def _places(call: Call) -> tuple[str, ...]:
    """Return what the rows are about that concern a call."""
    return call.about, _EVERYWHERE


async def _waiting(session: AsyncSession, call: Call) -> list[RefusedCall]:
    rows = await session.execute(
        select(RefusedCall).where(RefusedCall.code == Why.RIGHT, RefusedCall.call == call.name)
    )
    return list(rows.scalars())


async def _row(
    session: AsyncSession, why: Why, call: Call, about: str, stale: timedelta
) -> tuple[RefusedCall, datetime]:
    """Return the row of a refusal, begun anew if the last one is long ago, and the time."""
    now = await db_now(session)
    await session.execute(delete(RefusedCall).where(RefusedCall.last_at < now - _KEPT))
    row = await session.get(RefusedCall, (why, call.name, about), populate_existing=True)
    if row is not None and row.last_at < now - stale:
        row.since, row.times, row.elsewhere = now, 0, False
    if row is None:
        row = RefusedCall(code=why, call=call.name, about=about, since=now, times=0)
        row.elsewhere = False
        session.add(row)
    return row, now
