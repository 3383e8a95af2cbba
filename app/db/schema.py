"""The schema of the database: brought up to date, and checked at the start."""

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
    """Point Alembic at our migrations and a database."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring a database's schema to this build's; safe to run twice or by several at once."""
    command.upgrade(alembic_config(url), "head")


class SchemaError(Exception):
    """The database's schema is not one that this build can work with."""


async def require_schema(sessions: Sessions) -> None:
    """Raise SchemaError, or what the driver raises, unless the database is ready for this build."""
    problem = await schema_problem(sessions)
    if problem:
        raise SchemaError(f"Cannot start: {problem}.")


async def schema_problem(sessions: Sessions) -> str | None:
    """Say what is wrong with the schema; None when it is at this build's revision or ahead."""
    async with sessions() as session:
        table = await session.execute(select(func.to_regclass("alembic_version")))
        if table.scalar_one() is None:
            return "the database is empty: run `autotask-cc migrate`"
        found = set(
            (await session.execute(text("SELECT version_num FROM alembic_version"))).scalars()
        )
    head, known = _revisions()
    if found == head or (found and not found & known):
        return None
    return "the database's schema is older than this build: run `autotask-cc migrate`"


@functools.cache
def _revisions() -> tuple[set[str], set[str]]:
    """Give this build's newest revisions, and all that it knows."""
    script = ScriptDirectory(str(_MIGRATIONS))
    return set(script.get_heads()), {one.revision for one in script.walk_revisions()}
