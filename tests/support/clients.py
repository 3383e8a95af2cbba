"""Clients for tests: of Autotask and servers that answer anything, and of the HTTP application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from app.autotask.client import Autotask, Credentials
from app.autotask.models import NewContact
from app.services import Services
from app.web.app import create_app

NIA = NewContact("Nia", "Obi", "nia@alpine-dental.example", "a note", {"title": "via e-mail"})
SECRETS = ("secret-of-tests", "CODEOFTESTS")


class Door:
    """A throttle that lets every call through, and counts those made and those under way."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.writes = 0
        self.inside = 0

    @asynccontextmanager
    async def __call__(self, entity: str, *, write: bool, **_about: str) -> AsyncIterator[None]:
        self.entered.append(entity)
        self.writes += write
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


def client_of(services: Services) -> httpx.AsyncClient:
    """Return a client of the HTTP application without a socket; errors come as answers."""
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


Answer = Callable[[httpx.Request], httpx.Response]


@asynccontextmanager
async def answered_by(answer: Answer) -> AsyncIterator[Autotask]:
    """Yield a client whose requests `answer` answers, also against the contract."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as pool:
        yield Autotask(pool, "https://api.example/x", Credentials("user", *SECRETS), Door())


@asynccontextmanager
async def raw_server(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serve the same bytes to every request; yield the address and the requests received."""
    asked: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", asked
    # A connection of a client that has gone is left to us. One that was just accepted appears, and
    # an aborted one ends, only in later turns of the loop.
    quiet = 0
    while quiet < 5:
        known = len(writers)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.002)
        quiet = quiet + 1 if len(writers) == known else 0
