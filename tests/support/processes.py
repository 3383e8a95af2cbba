"""Real worker and API processes, to be killed and frozen. Each ends with its `with` block."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The lease is a constant on purpose. Tests that wait for several to run out shorten it.
IMPATIENT = """
import datetime
from app.due import work
work.LEASE, work.BEAT = datetime.timedelta(seconds=3), datetime.timedelta(seconds=0.5)
"""

# Importing the product takes most of the time of a start, so one process does it for all.
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["app.cli.serve", "app.cli.undo", "alembic.command", "tests.support.processes"]
)


class Running:
    """A process that runs a command."""

    def __init__(self, command: list[str], environ: dict[str, str], prelude: str) -> None:
        environ = {"PATH": os.environ["PATH"], **environ}
        self._process = _forks.Process(target=_run, args=(command, environ, prelude))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, below zero for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the end, and return the exit code; None if it still runs."""
        self._process.join(seconds)
        return self._process.exitcode

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()

    def terminate(self) -> None:
        """Tell it to stop."""
        self._process.terminate()


def _run(command: list[str], environ: dict[str, str], prelude: str) -> None:
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(ROOT)
    sys.argv = ["autotask-cc", *command]
    exec(prelude, {})

    from app.cli import main

    main()


@contextmanager
def process(command: str, environ: dict[str, str], *, impatient: bool = True) -> Iterator[Running]:
    """Run `worker` or `serve`, and kill it at the end if it still runs.

    impatient: with a lease of three seconds instead of twenty.
    """
    running = Running([command], environ, IMPATIENT if impatient else "")
    try:
        yield running
    finally:
        if running.poll() is None:
            os.kill(running.pid, signal.SIGCONT)
            running.kill()
        running.wait()


def kill(running: Running) -> None:
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
