"""The command line: `autotask-cc …`, also `python -m app …`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from sqlalchemy.exc import DBAPIError

from app.autotask.errors import AutotaskError
from app.cli import processes
from app.cli.backtest import run_backtest
from app.cli.care import doctor, watch, webhook
from app.cli.common import configured, database, moment
from app.cli.contacts_group import contacts
from app.cli.read import Kind, show
from app.cli.reconcile import run_reconcile
from app.cli.undo import run_undo
from app.contacts.mapping_files import Imported, export_to, import_file
from app.db import database as db
from app.db import schema
from app.db.embedded.server import EmbeddedPostgresError
from app.looks.backtest import Asked, PolicyFileError, read_policy
from app.outbound.rules import NotNow
from app.outbound.tenant import WrongTenant
from app.services import open_services
from app.settings.environment import SettingsError
from app.settings.settings import Settings

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Puts the people in a mail's Cc on its Autotask ticket.",
)

_mappings = typer.Typer(
    no_args_is_help=True,
    help="Write and read files of which contact an address means in an account.",
)
cli.add_typer(_mappings, name="mappings")
cli.add_typer(webhook, name="webhook")
cli.add_typer(contacts, name="contacts")
cli.command()(doctor)
cli.command()(watch)


@cli.command()
def serve() -> None:
    """Receive callouts, serve the admin API, and work (RUN_WORKER=false: leave that to workers)."""
    settings = configured()
    with database(settings) as url:
        asyncio.run(processes.serve(settings, url))


@cli.command()
def worker() -> None:
    """Work on due tickets, in a process of its own; several may run at once."""
    settings = configured()
    with database(settings) as url:
        asyncio.run(processes.work(settings, url))


@cli.command()
def migrate() -> None:
    """Bring the database's schema to this version; safe to run again, and by several at once."""
    settings = configured()
    with database(settings) as url:
        schema.migrate(url)
    typer.echo("The database's schema is up to date.")


@cli.command()
def demo(
    keep: Annotated[bool, typer.Option(help="Stay up afterwards, to look around.")] = False,
) -> None:
    """Show the product at work on one ticket, against a sandbox; needs no configuration."""
    from app.cli.demo import run_demo

    raise typer.Exit(run_demo(keep=keep))


@cli.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 9100,
) -> None:
    """Run the Autotask double alone, for trying things out; Ctrl-C ends it."""
    from app.cli.sandbox import run_sandbox

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


@cli.command()
def backtest(
    days: Annotated[int, typer.Option(min=1, max=365, help="How far back.")] = 30,
    policy: Annotated[
        str | None,
        typer.Option(
            help="A JSON file, or a preset's name: open, guarded, known_only, off. It takes the "
            "place of DEFAULT_POLICY, and accounts keep their own; with --account, of that "
            "account's own. Left out: the policies as they are."
        ),
    ] = None,
    account: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="Only this account's tickets.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--csv", help="Write a line for each address here.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many tickets, the oldest first.")
    ] = None,
) -> None:
    """Show what a policy would have done with the tickets of the last days; nothing is changed.

    Complete tickets are taken as open ones, and each as if it had just come: what the service did
    for it, and the limits of a day, do not count. It uses at most half of our share of Autotask's
    calls an hour, and waits when that is spent. Ctrl-C shows what was found so far.
    """
    settings = configured(quiet=True)
    try:
        document = (
            read_policy(policy, of_account=account is not None) if policy is not None else None
        )
    except PolicyFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    with database(settings) as url:
        code = run_backtest(settings, url, Asked(days, document, account, limit), file)
    raise typer.Exit(code)


@cli.command()
def undo(
    since: Annotated[
        str | None, typer.Option(help="30m, 2h, 3d, or a time in UTC: 2026-11-23T10:00.")
    ] = None,
    ticket: Annotated[int | None, typer.Option(min=0, help="Only this ticket.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would be done.")] = False,
) -> None:
    """Take off whom we linked and deactivate whom we created; whom a person touched is kept.

    Exit code 1: something could not be done now and is to be tried again.
    """
    started = moment(since) if since else None
    if started is None and ticket is None:
        raise typer.BadParameter("give --since, --ticket or both")
    settings = configured(quiet=True)
    with database(settings) as url:
        raise typer.Exit(run_undo(settings, url, started, ticket, dry_run=dry_run))


@cli.command()
def reconcile(
    since: Annotated[str, typer.Option(help="30m, 2h, 3d, or a time in UTC: 2026-11-23T10:00.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count them, and change nothing.")
    ] = False,
) -> None:
    """Take up every ticket since a time that the service has never heard of, history included.

    The workers do so by themselves from the first start on. People on open tickets will be added
    and get mail from then on; complete tickets are left alone. Ctrl-C while reading stops it.
    """
    started = moment(since)
    settings = configured(quiet=True)
    with database(settings) as url:
        raise typer.Exit(run_reconcile(settings, url, started, dry_run=dry_run))


@_mappings.command("export")
def export_mappings(
    file: Annotated[str, typer.Argument(help="A file to write, or - for standard output.")],
) -> None:
    """Write all mappings as CSV: account_id, email, contact_id, origin (found or manual).

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    settings = configured()
    with database(settings) as url, _opened(file) as out:
        count = asyncio.run(_export(settings, url, out))
    typer.echo(f"{count} mappings written.", err=True)


@_mappings.command("import")
def import_mappings(
    file: Annotated[str, typer.Argument(help="A file as `mappings export` writes it, or -.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it, and store nothing.")
    ] = False,
) -> None:
    """Take mappings from a CSV file: all of its lines, or, if one of them is wrong, none.

    The file: UTF-8, commas or semicolons; the first line names the columns account_id, email,
    contact_id and, if you like, origin. Each contact has to be there at Autotask, active and of
    that account.

    What is imported is manual from then on, whatever its origin says. A line whose contact is on
    record already changes nothing, unless it says manual, or no origin, where the record says
    found. So a file that was exported and not changed changes nothing.
    """
    settings = configured()
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    with database(settings) as url:
        came = asyncio.run(_import(settings, url, data, dry_run=dry_run))
    for refusal in came.refusals:
        typer.echo(str(refusal), err=True)
    if came.refusals:
        typer.echo(f"Nothing was imported: {len(came.refusals)} of its lines are wrong.", err=True)
        raise typer.Exit(1)
    would = "would be " if dry_run else ""
    typer.echo(f"{came.new} {would}added, {came.changed} {would}changed, {came.same} as before.")


def main() -> None:
    """Run a command; what can be wrong outside is said in a sentence, with exit code 1."""
    try:
        cli()
    except (SettingsError, EmbeddedPostgresError, WrongTenant, schema.SchemaError) as error:
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
    except (AutotaskError, NotNow) as error:
        typer.echo(f"Autotask cannot be asked now: {error}. Try again later.", err=True)
    except OSError as error:
        about = f" {error.filename}" if error.filename else ""
        said = f"{error.strerror or error}{about}"
        typer.echo(f"{said}. Is the port in use, or a file missing?", err=True)
    sys.exit(1)


@contextmanager
def _opened(file: str) -> Iterator[TextIO]:
    if file == "-":
        yield sys.stdout
        return
    # With the mark by which spreadsheets know UTF-8.
    with Path(file).open("w", encoding="utf-8-sig", newline="") as opened:
        yield opened


async def _export(settings: Settings, url: str, file: TextIO) -> int:
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        return await export_to(services, file)


async def _import(settings: Settings, url: str, data: bytes, *, dry_run: bool) -> Imported:
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        with typer.progressbar(length=1, label="Checking contacts", file=sys.stderr) as bar:

            def progress(done: int, of: int) -> None:
                bar.length = of
                bar.update(done - bar.pos)

            return await import_file(services, data, dry_run=dry_run, progress=progress)
