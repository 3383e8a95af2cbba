"""How a look ends, and when the ticket is looked at again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.autotask.models import Ticket
from app.db.states import PLANNED, Result, WaitsFor
from app.decide.waiting import Waiting, next_look
from app.due.work import Lease
from app.looks.read import MissingTicket
from app.outbound.rules import NotNow
from app.sources import Found, Position

# Many tickets may wait for one of these: they must not all come at once.
_SHARED = (
    WaitsFor.GATE,
    WaitsFor.PAUSED,
    WaitsFor.RIGHT,
    WaitsFor.BUDGET,
    WaitsFor.SLOT,
    WaitsFor.MAILBOX,
    WaitsFor.ANSWER,
    WaitsFor.BUSY,
)

_SPREAD = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class LookEnd:
    """How a look ended. Without a result the ticket waits, and is due again at again_at."""

    result: Result | None
    note: str | None = None
    waits: Sequence[Waiting] = ()
    again_at: datetime | None = None
    spent: bool = False
    """It counts as a try, of which a ticket has ten at least before it fails."""
    excused: bool = False
    """It is not the ticket's own trouble, so it never makes the ticket fail."""
    ticket: Ticket | None = None
    found: Found | None = None
    waits_for_mailbox: bool = False
    missing: MissingTicket | None = None
    position: Position | None = None
    """How far the ticket's part of the mailbox has been read, if that takes several looks."""
    calls: int = 0
    """To Autotask, in vain."""

    @property
    def waits_for(self) -> WaitsFor | None:
        """What the ticket waits for; where that is not planned, it is named first."""
        causes = [waiting.cause for waiting in self.waits]
        return next((cause for cause in causes if cause not in PLANNED), next(iter(causes), None))


def again_at(now: datetime, lease: Lease, end: LookEnd) -> datetime:
    """Return when to look again, by what helps first."""
    at = min(next_look(now, lease.vain + 1, waiting, end.calls) for waiting in end.waits)
    if end.waits_for not in _SHARED or any(at == waiting.ends for waiting in end.waits):
        return at
    return at + min((at - now) / 5, _SPREAD) * random.random()  # noqa: S311  no secret


def unread(shut: NotNow, rereading: datetime | None) -> LookEnd:
    """Return the end of a look that could not read the mailbox.

    rereading: when another source may have the list, a field or an attachment.
    """
    until = min(shut.until, rereading) if rereading else shut.until
    own = shut.waits_for is WaitsFor.WINDOW
    waits = [Waiting(shut.waits_for, until, rereading)]
    return LookEnd(None, shut.reason, waits, spent=own, excused=not own)
