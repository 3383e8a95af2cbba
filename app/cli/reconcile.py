"""The command `reconcile`: make due what no callout told the service about, old tickets too."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from app.autotask.models import NewTicket
from app.cli.common import bar, configured, opened, run, since_option
from app.db import database
from app.db.states import Priority
from app.ops.reconcile import created_since
from app.records import tickets
from app.services import Services
from app.settings.settings import Settings

_LISTED = 5
"""Ticket ids that are printed."""


def reconcile(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="30m, 2h, 3d, or a time in UTC: 2026-11-23T10:00.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the tickets, and change nothing.")
    ] = False,
) -> None:
    """Process tickets that no callout told the service about.

    Every unknown ticket that was created since the given time becomes due, old ones too: people
    are added to open tickets and get mail from then on. Complete tickets are left alone. The
    workers compare by themselves from the first start on; this is for the time before. Ctrl-C
    while tickets are read stops it.
    """
    start = since_option(since)
    with configured(context) as (settings, url):
        command = _reconcile(settings, url, start, dry_run=dry_run)
        raise typer.Exit(run(command, "Stopped; no ticket was made due."))


async def _reconcile(
    settings: Settings, url: str, since: timedelta | datetime, *, dry_run: bool
) -> int:
    async with opened(settings, url) as services:
        ids = await _created_since(services, since)
        async with services.sessions() as session, session.begin():
            if dry_run:
                new = await tickets.unknown(session, ids)
            else:
                new = await tickets.want_unknown(session, ids, timedelta(0), Priority.CATCH_UP)
                await tickets.want_gone(session, ids, timedelta(0), Priority.CATCH_UP)
    would = "would be" if dry_run else "are"
    typer.echo(f"{len(ids)} tickets were created since; {len(ids) - len(new)} were known.")
    typer.echo(f"{len(new)} {would} due{_named(new)}.")
    if new and not dry_run:
        typer.echo("A worker processes them, the newest first, after tickets with callouts.")
    return 0


async def _created_since(services: Services, since: timedelta | datetime) -> set[int]:
    autotask = await services.autotask()
    now = await database.now(services.sessions)
    start = now - since if isinstance(since, timedelta) else since
    with bar("Reading tickets") as shown:

        def progress(last: NewTicket) -> None:
            """Estimate the share that is read: ids rise with time."""
            part = ((last.created_at or start) - start) / max(now - start, timedelta(seconds=1))
            shown.moved(min(max(part, 0.0), 1.0))

        return {ticket.id for ticket in await created_since(autotask, start, progress)}


def _named(ids: list[int]) -> str:
    listed = ", ".join(map(str, sorted(ids, reverse=True)[:_LISTED]))
    return f" (ids {listed}{', …' if len(ids) > _LISTED else ''})" if ids else ""
