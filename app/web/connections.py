"""Connections from outside: how many there are, how long each may wait, which one makes room.

A connection waits for its client while a request is not complete, or an answer is not read. Those
that have waited longest are cut off to make room, so slow and idle clients, however many, keep
nobody out: a callout that comes whole waits for no client. Being answered, none is cut off.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import Counter, deque
from contextlib import suppress
from enum import Enum, auto
from typing import Any

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

log = structlog.get_logger()

MOST = 256
"""Connections at once."""

OTHER_DESCRIPTORS = 128
"""Kept for PostgreSQL, Autotask, Microsoft, files; fewer connections where this is not left."""

LEAST = 16
"""Connections at once where descriptors are that few."""

_PER_TURN = 32  # accepted in a turn of the loop, so that those before are read
_READ_PER_TURN = 8  # bodies that go on in a turn, so that callouts go on, too
_READ_BYTES = 32 * 1024  # at once, so that no client keeps the loop from others for long
_TINY_BYTES, _TINY_LINES = 10, 500  # a chunk costs as much time as 10 kB
_SAY_SECONDS = 60.0
_NO_ROOM = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


class Waits(Enum):
    """What a connection waits for from its client."""

    HEADERS = auto()  # also between two requests
    BODY = auto()
    READING = auto()  # that the client reads its answer


SECONDS = {Waits.HEADERS: 10.0, Waits.BODY: 30.0, Waits.READING: 30.0}
"""For how long a connection waits at most."""


class Connections(ServerState):
    """A server's connections: at most `most`, of which none waits for its client for too long."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self.most = most
        self._waiting: dict[Connection, tuple[Waits, float]] = {}  # longest first
        self._paused: deque[Connection] = deque()
        self._cut: Counter[str] = Counter()
        self._said_at = -_SAY_SECONDS

    def waits(self, one: Connection, what: Waits | None, now: float) -> None:
        """Note what a connection waits for from now on; None: it is answered, or gone."""
        self._waiting.pop(one, None)
        if what is not None:
            self._waiting[one] = what, now

    def make_room(self, newest: Connection | None = None) -> bool:
        """Cut off the connection that has waited longest. Return False if none waits."""
        oldest = next((one for one in self._waiting if one is not newest), None)
        if oldest is not None:
            self._cut["to_make_room"] += 1
            oldest.cut_off()
        return oldest is not None

    def read_later(self, one: Connection) -> None:
        """Pause a body, and go on with it in its turn."""
        one.transport.pause_reading()
        if not self._paused:
            one.loop.call_soon(self._go_on)
        self._paused.append(one)

    def _go_on(self) -> None:
        for _ in range(min(_READ_PER_TURN, len(self._paused))):
            one = self._paused.popleft()
            if not one.flow.read_paused:  # else the application goes on when it is ready
                one.transport.resume_reading()
        if self._paused:
            self._paused[0].loop.call_soon(self._go_on)

    def refused(self, number: int = 1) -> None:
        """Count connections that were refused."""
        self._cut["refused"] += number

    def sweep(self, now: float) -> None:
        """Cut off what has waited for too long; say at most once a minute what was cut off."""
        slow = [one for one, (what, since) in self._waiting.items() if now - since > SECONDS[what]]
        for one in slow:
            one.cut_off()
        self._cut["too_slow"] += len(slow)
        if any(self._cut.values()) and now - self._said_at >= _SAY_SECONDS:
            log.warning("clients_cut_off", **self._cut, connections=len(self.connections))
            self._cut.clear()
            self._said_at = now


class Connection(H11Protocol):
    """A connection that says what it waits for."""

    server_state: Connections
    _waits: Waits | None = None
    _bytes = _lines = 0  # of a request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse the client if every other connection is being answered."""
        assert isinstance(transport, asyncio.Transport)
        transport.max_size = _READ_BYTES  # type: ignore[attr-defined]
        super().connection_made(transport)
        self._note(anew=True)
        state = self.server_state
        if len(self.connections) > state.most and not state.make_room(self):
            state.refused()
            transport.write(_FULL)
            self.cut_off()

    def data_received(self, data: bytes) -> None:
        """Go on with a request; cut off one that comes in tiny chunks."""
        if self._is_tiny(data):
            self.server_state.refused()
            self.cut_off()
            return
        super().data_received(data)
        self._note()
        if self._waits is Waits.BODY and not self.transport.is_closing():
            self.server_state.read_later(self)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._note(anew=True)

    def pause_writing(self) -> None:
        """Wait until the client reads."""
        super().pause_writing()
        self._note()

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        self._note()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self.server_state.waits(self, None, 0.0)

    def cut_off(self) -> None:
        """End the connection at once; a request that is being read ends as if its client left."""
        self.server_state.waits(self, None, 0.0)
        self.connections.discard(self)
        self.transport.abort()

    def _is_tiny(self, data: bytes) -> bool:
        """Return whether a body comes in chunks of which each costs more than it brings."""
        self._bytes += len(data)
        self._lines += data.count(b"\r\n")
        if self._lines <= _TINY_LINES or self._bytes >= _TINY_BYTES * self._lines:
            return False
        if self._waits is Waits.BODY:
            return any(name == b"transfer-encoding" for name, _ in self.headers)
        return b"chunked" in data.lower()

    def _note(self, *, anew: bool = False) -> None:
        """Tell what the connection waits for, if that changed."""
        if self not in self.connections:
            return
        what: Waits | None = None
        if self.cycle is None or self.cycle.response_complete:
            what = Waits.HEADERS
        elif self.cycle.more_body:
            what = Waits.BODY
        elif self.flow.write_paused:
            what = Waits.READING
        if anew:
            self._bytes = self._lines = 0
        if anew or what is not self._waits:
            self.server_state.waits(self, what, self.loop.time())
        self._waits = what


class Listener(socket.socket):
    """A listening socket for asyncio, which accepts little at once and survives full tables.

    asyncio itself tries to accept 2,048 times in a turn, and logs each failure:
    https://github.com/python/cpython/blob/v3.11.7/Lib/asyncio/selector_events.py#L154
    """

    def __init__(self, *args: Any, connections: Connections) -> None:
        super().__init__(*args)
        self._connections = connections
        self._accepted = 0
        self._spare = os.open(os.devnull, os.O_RDONLY)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; raise BlockingIOError, which ends asyncio's turn, in time."""
        if self._accepted >= _PER_TURN:
            self._accepted = 0
            raise BlockingIOError
        try:
            accepted = super().accept()
        except OSError as error:
            self._accepted = 0
            if error.errno not in _NO_ROOM:
                raise
            if not self._connections.make_room() and not self._refuse():
                self._accepted = _PER_TURN  # asyncio goes on to accept, and pauses after that
                raise
            raise BlockingIOError from error
        self._accepted += 1
        return accepted

    def close(self) -> None:
        """Close the socket, and the descriptor that is kept."""
        self._free()
        super().close()

    def _refuse(self) -> bool:
        """Refuse who waits now, with the descriptor that is kept; return whether that was possible.

        Else the clients would wait, and the loop would turn without a pause.
        """
        self._free()
        refused = 0
        with suppress(OSError):
            while refused < _PER_TURN:
                super().accept()[0].close()
                refused += 1
        self._connections.refused(refused)
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)
        return refused > 0

    def _free(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
