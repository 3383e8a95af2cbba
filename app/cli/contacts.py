"""The command `contacts stale`: list unused contacts, retire them, bring them back from a file."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError
from app.cli.common import LARGEST_ID, bar, configured, group, opened, printable, run
from app.contacts.csv_cells import plain_cell, safe_cell
from app.contacts.restore import restore_by_hand
from app.contacts.retire import Retiring
from app.contacts.retire_steps import Action, RetireResult
from app.db.states import Chore, EndedBy
from app.due.exclusive import InUse, holding_chore
from app.due.work import LeaseLost
from app.outbound.rules import NotNow
from app.records import audit
from app.records.ledger import candidates
from app.records.ledger.candidates import Stale
from app.services import Services
from app.settings.settings import Settings

COLUMNS = ("account_id", "contact_id", "email")

_EVERY = timedelta(minutes=5)
_NONE = timedelta(0)
_BACK = ("is back", "is not ended")
_WORDS = {
    Action.GONE: "gone",
    Action.KEEP: "kept",
    Action.LATER: "not now",
    Action.PUT_BACK: "needed",
}

contacts = group("List and retire unused contacts that the service created.")


@contacts.callback()
def _group() -> None:
    """Make `stale` a command of a group, though it is the only one."""


@dataclass(frozen=True, slots=True)
class Order:
    """The options of `contacts stale`."""

    days: int
    account_id: int | None
    retire: bool
    dry_run: bool
    yes: bool
    file: Path | None  # to write the retired contacts to; None: a name with the time


@contacts.command()
def stale(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Unused for so many days.")] = 180,
    account: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_ID, help="Only this account's.")
    ] = None,
    retire: Annotated[bool, typer.Option("--retire", help="Retire them, after a dry run.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --retire: stop after the dry run.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --retire: do not ask.")] = False,
    file: Annotated[
        Path | None, typer.Option(help="With --retire: the new file for --undo.")
    ] = None,
    undo: Annotated[
        Path | None,
        typer.Option(help="Bring back the contacts of such a file.", exists=True, dir_okay=False),
    ] = None,
) -> None:
    """List contacts that the service created and that nothing has used for long.

    --retire takes them off complete tickets, removes the address and keeps it on record, and makes
    them inactive. Contacts that a person changed are left alone; a retired contact that is copied
    again is brought back by itself.

    Exit code 1: something has to be tried again, or --retire was not confirmed.
    """
    order = Order(days, account, retire=retire, dry_run=dry_run, yes=yes, file=file)
    _check(order, undo)
    with configured(context) as (settings, url):
        if undo is not None:
            raise typer.Exit(run_undo_file(settings, url, undo))
        raise typer.Exit(run_stale(settings, url, order))


def _check(order: Order, undo: Path | None) -> None:
    """Raise typer.BadParameter for options that do not go together."""
    of_retire = order.dry_run or order.yes or order.file is not None
    if undo is not None and (order.retire or of_retire or order.account_id is not None):
        raise typer.BadParameter("--undo stands alone")
    if of_retire and not order.retire:
        raise typer.BadParameter("--yes, --file and --dry-run go with --retire")
    if order.file is not None and order.file.exists():
        raise typer.BadParameter(f"{order.file} exists already: name a new file")


def run_stale(settings: Settings, url: str, order: Order) -> int:
    """List unused contacts, and retire them if the order says so; return the exit code."""
    stopped = (
        "Stopped early. The contacts that were retired are in the file, if one is named above."
    )
    return run(_alone(_stale(settings, url, order)), stopped)


def run_undo_file(settings: Settings, url: str, file: Path) -> int:
    """Bring back the contacts that a file names; return the exit code."""
    try:
        named = read_file(file)
    except ValueError as error:
        typer.echo(f"{file}: {error}", err=True)
        return 1
    return run(
        _alone(_bring_back(settings, url, named)), "Stopped early; run it again for the rest."
    )


async def _alone(command: Coroutine[Any, Any, int]) -> int:
    try:
        return await command
    except InUse:
        typer.echo("Another process is doing this; try again in a minute.", err=True)
        return 1


def read_file(file: Path) -> list[tuple[int, int]]:
    """Return account and contact ids of a file that --retire wrote. Raise ValueError, OSError."""
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        raise ValueError("is no file that --retire wrote") from None
    named = []
    for number, row in enumerate(rows, start=2):
        try:
            account_id, contact_id = (int(plain_cell(row[name] or "")) for name in COLUMNS[:2])
        except (KeyError, ValueError):
            raise ValueError(f"line {number} names no account_id and contact_id") from None
        if not (0 <= account_id < 2**63 and 0 <= contact_id < 2**63):
            raise ValueError(f"line {number} names no account_id and contact_id")
        named.append((account_id, contact_id))
    if not named:
        raise ValueError("names no contact")
    return named


async def _stale(settings: Settings, url: str, order: Order) -> int:
    async with opened(settings, url) as services:
        async with services.sessions() as session:
            unused = await candidates.stale(session, timedelta(days=order.days), order.account_id)
        if not order.retire:
            _list(unused, order.days)
            return 0
        async with holding_chore(services.sessions, Chore.RETIRE, "stale", _EVERY) as lease:
            autotask = await services.autotask(lease)
            tried = await _each(services, autotask, unused, "Looking at", None)
            retirable = [contact for contact, ended in tried if ended.action is Action.RETIRED]
            _report(tried, "would be retired")
            if order.dry_run or not retirable:
                return _code(tried)
            # In a thread, as the lease has to be prolonged while a person thinks.
            if not await asyncio.to_thread(_confirmed, len(retirable), order):
                return 1
            with _written(order.file) as write:
                tried = await _each(services, autotask, retirable, "Retiring", write)
            _report(tried, "retired")
        async with services.sessions() as session, session.begin():
            count = sum(ended.action is Action.RETIRED for _, ended in tried)
            audit.record(session, audit.CLI, "contacts_ended", count=count)
        return _code(tried)


def _confirmed(count: int, order: Order) -> bool:
    if order.yes:
        return True
    if not sys.stdin.isatty():
        typer.echo("Nothing was changed: --yes retires them without asking.", err=True)
        return False
    return typer.confirm(f"Retire {count} contacts?")


async def _each(
    services: Services,
    autotask: Autotask,
    unused: Sequence[Stale],
    doing: str,
    write: Callable[[Stale], None] | None,
) -> list[tuple[Stale, RetireResult]]:
    """Retire contacts, each after `write` has noted it; without `write` make a dry run."""
    tried = []
    with bar(f"{doing} {len(unused):,} contacts") as shown:
        for number, contact in enumerate(unused, start=1):
            if write:
                write(contact)
            try:
                retiring = Retiring(services, autotask, contact.row, EndedBy.STALE, _NONE)
                tried.append((contact, await retiring.run(dry_run=write is None)))
            except LeaseLost:
                raise InUse from None
            except (AutotaskError, NotNow) as error:
                tried.append((contact, RetireResult(Action.LATER, str(error))))
            shown.moved(number / len(unused))
    return tried


async def _bring_back(settings: Settings, url: str, named: Sequence[tuple[int, int]]) -> int:
    async with opened(settings, url) as services:
        results: Counter[str] = Counter()
        later = 0
        async with holding_chore(services.sessions, Chore.RETIRE, "stale", _EVERY) as lease:
            autotask = await services.autotask(lease)
            with bar(f"Bringing back {len(named):,} contacts") as shown:
                for number, (account_id, contact_id) in enumerate(named, start=1):
                    try:
                        result = await restore_by_hand(services, autotask, account_id, contact_id)
                        results[result] += 1
                    except LeaseLost:
                        raise InUse from None
                    except (AutotaskError, NotNow) as error:
                        later += 1
                        typer.echo(printable(f"{account_id} {contact_id}: {error}"))
                    shown.moved(number / len(named))
        async with services.sessions() as session, session.begin():
            audit.record(session, audit.CLI, "contacts_restored", count=results["is back"])
    others = [f"{count} {how}" for how, count in sorted(results.items()) if how not in _BACK]
    typer.echo(f"{results['is back']} are back; {results['is not ended']} were not retired.")
    if others:
        typer.echo(f"Left alone: {', '.join(others)}.")
    if later:
        typer.echo(f"{later} have to be tried again: run it again.")
    return 1 if later else 0


# --- output --------------------------------------------------------------------------------------


def _name(contact: Stale) -> str:
    return f"{contact.row.account_id} {contact.row.contact_id} {contact.row.email}"


def _list(unused: Sequence[Stale], days: int) -> None:
    for contact in unused:
        typer.echo(printable(f"{_name(contact)} {contact.used_at:%Y-%m-%d}"))
    typer.echo(f"{len(unused)} contacts that we created were not used for {days} days.")
    if unused:
        typer.echo("--retire retires them, after a dry run.")


def _report(tried: Sequence[tuple[Stale, RetireResult]], done: str) -> None:
    for contact, how in tried:
        text = done if how.action is Action.RETIRED else f"{_WORDS[how.action]}: {how.why}"
        typer.echo(printable(f"{_name(contact)}: {text}"))
    counts = Counter(how.action for _, how in tried)
    typer.echo(
        f"{counts[Action.RETIRED]} of {len(tried)} {done}; kept: {counts[Action.KEEP]}; "
        f"to be tried again: {counts[Action.LATER]}."
    )


def _code(tried: Sequence[tuple[Stale, RetireResult]]) -> int:
    return 1 if any(ended.action is Action.LATER for _, ended in tried) else 0


@contextmanager
def _written(file: Path | None) -> Iterator[Callable[[Stale], None]]:
    """Open a new file, and write each line to disk before its contact is retired."""
    path = file or Path(f"autotask-cc-retired-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv")
    with path.open("x", encoding="utf-8", newline="") as stream:
        writer: Any = csv.writer(stream)
        writer.writerow(COLUMNS)

        def write(contact: Stale) -> None:
            row = contact.row
            writer.writerow((row.account_id, row.contact_id, safe_cell(row.email)))
            stream.flush()

        try:
            yield write
        finally:
            typer.echo(f"To bring them back: `autotask-cc contacts stale --undo {path}`.")
