"""A clock that tests move: the database's, by which all of the product goes, and the sandbox's.

Functions of a schema that stands before PostgreSQL's own in the search path take the place of its
clock, for every process that connects from then on. Nothing in the product knows of it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

from sandbox.tenant import Tenant
from tests.support.databases import connect

_SCHEMA = """
CREATE SCHEMA clock;
CREATE TABLE clock.ahead AS SELECT interval '0' AS by;
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + by FROM clock.ahead';
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + by FROM clock.ahead';
"""


class Clock:
    """Time as the product and its Autotask see it. Enter it before the product connects."""

    def __init__(self, database_url: str, tenant: Tenant) -> None:
        self._url = database_url
        self._tenant = tenant
        self._ahead = timedelta(0)

    def __enter__(self) -> Self:
        self._tenant.clock = lambda: datetime.now(UTC) + self._ahead
        with connect(self._url) as connection:
            connection.execute(_SCHEMA)
            name = connection.info.dbname
            connection.execute(f"ALTER DATABASE {name} SET search_path = clock, pg_catalog, public")
        return self

    def __exit__(self, *_: object) -> None:
        with connect(self._url) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} RESET search_path")
            connection.execute("SET lock_timeout = '10s'")
            connection.execute("DROP SCHEMA clock CASCADE")

    def advance(self, **by: float) -> None:
        """Let time pass: `advance(days=8)`."""
        self._ahead += timedelta(**by)
        with connect(self._url) as connection:
            connection.execute("UPDATE clock.ahead SET by = %s", [self._ahead])
