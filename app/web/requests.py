"""Around each request: its place among others, its line in the log, an answer whatever happens."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.db.database import is_outage
from app.settings.log import Sparing
from app.web import problems

log = structlog.get_logger()

PLACE_SECONDS = 3.0
"""A request waits so long for its place."""

_UNLIMITED = ("/webhooks/", "/health/live")  # the first verify their callers before they cost much
_KEYED = ("/admin/", "/intake/", "/console")
_KEYED_AT_ONCE, _HEALTH_AT_ONCE = 10, 4  # of 20 connections to PostgreSQL: callouts have the rest
_PAGES_AT_ONCE = 1  # of documentation: each takes the loop for milliseconds
_PROVEN = re.compile(r"/webhooks/autotask$|/admin/|/intake/")  # by a signature or a key
_PER_TURN = 4  # requests that begin in one turn of the loop, so that turns stay short
_QUEUE = 50  # that wait for a place; more are refused at once
_LINES = 30  # a minute, route and status, of requests that prove nothing


class _NoPlace(Exception):
    """Too many requests of this kind are being answered."""


class Requests:
    """Bounds requests at once, logs each by its route's template, and answers unexpected errors.

    Paths contain addresses, templates do not.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._sparing = Sparing(_LINES)
        self._health = asyncio.Semaphore(_HEALTH_AT_ONCE)
        self._keyed = asyncio.Semaphore(_KEYED_AT_ONCE)
        self._pages = asyncio.Semaphore(_PAGES_AT_ONCE)
        self._queue = 0
        self._begun = 0  # in this turn of the loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._turn(scope["path"])
            async with self._place(scope["path"]):
                await self._app(scope, receive, noting)
        except ClientDisconnect:
            status = 0
        except Exception as error:
            response = self._failed(scope, error)
            if status == 0:  # else the server ends the connection: the answer is not whole
                await response(scope, receive, noting)
        self._log(scope, status, began)

    async def _turn(self, path: str) -> None:
        """Wait for a turn of the loop in which few requests begin; raise _NoPlace if many wait.

        Most are answered without a pause: a thousand in one turn would keep callouts, which wait
        for PostgreSQL many times, from going on.
        """
        loop = asyncio.get_running_loop()
        if len(self._waiting) >= _QUEUE and not path.startswith(_UNLIMITED):
            raise _NoPlace
        if self._begun >= _PER_TURN:
            turn = loop.create_future()
            self._waiting.append(turn)
            await turn
            return
        if self._begun == 0:
            loop.call_soon(self._next_turn)
        self._begun += 1

    def _next_turn(self) -> None:
        self._begun = 0
        while self._waiting and self._begun < _PER_TURN:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            asyncio.get_running_loop().call_soon(self._next_turn)

    @asynccontextmanager
    async def _place(self, path: str) -> AsyncIterator[None]:
        """Wait for a place; raise _NoPlace if there is none in time."""
        if path.startswith(_UNLIMITED):
            yield
            return
        places = self._keyed if path.startswith(_KEYED) else self._pages
        if path.startswith("/health/"):
            places = self._health
        if self._queue >= _QUEUE:
            raise _NoPlace
        self._queue += 1
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                await places.acquire()
        except TimeoutError:
            raise _NoPlace from None
        finally:
            self._queue -= 1
        try:
            await asyncio.sleep(0)  # even where nothing else is waited for, others have a turn
            yield
        finally:
            places.release()

    def _failed(self, scope: Scope, error: Exception) -> Response:
        """Return the answer for an error, and log it. An outage of the database is no defect."""
        again = {"Retry-After": "30"}
        if isinstance(error, _NoPlace):
            return problems.response(503, "Too many requests at once; try again.", again)
        what = "database_away" if is_outage(error) else "request_failed"
        more = self._sparing.spare((what, _route(scope), type(error)))
        if what == "database_away":
            if more is not None:
                log.warning("database_away", error=type(error).__name__, **more)
            return problems.response(503, "The database does not answer; try again.", again)
        if more is not None:
            log.exception("request_failed", **more)
        return problems.response(500, "Something went wrong on our side; see the log.")

    def _log(self, scope: Scope, status: int, began: float) -> None:
        """Write a request's line, with status 0 a client's that left; of strangers' a few."""
        line = {"method": scope["method"], "route": _route(scope)}
        more: dict[str, int] | None = {}
        if not (_PROVEN.match(line["route"]) and 200 <= status < 400):
            more = self._sparing.spare((line["route"], status))
        if more is None:
            return
        ms = round((time.monotonic() - began) * 1000)
        if status == 0:
            log.info("client_left", **line, ms=ms, **more)
        else:
            log.info("request", **line, status=status, ms=ms, **more)


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", "none")
