"""When a call must wait, when a write may leave, and after which errors it took no effect."""

from __future__ import annotations

import time
from datetime import datetime

from app.autotask.errors import Barred, Busy, NotSent, Refused
from app.db.states import WaitsFor
from app.due.work import LeaseLost


class NotNow(Exception):
    """The work has to wait until a time. Waiting is no failure: no attempt is spent."""

    def __init__(self, until: datetime, reason: str, waits_for: WaitsFor = WaitsFor.GATE) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason
        self.waits_for = waits_for


class RightMissing(NotNow):
    """The call waits for a right of the API user's, and is tried again by itself.

    It is no other account's trouble, nor that of the ticket's people who need no such call.
    """

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(until, reason, WaitsFor.RIGHT)


LEAVE_SECONDS = 20.0
"""Send a write within this time of storing its intent, waiting included, or not at all. Together
with the five minutes that Autotask may work on it this stays below CREATE_SETTLE."""


def leave_by() -> float:
    """Return by when a write may leave whose intent is stored now, as time.monotonic()."""
    return time.monotonic() + LEAVE_SECONDS


NOT_DONE = (Refused, Busy, Barred, NotSent, NotNow, LeaseLost)
"""After these errors the request took no effect: it was refused, or not permitted to leave. After
any other error it may have taken effect."""
