"""The database's edge: outages told from defects, writes that wait for it, schemas that fit."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import exc, text

from app.db import database, schema
from app.db.database import Sessions, is_outage, persist
from app.db.schema import require_schema, schema_problem

ROOT = Path(__file__).parents[2]
AWAY = exc.OperationalError("SELECT 1", {}, Exception("connection refused"))


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = database.make_engine(database_url)
    yield database.make_sessions(engine)
    await engine.dispose()


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (AWAY, True),
        (exc.InterfaceError("", {}, Exception()), True),
        (exc.DBAPIError("", {}, Exception(), connection_invalidated=True), True),
        (exc.TimeoutError("the pool is empty"), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (exc.DBAPIError("", {}, Exception()), False),
        (exc.ProgrammingError("", {}, Exception()), False),
        (exc.IntegrityError("", {}, Exception()), False),
        (exc.DataError("", {}, Exception()), False),
        (ValueError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_outage_is_told_from_a_defect(error: Exception, outage: bool) -> None:
    """The one passes by itself, the other does not."""
    assert is_outage(error) is outage


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses of persist() instead of making them."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    known = {"get_running_loop": asyncio.get_running_loop, "sleep": sleep}
    monkeypatch.setattr(database, "asyncio", SimpleNamespace(**known))
    return made


async def test_what_has_happened_is_written_when_the_database_is_back(waits: list[float]) -> None:
    """Again and again, as one transaction each, and its result is given."""
    errors = [AWAY, ConnectionResetError()]

    async def write() -> int:
        if errors:
            raise errors.pop()
        return 7

    assert await persist(write) == 7
    assert len(waits) == 2


async def test_a_defect_is_not_tried_again(waits: list[float]) -> None:
    """It would fail for ever."""

    async def write() -> None:
        raise exc.IntegrityError("", {}, Exception())

    with pytest.raises(exc.IntegrityError):
        await persist(write)
    assert waits == []


async def test_an_outage_without_end_is_raised(waits: list[float]) -> None:
    """The record is missing: its readers ask Autotask again."""

    async def write() -> None:
        raise AWAY

    with pytest.raises(exc.OperationalError):
        await persist(write, seconds=-1)
    assert waits == []


async def test_a_migrated_database_is_ready(sessions: Sessions) -> None:
    """And so is one that a later build has migrated: it stays readable for this one."""
    assert await schema_problem(sessions) is None
    async with sessions() as session, session.begin():
        await session.execute(text("UPDATE alembic_version SET version_num = 'of_a_later_build'"))
    await require_schema(sessions)


async def test_a_database_without_a_revision_is_not_ready(sessions: Sessions) -> None:
    """A migration that was begun and not finished."""
    async with sessions() as session, session.begin():
        await session.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(schema.SchemaError, match="autotask-cc migrate"):
        await require_schema(sessions)


@pytest.mark.process
async def test_several_may_migrate_at_once(empty_url: str) -> None:
    """As replicas do that start together; empty before, ready afterwards."""
    engine = database.make_engine(empty_url)
    sessions = database.make_sessions(engine)
    assert "empty" in str(await schema_problem(sessions))
    command = [
        sys.executable,
        "-c",
        "import sys; from app.db.schema import migrate; migrate(sys.argv[1])",
        empty_url,
    ]
    migrating = [await asyncio.create_subprocess_exec(*command, cwd=ROOT) for _ in range(3)]
    assert [await process.wait() for process in migrating] == [0, 0, 0]
    assert await schema_problem(sessions) is None
    await engine.dispose()


async def test_errors_do_not_show_parameters(sessions: Sessions) -> None:
    """They are addresses."""
    async with sessions() as session:
        with pytest.raises(exc.DBAPIError) as caught:
            await session.execute(text("SELECT :who FROM nothing"), {"who": "nina@x.example"})
    assert "nina" not in str(caught.value)


async def test_the_clock_goes_on_within_a_transaction(sessions: Sessions) -> None:
    """now() stands still there, which would let a slot expire too early."""
    async with sessions() as session:
        first = await database.db_now(session)
        assert await database.db_now(session) > first
