"""What a policy would have done with the tickets of the last days. Nothing is changed.

Each ticket is decided about as if it had just come, without the contacts and links of its looks and
without approvals and rejections. All other contacts count as they are at Autotask now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Barred, Busy, NotSent, Overloaded, Unanswered
from app.autotask.models import Ticket
from app.db import database
from app.db.database import db_now, is_outage
from app.db.states import WaitsFor
from app.decide import Facts, decide
from app.decide.policy import PolicyDocument
from app.looks.on_record import Gathered
from app.looks.preview import Preview, preview_of, preview_without
from app.looks.read import Reading, why_nobody
from app.mail.addresses import mask
from app.outbound.budget import BUSY
from app.outbound.rules import NotNow, RightMissing
from app.services import Services
from app.settings.settings import Settings

log = structlog.get_logger()
T = TypeVar("T")

_TRIES = 3
_PAUSE_SECONDS = 5.0
_SCARCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to try."""

    days: int
    """How far back."""
    policy: PolicyDocument | None = None
    """In place of the default policy; with account_id in place of that account's own."""
    account_id: int | None = None
    limit: int | None = None
    """Tickets at most, the oldest first."""

    def settings(self, settings: Settings) -> Settings:
        """Return the settings to try it with; half of the budget stays free for looks."""
        changes: dict[str, object] = {"budget_share": settings.budget_share / 2}
        if self.policy and self.account_id is None:
            changes["default_policy"] = self.policy
        return settings.model_copy(update=changes)


@dataclass(frozen=True, slots=True)
class Tried:
    """What a look would have come to on one ticket."""

    ticket: Ticket
    progress: float
    """The share of the work that is done, 0 to 1."""
    preview: Preview | None = None
    """None: unknown, because of the error."""
    error: str | None = None


def _ignore(_reason: str | None, _until: datetime | None) -> None:
    pass


@dataclass(slots=True)
class Backtest:
    """One backtest, on services of its own (Asked.settings)."""

    services: Services
    asked: Asked
    waits: Callable[[str | None, datetime | None], None] = _ignore
    """Called with reason and time when it waits, and with (None, None) when it goes on."""
    _done: int = field(default=0, init=False)

    async def run(self) -> AsyncIterator[Tried]:
        """Try ticket after ticket, by id; yield errors of single tickets rather than raise them.

        Raises Barred, errors when Autotask lists tickets, and those of the database.
        """
        autotask = await self.services.autotask()
        until = await database.now(self.services.sessions)
        since = until - timedelta(days=self.asked.days)
        after = 0
        while page := await self._page(autotask, since, after):
            for ticket in page:
                after = ticket.id
                await self._give_way()
                tried = await self._try(autotask, ticket)
                self._done += 1
                yield replace(tried, progress=self._progress(ticket, since, until))
                if self._done == self.asked.limit:
                    return

    async def _page(self, autotask: Autotask, since: datetime, after: int) -> list[Ticket]:
        account = self.asked.account_id
        return await self._patiently(lambda: autotask.tickets_created(since, after, account))

    def _progress(self, ticket: Ticket, since: datetime, until: datetime) -> float:
        """Return the share of the work that is done: ids rise with time."""
        created = ticket.created_at or since
        of_limit = self._done / self.asked.limit if self.asked.limit else 0.0
        return min(max((created - since) / (until - since), of_limit, 0.0), 1.0)

    async def _try(self, autotask: Autotask, ticket: Ticket) -> Tried:
        try:
            ended = await self._patiently(lambda: self._preview(autotask, ticket))
        except Barred:
            raise
        except (AutotaskError, RightMissing) as error:
            return Tried(ticket, 0.0, error=mask(str(error)))
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("backtest_failed", ticket=ticket.id)
            return Tried(ticket, 0.0, error=f"a bug in this service: {type(error).__name__}")
        return Tried(ticket, 0.0, ended)

    async def _preview(self, autotask: Autotask, ticket: Ticket) -> Preview:
        ticket = ticket.model_copy(update={"status": None})  # a complete ticket was open once
        if nobody := why_nobody(ticket, self.services.settings, ()):
            return preview_without(nobody)
        reading = Reading(ticket, time.monotonic(), await database.now(self.services.sessions))
        policy = self.asked.policy if self.asked.account_id is not None else None
        ended = await preview_of(self.services, autotask, reading, policy)
        if ended.shut and ended.shut.waits_for is WaitsFor.WINDOW:
            raise Unanswered(ended.shut.reason)
        if ended.shut:
            raise ended.shut
        if ended.gathered is None or ended.found is None:
            return ended
        return replace(ended, decisions=decide(ended.found.entries, as_it_came(ended.gathered)))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call when the gate allows it, and again where that may help."""
        tries = 0
        while True:
            try:
                return await call()
            except RightMissing:
                raise
            except NotNow as wait:
                await self._wait(wait)
            except Overloaded:
                await asyncio.sleep(1)  # the gate is shut by now; the next try raises until when
            except (Busy, NotSent, Unanswered) as error:
                tries += 1
                if tries == _TRIES:
                    raise
                pause = (error.retry_after or 0) if isinstance(error, Busy) else 0
                await asyncio.sleep(max(pause, _PAUSE_SECONDS))

    async def _give_way(self) -> None:
        """Wait while the tenant's calls are scarce: a backtest is less urgent than a ticket."""
        while True:
            async with self.services.sessions() as session:
                use = await self.services.budget.use(session)
                now = await db_now(session)
            if use.of_tenant < BUSY:
                return
            reason = f"{use.tenant} of the tenant's {use.limit} calls an hour are used"
            await self._wait(NotNow(now + _SCARCE, reason))

    async def _wait(self, wait: NotNow) -> None:
        self.waits(wait.reason, wait.until)
        pause = (wait.until - await database.now(self.services.sessions)).total_seconds()
        await asyncio.sleep(max(pause, 0) + 0.5)
        self.waits(None, None)


def as_it_came(facts: Gathered) -> Facts:
    """Return a ticket's facts without what our looks did and what people said about addresses."""
    ours = {i for i, link in facts.links.items() if link.ours} | facts.created
    return replace(
        facts,
        linked=facts.linked - ours,
        removed=facts.removed - ours,
        created=frozenset(),
        candidates={
            key: [c for c in candidates if c.contact_id not in facts.created]
            for key, candidates in facts.candidates.items()
        },
        approved=frozenset(),
        rejected=frozenset(),
        # Today's caps say nothing about the days when these tickets came.
        new_left=None,
        new_inside_left=None,
    )
