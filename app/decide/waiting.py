"""When a ticket is looked at again that has to wait: later each time, whatever it waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.db.states import PLANNED, WaitsFor

_PAUSES = (2, 6, 18, 54, 162, 486, 900)  # seconds after the first look in vain, the second, …
SHORTEST = timedelta(seconds=5)
"""Only the first pause may be shorter."""

TEN = 10
"""So many looks in vain are worth a person's attention."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a ticket waits for after a look."""

    cause: WaitsFor
    until: datetime | None = None
    """Before this time a look is no use."""

    ends: datetime | None = None
    """At this time a look is certain to be of use, so the first ten pauses end there."""


def pause(tries: int, calls: int = 0) -> timedelta:
    """Return how long to wait after so many looks in vain, this one included.

    The pauses grow from 2 seconds to a quarter of an hour, so an hour of them has ten looks. calls:
    to Autotask in this look. After more than five the pause is longer, so that a ticket that is
    stuck costs at most 60 calls an hour.
    """
    if tries <= 1:
        return timedelta(seconds=_PAUSES[0])
    step = tries - 1 + max(calls - 4, 0) // 2
    dearer = min(max(calls / 5, 1.0), 4.0)
    return timedelta(seconds=_PAUSES[min(step, len(_PAUSES) - 1)] * dearer)


def next_look(now: datetime, tries: int, waiting: Waiting, calls: int = 0) -> datetime:
    """Return when to look again after so many looks in vain, this one included."""
    cause, until, ends = waiting.cause, waiting.until, waiting.ends
    if until and (cause in PLANNED or tries <= 1):
        return max(until, now)
    at = now + pause(tries, calls)
    if ends and tries <= TEN:
        at = min(at, max(ends, now + SHORTEST))
    return max(at, until) if until else at
