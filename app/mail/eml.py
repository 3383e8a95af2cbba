"""Read the header of a mail file (.eml). Pure, never raises, linear time.

The standard library's parsers are not used: they end the header at `Cc :`, which section 4.5.3 of
RFC 5322 obliges readers to accept, and releases differ in how they read folded and 8-bit values
(docs/decisions/0005-reading-mails.md).
"""

import codecs
import re
from dataclasses import replace

from app.mail.message import Message, message_of

MAX_MAIL_FILE = 10 * 1024 * 1024  # octets of a file that is read
MAX_HEADER = 1_000_000  # octets of its header that are read

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*:(.*)", re.S)
_FIRST_END = re.compile(rb"\r*+\n|\r")
# Fields that sending adds to a mail; a list, or a description of a few lines, has none of them.
_OF_A_SENT_MAIL = frozenset({"message-id", "received", "mime-version", "return-path"})
_OF_A_MAIL = frozenset(
    {"from", "to", "cc", "subject", "date", "message-id", "received", "mime-version"}
)


def read_mail_file(data: bytes, *, include_to: bool) -> Message | None:
    """Read the outermost header of a mail; None without one, or over MAX_MAIL_FILE octets.

    `sender_unclear` is set without a From, which every real mail has. `cut` is set if the header
    does not end at an empty line: lines after the broken one are not read.
    """
    if len(data) > MAX_MAIL_FILE:
        return None
    fields, is_whole = _fields(data.removeprefix(codecs.BOM_UTF8))
    if not _OF_A_MAIL.intersection(name for name, _ in fields):
        return None
    message = message_of(fields, include_to=include_to, cut=not is_whole)
    return replace(message, sender_unclear=message.sender is None)


def is_mail_file(data: bytes) -> bool:
    """Return True for a mail as it was sent, False for a list or a description."""
    fields, _ = _fields(data.removeprefix(codecs.BOM_UTF8))
    return bool(_OF_A_SENT_MAIL.intersection(name for name, _ in fields))


def _fields(data: bytes) -> tuple[list[tuple[str, str]], bool]:
    """Return the header's fields, and whether an empty line or the end of the data ends them."""
    fields: list[tuple[str, list[bytes]]] = []
    is_whole = len(data) <= MAX_HEADER
    lines = _lines(data[:MAX_HEADER])
    if lines[0].startswith((b"From ", b">From ")):  # of an mbox
        del lines[0]
    for line in lines if is_whole else lines[:-1]:
        field = _FIELD.fullmatch(line)
        if field:
            fields.append((field[1].decode("ascii").lower(), [field[2]]))
        elif fields and line[:1] in (b" ", b"\t"):
            fields[-1][1].append(line)
        else:
            is_whole = not line
            break
    return [(name, _text(b"\n".join(parts))) for name, parts in fields], is_whole


def _lines(data: bytes) -> list[bytes]:
    # A bare CR ends lines only in data without LF: elsewhere readers differ about what follows.
    first = _FIRST_END.search(data)
    if first and first[0] == b"\r":
        return re.split(rb"\r\n|\r|\n", data)
    return [line.rstrip(b"\r") for line in data.split(b"\n")]


def _text(value: bytes) -> str:
    """Decode a value that may contain raw 8-bit characters, as many mailers write them."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")
