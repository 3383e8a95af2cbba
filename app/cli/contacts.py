"""The command `contacts stale`: who is unused, ending them, and bringing them back from a file."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError
from app.autotask.protocol import printable
from app.cli.backtest import INTERRUPTED
from app.contacts.csv_cells import plain_cell, safe_cell
from app.contacts.restore import restore_by_hand
from app.contacts.retire import Ended, Retiring
from app.contacts.retire_steps import Action
from app.db import schema
from app.db.states import EndedBy
from app.due.exclusive import InUse, holding_chore
from app.due.work import Chore, LeaseLost
from app.outbound.rules import NotNow
from app.records import audit
from app.records.ledger import candidates
from app.records.ledger.candidates import Stale
from app.services import Services, open_services
from app.settings.settings import Settings

COLUMNS = ("account_id", "contact_id", "email")

_EVERY = timedelta(minutes=5)
_NONE = timedelta(0)
_BACK = ("is back", "is not ended")
_BUSY = "Another process is busy with this; try again in a minute."


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. file: None: one of our own naming."""

    days: int
    account_id: int | None
    retire: bool
    dry_run: bool
    yes: bool
    file: Path | None


def run_stale(settings: Settings, url: str, order: Order) -> int:
    """List, and end if that is asked for; gives the exit code."""
    try:
        return asyncio.run(_stale(settings, url, order))
    except KeyboardInterrupt:
        typer.echo(
            "Stopped early. Whoever was ended is in the file that was named, if one was.", err=True
        )
        return INTERRUPTED
    except InUse:
        typer.echo(_BUSY, err=True)
        return 1


def run_undo_file(settings: Settings, url: str, file: Path) -> int:
    """Bring back whom a file names; gives the exit code."""
    try:
        named = read_file(file)
    except ValueError as error:
        typer.echo(f"{file}: {error}", err=True)
        return 1
    try:
        return asyncio.run(_bring_back(settings, url, named))
    except KeyboardInterrupt:
        typer.echo("Stopped early; run it again for the rest.", err=True)
        return INTERRUPTED
    except InUse:
        typer.echo(_BUSY, err=True)
        return 1


def read_file(file: Path) -> list[tuple[int, int]]:
    """Read accounts and contacts of a file as --retire writes it. Raises ValueError, OSError."""
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        raise ValueError("is no file that --retire wrote") from None
    named = []
    for number, row in enumerate(rows, start=2):
        try:
            ids = tuple(int(plain_cell(row[name] or "")) for name in COLUMNS[:2])
        except (KeyError, ValueError):
            raise ValueError(f"line {number} names no account_id and contact_id") from None
        if not all(0 <= one < 2**63 for one in ids):
            raise ValueError(f"line {number} names no account_id and contact_id")
        named.append((ids[0], ids[1]))
    if not named:
        raise ValueError("names nobody")
    return named


async def _stale(settings: Settings, url: str, order: Order) -> int:
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        async with services.sessions() as session:
            found = await candidates.stale(session, timedelta(days=order.days), order.account_id)
        if not order.retire:
            _list(found, order.days)
            return 0
        async with holding_chore(services.sessions, Chore.LIFETIMES, "stale", _EVERY) as lease:
            autotask = await services.autotask(lease)
            would = await _each(services, autotask, found, "Looking at", None)
            ending = [one for one, came in would if came.action is Action.RETIRED]
            _say(would, "would be ended")
            if order.dry_run or not ending:
                return _code(would)
            # In a thread, as the lease has to be prolonged while a person thinks.
            if not await asyncio.to_thread(_may, len(ending), order):
                return 1
            with _written(order.file) as write:
                came = await _each(services, autotask, ending, "Ending", write)
            _say(came, "ended")
        async with services.sessions() as session, session.begin():
            ended = sum(what.action is Action.RETIRED for _, what in came)
            audit.record(session, audit.CLI, "contacts_ended", count=ended)
        return _code(came)


def _may(count: int, order: Order) -> bool:
    """Ask, unless that was answered."""
    if order.yes:
        return True
    if not sys.stdin.isatty():
        typer.echo("Nothing was changed: --yes ends them without asking.", err=True)
        return False
    return typer.confirm(f"End {count} contacts?")


async def _each(
    services: Services,
    autotask: Autotask,
    found: Sequence[Stale],
    doing: str,
    write: Callable[[Stale], None] | None,
) -> list[tuple[Stale, Ended]]:
    """Go through contacts, with a bar; write: note each down before it is ended; None: look."""
    came = []
    with _bar(doing, len(found)) as moved:
        for one in found:
            if write:
                write(one)
            try:
                run = Retiring(services, autotask, one.row, EndedBy.STALE, _NONE)
                came.append((one, await run.run(dry_run=write is None)))
            except LeaseLost:
                raise InUse from None
            except (AutotaskError, NotNow) as error:
                came.append((one, Ended(Action.LATER, str(error))))
            moved()
    return came


async def _bring_back(settings: Settings, url: str, named: Sequence[tuple[int, int]]) -> int:
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        results: Counter[str] = Counter()
        later = 0
        async with holding_chore(services.sessions, Chore.LIFETIMES, "stale", _EVERY) as lease:
            autotask = await services.autotask(lease)
            with _bar("Bringing back", len(named)) as moved:
                for account_id, contact_id in named:
                    try:
                        said = await restore_by_hand(services, autotask, account_id, contact_id)
                        results[said] += 1
                    except LeaseLost:
                        raise InUse from None
                    except (AutotaskError, NotNow) as error:
                        later += 1
                        typer.echo(printable(f"{account_id} {contact_id}: {error}"))
                    moved()
        async with services.sessions() as session, session.begin():
            audit.record(session, audit.CLI, "contacts_restored", count=results["is back"])
    others = [f"{count} {said}" for said, count in sorted(results.items()) if said not in _BACK]
    typer.echo(f"{results['is back']} are back; {results['is not ended']} were not ended.")
    if others:
        typer.echo(f"Left alone: {', '.join(others)}.")
    if later:
        typer.echo(f"{later} are to be tried again: run it again.")
    return 1 if later else 0


# --- what is said --------------------------------------------------------------------------------


def _list(found: Sequence[Stale], days: int) -> None:
    for one in found:
        row = one.row
        typer.echo(
            printable(f"{row.account_id} {row.contact_id} {row.email} {one.used_at:%Y-%m-%d}")
        )
    typer.echo(f"{len(found)} contacts of ours were not used for {days} days.")
    if found:
        typer.echo("--retire ends them, after a dry run.")


def _say(came: Sequence[tuple[Stale, Ended]], ended: str) -> None:
    for one, what in came:
        said = ended if what.action is Action.RETIRED else f"{_WORDS[what.action]}: {what.why}"
        row = one.row
        typer.echo(printable(f"{row.account_id} {row.contact_id} {row.email}: {said}"))
    counts = Counter(what.action for _, what in came)
    typer.echo(
        f"{counts[Action.RETIRED]} of {len(came)} {ended}; kept: {counts[Action.KEEP]}; "
        f"to be tried again: {counts[Action.LATER]}."
    )


_WORDS = {
    Action.GONE: "gone",
    Action.KEEP: "kept",
    Action.LATER: "not now",
    Action.PUT_BACK: "needed",
}


def _code(came: Sequence[tuple[Stale, Ended]]) -> int:
    return 1 if any(what.action is Action.LATER for _, what in came) else 0


@contextmanager
def _written(file: Path | None) -> Iterator[Callable[[Stale], None]]:
    """Open a file that was not there before; each line is on disk before its contact is ended."""
    name = f"autotask-cc-ended-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    path = file or Path(name)
    with path.open("x", encoding="utf-8", newline="") as opened:
        writer: Any = csv.writer(opened)
        writer.writerow(COLUMNS)

        def write(one: Stale) -> None:
            row = one.row
            writer.writerow((row.account_id, row.contact_id, safe_cell(row.email)))
            opened.flush()

        try:
            yield write
        finally:
            typer.echo(f"To bring them back: `autotask-cc contacts stale --undo {path}`.")


@contextmanager
def _bar(doing: str, of: int) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(20), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(f"{doing} {of:,} contacts", total=of)
        yield lambda: progress.advance(task)
