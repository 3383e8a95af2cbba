"""Wait for what the processes bring about, and look into their books."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from app.embedded import EmbeddedPostgres
from bench.chaos.plan import WORKERS
from bench.chaos.struck import Struck
from sandbox.tenant import Tenant

QUIET_SECONDS = 40.0
"""When nothing more is done for so long, nothing more will be."""

Tend = Callable[[], None]
"""Restarts what has ended."""


def wait_for(condition: Callable[[], bool], tend: Tend, seconds: float) -> bool:
    """Wait for something that the processes bring about; False if that takes too long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        tend()
        if condition():
            return True
        time.sleep(0.1)
    return False


def comes_to_rest(
    struck: Struck, tenant: Tenant, tickets: int, books: psycopg.Connection, tend: Tend
) -> bool:
    """Wait until all is done; False when for QUIET_SECONDS nothing more was.

    A write that is still to take effect could double something after the verdict.
    """

    def is_over() -> bool:
        return struck.all_took_effect() and _is_quiet(tenant, tickets, books)

    before = -1
    while (so_far := progress(books)) > before:
        before = so_far
        if wait_for(is_over, tend, QUIET_SECONDS):
            return True
    return False


def progress(books: psycopg.Connection) -> int:
    """Count what only grows while work is done: triggers looked at, and tickets with a result.

    The first look at a ticket covers its trigger, and often only makes it wait for the next one.
    """
    [[covered, settled]] = books.execute(
        "SELECT (SELECT coalesce(sum(done), 0)::bigint FROM due WHERE kind = 'ticket'),"
        " (SELECT count(result) FROM tickets)"
    ).fetchall()
    return int(covered) + int(settled)


def all_up(books: psycopg.Connection) -> bool:
    """Tell whether all workers live, and the tickets that were there before are told apart.

    What comes before that and without a callout is history to reconciliation.
    """
    counts = "SELECT (SELECT count(*) FROM workers), (SELECT count(*) FROM reconciliation)"
    [(alive, begun)] = books.execute(counts).fetchall()
    return bool(alive >= len(WORKERS) and begun)


def _is_quiet(tenant: Tenant, tickets: int, books: psycopg.Connection) -> bool:
    """Tell whether no callout waits, every ticket is known, and none is due."""
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
