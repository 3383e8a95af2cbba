"""The gate that every call passes: what Autotask refuses us, whether it answers at all, the pause.

One row, so that all processes share it. Trouble that is not one ticket's shuts it: calls wait,
one probes after a while, and nobody fails. See docs/decisions/0003-budget.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import Barred, Forbidden, Overloaded
from app.db.database import db_now
from app.db.tables import Gate, Slot

log = structlog.get_logger()

_SHUT = (30, 60, 120, 300, 600, 900)  # seconds the gate stays shut, longer each time
_AWAY = (15, 30, 60, 120)  # the same where only an answer is missing
_SILENT = 5  # calls in a row without an answer, over all processes: an outage, nobody's bad luck


@dataclass(frozen=True, slots=True)
class Shut:
    """What Autotask refuses us, since when, and until when no call leaves for that reason."""

    code: str
    """unauthorized, forbidden, overloaded or away."""

    reason: str
    since: datetime
    until: datetime | None
    call: str | None
    """The call whose success ends it; None: any call's."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a call tells about the gate. code and reason: why it must shut; None: it may open.

    call: whose success ends the trouble; None: anybody's. seconds: stay shut at least so long.
    silent: there was no answer, which means something only when it happens again and again.
    """

    call: str | None
    code: str | None = None
    reason: str | None = None
    seconds: float = 0.0
    silent: bool = False


SILENT = Change(None, "away", "Autotask does not answer", silent=True)
"""A call got no answer."""


def refused(call: str, error: Barred | Overloaded) -> Change:
    """Say what an error means that every other call would meet, too."""
    if isinstance(error, Overloaded):
        reason = "The tenant's API requests of this hour are used up, by all its tools together"
        return Change(None, "overloaded", reason, error.retry_after or 0.0)
    if isinstance(error, Forbidden):
        reason = f"Autotask does not allow the API user this call: {call}"
        return Change(call, "forbidden", reason)
    reason = "Autotask does not accept the API user's credentials"
    return Change(call, "unauthorized", reason)


async def state(session: AsyncSession) -> Shut | None:
    """Say what Autotask refuses us; None when nothing, as far as we know."""
    row = (await session.execute(select(Gate))).scalar_one()
    if row.code is None or row.reason is None or row.since is None:
        return None
    return Shut(row.code, row.reason, row.since, row.shut_until, row.call)


@dataclass(frozen=True, slots=True)
class Pause:
    """Somebody's word that nothing is to be written."""

    since: datetime
    by: str


async def pause_state(session: AsyncSession) -> Pause | None:
    """Say who has paused all writes; None when nobody has."""
    row = (await session.execute(select(Gate))).scalar_one()
    if row.paused_at is None or row.paused_by is None:
        return None
    return Pause(row.paused_at, row.paused_by)


async def pause(session: AsyncSession, who: str | None) -> bool:
    """Pause all writes over all processes, or let them go on (None); tells whether that changes.

    Once this is committed no write gets permission; those that had it before are `writing`.
    """
    row = (await session.execute(select(Gate).with_for_update())).scalar_one()
    if (who is None) == (row.paused_at is None):
        return False
    row.paused_at, row.paused_by = (await db_now(session), who) if who else (None, None)
    return True


async def writing(session: AsyncSession) -> int:
    """Count the writes that are on their way."""
    now = await db_now(session)
    held = select(func.count()).where(Slot.writes, Slot.expires_at > now)
    return (await session.execute(held)).scalar_one()


async def change(session: AsyncSession, told: Change, *, probe: bool) -> None:
    """Shut or open the gate. probe: the call was let through a shut one."""
    row = (await session.execute(select(Gate).with_for_update())).scalar_one()
    now = await db_now(session)
    if row.shut_until and row.shut_until > now and not probe:
        return  # it left before the gate was shut, and tells nothing about it
    row.silent = row.silent + 1 if told.silent else 0
    if told.silent and row.silent < _SILENT and not probe:
        return
    if told.code:
        _shut(row, told, now)
        return
    row.shut_until = None
    if row.call in (None, told.call) and row.code:
        # What was refused is accepted; a success of something else opens, but forgets nothing.
        row.code = row.since = row.reason = row.call = None
        row.times = 0
        log.info("calls_resumed")


def _shut(row: Gate, told: Change, now: datetime) -> None:
    """Shut it: every other call would fare alike, and repeated logins could lock the user."""
    pauses = _AWAY if told.silent else _SHUT
    seconds = max(pauses[min(row.times, len(pauses) - 1)], told.seconds)
    row.shut_until = now + timedelta(seconds=seconds)
    row.times += 1
    if not told.silent or row.code is None:  # silence says nothing new of what was refused
        row.since = row.since or now
        row.code, row.reason, row.call = told.code, told.reason, told.call
    log.error("calls_paused", code=row.code, reason=row.reason, seconds=seconds)
