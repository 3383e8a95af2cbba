"""Hold thousands of idle, slow, odd and aborted clients against a real process.

Run: `python -m bench.edge`. While they come in waves, signed callouts are posted all the time.
Each has to be accepted within a second, and memory, connections and log have to stay small; what
does not hold is printed, and the exit code is 1. All of it is on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx

from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from tests.support.processes import free_port, start, wait_until

SECRET = "a-webhook-secret-of-bench"  # noqa: S105  of a double
SECONDS = 1.0
"""Within which a signed callout is accepted."""

MEGABYTES = 80
"""By which the process's memory grows at most."""

LOG_BYTES = 64 * 1024
"""That are logged at most, besides two lines for each callout that was accepted."""

_EVERY = 0.05  # seconds between two callouts
_DRIP = 0.25  # seconds between two bytes of a slow client
_POST = b"POST /webhooks/autotask HTTP/1.1\r\nHost: x\r\n"
_LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))
from app.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Client:
    """What a kind of client sends at once, then byte by byte, and whether it leaves after that."""

    sends: bytes = b""
    drips: bytes = b""
    leaves: bool = False
    room: int | None = None
    """Bytes that its kernel keeps of an answer; None: as many as usual."""


KINDS = {
    "idle": Client(),
    "slow headers": Client(_POST, b"X-Slow: " + b"x" * 999),
    "slow bodies": Client(_POST + b"Content-Length: 262144\r\n\r\n" + b"x" * 200_000, b"x" * 999),
    "slow chunks": Client(_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 199),
    "aborted": Client(_POST + b"Content-Length: 9999\r\n\r\nxyz", leaves=True),
    "gone before the answer": Client(_POST + b"Content-Length: 2\r\n\r\n{}", leaves=True),
    "not reading": Client(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", room=2048),
    "no HTTP": Client(b"\x16\x03\x01\x02\x00" * 40),
    "huge headers": Client(_POST + b"X-Huge: " + b"x" * 99_999),
    "asking for health": Client(b"GET /health/work HTTP/1.1\r\nHost: x\r\n\r\n"),
}


@dataclass(slots=True)
class Callouts:
    """Signed callouts, posted one after the other from a thread of their own."""

    address: tuple[str, int]
    kind: str = "none"
    answers: list[tuple[str, int, float]] = field(default_factory=list)
    """Beside which clients, the status (0: no answer), and after how many seconds."""

    def post(self, stopped: threading.Event) -> None:
        """Post until the end is told."""
        number = 0
        while not stopped.wait(_EVERY):
            number += 1
            kind, began = self.kind, time.perf_counter()
            status = self._post(number)
            self.answers.append((kind, status, time.perf_counter() - began))

    def _post(self, number: int) -> int:
        callout = {"Action": "Create", "Guid": "g", "EntityType": "Ticket", "Id": number}
        body = encode_callout(callout)
        headers = {SIGNATURE_HEADER: sign(SECRET, body), "Content-Type": "application/json"}
        asked = [("POST", "/webhooks/autotask", body, headers)]
        if number % 10 == 0:
            asked.append(("GET", "/health/live", b"", {}))
        for method, path, content, more in asked:
            connection = HTTPConnection(*self.address, timeout=10.0)
            try:
                connection.request(method, path, content, more)
                status = connection.getresponse().status
            except (OSError, HTTPException):
                return 0
            finally:
                connection.close()
            if status not in (200, 202):
                return status
        return 202

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Post within the block."""
        stopped = threading.Event()
        thread = threading.Thread(target=self.post, args=[stopped])
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()


async def wave(address: tuple[str, int], kind: Client, number: int, seconds: float) -> None:
    """Hold so many clients of a kind for some seconds, then close them."""
    clients: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def live() -> None:
        client = socket.socket()
        clients.append(client)
        client.setblocking(False)
        if kind.room:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kind.room)
        with suppress(OSError):
            await asyncio.wait_for(loop.sock_connect(client, address), seconds)
            await asyncio.wait_for(loop.sock_sendall(client, kind.sends), seconds)
            if kind.leaves:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                return
            for byte in kind.drips:
                if loop.time() > until:
                    return
                await asyncio.sleep(_DRIP)
                await loop.sock_sendall(client, bytes([byte]))
        with suppress(TimeoutError):
            await asyncio.sleep(max(0.0, until - loop.time()))

    await asyncio.gather(*(live() for _ in range(number)), asyncio.sleep(seconds))
    for client in clients:
        client.close()


@dataclass(frozen=True, slots=True)
class Ran:
    """What was seen of a run."""

    answers: list[tuple[str, int, float]]
    megabytes: float
    log_bytes: int
    tracebacks: int

    def violations(self) -> Iterator[str]:
        """Yield what does not hold."""
        for kind in dict.fromkeys(kind for kind, _, _ in self.answers):
            wrong = [status for one, status, _ in self.answers if one == kind and status != 202]
            slowest = max(seconds for one, _, seconds in self.answers if one == kind)
            if wrong:
                yield f"{kind}: {len(wrong)} callouts were not accepted: {sorted(set(wrong))}"
            if slowest > SECONDS:
                yield f"{kind}: a callout was answered after {slowest:.2f} s"
        if self.megabytes > MEGABYTES:
            yield f"memory grew by {self.megabytes:.0f} MB"
        if self.log_bytes > LOG_BYTES:
            yield f"{self.log_bytes} bytes were logged"
        if self.tracebacks:
            yield f"{self.tracebacks} tracebacks were logged"

    def table(self) -> str:
        """Return a line for each kind of client."""
        lines = ["| clients | callouts | median | slowest |", "| --- | ---: | ---: | ---: |"]
        for kind in dict.fromkeys(kind for kind, _, _ in self.answers):
            took = sorted(seconds for one, _, seconds in self.answers if one == kind)
            ms = [round(1000 * one) for one in (took[len(took) // 2], took[-1])]
            lines.append(f"| {kind} | {len(took)} | {ms[0]} ms | {ms[1]} ms |")
        return "\n".join(lines)


def run(clients: int, at_once: int, seconds: float, descriptors: int | None = None) -> Ran:
    """Play all kinds of clients in waves, and return what was seen."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with EmbeddedPostgres() as database, tempfile.TemporaryDirectory() as folder:
        schema.migrate(database.url)
        log_file = Path(folder) / "serve.log"
        environ = {
            "DATABASE_URL": database.url,
            "AUTOTASK_API_URL": "http://127.0.0.1:9/ATServicesRest",
            "AUTOTASK_USERNAME": "user",
            "AUTOTASK_SECRET": "secret",
            "AUTOTASK_INTEGRATION_CODE": "code",
            "WEBHOOK_SECRETS": SECRET,
            "OWN_DOMAINS": "northwind-msp.example",
            "RUN_WORKER": "false",
            "PORT": str(port),
        }
        prelude = _LIMITED.format(descriptors) if descriptors else None
        with log_file.open("wb") as log:
            serving = start("serve", environ, prelude, log)
        try:
            wait_until(_is_live(url))
            callouts = Callouts(("127.0.0.1", port))
            for path in ("/openapi.json", "/health/work"):  # what is loaded once
                httpx.get(url + path, trust_env=False, timeout=30.0)
            before = _megabytes(serving.pid, "VmRSS")
            with callouts.going_on():
                time.sleep(seconds)
                asyncio.run(_waves(callouts, clients, at_once, seconds))
            grown = _megabytes(serving.pid, "VmHWM") - before
        finally:
            serving.kill()
            serving.wait()
        return Ran(callouts.answers, grown, *_logged(log_file))


async def _waves(callouts: Callouts, clients: int, at_once: int, seconds: float) -> None:
    names = list(KINDS)
    for turn in range(max(len(names), -(-clients // at_once))):
        callouts.kind = names[turn % len(names)]
        await wave(callouts.address, KINDS[callouts.kind], at_once, seconds)


def _is_live(url: str) -> Callable[[], bool]:
    def live() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/health/live", trust_env=False).status_code == 200
        return False

    return live


def _megabytes(pid: int, what: str) -> float:
    """Return a figure of a process's memory: now (VmRSS), or its highest so far (VmHWM)."""
    [kilobytes] = re.findall(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) / 1024


def _logged(path: Path) -> tuple[int, int]:
    """Return the bytes of all lines but those of accepted callouts, and how many have a trace."""
    size = traces = 0
    for line in path.read_text().splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        traces += "exception" in said or "Traceback" in line
        if not (said.get("event") == "callout" or said.get("status") == 202):
            size += len(line) + 1
    return size, traces


def main() -> int:
    """Print the table and what does not hold; return 1 if anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="that a wave stays")
    parser.add_argument("--descriptors", type=int, help="that the process may open")
    asked = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, asked.at_once + 500), hard))
    ran = run(asked.clients, asked.at_once, asked.seconds, asked.descriptors)
    violations = list(ran.violations())
    sys.stdout.write(f"{ran.table()}\n\n")
    sys.stdout.write(f"memory: +{ran.megabytes:.0f} MB; log: {ran.log_bytes} bytes\n")
    sys.stdout.writelines(f"WRONG: {one}\n" for one in violations)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
