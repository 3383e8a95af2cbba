"""Migrate the database's schema, and check it at the start."""

from __future__ import annotations

import functools
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text

from app.db.database import Sessions

_MIGRATIONS = Path(__file__).parents[2] / "migrations"


def alembic_config(url: str) -> Config:
    """Return Alembic's configuration for our migrations and the database at `url`."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring a database's schema to this build's; safe to run twice, or in parallel."""
    command.upgrade(alembic_config(url), "head")


class SchemaError(Exception):
    """This build cannot work with the database's schema."""


async def require_schema(sessions: Sessions) -> None:
    """Raise SchemaError unless the schema fits this build; driver errors pass through."""
    problem = await schema_problem(sessions)
    if problem:
        raise SchemaError(f"Cannot start: {problem}.")


async def schema_problem(sessions: Sessions) -> str | None:
    """Return what is wrong with the schema; None if it is at this build's revision or ahead."""
    async with sessions() as session:
        table = await session.execute(select(func.to_regclass("alembic_version")))
        if table.scalar_one() is None:
            return "the database is empty: run `autotask-cc migrate`"
        current = set(
            (await session.execute(text("SELECT version_num FROM alembic_version"))).scalars()
        )
    head, known = _revisions()
    if current == head or (current and not current & known):
        return None
    return "the database's schema is older than this build: run `autotask-cc migrate`"


@functools.cache
def _revisions() -> tuple[set[str], set[str]]:
    """Return this build's newest revisions, and all revisions that it knows."""
    script = ScriptDirectory(str(_MIGRATIONS))
    return set(script.get_heads()), {each.revision for each in script.walk_revisions()}
