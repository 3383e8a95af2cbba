"""The command `read`: how a list, a description or a mail is read, and why."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.mail.addresses import Address, Rejected, read_addresses
from app.mail.eml import MAX_MAIL_FILE, is_mail_file, read_mail_file
from app.mail.header_block import read_header_block
from app.mail.message import Message, read_field
from app.mail.names import person_name
from app.mail.subjects import is_follow_up
from app.mail.text import clean

WHY = {
    "ambiguous": "Mail programs read different addresses here, so that a sender could choose.",
    "no_address": "There is no address in it.",
    "bad_local_part": "The part before the @ is not a usable mailbox name.",
    "bad_domain": "The part after the @ is not a domain that can receive mail.",
    "template": "It is a placeholder of a template that was not filled in.",
    "other_header": "It is in another header than Cc: To, Bcc, Reply-To or similar.",
    "too_long": "It is longer than an address may be.",
    "too_many": "The list has more entries than the service reads.",
    "cut_off": "The text is cut off here, and the rest of an address may be another address.",
}
"""Why an entry was rejected, by the reason of app.mail.addresses.Rejected."""


class Kind(StrEnum):
    """What a text is read as."""

    LIST = "list"
    DESCRIPTION = "description"
    EML = "eml"


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as it was read; of a bare list only the entries are known."""

    kind: Kind
    message: Message
    is_field: bool = True
    """Whether it would count as a list in a ticket field."""

    @property
    def addresses(self) -> list[Address]:
        """The usable entries."""
        return [entry for entry in self.message.entries if isinstance(entry, Address)]

    @property
    def rejected(self) -> list[Rejected]:
        """The entries that are no usable address."""
        return [entry for entry in self.message.entries if isinstance(entry, Rejected)]


def read(
    file: Annotated[str, typer.Argument(help="A file, or - for standard input.")],
    kind: Annotated[
        Kind | None, typer.Option("--as", help="What it is, if the guess is wrong.")
    ] = None,
    include_to: Annotated[bool, typer.Option("--to", help="Read the To list as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show how a Cc list, a description or an .eml file is read, and why.

    Exit code 1: there is no list in it, or it cannot be read.
    """
    data = _load(file)
    if isinstance(data, str):
        typer.echo(data, err=True)
        raise typer.Exit(1)
    reading = read_data(data, kind, include_to=include_to)
    if reading is None:
        typer.echo(f"There is no list in it{f', read as {kind}' if kind else ''}.", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(json.dumps(_as_json(reading), indent=2))
    else:
        _print(reading)


def read_data(data: bytes, kind: Kind | None = None, *, include_to: bool = False) -> Reading | None:
    """Read data as a kind, or as the kind that it looks like; None if there is no list in it."""
    if kind is Kind.EML or (kind is None and is_mail_file(data)):
        mail = read_mail_file(data, include_to=include_to)
        return Reading(Kind.EML, mail) if mail else None
    text = _decode(data)
    block = None if kind is Kind.LIST else read_header_block(text, include_to=include_to)
    if block or kind is Kind.DESCRIPTION:
        return Reading(Kind.DESCRIPTION, block) if block else None
    field = read_field(text)
    entries = tuple(read_addresses(text) if field is None else field)
    if field is None and all(
        isinstance(entry, Rejected) and entry.reason == "no_address" for entry in entries
    ):
        return None
    return Reading(Kind.LIST, Message(None, False, None, entries), is_field=field is not None)


def _load(file: str) -> bytes | str:
    """Return a file's content, or a sentence about why there is none."""
    name = "Standard input" if file == "-" else clean(file)
    try:
        # One byte more than is allowed shows that it is too much; it may be an endless device.
        if file == "-":
            data = sys.stdin.buffer.read(MAX_MAIL_FILE + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(MAX_MAIL_FILE + 1)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror or type(error).__name__}."
    except ValueError:  # a NUL in its name
        return f"{name} cannot be read: no file can have this name."
    if len(data) > MAX_MAIL_FILE:
        return f"{name} is larger than {MAX_MAIL_FILE >> 20} MB, the most that is read."
    return data


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # by Windows PowerShell's `>`
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _as_json(reading: Reading) -> dict[str, object]:
    message = reading.message
    addresses = [
        dict(zip(("address", "name", "first_name", "last_name"), row, strict=True))
        for row in _people(reading.addresses)
    ]
    return {
        "read_as": reading.kind.value,
        "sender": message.sender,
        "sender_unclear": message.sender_unclear,
        "subject": message.subject,
        "follow_up": is_follow_up(message.subject or ""),
        "message_id": message.message_id,
        "automatic": message.automatic,
        "cut": message.cut,
        "addresses": addresses,
        "rejected": [
            {"text": entry.text, "reason": entry.reason, "why": WHY.get(entry.reason, "")}
            for entry in reading.rejected
        ],
    }


def _people(addresses: Sequence[Address]) -> Iterator[tuple[str, str, str, str]]:
    return ((a.key, a.name, *person_name(a.name, a.key)) for a in addresses)


def _print(reading: Reading) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):  # an ASCII terminal shows a letter's number
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(width=None if Console().is_terminal else 130, highlight=False)
    for line in _about(reading):
        console.print(Text(line))
    if reading.addresses:
        columns = ("address", "display name", "first name", "last name")
        console.print(_table("Addresses", columns, _people(reading.addresses)))
    if reading.rejected:
        rows = ((entry.text, entry.reason, WHY.get(entry.reason, "")) for entry in reading.rejected)
        console.print(_table("Rejected", ("entry", "reason", "why"), rows))
    console.print(Text(f"{len(reading.addresses)} found, {len(reading.rejected)} rejected."))


def _table(title: str, columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: strangers wrote it, and may not send markup
    return table


def _about(reading: Reading) -> Iterator[str]:
    message = reading.message
    yield f"Read as: {reading.kind}"
    if message.sender_unclear:
        yield "From: not exactly one usable address, so never taken as a ticket's own message"
    elif message.sender:
        yield f"From: {message.sender}"
    if message.subject is not None:
        yield f"Subject: {message.subject}"
        if is_follow_up(message.subject):
            yield "The subject names a ticket: it is a follow-up, never a ticket's first message."
    if message.message_id:
        yield f"Message-ID: {message.message_id}"
    if message.automatic:
        yield f"Automatic mail, because of: {message.automatic}. Its people are held."
    if message.cut:
        yield "Cut off: the list may go on after the end of this text."
    if not message.entries and not message.cut:
        yield "Nobody was copied."
    if not reading.is_field:
        yield "In a ticket field this does not count as a list: it has no address."
