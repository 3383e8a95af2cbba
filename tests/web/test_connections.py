"""Clients that are slow, many, gone or odd, on real sockets: they keep nobody out."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import httpx
import pytest
from structlog.testing import CapturingLogger

from app.services import Services
from app.settings import log
from app.web import connections, requests, webhooks
from app.web.app import create_app
from app.web.server import Server, listen
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from tests.conftest import SECRET

CALLOUT = encode_callout({"Action": "Create", "Guid": "g", "EntityType": "Ticket", "Id": 7})
POST = b"POST /webhooks/autotask HTTP/1.1\r\nHost: x\r\n"
SIGNED = SIGNATURE_HEADER.encode() + b": " + sign(SECRET, CALLOUT).encode() + b"\r\n"
WHOLE = POST + SIGNED + f"Content-Length: {len(CALLOUT)}\r\n\r\n".encode() + CALLOUT
SLOW: dict[str, bytes] = {
    "nothing": b"",
    "half a request line": b"POST /webho",
    "headers that go on": POST + b"X-A: b\r\n",
    "half a header": POST + b"X-Hook-Sig",
    "a body that does not come": POST + b"Content-Length: 100\r\n\r\n",
    "half a body": POST + SIGNED + b"Content-Length: 262144\r\n\r\n" + b"x" * 9999,
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nfff\r\nabc",
    "chunks without an end": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    "one that waits for a word": POST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    "a request, and then nothing": b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "more than the body's limit": POST + b"Content-Length: 999999\r\n\r\n" + b"x" * 270_000,
    "a body for a page that takes none": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
}


class Served:
    """A server of the application in this process, and clients of it."""

    def __init__(self, services: Services) -> None:
        self.server = Server(create_app(services), "127.0.0.1", 0)
        self.state = self.server.server_state
        self.listeners = listen("127.0.0.1", 0, self.state)
        self.address = self.listeners[0].getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"

    def connect(self, sent: bytes = b"") -> socket.socket:
        """Connect, send something, and leave it at that."""
        client = socket.create_connection(self.address)
        client.setblocking(False)
        with suppress(BlockingIOError):
            client.send(sent)
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that happens soon."""
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)

    async def callout(self) -> int:
        """Post a signed callout over a connection of its own; return the answer's status."""
        headers = {SIGNATURE_HEADER: sign(SECRET, CALLOUT)}
        async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False, timeout=20) as http:
            answer = await http.post(
                f"{self.url}/webhooks/autotask", content=CALLOUT, headers=headers
            )
        return answer.status_code


@pytest.fixture
async def served(services: Services) -> AsyncIterator[Served]:
    """The application behind a socket."""
    served = Served(services)
    running = asyncio.create_task(served.server.serve(served.listeners))
    await served.until(lambda: served.server.started)
    yield served
    served.server.should_exit = True
    await running


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What the edge says."""
    captured = CapturingLogger()
    for module in (connections, requests):
        monkeypatch.setattr(module, "log", captured)
    return captured


def events(logged: CapturingLogger) -> list[str]:
    """Return the lines' names."""
    return [call.args[0] for call in logged.calls]


def is_closed(client: socket.socket) -> bool:
    """Return whether the server has ended a connection, whatever it said before."""
    try:
        while client.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


# --- slow ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SLOW)
async def test_a_slow_client_is_cut_off_in_time(
    served: Served, logged: CapturingLogger, name: str
) -> None:
    """After ten seconds without a request's headers, half a minute without its body."""
    client = served.connect(SLOW[name])
    await served.until(lambda: len(served.state.connections) == 1)
    await asyncio.sleep(0.05)
    now = asyncio.get_running_loop().time()
    served.state.sweep(now + 9)
    assert len(served.state.connections) == 1
    served.state.sweep(now + 31)
    await served.until(lambda: is_closed(client))

    assert not served.state.connections
    assert await served.callout() == 202
    await served.until(lambda: not served.state.tasks)
    assert events(logged).count("clients_cut_off") == 1
    assert len(logged.calls) <= 3
    assert {call.method_name for call in logged.calls} <= {"info", "warning"}
    client.close()


async def test_a_client_that_does_not_read_is_cut_off(
    served: Served, logged: CapturingLogger
) -> None:
    """Its answer is larger than all buffers, and waits."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    client.connect(served.address)
    client.setblocking(False)
    pages = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200
    client.send(pages)
    [one] = await _first(served)
    await served.until(lambda: one.flow.write_paused)
    served.state.sweep(asyncio.get_running_loop().time() + 31)
    await served.until(lambda: not served.state.tasks)
    assert not served.state.connections
    assert await served.callout() == 202
    client.close()


async def _first(served: Served) -> list[Any]:
    await served.until(lambda: len(served.state.connections) == 1)
    return list(served.state.connections)


async def test_a_callout_that_comes_slowly_is_told_so(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408: Autotask sends it again."""
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.1)
    with served.connect(WHOLE[:-5]) as client:
        answer = b""
        async with asyncio.timeout(20):
            while b"time." not in answer:
                answer += await asyncio.get_running_loop().sock_recv(client, 4096)
    assert answer.startswith(b"HTTP/1.1 408 ")


# --- many ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SLOW)
async def test_clients_that_wait_make_room(
    served: Served, logged: CapturingLogger, name: str
) -> None:
    """However many there are, a callout is answered within a second, and so is health."""
    served.state.most = 40
    with ExitStack() as stack:
        for _ in range(5):
            for _ in range(30):
                stack.enter_context(served.connect(SLOW[name]))
            assert await served.callout() == 202
            assert len(served.state.connections) <= 41
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            assert (await http.get(f"{served.url}/health/live")).status_code == 200
    served.state.sweep(asyncio.get_running_loop().time() + 31)
    assert "clients_cut_off" in events(logged)
    assert events(logged).count("clients_cut_off") == 1


async def test_who_is_being_answered_is_never_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all are, the newest is refused at once."""
    go_on = asyncio.Event()

    async def slow(*_: object) -> str:
        await go_on.wait()
        return "accepted"

    monkeypatch.setattr(webhooks, "_store", slow)
    served.state.most = 3
    answers = [asyncio.create_task(served.callout()) for _ in range(3)]
    await served.until(lambda: len(served.state.tasks) == 3)
    await asyncio.sleep(0.05)
    with served.connect() as client:
        refusal = await asyncio.get_running_loop().sock_recv(client, 4096)
    go_on.set()
    assert refusal.startswith(b"HTTP/1.1 503 ")
    assert await asyncio.gather(*answers) == [202] * 3
    assert await served.callout() == 202


async def test_without_descriptors_callouts_are_answered(
    served: Served, logged: CapturingLogger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clients wait in the queue, and no descriptor is left for them: those that wait make room."""
    log.configure("json")
    assert await served.callout() == 202
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(served.connect(b"POST /webho"))
        last = stack.enter_context(served.connect(WHOLE))
        with few_descriptors(4):
            answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(last, 4096), 5.0)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert await served.callout() == 202
    assert "Traceback" not in capsys.readouterr().err


async def test_without_any_descriptor_clients_are_refused(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, with the one that is kept for it; and the loop does not turn without a pause."""
    log.configure("json")
    with ExitStack() as stack:
        clients = [stack.enter_context(served.connect(WHOLE)) for _ in range(40)]
        with few_descriptors(0):
            await served.until(lambda: all(map(is_closed, clients)))
        assert await served.callout() == 202
    assert "Traceback" not in capsys.readouterr().err


@contextmanager
def few_descriptors(left: int) -> Any:
    """Leave only so many to this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    highest = max(taken)
    for one in taken[:left]:
        os.close(one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in taken[left:]:
            os.close(one)


# --- gone, odd -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("sent", [WHOLE[:-9], WHOLE[:40], b"", WHOLE, SLOW["half a chunk"]])
async def test_a_client_that_left_is_at_most_a_line(
    served: Served,
    logged: CapturingLogger,
    capsys: pytest.CaptureFixture[str],
    sent: bytes,
    reset: bool,
) -> None:
    """No traceback, and no answer to nobody."""
    log.configure("json")
    client = served.connect(sent)
    await served.until(lambda: len(served.state.connections) == 1)
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    await served.until(lambda: not served.state.connections and not served.state.tasks)

    assert events(logged) in ([], ["client_left"], ["request"])
    assert all(call.method_name == "info" for call in logged.calls)
    assert "Traceback" not in capsys.readouterr().err


ODD: dict[str, bytes] = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 99,
    "headers without an end": POST + b"X-A: " + b"b" * 99_999,
    "thousands of headers": POST + b"X-A: b\r\n" * 9_999 + b"\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length that is none": POST + b"Content-Length: -1\r\n\r\n",
    "a chunk that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a version of its own": b"GET / HTTP/9.9\r\n\r\n",
    "a socket for the web": b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: upgrade\r\n\r\n",
    "a line per request": b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", ODD)
async def test_a_flood_of_nonsense_is_a_few_lines(
    served: Served, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A thousand of them are as many lines as thirty."""
    log.configure("json")
    for _ in range(8):
        with ExitStack() as stack:
            clients = [stack.enter_context(served.connect(ODD[name])) for _ in range(10)]
            await served.until(partial(_all_answered, clients))
    written = capsys.readouterr().err
    assert len(written.splitlines()) <= 35
    assert "Traceback" not in written
    assert all(json.loads(line)["level"] in ("info", "warning") for line in written.splitlines())
    assert await served.callout() == 202


def _all_answered(clients: list[socket.socket]) -> bool:
    """Return whether each client has an answer, or the end of its connection."""
    for client in clients:
        try:
            client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionError:
            continue
    return True


async def test_tiny_chunks_take_no_second(served: Served) -> None:
    """A byte at a time costs more than it brings: the client is cut off, others are answered."""
    tiny = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 200_000
    with served.connect() as client:
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(client, tiny))
        for _ in range(5):
            assert await served.callout() == 202
        with suppress(ConnectionError):
            await sending
        await served.until(lambda: is_closed(client))
