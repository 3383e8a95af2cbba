"""The gate that every call passes: what Autotask refuses us, whether it answers, the pause.

It is one row that all processes share. Trouble that any ticket would meet shuts it: calls wait,
one probes after a while, and no ticket fails. See docs/decisions/0003-budget.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import Barred, Forbidden, Overloaded
from app.db.database import db_now
from app.db.tables import Gate, Slot
from app.outbound import refusals, slots

log = structlog.get_logger()

_SHUT = (30, 60, 120, 300, 600, 900)  # seconds the gate stays shut, longer each time
_AWAY = (15, 30, 60, 120)  # the same where only an answer is missing
_SILENT = 5  # calls in a row without an answer, over all processes: an outage, not bad luck


class GateCode(StrEnum):
    """Why the gate is shut."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    OVERLOADED = "overloaded"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Shut:
    """What Autotask refuses us, since when, and until when no call leaves for that reason."""

    code: GateCode
    reason: str
    since: datetime
    until: datetime | None
    call: str | None
    """The call whose success ends it; None: any call's."""


@dataclass(frozen=True, slots=True)
class Change:
    """What the end of a call means for the gate."""

    call: str | None
    """The call whose success ends the trouble; None: any call's."""

    code: GateCode | None = None
    """Why the gate must shut; None: it may open."""

    reason: str | None = None
    seconds: float | None = None
    """How long it stays shut, as Autotask asks; None: longer each time."""

    silent: bool = False
    """There was no answer, which shuts the gate only after several in a row."""


SILENT = Change(None, GateCode.AWAY, "Autotask does not answer", silent=True)
"""The change after a call without an answer."""

INTERCEPTED = Change(
    None,
    GateCode.AWAY,
    "Something between this machine and Autotask answers in its place",
    silent=True,
)
"""The change after an answer that is not Autotask's."""

ANSWERED = Change("")
"""The change after any answer: Autotask is there, and accepts us."""


def refused(call: str, error: Barred | Overloaded) -> Change:
    """Return the change after an error that every other call would meet, too."""
    if isinstance(error, Overloaded):
        reason = "The tenant's API requests of this hour are used up, by all its tools together"
        return Change(None, GateCode.OVERLOADED, reason, error.retry_after)
    if isinstance(error, Forbidden):
        reason = f"Autotask does not allow the API user this call: {call}"
        return Change(call, GateCode.FORBIDDEN, reason)
    reason = "Autotask does not accept the API user's credentials"
    return Change(None, GateCode.UNAUTHORIZED, reason)


async def state(session: AsyncSession) -> Shut | None:
    """Return what Autotask refuses us; None if nothing is known."""
    row = (await session.execute(select(Gate))).scalar_one()
    if row.code is None or row.reason is None or row.since is None:
        return None
    return Shut(GateCode(row.code), row.reason, row.since, row.shut_until, row.call)


async def shut_until(session: AsyncSession, row: Gate, now: datetime) -> datetime | None:
    """Return until when no call leaves; None if calls may leave, or one may try.

    A call that tried, and whose process was killed, keeps the others back no longer.
    """
    if row.shut_until is None or row.shut_until <= now:
        return None
    if row.probe and not await slots.is_held(session, row.probe, now):
        return None
    return row.shut_until


async def start_with(session: AsyncSession, credentials: str) -> None:
    """Open the gate if a worker starts with other credentials than the one before.

    credentials: a keyed hash of them. What was refused was refused to another user.
    """
    row = (await session.execute(select(Gate).with_for_update())).scalar_one()
    known, row.credentials = row.credentials, credentials
    if known in (None, credentials):
        return
    row.shut_until = row.code = row.since = row.reason = row.call = row.probe = None
    row.times = row.silent = 0
    await refusals.forget(session)
    log.info("credentials_changed")


@dataclass(frozen=True, slots=True)
class Pause:
    """All writes are paused: since when, and by which key."""

    since: datetime
    by: str


async def pause_state(session: AsyncSession) -> Pause | None:
    """Return the pause of all writes; None if there is none."""
    row = (await session.execute(select(Gate))).scalar_one()
    if row.paused_at is None or row.paused_by is None:
        return None
    return Pause(row.paused_at, row.paused_by)


async def pause(session: AsyncSession, who: str | None) -> bool:
    """Pause all writes over all processes, or resume them (None). Return whether anything changed.

    After the commit no write is permitted; `writing` counts those that were permitted before.
    """
    row = (await session.execute(select(Gate).with_for_update())).scalar_one()
    if (who is None) == (row.paused_at is None):
        return False
    row.paused_at, row.paused_by = (await db_now(session), who) if who else (None, None)
    return True


async def writing(session: AsyncSession) -> int:
    """Count the writes that are under way."""
    now = await db_now(session)
    held = select(func.count()).where(Slot.writes, slots.held(now))
    return (await session.execute(held)).scalar_one()


async def apply(
    session: AsyncSession, change: Change, *, probe: bool, credentials: str | None = None
) -> None:
    """Shut or open the gate. A probe is the call that a shut gate let through.

    credentials: those of the call. Whether old ones are refused says nothing about those in use.
    """
    row = (await session.execute(select(Gate).with_for_update())).scalar_one()
    now = await db_now(session)
    theirs = credentials and row.credentials not in (None, credentials)
    if change.code is GateCode.UNAUTHORIZED and theirs:
        return
    if row.shut_until and row.shut_until > now and not probe:
        return  # the call left before the gate was shut, so its end says nothing about it
    row.silent = row.silent + 1 if change.silent else 0
    if change.silent and row.silent < _SILENT and not probe:
        return
    if change.code:
        _shut(row, change, now)
        return
    row.shut_until = row.probe = None
    if row.call in (None, change.call) and row.code:
        # The refused call succeeds. Another call's success opens the gate, but forgets nothing.
        row.code = row.since = row.reason = row.call = None
        row.times = 0
        log.info("calls_resumed")


def _shut(row: Gate, change: Change, now: datetime) -> None:
    """Shut the gate: other calls would fail alike, and repeated logins could lock the user."""
    pauses = _AWAY if change.silent else _SHUT
    seconds = change.seconds or pauses[min(row.times, len(pauses) - 1)]
    row.shut_until, row.probe = now + timedelta(seconds=seconds), None
    row.times += 1
    if not change.silent or row.code is None:  # silence says nothing new about a refusal
        row.since = row.since or now
        row.code, row.reason, row.call = change.code, change.reason, change.call
    log.error("calls_paused", code=row.code, reason=row.reason, seconds=seconds)
