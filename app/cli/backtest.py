"""`autotask-cc backtest`: its progress, its summary on one screen, and its CSV."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from app.contacts.csv_cells import safe_cell
from app.db import schema
from app.decide import Verdict
from app.looks.backtest import Asked, Backtest, Tried
from app.services import open_services
from app.settings.settings import Settings

INTERRUPTED = 130
"""The exit code of what Ctrl-C has ended."""

COLUMNS = ("ticket", "number", "account", "address", "decision", "reason", "contact", "source")
EARLIER = "earlier looks"
"""The source of a list that no source has any more."""

_WIDTH = 80
_ROWS = 13  # of a table, so that all of it fits 24 lines


@dataclass(slots=True)
class Report:
    """What was found so far. writer: of the CSV, a line for each address."""

    writer: Any = None
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
        for one in ended.decisions:
            self.reasons[one.verdict, one.reason] += 1
            self.accounts.setdefault(ticket.company_id, Counter())[one.verdict] += 1
            if self.writer:
                of_ticket = (ticket.id, ticket.number, ticket.company_id)
                cells = (*of_ticket, one.key, one.verdict, one.reason, one.contact_id, source)
                # A spreadsheet that splits at semicolons would begin a cell after one.
                texts = ("" if cell is None else str(cell).replace(";", ",") for cell in cells)
                self.writer.writerow([safe_cell(text) for text in texts])

    def lines(self, title: str) -> Iterator[RenderableType]:
        """Write the summary: 80 columns, 24 lines at most."""
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
    """Run a backtest and show what it found, also when it is ended early; gives the exit code."""
    try:
        opened = file.open("w", encoding="utf-8-sig", newline="") if file else nullcontext()
    except OSError as error:
        typer.echo(f"{file} cannot be written: {error.strerror}.", err=True)
        return 1
    with opened as stream:
        report = Report(csv.writer(stream) if stream else None)
        if report.writer:
            report.writer.writerow(COLUMNS)
        early = True
        try:
            asyncio.run(_run(asked.settings(settings), url, asked, report))
            early = False
        except KeyboardInterrupt:
            return INTERRUPTED
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


async def _run(settings: Settings, url: str, asked: Asked, report: Report) -> None:
    async with open_services(settings, url) as services:
        await schema.require_schema(services.sessions)
        with _bar() as bar:
            async for tried in Backtest(services, asked, bar.wait).run():
                report.add(tried)
                bar.moved(tried.progress, report.tickets)


@dataclass(slots=True)
class _Bar:
    console: Console
    progress: Progress
    tickets: int = 0

    def moved(self, share: float, tickets: int) -> None:
        self.tickets = tickets
        done = _count(tickets, "ticket")
        self.progress.update(self.progress.task_ids[0], completed=share, description=done)

    def wait(self, reason: str | None, until: datetime | None) -> None:
        """Say what is waited for; None: it goes on."""
        says = _count(self.tickets, "ticket")
        if reason and until:
            says += f", waiting until {until.astimezone():%H:%M:%S}: {reason}"
            if not self.console.is_terminal:
                self.console.print(Text(says), soft_wrap=True)
        self.progress.update(self.progress.task_ids[0], description=says)


@contextmanager
def _bar() -> Iterator[_Bar]:
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(20), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        progress.add_task(_count(0, "ticket"), total=1.0)
        yield _Bar(console, progress)


def _count(number: int, what: str) -> str:
    plural = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else plural}"
