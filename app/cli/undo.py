"""The command `undo`: which tickets, how far it has come, and what is said of each step."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from app.autotask.protocol import printable
from app.cli.backtest import INTERRUPTED
from app.contacts.undo import Step, Undo
from app.db import schema
from app.records import audit, undo
from app.services import open_services
from app.settings.settings import Settings

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def read_since(text: str) -> timedelta | datetime:
    """Read how long ago, or a moment (UTC unless it says otherwise); ValueError if it is none."""
    ago = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    if ago:
        return timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is neither like 2h nor like 2026-11-23T10:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def run_undo(
    settings: Settings,
    url: str,
    since: timedelta | datetime | None,
    ticket: int | None,
    *,
    dry_run: bool,
) -> int:
    """Undo and say each step, also when it is ended early; gives the exit code.

    That is 1 if something is to be tried again.
    """
    steps: list[Step] = []
    early = True
    try:
        asyncio.run(_undo(settings, url, since, ticket, steps, dry_run=dry_run))
        early = False
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if steps or not early:
            _say(steps, dry_run=dry_run, early=early)
    return 1 if any(step.again for step in steps) else 0


def _say(steps: Sequence[Step], *, dry_run: bool, early: bool) -> None:
    for one in steps:
        whom = " ".join(str(part) for part in (one.contact_id, one.address) if part)
        typer.echo(printable(f"{one.ticket_id} {one.action} {whom}: {one.detail}"))
    done, again = sum(s.done for s in steps), sum(s.again for s in steps)
    what = "Would be undone" if dry_run else "Undone"
    typer.echo(f"{what}: {done} of {len(steps)}; to be tried again: {again}.")
    if early:
        # The lease of the ticket that it was at may have to run out first.
        typer.echo("Ended early: run it again in half a minute for the rest.")


async def _undo(
    settings: Settings,
    url: str,
    since: timedelta | datetime | None,
    ticket: int | None,
    steps: list[Step],
    *,
    dry_run: bool,
) -> None:
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        if since is None:
            ids = [] if ticket is None else [ticket]
        else:
            async with services.sessions() as session:
                ids = await undo.tickets_since(session, since)
            ids = [one for one in ids if ticket in (None, one)]
        with _bar(len(ids)) as moved:
            async for some in Undo(services, audit.CLI, dry_run).tickets(ids):
                steps += some
                moved()


@contextmanager
def _bar(tickets: int) -> Iterator[Callable[[], None]]:
    """Show how far it has come, as `backtest` does: the links of all tickets, then the contacts."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(20), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    done = itertools.count(1)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(f"links of {tickets:,} tickets", total=2 * tickets)

        def moved() -> None:
            what = "links" if (number := next(done)) < tickets else "contacts"
            progress.update(task, completed=number, description=f"{what} of {tickets:,} tickets")

        yield moved
