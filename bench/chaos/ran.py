"""A plan that was played, and our records of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import psycopg

from bench.chaos.lives import Lives
from bench.chaos.plan import Plan
from bench.chaos.world import World
from sandbox.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Books:
    """Our records: each ticket's result, and each address's outcome by ticket.

    `kept`: why contacts of ours are never retired by themselves.
    """

    results: dict[int, str | None]
    outcomes: dict[int, dict[str, str | None]]
    kept: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """A plan that was played.

    `ids`: the tickets' ids by number; `quiet`: it came to rest in time. `struck`: how often each
    of bench.chaos.struck.KINDS did. `lives`: what people did. `meanwhile`: what did not hold at
    some moment.
    """

    plan: Plan
    world: World
    tenant: Tenant
    ids: dict[int, int]
    books: Books
    quiet: bool
    seconds: float
    struck: Counter[str]
    lives: Lives = field(default_factory=Lives)
    meanwhile: list[str] = field(default_factory=list)

    @property
    def failed_calls(self) -> int:
        """Count the calls that got no answer, or an error."""
        return sum(call.status != 200 for call in self.tenant.calls)


def read_books(connection: psycopg.Connection) -> Books:
    """Read our records of all tickets."""
    known = connection.execute("SELECT id, result FROM tickets").fetchall()
    results: dict[int, str | None] = dict(known)
    outcomes: dict[int, dict[str, str | None]] = {}
    rows = connection.execute("SELECT ticket_id, key, outcome FROM participants").fetchall()
    for ticket_id, key, outcome in rows:
        outcomes.setdefault(ticket_id, {})[key] = outcome
    found = "SELECT contact_id, kept FROM ledger WHERE kept IS NOT NULL"
    return Books(results, outcomes, dict(connection.execute(found).fetchall()))
