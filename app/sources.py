"""Where a ticket's Cc list is."""

from __future__ import annotations

from collections.abc import Sequence

from app.addresses import Address, Rejected, read_addresses
from app.autotask.models import Ticket


def read_list(ticket: Ticket, udf_names: Sequence[str]) -> list[Address | Rejected] | None:
    """Read the first user-defined field that has a text; None when no source has anything."""
    for name in udf_names:
        text = ticket.udf(name)
        if text and text.strip():
            return read_addresses(text)
    return None
