"""The commands `mappings export` and `mappings import`: CSV files, standard input and output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from app.cli.common import bar, configured, group, opened, run
from app.contacts.mapping_files import export_to, import_file
from app.settings.settings import Settings

mappings = group("Write and read mappings as CSV files.")


@mappings.command("export")
def export_mappings(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A file to write, or - for standard output.")],
) -> None:
    """Write all mappings as CSV: account_id, email, contact_id, origin (found or manual).

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    with configured(context, quiet=False) as (settings, url), _writing(file) as out:
        raise typer.Exit(run(_export(settings, url, out)))


@mappings.command("import")
def import_mappings(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A file as `mappings export` writes it, or -.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, and store nothing.")
    ] = False,
) -> None:
    """Store the mappings of a CSV file: all of its lines or, if one of them is wrong, none.

    The file: UTF-8, commas or semicolons; the first line names the columns account_id, email,
    contact_id and, optionally, origin. Each contact has to exist at Autotask, be active and belong
    to that account.

    An imported mapping is manual, whatever its origin says. A line whose mapping is stored already
    changes nothing, unless its origin is manual or empty and the stored one is found. So importing
    an exported file without changes changes nothing.
    """
    with configured(context, quiet=False) as (settings, url):
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        raise typer.Exit(run(_import(settings, url, data, dry_run=dry_run)))


@contextmanager
def _writing(file: str) -> Iterator[TextIO]:
    if file == "-":
        yield sys.stdout
        return
    # With the byte order mark by which spreadsheets recognise UTF-8.
    with Path(file).open("w", encoding="utf-8-sig", newline="") as stream:
        yield stream


async def _export(settings: Settings, url: str, out: TextIO) -> int:
    async with opened(settings, url) as services:
        count = await export_to(services, out)
    typer.echo(f"{count} mappings written.", err=True)
    return 0


async def _import(settings: Settings, url: str, data: bytes, *, dry_run: bool) -> int:
    async with opened(settings, url) as services:
        with bar("Checking contacts") as shown:

            def progress(done: int, total: int) -> None:
                shown.moved(done / total if total else 1.0)

            imported = await import_file(services, data, dry_run=dry_run, progress=progress)
    for refusal in imported.refusals:
        typer.echo(str(refusal), err=True)
    if imported.refusals:
        typer.echo(
            f"Nothing was imported: {len(imported.refusals)} of its lines are wrong.", err=True
        )
        return 1
    would = "would be " if dry_run else ""
    counts = f"{imported.new} {would}added, {imported.changed} {would}changed"
    typer.echo(f"{counts}, {imported.same} as before.")
    return 0
