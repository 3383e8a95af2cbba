"""What a policy would have done with the tickets of the last days. Nothing is changed.

Each ticket is decided about as if it had just come: what our looks did for it, and what people
approved or rejected on it, is left out. Who is in Autotask by other ways counts as it is now.
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
from app.db.database import db_now, is_outage
from app.decide import Facts, decide
from app.decide.policy import PolicyDocument
from app.looks.on_record import Gathered
from app.looks.preview import Preview, preview_of, preview_without
from app.looks.read import Reading, now, why_nobody
from app.mail.addresses import mask
from app.outbound.budget import BUSY
from app.outbound.rules import NotNow
from app.services import Services
from app.settings.settings import Settings

log = structlog.get_logger()
T = TypeVar("T")

_TRIES = 3
_PAUSE_SECONDS = 5.0
_SCARCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be tried. policy: takes the place of the default, or of the one account's own.

    days: how far back. limit: tickets at most, the oldest first.
    """

    days: int
    policy: PolicyDocument | None = None
    account_id: int | None = None
    limit: int | None = None

    def settings(self, settings: Settings) -> Settings:
        """Give the settings to try it with: half the budget is left to those who work."""
        changes: dict[str, object] = {"budget_share": settings.budget_share / 2}
        if self.policy and self.account_id is None:
            changes["default_policy"] = self.policy
        return settings.model_copy(update=changes)


@dataclass(frozen=True, slots=True)
class Tried:
    """What would have become of one ticket. preview: None: it could not be told, because of error.

    progress: the share of the work that is done with it, 0 to 1.
    """

    ticket: Ticket
    progress: float
    preview: Preview | None = None
    error: str | None = None


def _ignore(_reason: str | None, _until: datetime | None) -> None:
    pass


@dataclass(slots=True)
class Backtest:
    """One backtest on a desk of its own (Asked.settings).

    waits: is told what is waited for and until when, and (None, None) when it goes on.
    """

    services: Services
    asked: Asked
    waits: Callable[[str | None, datetime | None], None] = _ignore
    _done: int = field(default=0, init=False)

    async def run(self) -> AsyncIterator[Tried]:
        """Try ticket after ticket, by id. Errors of single tickets are told, and not raised.

        Raises Barred, and what keeps Autotask from listing tickets or the database from answering.
        """
        autotask = await self.services.autotask()
        until = await now(self.services)
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
        """Tell how far it has come: ids rise with time."""
        created = ticket.created_at or since
        of_limit = self._done / self.asked.limit if self.asked.limit else 0.0
        return min(max((created - since) / (until - since), of_limit, 0.0), 1.0)

    async def _try(self, autotask: Autotask, ticket: Ticket) -> Tried:
        try:
            ended = await self._patiently(lambda: self._preview(autotask, ticket))
        except Barred:
            raise
        except AutotaskError as error:
            return Tried(ticket, 0.0, error=mask(str(error)))
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("backtest_failed", ticket=ticket.id)
            return Tried(ticket, 0.0, error=f"a defect of ours: {type(error).__name__}")
        return Tried(ticket, 0.0, ended)

    async def _preview(self, autotask: Autotask, ticket: Ticket) -> Preview:
        ticket = ticket.model_copy(update={"status": None})  # what is complete was open once
        if nobody := why_nobody(ticket, self.services.settings, ()):
            return preview_without(nobody)
        reading = Reading(ticket, time.monotonic(), await now(self.services))
        policy = self.asked.policy if self.asked.account_id is not None else None
        ended = await preview_of(self.services, autotask, reading, policy)
        if ended.shut:
            raise ended.shut
        if ended.gathered is None or ended.found is None:
            return ended
        return replace(ended, decisions=decide(ended.found.entries, as_it_came(ended.gathered)))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call when it may be made, and again where that may help."""
        tries = 0
        while True:
            try:
                return await call()
            except NotNow as wait:
                await self._wait(wait)
            except Overloaded:
                await asyncio.sleep(1)  # the gate is shut by now, and the next try says until when
            except (Busy, NotSent, Unanswered) as error:
                tries += 1
                if tries == _TRIES:
                    raise
                pause = (error.retry_after or 0) if isinstance(error, Busy) else 0
                await asyncio.sleep(max(pause, _PAUSE_SECONDS))

    async def _give_way(self) -> None:
        """Wait while the tenant's calls are scarce: nobody waits for a backtest as for a ticket."""
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
        pause = (wait.until - await now(self.services)).total_seconds()
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
            key: [one for one in found if one.contact_id not in facts.created]
            for key, found in facts.candidates.items()
        },
        approved=frozenset(),
        rejected=frozenset(),
        new_left=None,  # of today: it says nothing about the days when these tickets came
    )
