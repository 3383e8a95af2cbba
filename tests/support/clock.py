"""A clock that tests move: that of the database, which the product reads, and of the sandbox.

Functions in a schema that comes before pg_catalog in the search path replace PostgreSQL's clock
for each connection that is opened afterwards. The product is not changed.
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
    """The time that the product and Autotask see. Enter it before the product connects."""

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
        """Move the clock forward: `advance(days=8)`."""
        self._ahead += timedelta(**by)
        with connect(self._url) as connection:
            connection.execute("UPDATE clock.ahead SET by = %s", [self._ahead])
