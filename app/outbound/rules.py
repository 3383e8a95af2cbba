"""What keeps a look from being finished now, though nothing is wrong with its ticket."""

from __future__ import annotations

from datetime import datetime

from app.autotask.errors import Barred, Busy, NotSent, Refused
from app.due.work import LeaseLost


class NotNow(Exception):
    """The work has to wait until a time. Waiting is nobody's failure: no attempt is spent."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason


LEAVE_SECONDS = 20.0
"""A write leaves within this time of its announcement, slot and all, or not at all. Together with
the five minutes that Autotask may work on it this stays below CREATE_SETTLE."""


NOT_DONE = (Refused, Busy, Barred, NotSent, NotNow, LeaseLost)
"""By the client's word, or because it was not permitted to leave, the request took no effect. After
anything else it may have."""
