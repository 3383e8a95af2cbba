"""Record what reached the API, and count it: by hour, and at once per entity."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

THREADS = 3


@dataclass
class Call:
    """One request that reached the API. `status` is 0 while, or if, it got no answer."""

    method: str
    path: str
    entity: str
    status: int
    at: datetime
    body: Any


class CallLog:
    """Remember the calls of a tenant and enforce its two limits.

    Limits: https://www.autotask.net/help/developerhelp/Content/APIs/REST/General_Topics/
    REST_Thresholds_Limits.htm (requests in a rolling hour) and General/ThreadLimiting.htm
    (three at once for one tracking id and entity).
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.calls: list[Call] = []
        self.peak: dict[str, int] = {}
        self.thread_refusals = 0
        self.request_limit = 10_000
        self.request_window = 3600.0
        self._busy: Counter[str] = Counter()
        self._charged: deque[datetime] = deque()

    def count(
        self,
        method: str | None = None,
        entity: str | None = None,
        path_contains: str | None = None,
    ) -> int:
        """Return how many calls match all that is given; paths are compared without case."""
        with self.lock:
            return sum(
                1
                for call in self.calls
                if method in (None, call.method)
                and entity in (None, call.entity)
                and (path_contains is None or path_contains.lower() in call.path.lower())
            )

    def forget_calls(self) -> None:
        """Clear `calls` and `peak`; the rolling hour keeps counting."""
        with self.lock:
            self.calls.clear()
            self.peak.clear()

    def record(self, method: str, path: str, entity: str, body: object) -> Call:
        """Append a call that has just arrived."""
        call = Call(method, path, entity, 0, self.clock(), body)
        with self.lock:
            self.calls.append(call)
        return call

    def requests_used(self) -> int:
        """Return how many requests of the rolling window were let in."""
        with self.lock:
            horizon = self.clock() - timedelta(seconds=self.request_window)
            while self._charged and self._charged[0] <= horizon:
                self._charged.popleft()
            return len(self._charged)

    def charge(self) -> bool:
        """Count a request against the rolling window; False (and uncounted) when it is full."""
        with self.lock:
            if self.requests_used() >= self.request_limit:
                return False
            self._charged.append(self.clock())
            return True

    def enter(self, entity: str) -> bool:
        """Take a thread of this entity; False (and none taken) when three are busy.

        A refused request counts in `peak`: it was there at the same time as the others.
        """
        with self.lock:
            busy = self._busy[entity] + 1
            self.peak[entity] = max(self.peak.get(entity, 0), busy)
            if busy > THREADS:
                self.thread_refusals += 1
                return False
            self._busy[entity] = busy
            return True

    def leave(self, entity: str) -> None:
        """Give back a thread that `enter` took."""
        with self.lock:
            self._busy[entity] -= 1
