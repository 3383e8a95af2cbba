"""What keeps a look from being finished now, though nothing is wrong with its ticket."""

from __future__ import annotations

from datetime import datetime


class LeaseLost(Exception):
    """Another worker has the ticket by now; nothing more may be written or sent for it."""


class NotNow(Exception):
    """The work has to wait until a time. Waiting is nobody's failure: no attempt is spent."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason
