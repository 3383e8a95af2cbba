"""The API and the workers as processes: started, killed, frozen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from bench.chaos.child import start
from bench.chaos.plan import API, WORKERS

RESTART_SECONDS = 0.5


class Processes:
    """The API and the workers, restarted when they end, as an orchestrator does."""

    def __init__(self, environ: dict[str, str], logs: Path) -> None:
        self._environ = environ
        self._logs = logs
        self._running: dict[int, BaseProcess] = {}
        self._not_before = dict.fromkeys((API, *WORKERS), 0.0)

    def tend(self) -> None:
        """Start each process that is down and may run."""
        for number, not_before in self._not_before.items():
            running = self._running.get(number)
            if running is not None and not running.is_alive():
                del self._running[number]
                self._not_before[number] = max(not_before, time.monotonic() + RESTART_SECONDS)
            elif running is None and time.monotonic() >= not_before:
                command = "serve" if number == API else "worker"
                log_file = self._logs / f"{command}{number}.log"
                self._running[number] = start(command, self._environ, log_file)

    def kill(self, number: int, away: float = 0.0) -> bool:
        """Kill -9; it comes back after `away` seconds. False: it was dead already."""
        self._not_before[number] = time.monotonic() + away
        running = self._running.pop(number, None)
        if running is None:
            return False
        was_alive = running.is_alive()
        running.kill()
        running.join()
        return was_alive

    def freeze(self, number: int) -> Callable[[], object] | None:
        """Freeze a process; return a function that lets it go on, or None if it is dead."""
        running = self._running.get(number)
        if running is None or not _signal(running, signal.SIGSTOP):
            return None
        return lambda: _signal(running, signal.SIGCONT)

    def end(self) -> None:
        """Kill them all."""
        for number in list(self._running):
            self.kill(number)


def _signal(running: BaseProcess, number: signal.Signals) -> bool:
    """Send a signal to a process of ours, unless it is dead and its number free for others."""
    if not running.is_alive() or running.pid is None:
        return False
    os.kill(running.pid, number)
    return True
