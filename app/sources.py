"""Where a ticket's Cc list is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.addresses import Address, Rejected, read_addresses
from app.autotask.models import Ticket


@dataclass(frozen=True, slots=True)
class Found:
    """A Cc list. source: which one answered; None: none did, and these are earlier people.

    unlisted: addresses among the entries that were in the list earlier and are not any more.
    """

    source: str | None
    entries: Sequence[Address | Rejected]
    unlisted: frozenset[str] = frozenset()


def find_list(ticket: Ticket, sources: Sequence[str]) -> Found | None:
    """Read the first source that has a text; None when none has one."""
    for source in sources:
        text = ticket.udf(source.removeprefix("udf:"))
        if text and text.strip():
            return Found(source, read_addresses(text))
    return None


def with_earlier(found: Found | None, earlier: Sequence[Address]) -> Found | None:
    """Add people who were in a ticket's list at an earlier look: their work may not be done.

    A list that lacks them says that they are not copied any more. No list says nothing.
    """
    if found is None:
        return Found(None, earlier) if earlier else None
    present = {entry.key for entry in found.entries if isinstance(entry, Address)}
    missing = [one for one in earlier if one.key not in present]
    unlisted = frozenset(one.key for one in missing)
    return Found(found.source, [*found.entries, *missing], unlisted)
