"""Real worker and API processes, to be killed and frozen. Each ends with its `with` block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]

# The lease is a constant on purpose. Tests that wait for several to run out shorten it.
_IMPATIENT = """
import datetime, sys
from app.due import work
work.LEASE, work.BEAT = datetime.timedelta(seconds=3), datetime.timedelta(seconds=0.5)
from app.cli import main
main()
"""


@contextmanager
def process(
    command: str, environ: dict[str, str], *, impatient: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `worker` or `serve`, and kill it at the end if it still runs.

    impatient: with a lease of three seconds instead of twenty.
    """
    running = start(command, environ, _IMPATIENT if impatient else None)
    try:
        yield running
    finally:
        if running.poll() is None:
            os.kill(running.pid, signal.SIGCONT)
            running.kill()
        running.wait()


def start(
    command: str, environ: dict[str, str], prelude: str | None = None, log: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    """Start `worker` or `serve`; the caller has to end it.

    prelude: what runs in its place, and calls app.cli.main(). log: where its log goes.
    """
    how = ["-c", prelude] if prelude else ["-m", "app"]
    return subprocess.Popen(
        [sys.executable, *how, command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )


def kill(running: subprocess.Popen[bytes]) -> None:
    """Kill a process and wait for its end."""
    running.kill()
    running.wait()


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until the condition is true; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
