"""Check the database: version, schema, poolers in between, and clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.database import is_outage, refusal
from app.db.schema import schema_problem
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, Skip, ok, problem, warning

_OLDEST = 14
_ROUNDS = 3
SKEW = timedelta(seconds=60)
"""Clocks that differ by more are wrong."""


async def database(deployment: Deployment) -> Sequence[Finding]:
    """Check whether PostgreSQL answers and is new enough."""
    try:
        async with deployment.services.sessions() as session:
            number = int((await session.execute(text("SHOW server_version_num"))).scalar_one())
            now = (await session.execute(text("SELECT clock_timestamp()"))).scalar_one()
    except Exception as error:
        reason = refusal(error) if isinstance(error, DBAPIError) else None
        if reason is None and not is_outage(error):
            raise
        found = f"PostgreSQL cannot be used: {reason or 'it does not answer'}."
        return [problem("database", found, "Check DATABASE_URL, and that PostgreSQL runs.")]
    deployment.database_up = True
    version = number // 10_000
    if version < _OLDEST:
        cure = f"Use PostgreSQL {_OLDEST} or newer."
        return [problem("database", f"PostgreSQL {version} is too old.", cure)]
    return [ok("database", f"PostgreSQL {version} answers."), _clock(now - datetime.now(UTC))]


def _clock(ahead: timedelta) -> Finding:
    seconds = ahead.total_seconds()
    if abs(ahead) > SKEW:
        found = f"The database's clock differs from this machine's by {seconds:+.0f} s."
        cure = "Synchronise both with a time server (NTP); due work goes by the database's clock."
        return warning("clock_database", found, cure)
    return ok("clock_database", "The database's clock and this machine's agree.")


async def schema(deployment: Deployment) -> Sequence[Finding]:
    """Check whether the tables are those of this build."""
    _require(deployment)
    wrong = await schema_problem(deployment.services.sessions)
    if wrong:
        return [problem("schema", f"{wrong[0].upper()}{wrong[1:]}.", "Run `autotask-cc migrate`.")]
    deployment.schema_fits = True
    return [ok("schema", "The database's schema fits this build.")]


async def pooler(deployment: Deployment) -> Sequence[Finding]:
    """Check by its behaviour whether a transaction pooler is in between."""
    _require(deployment)
    async with deployment.services.sessions() as session:
        connection = await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        shared = await _shares_servers(deployment, connection)
        # A setting of the role holds on every server connection; what we SET may not.
        role = await connection.execute(
            text(
                "SELECT reset_val <> '0' FROM pg_settings"
                " WHERE name = 'idle_in_transaction_session_timeout'"
            )
        )
        by_role = bool(role.scalar_one())
    if not shared:
        return [ok("pooler", "No transaction pooler shows between this machine and PostgreSQL.")]
    if by_role:
        found = "A transaction pooler is in between, and the role has the right time-out."
        return [ok("pooler", found)]
    return [
        warning(
            "pooler",
            "A transaction pooler is in between: one connection of this service uses several of "
            "PostgreSQL's, and some of them lack the time-out that frees a frozen process's locks.",
            "ALTER ROLE … SET idle_in_transaction_session_timeout = '10s' for the role in "
            "DATABASE_URL; see docs/scaling-out.md, Poolers.",
        )
    ]


async def _shares_servers(deployment: Deployment, connection: AsyncConnection) -> bool:
    """Return whether two connections share a process of PostgreSQL, or one uses two processes.

    The second one's transaction keeps the process that a pooler would have given to the first.
    """
    for _ in range(_ROUNDS):
        before = await _server_process(connection)
        async with deployment.services.sessions() as session:
            if await _server_process(await session.connection()) == before:
                return True
            if await _server_process(connection) != before:
                return True
    return False


async def _server_process(connection: AsyncConnection) -> int:
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


def _require(deployment: Deployment) -> None:
    if not deployment.database_up:
        raise Skip("the database does not answer: see `database`")
