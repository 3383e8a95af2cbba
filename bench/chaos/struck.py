"""Count the faults that really struck: not those that no call met, nor kills of dead processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import get_args

from bench.chaos.plan import FAULTS, Outage
from sandbox.outbox import Attempt
from sandbox.switches import Fault, Faults

KINDS = (
    *("worker killed", "API killed", "worker stopped", "API stopped", "API deaf"),
    "PostgreSQL crashed",
    *(f"outage {how}" for how in get_args(Outage)),
    *(f"{kind} of a {what}" for kind in FAULTS for what in ("read", "write")),
    *("callout missing", "callout twice", "callout overtaken"),
)
"""All that a plan of full length brings about."""


class Struck(Faults):
    """The sandbox's faults, counted when they hit; and the blows at our own processes."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._late_until = 0.0

    def take(self, method: str, entity: str, path: str, body: str = "") -> Fault | None:
        """Return the fault that hits this request, and count it."""
        fault = super().take(method, entity, path, body)
        if fault is None:
            return None
        if fault.times is None:
            self.counts[f"outage {fault.kind}"] += 1
        else:
            is_read = method == "GET" or path.endswith("/query")
            self.counts[f"{fault.kind} of a {'read' if is_read else 'write'}"] += 1
        if fault.kind == "late_commit":
            self._late_until = max(self._late_until, time.monotonic() + fault.seconds)
        return fault

    def all_took_effect(self) -> bool:
        """Return whether no write is left to take effect whose client has gone."""
        return time.monotonic() > self._late_until


def callouts(ids: Iterable[int], attempts: Iterable[Attempt]) -> Counter[str]:
    """Count the tickets whose callout never came, came again, or came after a younger one's."""
    creates = (a for a in attempts if a.payload["Action"] == "Create")
    came = [a.payload["Id"] for a in creates if a.status in (200, 202)]
    return Counter(
        {
            "callout missing": len(set(ids) - set(came)),
            "callout twice": len(came) - len(set(came)),
            "callout overtaken": sum(_overtaken(came)),
        }
    )


def table(counts: Counter[str]) -> Iterator[str]:
    """Return how often each kind struck; a kind that never did proves nothing, and is marked."""
    yield "| what struck | times |"
    yield "| --- | ---: |"
    for kind in KINDS:
        yield f"| {kind} | {counts[kind] or 'NEVER'} |"


def _overtaken(came: list[int]) -> Iterator[bool]:
    newest = 0
    for ticket_id in dict.fromkeys(came):
        yield ticket_id < newest
        newest = max(newest, ticket_id)
