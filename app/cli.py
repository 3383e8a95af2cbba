"""The command line: `autotask-cc …`, also `python -m app …`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import structlog
import typer
import uvicorn
from sqlalchemy.exc import DBAPIError

from app import db, log
from app.autotask.errors import AutotaskError
from app.desk import Desk, open_desk
from app.embedded import EmbeddedPostgres, EmbeddedPostgresError, default_data_dir
from app.environment import SettingsError, load_settings
from app.main import create_app
from app.settings import Settings
from app.show import Kind, show
from app.tenant import WrongTenant
from app.worker import Worker

EXIT_SECONDS = 18.0
"""A process that was told to stop is gone after this long, whatever hangs."""

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Puts the people in a mail's Cc on its Autotask ticket.",
)


@cli.command()
def serve() -> None:
    """Receive callouts, serve the admin API, and work (RUN_WORKER=false: leave that to workers)."""
    settings = _settings()
    with _database(settings) as url:
        asyncio.run(_serve(settings, url))


@cli.command()
def worker() -> None:
    """Work on due tickets, in a process of its own; several may run at once."""
    settings = _settings()
    with _database(settings) as url:
        asyncio.run(_work(settings, url))


@cli.command()
def migrate() -> None:
    """Bring the database's schema to this version; safe to run again, and by several at once."""
    settings = _settings()
    with _database(settings) as url:
        db.migrate(url)
    typer.echo("The database's schema is up to date.")


@cli.command()
def demo(
    keep: Annotated[bool, typer.Option(help="Stay up afterwards, to look around.")] = False,
) -> None:
    """Show the product at work on one ticket, against a sandbox; needs no configuration."""
    from app.demo import run_demo

    raise typer.Exit(run_demo(keep=keep))


@cli.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 9100,
) -> None:
    """Run the Autotask double alone, for trying things out; Ctrl-C ends it."""
    from app.double import run_sandbox

    run_sandbox(port)


@cli.command()
def read(
    file: Annotated[str, typer.Argument(help="A file, or - for standard input.")],
    kind: Annotated[
        Kind | None, typer.Option("--as", help="What it is, if the guess is wrong.")
    ] = None,
    include_to: Annotated[bool, typer.Option("--to", help="Take the people in To, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show what would be read from a Cc list, a ticket's description or an .eml, and why."""
    raise typer.Exit(show(file, kind, include_to=include_to, as_json=as_json))


def main() -> None:
    """Run a command; what can be wrong outside is said in a sentence, with exit code 1."""
    try:
        cli()
    except (SettingsError, EmbeddedPostgresError, WrongTenant, db.SchemaError) as error:
        typer.echo(str(error), err=True)
    except ModuleNotFoundError as error:
        if error.name != "sandbox":
            raise
        typer.echo("demo and sandbox run from a checkout: this is the service alone.", err=True)
    except DBAPIError as error:
        reason = db.refusal(error)
        if reason is None:
            raise
        typer.echo(f"PostgreSQL cannot be used: {reason}. Check DATABASE_URL.", err=True)
    except OSError as error:
        typer.echo(f"{error.strerror or error}. Is the port in use, or a file missing?", err=True)
    sys.exit(1)


def _settings() -> Settings:
    settings = load_settings()
    log.configure(settings.log_format)
    return settings


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """Give the database's address; without DATABASE_URL an embedded one's, for trials."""
    if settings.database_url:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir or default_data_dir()) as postgres:
        db.migrate(postgres.url)
        yield postgres.url


async def _serve(settings: Settings, url: str) -> None:
    async with open_desk(settings, url) as desk:
        await db.require_schema(desk.sessions)
        await _check_tenant(desk)
        config = uvicorn.Config(
            create_app(desk),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        await _Server(config).serve()


class _Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and do not let a database that hangs prevent it."""
        _exit_soon()
        super().handle_exit(sig, frame)


def _exit_soon() -> None:
    """End the process hard if it has not ended by then; what it held frees itself."""
    timer = threading.Timer(EXIT_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()


async def _check_tenant(desk: Desk) -> None:
    """Refuse to start for another tenant; start anyway while Autotask cannot be asked."""
    try:
        await desk.tenancy.api_url()
    except AutotaskError as error:
        structlog.get_logger().warning("autotask_away", error=str(error))


async def _work(settings: Settings, url: str) -> None:
    async with open_desk(settings, url) as desk:
        await db.require_schema(desk.sessions)
        one = Worker(desk)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            _exit_soon()
            one.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await one.run()
