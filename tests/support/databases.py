"""Databases for tests: one per worker that is emptied after each test, and copies of the template.

A copy costs a hundred times what emptying costs. It is for tests that restart the server, drop the
schema, or refer to the database by name.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import psycopg

from app.db import schema
from app.db.embedded.server import EmbeddedPostgres

TEMPLATE = "template_of_tests"
# In bytes. DELETE takes a tenth of the time of TRUNCATE but leaves the dead rows in the file.
LARGE = 128 * 1024

_USED = """
SELECT relname, pg_relation_size(oid) > %s FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
_RESTART_SEQUENCES = """
SELECT setval(seqrelid, 1, false) FROM pg_sequence
WHERE pg_sequence_last_value(seqrelid) IS NOT NULL
"""
_END_CONNECTIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_OBJECTS = """
SELECT (SELECT ARRAY[sum(oid::bigint), sum(relnatts)] FROM pg_class),
    (SELECT sum(oid::bigint) FROM pg_proc), (SELECT sum(oid::bigint) FROM pg_trigger),
    (SELECT sum(oid::bigint) FROM pg_constraint), (SELECT sum(oid::bigint) FROM pg_namespace),
    (SELECT count(*) FROM pg_db_role_setting)
"""
_numbers = itertools.count()


def make_template(server: EmbeddedPostgres) -> None:
    """Create the database that the others are copied from, and keep the rows of its migrations."""
    with connect(server.url) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    url = server.url_for(TEMPLATE)
    schema.migrate(url)
    with connect(url) as connection:
        connection.execute("CREATE SCHEMA migrated")
        for table, _ in connection.execute(_USED, [LARGE]).fetchall():
            connection.execute(f"CREATE TABLE migrated.{table} AS TABLE public.{table}")


@contextmanager
def copied(server: EmbeddedPostgres, template: str = TEMPLATE) -> Iterator[str]:
    """Yield the URL of a new database, which is dropped at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with connect(server.url) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.url_for(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def connect(url: str) -> psycopg.Connection[Any]:
    """Connect to a database without opening transactions."""
    return psycopg.connect(plain(url), autocommit=True)


def plain(url: str) -> str:
    """Return a database's URL as psycopg itself takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://")


class SharedDatabase:
    """A database that looks to each test as if it had just been migrated."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._untouched: tuple[Any, ...] | None
        self._copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def empty(self) -> None:
        """Undo what a test did: rows, sequences, connections that are left, also the schema."""
        self._connection.execute(_END_CONNECTIONS)
        if self._position() == self._untouched:
            return
        if self._row(_OBJECTS) != self._objects:
            self._parts.close()
            self._copy()
            return
        with self._connection.transaction():
            for table, large in self._connection.execute(_USED, [LARGE]).fetchall():
                self._connection.execute(f"TRUNCATE {table}" if large else f"DELETE FROM {table}")
                if table in self._migrated:
                    self._connection.execute(f"INSERT INTO {table} TABLE migrated.{table}")
            self._connection.execute(_RESTART_SEQUENCES)
        self._untouched = self._position()

    def _copy(self) -> None:
        self._parts = ExitStack()
        self.url = self._parts.enter_context(copied(self._server))
        self._connection = self._parts.enter_context(connect(self.url))
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'migrated'"
        self._migrated = {name for (name,) in self._connection.execute(tables)}
        self._objects = self._row(_OBJECTS)
        self._untouched = self._position()

    def _row(self, query: str) -> tuple[Any, ...] | None:
        return self._connection.execute(query).fetchone()

    def _position(self) -> tuple[Any, ...] | None:
        # The end of the write-ahead log. Each write moves it, also one that is rolled back.
        return self._row("SELECT pg_current_wal_insert_lsn()")
