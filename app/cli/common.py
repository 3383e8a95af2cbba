"""What all commands begin with: settings, a database, a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import typer

from app import log
from app.cli.undo import read_since
from app.db import schema
from app.db.embedded.server import EmbeddedPostgres, default_data_dir
from app.settings.environment import load_settings
from app.settings.settings import Settings


def moment(text: str) -> timedelta | datetime:
    """Read --since. Raises typer.BadParameter."""
    try:
        return read_since(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


def configured(*, quiet: bool = False) -> Settings:
    """Read the settings. Raises SettingsError."""
    settings = load_settings()
    log.configure(settings.log_format, quiet=quiet)
    return settings


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Give the database's address; without DATABASE_URL an embedded one's, for trials."""
    if settings.database_url:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir or default_data_dir()) as postgres:
        schema.migrate(postgres.url)
        yield postgres.url
