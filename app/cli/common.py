"""What commands share: settings, database, services, Ctrl-C, `--since`, the progress bar."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from app.db import schema
from app.db.embedded.server import EmbeddedPostgres, default_data_dir
from app.mail.text import clean
from app.services import Services, open_services
from app.settings import log
from app.settings.environment import load_settings
from app.settings.settings import Settings

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""

LARGEST_ID = 2**31 - 1
"""Autotask's ids are 32-bit integers."""

_LONGEST_LINE = 10_000
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def group(sentence: str) -> typer.Typer:
    """Return a group for commands, with the sentence as its help."""
    return typer.Typer(
        add_completion=False, no_args_is_help=True, rich_markup_mode="markdown", help=sentence
    )


def read_settings(context: typer.Context, *, quiet: bool = True) -> Settings:
    """Read the settings, and configure the log. Raise SettingsError.

    quiet: log warnings and errors only.
    """
    settings = load_settings(env_file=context.obj or Path(".env"))
    log.configure(settings.log_format, quiet=quiet)
    return settings


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the database's URL; without DATABASE_URL that of an embedded PostgreSQL, for trials."""
    if settings.database_url:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir or default_data_dir()) as postgres:
        schema.migrate(postgres.url)
        yield postgres.url


@contextmanager
def configured(context: typer.Context, *, quiet: bool = True) -> Iterator[tuple[Settings, str]]:
    """Yield the settings and the database's URL. Raise SettingsError."""
    settings = read_settings(context, quiet=quiet)
    with database(settings) as url:
        yield settings, url


@asynccontextmanager
async def opened(settings: Settings, url: str) -> AsyncIterator[Services]:
    """Open the services. Raise SchemaError unless the database's schema is up to date."""
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        yield services


def run(command: Coroutine[Any, Any, int], stopped: str | None = None) -> int:
    """Run a command and return its exit code; after Ctrl-C print `stopped` and return 130."""
    try:
        return asyncio.run(command)
    except KeyboardInterrupt:
        if stopped:
            typer.echo(stopped, err=True)
        return INTERRUPTED


def printable(text: str) -> str:
    """Return text on one line without control characters: strangers wrote parts of it."""
    return clean(text, _LONGEST_LINE)


# --- --since -------------------------------------------------------------------------------------


def read_since(text: str) -> timedelta | datetime:
    """Read a duration until now, or a time (UTC unless it has an offset). Raise ValueError."""
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    if ago:
        return timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is neither like 2h nor like 2026-11-23T10:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def since_option(text: str) -> timedelta | datetime:
    """Read the value of --since. Raise typer.BadParameter."""
    try:
        return read_since(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None


# --- progress ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """A progress bar on standard error; hidden where that is no terminal."""

    progress: Progress

    @property
    def hidden(self) -> bool:
        """Whether it is not shown."""
        return self.progress.disable

    def moved(self, share: float | None = None, label: str | None = None) -> None:
        """Show the share of the work that is done, 0 to 1, and a label; None: as before."""
        self.progress.update(self.progress.task_ids[0], completed=share, description=label)


@contextmanager
def bar(label: str) -> Iterator[Bar]:
    """Show a progress bar until the block ends."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(20), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        progress.add_task(label, total=1.0)
        yield Bar(progress)
