"""Wait for the processes, and read their records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from app.db.embedded.server import EmbeddedPostgres
from app.db.states import Chore
from bench.chaos.plan import WORKERS
from bench.chaos.struck import Struck
from sandbox.tenant import Tenant

QUIET_SECONDS = 40.0
"""When nothing more is done for so long, nothing more will be."""

Tend = Callable[[], None]
"""Restarts what has ended."""


def wait_for(condition: Callable[[], bool], tend: Tend, seconds: float) -> bool:
    """Wait for a condition; return False if it takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        tend()
        if condition():
            return True
        time.sleep(0.1)
    return False


def comes_to_rest(
    struck: Struck,
    tenant: Tenant,
    tickets: int,
    books: psycopg.Connection,
    tend: Tend,
    *,
    lives: bool = False,
) -> bool:
    """Wait until all is done; return False after QUIET_SECONDS without progress.

    A fault that strikes is progress, too: each strikes once, but many that no call has met yet can
    wait for the last contact that is brought back. A write that is still to take effect could
    create a duplicate after the verdict. `lives`: wait for the chores that follow tickets and
    retire contacts, too.
    """
    passes = Passes(books)

    def is_over() -> bool:
        if not struck.all_took_effect() or not _is_quiet(tenant, tickets, books):
            passes.begin_anew()
            return False
        return not lives or (passes.two_are_over() and _to_end(books) == 0)

    before = -1
    while (so_far := progress(books) + struck.counts.total()) > before:
        before = so_far
        if wait_for(is_over, tend, QUIET_SECONDS):
            return True
    return False


def progress(books: psycopg.Connection) -> int:
    """Count what only grows while work is done: triggers, tickets with a result, retirements.

    The first look at a ticket covers its trigger, and often only makes it wait for the next one.
    """
    [[covered, settled, ended]] = books.execute(
        "SELECT (SELECT coalesce(sum(done), 0)::bigint FROM due WHERE kind = 'ticket'),"
        " (SELECT count(result) FROM tickets), (SELECT count(*) FROM audit)"
    ).fetchall()
    return int(covered) + int(settled) + int(ended)


class Passes:
    """Counts the passes of the chores that notice changes and retire contacts."""

    def __init__(self, books: psycopg.Connection) -> None:
        self._books = books
        self._since: dict[int, int] = {}

    def begin_anew(self) -> None:
        """Start counting again."""
        self._since = {}

    def two_are_over(self) -> bool:
        """Return whether each began and ended once since: an earlier pass may be half over."""
        chores = (Chore.RECONCILE, Chore.FOLLOW, Chore.RETIRE)
        query = "SELECT ref, attempt, holder IS NULL FROM due WHERE kind = 'chore'"
        rows = {ref: (attempt, idle) for ref, attempt, idle in self._books.execute(query)}
        if not self._since:
            self._since = {chore: rows[chore][0] for chore in chores}
        return all(rows[chore][1] and rows[chore][0] - self._since[chore] >= 2 for chore in chores)


_TO_END = """
SELECT count(*) FROM ledger l WHERE l.kept IS NULL AND (
    l.state IN ('retiring', 'restoring')
    OR (l.state IN ('created', 'sending', 'unsure') AND l.end_why = 'moved')
    OR (l.state = 'created' AND l.lifetime IS NOT NULL
        AND EXISTS (SELECT FROM tickets t WHERE t.id = l.ticket_id
            AND (t.over_at IS NOT NULL OR t.account_id <> l.account_id))
        AND NOT EXISTS (
            SELECT FROM links k JOIN tickets t ON t.id = k.ticket_id
            WHERE k.contact_id = l.contact_id AND t.over_at IS NULL
            AND k.unlinked_at IS NULL AND k.removed_seen_at IS NULL
            AND (k.sent_at IS NOT NULL OR k.first_seen_linked_at IS NOT NULL))))
"""


def _to_end(books: psycopg.Connection) -> int:
    """Count the contacts that are being retired or brought back, or are about to be."""
    [[waiting]] = books.execute(_TO_END).fetchall()
    return int(waiting)


def all_up(books: psycopg.Connection) -> bool:
    """Return whether all workers live, and reconciliation has begun.

    To reconciliation, earlier tickets without a callout are old tickets.
    """
    counts = "SELECT (SELECT count(*) FROM workers), (SELECT count(*) FROM reconciliation)"
    [(alive, begun)] = books.execute(counts).fetchall()
    return bool(alive >= len(WORKERS) and begun)


def _is_quiet(tenant: Tenant, tickets: int, books: psycopg.Connection) -> bool:
    """Return whether no callout waits, every ticket is known, and none is due."""
    if any(tenant.outbox.queues.values()):
        return False
    [[due]] = books.execute(
        "SELECT count(*) FROM due WHERE kind = 'ticket' AND (due_at, holder) IS DISTINCT FROM"
        " (NULL, NULL)"
    ).fetchall()
    [[known]] = books.execute("SELECT count(*) FROM tickets").fetchall()
    return bool(due == 0 and known >= tickets)


@contextmanager
def connected(database: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    url = database.url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
