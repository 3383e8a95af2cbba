"""`autotask-cc reconcile`: make due by hand what no callout told of, also what is history."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta

import typer

from app.autotask.models import NewTicket
from app.db.database import db_now
from app.db.schema import require_schema
from app.db.states import Priority
from app.ops.reconcile import created_since
from app.records import tickets
from app.services import open_services
from app.settings.settings import Settings

_BAR = 1000


def run_reconcile(
    settings: Settings, url: str, since: timedelta | datetime, *, dry_run: bool
) -> int:
    """Make due every ticket since a time that we have never heard of; gives an exit code."""
    try:
        known, new = asyncio.run(_reconcile(settings, url, since, dry_run=dry_run))
    except KeyboardInterrupt:
        typer.echo("Stopped; nothing was made due.", err=True)
        return 130
    would = "would be" if dry_run else "are"
    typer.echo(f"{known + len(new)} tickets were created since; {known} were known.")
    typer.echo(f"{len(new)} {would} due{_named(new)}.")
    if new and not dry_run:
        typer.echo("A worker takes them up, the newest first, behind what is live.")
    return 0


async def _reconcile(
    settings: Settings, url: str, since: timedelta | datetime, *, dry_run: bool
) -> tuple[int, list[int]]:
    async with open_services(settings, url) as services:
        await require_schema(services.sessions)
        autotask = await services.autotask()
        async with services.sessions() as session:
            now = await db_now(session)
        start = now - since if isinstance(since, timedelta) else since
        with typer.progressbar(length=_BAR, label="Reading tickets", file=sys.stderr) as bar:

            def progress(last: NewTicket) -> None:
                """Tell how far it has come: ids rise with time."""
                part = ((last.created_at or start) - start) / max(now - start, timedelta(seconds=1))
                bar.update(int(min(max(part, 0.0), 1.0) * _BAR) - bar.pos)

            found = await created_since(autotask, start, progress)
            bar.update(_BAR - bar.pos)
        ids = {one.id for one in found}
        async with services.sessions() as session, session.begin():
            if dry_run:
                new = await tickets.unknown(session, ids)
            else:
                now_due = timedelta(0)
                new = await tickets.want_unknown(session, ids, now_due, Priority.CATCH_UP)
        return len(ids) - len(new), new


def _named(ids: list[int]) -> str:
    some = ", ".join(map(str, sorted(ids, reverse=True)[:5]))
    return f" (ids {some}{', …' if len(ids) > 5 else ''})" if ids else ""
