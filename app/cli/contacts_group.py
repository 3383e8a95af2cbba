"""The commands about contacts that the service created."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.common import configured, database
from app.cli.contacts import Order, run_stale, run_undo_file

contacts = typer.Typer(no_args_is_help=True, help="Contacts that the service created.")


@contacts.callback()
def _group() -> None:
    """Keep `stale` a command of a group."""


@contacts.command()
def stale(
    days: Annotated[int, typer.Option(min=1, max=3650, help="Unused for so many days.")] = 180,
    account: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="Only this account's.")
    ] = None,
    retire: Annotated[bool, typer.Option("--retire", help="End them, after a dry run.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --retire: end with the dry run.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --retire: do not ask.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(help="Where those that are ended are written down, for --undo (a new file)."),
    ] = None,
    undo: Annotated[
        Path | None,
        typer.Option(help="Bring back those that such a file names.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """List contacts that we created and that nothing has used for long; --retire ends them.

    Ended is: off tickets that are complete, the address taken away and kept on record, inactive.
    Whom a person has touched is left alone; who is copied again is brought back by itself. Exit
    code 1: something is to be tried again, or nobody said yes.
    """
    if undo is not None and (retire or dry_run or yes or file or account is not None):
        raise typer.BadParameter("--undo stands alone")
    if (yes or file) and not retire:
        raise typer.BadParameter("--yes and --file go with --retire")
    if file is not None and file.exists():
        raise typer.BadParameter(f"{file} is there already: name a new one")
    if dry_run and not retire:
        raise typer.BadParameter("--dry-run goes with --retire; without, nothing is changed anyway")
    settings = configured(quiet=True)
    with database(settings) as url:
        if undo is not None:
            raise typer.Exit(run_undo_file(settings, url, undo))
        order = Order(days, account, retire=retire, dry_run=dry_run, yes=yes, file=file)
        raise typer.Exit(run_stale(settings, url, order))
