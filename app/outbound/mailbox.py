"""The mailbox in which messages are looked up, with one pause over all processes.

Trouble with it concerns every ticket alike, so it is stored once: no process asks again before a
pause is over, then one call probes for all, and no ticket fails: docs/decisions/0006-mailbox.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import httpx
import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import database
from app.db.database import Sessions, db_now
from app.db.states import WaitsFor
from app.db.tables import MailboxGate
from app.graph.client import PAGE_SIZE, REQUEST_SECONDS, Graph, Page
from app.graph.errors import GraphError, PageError, Trouble, Unclear
from app.outbound.rules import NotNow
from app.settings.cc_sources import MAILBOX
from app.settings.settings import Settings

log = structlog.get_logger()
T = TypeVar("T")

# Microsoft takes four requests at once for one app and mailbox, and answers 429 to a fifth:
# https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits
_AT_ONCE = 1  # per process and kind, as there are several processes
_LONG_READINGS = 2  # tickets of a process whose further pages are read; others' looks end
_PAUSES = (10, 30, 60, 120, 300, 600, 900)  # seconds, longer each time
_PROBE = timedelta(seconds=3 * REQUEST_SECONDS)  # within which a probe has an answer
_SOON = timedelta(seconds=2)


class MailboxShut(NotNow):
    """The mailbox cannot be read before a time."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(until, reason, WaitsFor.MAILBOX)


class Unread(NotNow):
    """One ticket's part of the mailbox cannot be read now, or not whole; others can."""

    def __init__(self, until: datetime, reason: str, *, slow: bool = False) -> None:
        super().__init__(until, reason, WaitsFor.WINDOW)
        self.slow = slow
        """A smaller page may be read in time."""


@dataclass(frozen=True, slots=True)
class MailboxTrouble:
    """Why the mailbox cannot be read, since when, and until when it is not asked."""

    code: str
    """A Trouble of the provider's client."""

    reason: str
    since: datetime
    until: datetime | None


class MailboxClient(Protocol):
    """A provider's client. It raises GraphError with the code of a Trouble."""

    async def page(
        self, mailbox: str, since: datetime, until: datetime, *, size: int, url: str | None
    ) -> Page:
        """List messages that a mailbox received between two times, the newest first."""

    async def check(self, mailbox: str) -> None:
        """Read as little as shows that the mailbox can be read."""


def _open_client(settings: Settings, http: httpx.AsyncClient) -> MailboxClient | None:
    credentials = settings.graph_credentials if MAILBOX in settings.cc_sources else None
    urls = {"url": settings.graph_url, "login_url": settings.graph_login_url}
    return Graph(http, credentials, **urls) if credentials else None


class Mailbox:
    """The one mailbox of a deployment, as one process sees it."""

    def __init__(self, settings: Settings, sessions: Sessions, http: httpx.AsyncClient) -> None:
        self._sessions = sessions
        self._address = settings.graph_mailbox or ""
        self._room = asyncio.Semaphore(_AT_ONCE)
        # The further pages of long readings have a turn of their own, so that no other ticket
        # waits for them.
        self._long_room = asyncio.Semaphore(_AT_ONCE)
        self._long_readings = 0
        self._checked = False
        self._client = _open_client(settings, http)

    @property
    def configured(self) -> bool:
        """Whether there is a mailbox to read."""
        return self._client is not None

    async def page(
        self,
        since: datetime,
        until: datetime,
        *,
        size: int = PAGE_SIZE,
        url: str | None = None,
        further: bool = False,
    ) -> Page:
        """List messages that were received between two times, the newest first, as one page.

        further: it is not the first page of a ticket. Raise MailboxShut, also when reading fails
        now, and Unread if other pages can be read.
        """
        client = self._client
        assert client is not None, "ask `configured` first"
        if further and self._long_readings >= _LONG_READINGS:
            raise await self.unread("the mailbox: other long parts of it are being read")
        self._long_readings += further
        try:
            async with self._long_room if further else self._room:
                return await self._ask(
                    lambda: client.page(self._address, since, until, size=size, url=url),
                    doubtful=further,
                )
        finally:
            self._long_readings -= further

    async def probe(self) -> None:
        """Check the mailbox whatever is recorded of it, and record nothing. Raises GraphError."""
        assert self._client is not None, "ask `configured` first"
        await self._client.check(self._address)

    async def check(self) -> None:
        """Check whether the mailbox can be read: once a process, and when a pause is over.

        So trouble shows before a ticket has to wait for it, and ends without one.
        """
        client = self._client
        if client is None:
            return
        async with self._sessions() as session, session.begin():
            known = await trouble(session)
            if known and known.code != Trouble.THROTTLED and not self._checked:
                # A restart may have repaired it: an earlier pause says nothing.
                await session.execute(update(MailboxGate).values(shut_until=None))
        if self._checked and known is None:
            return
        with suppress(MailboxShut):  # it is stored, and shown by /health/work
            async with self._room:
                await self._ask(lambda: client.check(self._address))
        self._checked = True

    async def pause(self) -> datetime | None:
        """Return until when the mailbox must not be asked; None if it may be asked now."""
        if self._client is None:
            return None
        async with self._sessions() as session:
            gate = (await session.execute(select(MailboxGate))).scalar_one()
            now = await db_now(session)
        return gate.shut_until if gate.shut_until and gate.shut_until > now else None

    async def _ask(self, call: Callable[[], Awaitable[T]], *, doubtful: bool = False) -> T:
        """Make a call when the gate is open; shut it only if every call would fail.

        doubtful: the mailbox has just answered, so no answer says little about it.
        """
        probe = await self._enter()
        try:
            answer = await call()
        except GraphError as error:
            unclear = isinstance(error, Unclear) or (doubtful and error.trouble == Trouble.AWAY)
            if unclear and not isinstance(error, PageError):
                raise await self._judge(error, probe=probe) from error
            raise await self._failed(error, probe=probe) from error
        if probe:
            await self._open()
        return answer

    async def _judge(self, error: GraphError, *, probe: bool) -> NotNow:
        """Find out whether the mailbox does not answer, or only this question has no answer."""
        assert self._client is not None
        try:
            await self._client.check(self._address)
        except GraphError as of_all:
            return await self._shut(of_all, probe=probe)
        return await self._failed(error, probe=probe, answers=True)

    async def _failed(self, error: GraphError, *, probe: bool, answers: bool = False) -> NotNow:
        """Return what a ticket has to wait for; answers: the mailbox can be read."""
        if not answers and not isinstance(error, PageError):
            return await self._shut(error, probe=probe)
        if probe:
            await self._open()
        slow = isinstance(error, Unclear) and error.slow
        return await self.unread(f"the mailbox: {error}", slow=slow)

    async def unread(self, why: str, *, slow: bool = False) -> Unread:
        """Return the error for one ticket's part of the mailbox, to be read soon."""
        return Unread(await database.now(self._sessions) + _SOON, why, slow=slow)

    async def _enter(self) -> bool:
        """Pass the gate, or raise MailboxShut. Return whether this call probes for all others."""
        async with self._sessions() as session, session.begin():
            gate = (await session.execute(select(MailboxGate).with_for_update())).scalar_one()
            now = await db_now(session)
            if gate.shut_until and gate.shut_until > now:
                raise MailboxShut(gate.shut_until, f"the mailbox: {gate.reason}")
            if gate.code is None:
                return False
            gate.shut_until = now + _PROBE
            return True

    async def _shut(self, error: GraphError, *, probe: bool) -> MailboxShut:
        """Store why the mailbox cannot be read, and return what a ticket has to wait for."""
        async with self._sessions() as session, session.begin():
            gate = (await session.execute(select(MailboxGate).with_for_update())).scalar_one()
            now = await db_now(session)
            if probe or not gate.shut_until or gate.shut_until <= now:
                pause = error.retry_after or _PAUSES[min(gate.times, len(_PAUSES) - 1)]
                gate.shut_until = now + timedelta(seconds=pause)
                gate.since = gate.since if gate.since and gate.code == error.trouble else now
                gate.code, gate.reason = error.trouble, str(error)[:500]
                gate.times += error.retry_after is None  # else the pause is not of our choosing
                log.error("mailbox_shut", code=gate.code, reason=gate.reason, seconds=pause)
            return MailboxShut(gate.shut_until, f"the mailbox: {gate.reason}")

    async def _open(self) -> None:
        async with self._sessions() as session, session.begin():
            gate = (await session.execute(select(MailboxGate).with_for_update())).scalar_one()
            gate.shut_until = gate.code = gate.reason = gate.since = None
            gate.times = 0
        log.info("mailbox_open")


async def trouble(session: AsyncSession) -> MailboxTrouble | None:
    """Return why the mailbox cannot be read; None if nothing is known."""
    gate = (await session.execute(select(MailboxGate))).scalar_one()
    if gate.code is None or gate.reason is None or gate.since is None:
        return None
    return MailboxTrouble(gate.code, gate.reason, gate.since, gate.shut_until)
