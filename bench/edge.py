"""Hold thousands of idle, slow, odd and aborted clients against a real process.

Run: `python -m bench.edge`. While they come in waves, signed callouts are posted all the time.
Each has to be accepted within a second, or refused within one and accepted when it is posted again,
as Autotask does. Memory and log have to stay small. What does not hold is printed, and the exit
code is 1. All of it is on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO

import httpx

from app.db import schema
from app.db.embedded.server import EmbeddedPostgres
from bench.crowd import KINDS, wave
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from tests.support.processes import free_port, wait_until

SECRET = "a-webhook-secret-of-bench"  # noqa: S105  of a double
SECONDS = 1.0
"""Within which a signed callout is answered."""

_TRIES = 5  # as Autotask's, only faster

MEGABYTES = 80
"""By which the process's memory grows at most."""

LOG_BYTES = 64 * 1024
"""That are logged at most, besides two lines for each callout that was accepted."""

_EVERY = 0.05  # seconds between two callouts
_AGAIN = 0.2  # seconds until a callout that was refused is posted again
_LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({0}, {0}))
from app.cli import main
main()
"""
_ROOT = Path(__file__).parents[1]


@dataclass(slots=True)
class Callouts:
    """Signed callouts, posted one after the other from a thread of their own."""

    address: tuple[str, int]
    kind: str = "none"
    answers: list[tuple[str, int, float]] = field(default_factory=list)
    """Beside which clients, the status (0: the end of the connection), and after how long."""

    given_up: int = 0

    def post(self, stopped: threading.Event) -> None:
        """Post until the end is told."""
        number = 0
        while not stopped.wait(_EVERY):
            number += 1
            for _ in range(_TRIES):
                kind, began = self.kind, time.perf_counter()
                status = self._post(number)
                self.answers.append((kind, status, time.perf_counter() - began))
                if status == 202:
                    break
                time.sleep(_AGAIN)
            self.given_up += status != 202

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


@dataclass(frozen=True, slots=True)
class Ran:
    """What was seen of a run."""

    callouts: Callouts
    megabytes: float
    log_bytes: int
    tracebacks: int

    def violations(self) -> Iterator[str]:
        """Yield what does not hold."""
        if self.callouts.given_up:
            yield f"{self.callouts.given_up} callouts were never accepted"
        for kind, answers in self._by_kind():
            if odd := {status for status, _ in answers} - {202, 503, 0}:
                yield f"{kind}: callouts were answered {sorted(odd)}"
            if (slowest := max(seconds for _, seconds in answers)) > SECONDS:
                yield f"{kind}: a callout was answered after {slowest:.2f} s"
        if self.megabytes > MEGABYTES:
            yield f"memory grew by {self.megabytes:.0f} MB"
        if self.log_bytes > LOG_BYTES:
            yield f"{self.log_bytes} bytes were logged"
        if self.tracebacks:
            yield f"{self.tracebacks} tracebacks were logged"

    def table(self) -> str:
        """Return a line for each kind of client."""
        lines = [
            "| clients | callouts | refused | median | slowest |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        for kind, answers in self._by_kind():
            took = sorted(round(1000 * seconds) for _, seconds in answers)
            refused = sum(status != 202 for status, _ in answers)
            median = took[len(took) // 2]
            lines.append(f"| {kind} | {len(took)} | {refused} | {median} ms | {took[-1]} ms |")
        return "\n".join(lines)

    def _by_kind(self) -> Iterator[tuple[str, list[tuple[int, float]]]]:
        for kind in dict.fromkeys(one for one, _, _ in self.callouts.answers):
            yield kind, [(n, seconds) for one, n, seconds in self.callouts.answers if one == kind]


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
        with log_file.open("wb") as log:
            serving = _serve(environ, descriptors, log)
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
        return Ran(callouts, grown, *_logged(log_file))


def _serve(
    environ: dict[str, str], descriptors: int | None, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    how = ["-c", _LIMITED.format(descriptors)] if descriptors else ["-m", "app"]
    return subprocess.Popen(  # noqa: S603  our own command
        [sys.executable, *how, "serve"],
        cwd=_ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )


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
