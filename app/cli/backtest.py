"""The command `backtest`: a policy to try, a summary on one screen, and a CSV file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from app.cli.common import LARGEST_ID, Bar, bar, configured, opened, run
from app.contacts.csv_cells import safe_cell
from app.decide import Verdict
from app.decide.policy import PolicyDocument, PresetName
from app.looks.backtest import Asked, Backtest, Tried
from app.mail.text import clean
from app.settings.settings import Settings
from app.settings.types import PolicyText

COLUMNS = ("ticket", "number", "account", "address", "decision", "reason", "contact", "source")
EARLIER = "earlier looks"
"""The source of a list that no source has any more."""

_WIDTH = 80
_ROWS = 13  # of a table, so that all of it fits 24 lines
_LONGEST_POLICY = 1 << 20  # bytes of a file that are read
_NOT_A_PRESET = f"The presets are {', '.join(get_args(PresetName))}."


def backtest(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=365, help="How far back.")] = 30,
    policy: Annotated[
        str | None,
        typer.Option(
            help="A JSON file or a preset: open, guarded, known_only, off. It replaces "
            "DEFAULT_POLICY, or with --account that account's own policy. Default: no change."
        ),
    ] = None,
    account: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_ID, help="Only this account's tickets.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--csv", help="Write a line for each address to this file.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many tickets, the oldest first.")
    ] = None,
) -> None:
    """Show what a policy would have done with recent tickets; nothing is changed.

    Every ticket is treated as open and new: what the service did for it, and the limits of a day,
    do not count. It uses at most half of the service's share of Autotask's calls an hour, and
    waits when that is spent. Ctrl-C shows the result so far.
    """
    asked = Asked(days, _policy(policy, account), account, limit)
    with configured(context) as (settings, url):
        raise typer.Exit(run_backtest(settings, url, asked, file))


def _policy(given: str | None, account: int | None) -> PolicyDocument | None:
    try:
        return None if given is None else read_policy(given, of_account=account is not None)
    except PolicyFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


class PolicyFileError(Exception):
    """What was given as a policy is not one; the message says what is wrong with it."""


def read_policy(given: str, *, of_account: bool) -> PolicyDocument:
    """Read a preset's name, or a file with a policy in JSON. Raise PolicyFileError.

    of_account: it is for one account, so it may name the account's own domains.
    """
    adapter: TypeAdapter[PolicyDocument] = TypeAdapter(PolicyText)
    with suppress(ValidationError):
        return adapter.validate_python(given)
    name = clean(given)
    try:
        with Path(given).open("rb") as file:
            text = file.read(_LONGEST_POLICY).decode("utf-8-sig")
        policy = adapter.validate_python(text)
    except OSError as error:
        raise PolicyFileError(f"{name} cannot be read: {error.strerror}. {_NOT_A_PRESET}") from None
    except ValidationError as error:
        wrong = "; ".join(_wrong(dict(detail)) for detail in error.errors(include_input=False))
        raise PolicyFileError(f"{name} is not a policy: {wrong}.") from None
    except ValueError:  # also of a NUL in its name
        raise PolicyFileError(f"{name} is not a policy: it is no UTF-8 text.") from None
    if policy.own_domains and not of_account:
        raise PolicyFileError(f"{name}: own_domains belong to one account; name it with --account.")
    return policy


def _wrong(error: dict[str, object]) -> str:
    """Return place and message; the name of an unknown field comes from the file, and helps."""
    loc = error["loc"]
    where = ".".join(map(str, loc)) if isinstance(loc, tuple) else ""
    what = str(error["msg"]).removeprefix("Value error, ").replace("a valid tuple", "a list")
    return f"{where}: {what}" if where else what


@dataclass(slots=True)
class Report:
    """The counts so far."""

    writer: Any = None  # of the CSV: a line for each address
    tickets: int = 0
    results: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    accounts: dict[int, Counter[str]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, tried: Tried) -> None:
        """Count a ticket and write its lines."""
        self.tickets += 1
        ended, ticket = tried.preview, tried.ticket
        if ended is None:
            self.errors[tried.error or ""] += 1
            return
        self.results[str(ended.result)] += 1
        source = (ended.found.source if ended.found else None) or EARLIER
        for decision in ended.decisions:
            verdict, reason = decision.verdict, decision.reason
            self.reasons[verdict, reason] += 1
            self.accounts.setdefault(ticket.company_id, Counter())[verdict] += 1
            if self.writer:
                of_ticket = (ticket.id, ticket.number, ticket.company_id)
                of_person = (decision.key, verdict, reason, decision.contact_id, source)
                cells = (*of_ticket, *of_person)
                # A spreadsheet that splits at semicolons would begin a new cell here.
                texts = ("" if cell is None else str(cell).replace(";", ",") for cell in cells)
                self.writer.writerow([safe_cell(text) for text in texts])

    def lines(self, title: str) -> Iterator[RenderableType]:
        """Yield the summary: 80 columns, 24 lines at most."""
        people = sum(self.reasons.values())
        yield Text(f"{title}: {_count(self.tickets, 'ticket')}, {_count(people, 'address')}")
        counts = [f"{name} {number:,}" for name, number in self.results.most_common()]
        if self.errors:
            counts.append(f"errors {self.errors.total():,}")
        yield Text(" · ".join(counts) or "There was no ticket.")
        if self.errors:
            error, number = self.errors.most_common(1)[0]
            line = Text(f"{number:,} × {' '.join(error.split())}")
            line.truncate(_WIDTH, overflow="ellipsis")
            yield line
        if people:
            tables = Table.grid(padding=(0, 2))
            tables.add_row(self._of_reasons(), self._of_accounts())
            yield tables

    def _of_reasons(self) -> Table:
        table = Table("decision", "reason", box=None, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("number", justify="right")
        listed = self.reasons.most_common(_ROWS if len(self.reasons) <= _ROWS else _ROWS - 1)
        for (verdict, reason), number in listed:
            table.add_row(verdict, reason, f"{number:,}")
        if rest := len(self.reasons) - len(listed):
            left = self.reasons.total() - sum(number for _, number in listed)
            table.add_row(f"+ {rest}", "more", f"{left:,}")
        return table

    def _of_accounts(self) -> Table:
        table = Table("account", box=None, padding=(0, 1, 0, 0), pad_edge=False)
        for verdict in Verdict:
            table.add_column(verdict, justify="right")
        ranked = sorted(self.accounts.items(), key=lambda item: -item[1].total())
        listed = ranked if len(ranked) <= _ROWS else ranked[: _ROWS - 1]
        for account_id, counts in listed:
            table.add_row(str(account_id), *(f"{counts[verdict]:,}" for verdict in Verdict))
        if rest := ranked[len(listed) :]:
            left = sum((counts for _, counts in rest), Counter[str]())
            table.add_row(f"+ {len(rest)}", *(f"{left[verdict]:,}" for verdict in Verdict))
        return table


def run_backtest(settings: Settings, url: str, asked: Asked, file: Path | None) -> int:
    """Run a backtest and show its result, also when it stops early; return the exit code."""
    try:
        opened_file = file.open("w", encoding="utf-8-sig", newline="") if file else nullcontext()
    except OSError as error:
        typer.echo(f"{file} cannot be written: {error.strerror}.", err=True)
        return 1
    with opened_file as stream:
        report = Report(csv.writer(stream) if stream else None)
        if report.writer:
            report.writer.writerow(COLUMNS)
        return run(_backtest(asked.settings(settings), url, asked, report, file))


async def _backtest(
    settings: Settings, url: str, asked: Asked, report: Report, file: Path | None
) -> int:
    early = True
    try:
        async with opened(settings, url) as services:
            with bar(_count(0, "ticket")) as shown:
                progress = _Progress(shown)
                async for tried in Backtest(services, asked, progress.wait).run():
                    report.add(tried)
                    progress.moved(tried.progress, report.tickets)
        early = False
    finally:
        if report.tickets or not early:
            _show(report, asked, file, early=early)
    return 0


def _show(report: Report, asked: Asked, file: Path | None, *, early: bool) -> None:
    days = f"The last {_count(asked.days, 'day')}"
    console = Console(width=_WIDTH, highlight=False)
    for line in report.lines(f"{days}, ended early" if early else days):
        console.print(line)
    if file:
        console.print(Text(f"One line for each address: {file}"), soft_wrap=True)


@dataclass(slots=True)
class _Progress:
    """The bar, with the tickets so far and what is waited for."""

    bar: Bar
    tickets: int = 0

    def moved(self, share: float, tickets: int) -> None:
        self.tickets = tickets
        self.bar.moved(share, _count(tickets, "ticket"))

    def wait(self, reason: str | None, until: datetime | None) -> None:
        """Show what is waited for; None: the work goes on."""
        text = _count(self.tickets, "ticket")
        if reason and until:
            text += f", waiting until {until.astimezone():%H:%M:%S}: {reason}"
            if self.bar.hidden:
                typer.echo(text, err=True)
        self.bar.moved(label=text)


def _count(number: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else plural}"
