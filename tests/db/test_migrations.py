"""The schema: models and migrations agree, there and back again, and several at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from app.db import schema
from app.db.database import Base
from tests.support.databases import plain

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
EVERYTHING = """
SELECT table_name, column_name, data_type, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT tablename, indexname, indexdef, '', '' FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
ORDER BY 1, 2, 3
"""


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Ask a database."""
    with psycopg.connect(plain(url)) as connection:
        return connection.execute(statement).fetchall()


def test_models_and_migrations_agree(database_url: str) -> None:
    """What Alembic would still have to change is nothing, types and defaults included."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []


def test_down_to_nothing_and_up_again(empty_url: str) -> None:
    """The way back leaves nothing behind, and the way up gives the same schema again."""
    schema.migrate(empty_url)
    first = query(empty_url, EVERYTHING)
    command.downgrade(schema.alembic_config(empty_url), "base")
    left = {row[0] for row in query(empty_url, EVERYTHING)}
    schema.migrate(empty_url)
    assert left <= {"alembic_version"}
    assert query(empty_url, EVERYTHING) == first
    assert query(empty_url, "SELECT id, shut_until FROM gate") == [(1, None)]


def test_to_migrate_twice_changes_nothing(database_url: str) -> None:
    """What every start of a container does."""
    before = query(database_url, EVERYTHING)
    schema.migrate(database_url)
    assert query(database_url, EVERYTHING) == before


def test_several_migrations_at_once(empty_url: str) -> None:
    """Three containers start together: one migrates, the others wait and find it done."""
    code = "import sys; from app.db import schema; schema.migrate(sys.argv[1])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, empty_url],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert errors == ["", "", ""]
    assert query(empty_url, "SELECT count(*) FROM alembic_version") == [(1,)]
    assert query(empty_url, "SELECT count(*) FROM gate") == [(1,)]


def test_errors_of_notes_get_their_codes(empty_url: str) -> None:
    """What a version before 0007 recognised by its words."""
    config = schema.alembic_config(empty_url)
    command.upgrade(config, "0006")
    errors = [
        "forbidden: The logged in Resource does not have the adequate permissions",
        "TICKET_NOTE_PUBLISH 7 is none of Autotask's choices: 1 (All), 2 (Internal)",
        "it got no answer, and is not among the ticket's notes",
        "Autotask offers no type of note",
    ]
    with psycopg.connect(plain(empty_url)) as connection:
        for error in errors:
            connection.execute(
                "INSERT INTO notes (ticket_id, state, digest, error)"
                " VALUES (1, 'refused', 'x', %s)",
                [error],
            )
    command.upgrade(config, "0007")
    codes = query(empty_url, "SELECT error_code FROM notes ORDER BY id")
    assert codes == [("forbidden",), ("wrong_setting",), ("no_answer",), (None,)]


def test_contacts_that_an_old_undo_deactivated_are_retired_anew(empty_url: str) -> None:
    """Those whose ending could be completed; settled_at says that their addresses were left."""
    config = schema.alembic_config(empty_url)
    command.upgrade(config, "0006")
    row = (
        "INSERT INTO ledger (account_id, email, ticket_id, state, end_why, contact_id, sent,"
        " sent_at, settled_at) VALUES (1, %s, 1, %s, %s, 1, %s, '2026-01-01', %s)"
    )
    rows = [
        ("done", "retired", "undo", "{}", "2026-01-02"),
        ("unsure", "retiring", "undo", "{}", "2026-01-02"),
        ("sent", "retiring", "undo", "{}", None),
        ("blanked", "retired", "undo", None, "2026-01-02"),
        ("lifetime", "retired", "lifetime", "{}", "2026-01-02"),
    ]
    with psycopg.connect(plain(empty_url)) as connection:
        for values in rows:
            connection.execute(row, values)
    command.upgrade(config, "0007")
    upgraded = query(
        empty_url,
        "SELECT email, state, settled_at IS NULL, unsure_until::date::text, end_at <= now()"
        " FROM ledger ORDER BY id",
    )
    assert upgraded == [
        ("done", "retiring", True, None, True),
        ("unsure", "retiring", True, "2026-01-02", True),
        ("sent", "retiring", True, "2026-01-01", True),
        ("blanked", "retired", False, None, None),
        ("lifetime", "retired", False, None, None),
    ]
