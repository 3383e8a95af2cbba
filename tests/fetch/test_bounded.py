"""Answers that are larger, slower or odder than any: each is an error of that call, in time."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from math import inf
from pathlib import Path

import pytest

from app.autotask import calls, client, zone
from app.autotask.client import Autotask, Credentials, http_client
from app.autotask.errors import Unanswered
from app.autotask.zone import discover_zone
from app.fetch import bounded
from app.graph import client as graph_client
from app.graph.client import Graph, GraphCredentials
from app.graph.errors import GraphError
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.clients import NIA, Door

MB = 1024 * 1024
Pieces = Callable[[], list[bytes]]


def head(encoding: str | None = None, status: str = "200 OK", more: str = "") -> bytes:
    """Return a head whose body ends with the connection."""
    named = f"Content-Encoding: {encoding}\r\n" if encoding else ""
    return f"HTTP/1.1 {status}\r\nConnection: close\r\n{named}{more}\r\n".encode()


def raw_deflate(data: bytes) -> bytes:
    """Compress without any header, as some servers understand "deflate"."""
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def bomb(wbits: int = zlib.MAX_WBITS | 16, size: int = 32 * MB) -> bytes:
    """Return a few kilobytes, gzip by default, that expand to 32 MB."""
    squeeze = zlib.compressobj(wbits=wbits)
    zeros = b"0" * MB
    return b"".join(squeeze.compress(zeros) for _ in range(size // MB)) + squeeze.flush()


HOSTILE: dict[str, Pieces] = {
    "gzip bomb": lambda: [head("gzip"), bomb()],
    "gzip within gzip": lambda: [head("gzip, gzip"), gzip.compress(bomb())],
    "deflate bomb": lambda: [head("deflate"), bomb(zlib.MAX_WBITS)],
    "deflate without header": lambda: [head("deflate"), raw_deflate(b"{}")],
    "bomb in capitals": lambda: [head(" GZIP "), bomb()],
    "brotli": lambda: [head("br"), b"\xff" * 100],
    "zstandard": lambda: [head("zstd"), b"\x28\xb5\x2f\xfd" * 100],
    "an encoding of its own": lambda: [head("rot13"), b"{}"],
    "no gzip": lambda: [head("gzip"), b"{}"],
    "gzip that is cut off": lambda: [head("gzip"), gzip.compress(b"{}" * 99)[:-12]],
    "a body without an end": lambda: [head(), *[b" " * MB] * 40],
    "headers without an end": lambda: [b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 90 * 1024] * 99],
    "a million headers": lambda: [b"HTTP/1.1 200 OK\r\n", *[b"X-A: a\r\n" * 1000] * 100],
    "a status line without an end": lambda: [b"HTTP/1.1 200 ", *[b"O" * MB] * 20],
    "a chunk's size without an end": lambda: [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"1" * MB] * 20,
    ],
    "redirect to a bomb": lambda: [head("gzip", "302 Found", "Location: /other\r\n"), bomb()],
    "an error that is a bomb": lambda: [head("gzip", "500 Oh"), bomb()],
    "a refusal of the credentials that is a bomb": lambda: [head("gzip", "401 No"), bomb()],
}
DRIPS: dict[str, list[bytes]] = {
    "headers": [b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 1000],
    "a body": [head(), *[b" "] * 1000],
    "a compressed body": [head("gzip"), *[bytes([one]) for one in gzip.compress(b"{}" * 9)] * 50],
    "informational answers": [b"HTTP/1.1 102 Processing\r\n\r\n"] * 1000,
    "nothing": [],
}


@asynccontextmanager
async def serving(pieces: list[bytes], pause: float | None = None) -> AsyncIterator[str]:
    """Serve these pieces to each connection, with pauses in between; yield the address."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            serving.add(task)
        with suppress(ConnectionError, asyncio.CancelledError):
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                if pause is not None:
                    await asyncio.sleep(pause)
            if pause is not None:
                await asyncio.sleep(60)
        writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
    await asyncio.sleep(0.01)


@asynccontextmanager
async def both(url: str) -> AsyncIterator[tuple[Autotask, Graph]]:
    """Yield clients of Autotask and Graph that ask one address."""
    async with http_client() as http:
        yield (
            Autotask(http, url, Credentials("user", "secret", "code"), Door()),
            Graph(http, GraphCredentials("t", "c", "secret"), url=url, login_url=url),
        )


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_is_larger_or_odder_than_an_answer_is_none(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read, a write, the zone, Microsoft's token: an error of that call, and little memory."""
    monkeypatch.setattr(bounded, "MOST", 2 * MB)
    pieces = HOSTILE[name]()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    async with serving(pieces) as url, both(url) as (autotask, graph), asyncio.timeout(20):
        monkeypatch.setattr(zone, "_ZONES", url)
        with pytest.raises(Unanswered):
            await autotask.ticket(1)
        with pytest.raises(Unanswered):
            await autotask.create_contact(1, NIA, inf)
        async with http_client() as http:
            with pytest.raises(Unanswered):
                await discover_zone(http, "user")
        with pytest.raises(GraphError):
            await graph.check("help@northwind-msp.example")
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert peak < 6 * MB


@pytest.mark.parametrize("name", DRIPS)
async def test_what_comes_drop_by_drop_is_not_waited_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each drop is in time; the answer as a whole is not."""
    monkeypatch.setattr(calls, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(client, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(zone, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(graph_client, "REQUEST_SECONDS", 0.3)
    async with serving(DRIPS[name], pause=0.02) as url, both(url) as (autotask, graph):
        monkeypatch.setattr(zone, "_ZONES", url)
        began = time.monotonic()
        with pytest.raises(Unanswered):
            await autotask.ticket(1)
        async with http_client() as http:
            with pytest.raises(Unanswered):
                await discover_zone(http, "user")
        with pytest.raises(GraphError):
            await graph.check("help@northwind-msp.example")
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("size", [bounded.MOST, bounded.MOST + 1])
async def test_the_limit_is_exact(size: int) -> None:
    """Counted as the answer is when it is decompressed."""
    body = gzip.compress(b"x" * size, 1)
    async with serving([head("gzip"), body]) as url, http_client() as http:
        request = http.build_request("GET", url)
        if size > bounded.MOST:
            with pytest.raises(bounded.TooMuch):
                await bounded.fetch(http, request)
        else:
            assert len((await bounded.fetch(http, request)).content) == size


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, b"{}"),
        ("identity", b"{}"),
        ("gzip", gzip.compress(b"{}")),
        ("x-gzip", gzip.compress(b"{}")),
        ("deflate", zlib.compress(b"{}")),
        ("gzip", b""),
    ],
    ids=["as it is", "identity", "gzip", "x-gzip", "deflate", "empty"],
)
async def test_an_ordinary_answer_is_read(encoding: str | None, body: bytes) -> None:
    """Plain or compressed, as was requested; an empty one may be called compressed."""
    async with serving([head(encoding), body[:1], body[1:]]) as url, http_client() as http:
        answer = await bounded.fetch(http, http.build_request("GET", url))
    assert answer.content == (b"{}" if body else b"")


async def test_cookies_are_not_kept() -> None:
    """A jar has no limit, and each request would carry what every answer has set."""
    cookies = "".join(f"Set-Cookie: c{n}={'x' * 1000}\r\n" for n in range(50))
    async with serving([head(more=cookies), b"{}"]) as url, http_client() as http:
        await bounded.fetch(http, http.build_request("GET", url))
        second = http.build_request("GET", url)
    assert "cookie" not in second.headers


@pytest.mark.parametrize("fault", [Fault("bomb"), Fault("drip")], ids=lambda fault: fault.kind)
async def test_the_sandbox_has_such_answers(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    """For chaos: nothing takes effect, and the next call is answered."""
    monkeypatch.setattr(calls, "REQUEST_SECONDS", 2.0)
    tenant.faults.add(fault)
    with pytest.raises(Unanswered):
        await autotask.create_contact(people.alpine, NIA, inf)
    assert tenant.contacts_with(NIA.email) == []
    assert await autotask.contact(people.ana)


def test_every_answer_is_fetched_here() -> None:
    """No other module of the product sends a request by itself; the demo asks its own service."""
    sends = re.compile(r"http\.(?:send|get|post|put|patch|delete|request|stream)\(")
    app = Path(bounded.__file__).parents[1]
    found = {
        path.relative_to(app).as_posix()
        for path in app.rglob("*.py")
        if sends.search(path.read_text())
    }
    assert found == {"fetch/bounded.py", "cli/demo.py"}
