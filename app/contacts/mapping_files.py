"""Mappings as CSV files for people and spreadsheets.

A file is imported whole or not at all: its lines are checked one by one, then at Autotask in
queries of a hundred, and stored in one transaction if all are good.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from app.autotask.client import Autotask
from app.autotask.models import Contact
from app.contacts.csv_cells import plain_cell, safe_cell
from app.contacts.usable import unusable
from app.db.database import db_now
from app.db.states import Origin
from app.decide import HelpDesk, not_customer
from app.mail.addresses import address_key
from app.records import audit, mappings
from app.records import forgotten as forgotten_records
from app.services import Services

COLUMNS = ("account_id", "email", "contact_id", "origin")
MAX_LINES = 50_000
"""Mappings that one file can have."""

_QUERY = 100
_FORGOTTEN = "This address was forgotten on request: it is never added again."
_ID = re.compile(r"[0-9]{1,10}", re.ASCII)
_LARGEST_ID = 2**31 - 1
_ORIGINS = ("", *(origin.value for origin in Origin))


@dataclass(frozen=True, slots=True)
class Line:
    """One mapping of a file."""

    number: int
    account_id: int
    email: str
    contact_id: int
    by_person: bool
    """Its origin is `manual`, or empty."""

    @property
    def key(self) -> tuple[int, str]:
        """Account and address."""
        return self.account_id, self.email


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line cannot be imported."""

    number: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import; with refusals nothing is stored."""

    new: int
    changed: int
    same: int
    refusals: Sequence[Refusal] = ()


Progress = Callable[[int, int], None]
"""Called with the number of contacts that were checked, and of all."""


async def export_to(services: Services, file: TextIO) -> int:
    """Write all mappings by account and address, and return their number.

    A change during the export may be in the file or not.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count, after = 0, None
    while True:
        # A transaction for each page, as the reader of the output may be slow.
        async with services.sessions() as session:
            rows = await mappings.page(session, after)
        for row in rows:
            writer.writerow([row.account_id, safe_cell(row.email), row.contact_id, row.origin])
        count += len(rows)
        if len(rows) < mappings.PAGE:
            return count
        after = rows[-1].account_id, rows[-1].email


async def import_file(
    services: Services, data: bytes, *, dry_run: bool, progress: Progress = lambda *_: None
) -> Imported:
    """Check a file and store its mappings; with dry_run only return the result.

    A line that is on record already changes nothing, and Autotask is not asked about it. Raise what
    the client raises, and NotNow.
    """
    lines, refusals = read_lines(data)
    async with services.sessions() as session:
        known = await mappings.of_accounts(session, {line.account_id for line in lines})
        wanted = [line for line in lines if not _on_record(line, known)]
        forgotten = await forgotten_records.forgotten(session, {line.email for line in wanted})
        now = await db_now(session)
    new = sum(line.key not in known for line in wanted)
    contacts: dict[int, Contact] = {}
    if wanted:
        autotask = await services.autotask()
        help_desk = await services.help_desk(autotask)
        contacts = await _contacts(autotask, wanted, progress)
        for line in wanted:
            contact = contacts.get(line.contact_id)
            if wrong := _why_refused(line, contact, help_desk, forgotten):
                refusals.append(Refusal(line.number, wrong))
    if refusals:
        return Imported(0, 0, 0, sorted(refusals, key=lambda refusal: refusal.number))
    result = Imported(new, len(wanted) - new, len(lines) - len(wanted))
    if wanted and not dry_run:
        mapped = {line.key: (line.contact_id, _muted(contacts[line.contact_id])) for line in wanted}
        async with services.sessions() as session, session.begin():
            # Forgotten while the contacts were checked, which can take minutes.
            gone = await forgotten_records.forgotten(session, {line.email for line in wanted})
            late = [Refusal(line.number, _FORGOTTEN) for line in wanted if line.email in gone]
            if late:
                return Imported(0, 0, 0, late)
            await mappings.set_all(session, mapped, now)
            counts = {"new": result.new, "changed": result.changed, "same": result.same}
            audit.record(session, audit.CLI, "mappings_imported", **counts)
    return result


def _why_refused(
    line: Line, contact: Contact | None, help_desk: HelpDesk, forgotten: Collection[str]
) -> str | None:
    if line.email in forgotten:
        return _FORGOTTEN
    if reason := not_customer([line.email], help_desk):
        return f"{line.email} is not a customer's address ({reason})."
    return unusable(contact, line.contact_id, line.account_id, help_desk)


def _on_record(line: Line, known: dict[tuple[int, str], tuple[int, str]]) -> bool:
    contact_id, origin = known.get(line.key, (None, None))
    # Found by the service and confirmed by a person is a change, though the contact is the same.
    return contact_id == line.contact_id and (origin == Origin.MANUAL or not line.by_person)


def _muted(contact: Contact) -> bool | None:
    return None if contact.gets_mail is None else not contact.gets_mail


async def _contacts(
    autotask: Autotask, lines: Sequence[Line], progress: Progress
) -> dict[int, Contact]:
    ids = sorted({line.contact_id for line in lines})
    found: dict[int, Contact] = {}
    for start in range(0, len(ids), _QUERY):
        progress(start, len(ids))
        part = ids[start : start + _QUERY]
        # By id alone: with a company, a contact of another company would look like none.
        found |= {row.id: row for row in await autotask.contacts(0, (), part)}
    progress(len(ids), len(ids))
    return found


def read_lines(data: bytes) -> tuple[list[Line], list[Refusal]]:
    """Read a file: UTF-8, commas or semicolons, columns in any order.

    Return its good lines, and why each other line is refused; no lines if it is no such file.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        return [], [Refusal(at, "This is not UTF-8: save the file as `CSV UTF-8`.")]
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    lines: dict[tuple[int, str], Line] = {}
    refusals: list[Refusal] = []
    rows = _rows(text, delimiter)
    try:
        _, header = next(rows, (1, []))
        names = [name.strip().lower() for name in header]
        if wrong := _wrong_header(names):
            return [], [Refusal(1, wrong)]
        for number, cells in rows:
            line = _line(number, names, cells)
            if isinstance(line, Line) and line.key in lines:
                before = lines[line.key].number
                line = Refusal(number, f"Line {before} is about the same address and account.")
            if isinstance(line, Refusal):
                refusals.append(line)
            elif len(lines) == MAX_LINES:
                return [], [Refusal(number, f"A file can have {MAX_LINES:,} mappings: split it.")]
            else:
                lines[line.key] = line
    except csv.Error as error:
        refusals.append(Refusal(_row_at_fault(text, delimiter), f"This is not CSV: {error}."))
    return list(lines.values()), refusals


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of the line on which it begins."""
    reader: Any = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield number, cells
        number = reader.line_num + 1


def _row_at_fault(text: str, delimiter: str) -> int:
    number = 0
    try:
        for number, _ in _rows(text, delimiter):  # noqa: B007  the last one before the fault
            pass
    except csv.Error:
        pass
    return number + 1


def _wrong_header(names: Sequence[str]) -> str | None:
    missing = [name for name in COLUMNS[:3] if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing or unknown or len(set(names)) < len(names):
        return f"The first line names the columns, each once: {','.join(COLUMNS)}."
    return None


def _line(number: int, names: Sequence[str], cells: Sequence[str]) -> Line | Refusal:
    if len(cells) != len(names):
        return Refusal(number, f"It has {len(cells)} cells; the first line has {len(names)}.")
    cell = {name: plain_cell(text).strip() for name, text in zip(names, cells, strict=True)}
    account_id, contact_id = _id_in(cell["account_id"]), _id_in(cell["contact_id"])
    email, origin = address_key(cell["email"]), cell.get("origin", "").lower()
    if not account_id:
        return Refusal(number, "account_id is not the id of a customer's company.")
    if email is None:
        return Refusal(number, "email is not exactly one e-mail address.")
    if not contact_id:
        return Refusal(number, "contact_id is not the id of a contact.")
    if origin not in _ORIGINS:
        return Refusal(number, "origin is manual, found or nothing.")
    return Line(number, account_id, email, contact_id, by_person=origin != Origin.FOUND)


def _id_in(text: str) -> int | None:
    number = int(text) if _ID.fullmatch(text) else 0
    return number if 0 < number <= _LARGEST_ID else None
