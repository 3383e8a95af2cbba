"""The Cc sources that CC_SOURCES can name, beside `udf:<name of a ticket field>`."""

from __future__ import annotations

MAILBOX = "mailbox"
DESCRIPTION = "description"
EML = "eml"

CC_SOURCES = (MAILBOX, DESCRIPTION, EML)


def field_of(source: str) -> str | None:
    """Return the name of the ticket field that a source reads; None if it reads no field."""
    return source.removeprefix("udf:") if source.startswith("udf:") else None
