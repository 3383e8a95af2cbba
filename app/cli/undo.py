"""The command `undo`: which tickets, and a line for each step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer

from app.cli.common import LARGEST_ID, bar, configured, opened, printable, run, since_option
from app.contacts.undo import Undo, UndoStep
from app.records import audit, tickets
from app.records import undo as records
from app.services import Services
from app.settings.settings import Settings


def undo(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="30m, 2h, 3d, or a time in UTC: 2026-11-23T10:00.")
    ] = None,
    ticket: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_ID, help="Only this ticket.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would be done.")] = False,
) -> None:
    """Remove links and retire contacts that the service made; what people changed stays.

    Exit code 1: something could not be done now; run it again. Or the ticket is unknown.
    """
    start = since_option(since) if since else None
    if start is None and ticket is None:
        raise typer.BadParameter("give --since, --ticket or both")
    with configured(context) as (settings, url):
        raise typer.Exit(run_undo(settings, url, start, ticket, dry_run=dry_run))


def run_undo(
    settings: Settings,
    url: str,
    since: timedelta | datetime | None,
    ticket: int | None,
    *,
    dry_run: bool,
) -> int:
    """Undo and print each step; return 1 if something has to be tried again, else 0."""
    return run(_undo(settings, url, since, ticket, dry_run=dry_run))


async def _undo(
    settings: Settings,
    url: str,
    since: timedelta | datetime | None,
    ticket: int | None,
    *,
    dry_run: bool,
) -> int:
    steps: list[UndoStep] = []
    early = True
    try:
        async with opened(settings, url) as services:
            if ticket is not None and not await _is_known(services, ticket):
                text = f"Ticket {ticket} is unknown: the service has never worked on it."
                typer.echo(text, err=True)
                return 1
            ids = await _ticket_ids(services, since, ticket)
            total, done = f"of {len(ids):,} tickets", 0
            with bar(f"links {total}") as shown:
                # The links of all tickets come first, then the contacts of all.
                async for of_ticket in Undo(services, audit.CLI, dry_run).tickets(ids):
                    steps += of_ticket
                    done += 1
                    what = "links" if done < len(ids) else "contacts"
                    shown.moved(done / (2 * len(ids)), f"{what} {total}")
        early = False
    finally:
        if steps or not early:
            _report(steps, dry_run=dry_run, early=early)
    return 1 if any(step.again for step in steps) else 0


async def _is_known(services: Services, ticket: int) -> bool:
    async with services.sessions() as session:
        return not await tickets.unknown(session, [ticket])


async def _ticket_ids(
    services: Services, since: timedelta | datetime | None, ticket: int | None
) -> list[int]:
    if since is None:
        return [] if ticket is None else [ticket]
    async with services.sessions() as session:
        ids = await records.tickets_since(session, since)
    return [ticket_id for ticket_id in ids if ticket in (None, ticket_id)]


def _report(steps: Sequence[UndoStep], *, dry_run: bool, early: bool) -> None:
    for step in steps:
        contact = " ".join(str(part) for part in (step.contact_id, step.address) if part)
        typer.echo(printable(f"{step.ticket_id} {step.action} {contact}: {step.detail}"))
    done, again = sum(step.done for step in steps), sum(step.again for step in steps)
    what = "Would be undone" if dry_run else "Undone"
    typer.echo(f"{what}: {done} of {len(steps)}; to be tried again: {again}.")
    if early:
        # The lease of the ticket that it was at may have to run out first.
        typer.echo("Stopped early: run it again in half a minute for the rest.")
