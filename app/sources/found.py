"""What a source answers, and which message is the ticket's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.mail.addresses import Address, Rejected
from app.mail.message import Message, is_own
from app.services import Services


@dataclass(frozen=True, slots=True)
class Found:
    """A Cc list. source: which one answered; None: none did, and these are earlier people.

    unlisted: addresses among the entries that were in the list earlier and are not any more.
    automatic: it is of a machine's mail. message_id: of the mail it was read from, if known.
    """

    source: str | None
    entries: Sequence[Address | Rejected]
    unlisted: frozenset[str] = frozenset()
    automatic: bool = False
    message_id: str | None = None
    note: str | None = None


Answer: TypeAlias = Found | str | None
"""A list; or why what is there is none; or nothing."""


class AmbiguousMessage(Exception):
    """More than one message could be the ticket's own."""


async def is_tickets_own(
    services: Services, autotask: Autotask, ticket: Ticket, message: Message
) -> bool:
    """Tell whether a message is the ticket's own: reported phishing arrives as an attachment."""
    keys: frozenset[str] = frozenset()
    if message.sender and ticket.contact_id is not None:
        keys = await services.directory.contact_keys(autotask, ticket.contact_id)
    return is_own(message, ticket.title or "", keys)


def only(source: str, messages: Sequence[Message]) -> Answer:
    """Take the one message that is left; copies of one message count once.

    Raises AmbiguousMessage.
    """
    # A copy may have other names: Exchange puts in those of its directory.
    distinct = {(one.message_id, tuple(map(_key, one.entries))): one for one in messages}
    if len(distinct) > 1 and any(one.entries for one in messages):
        raise AmbiguousMessage
    for one in distinct.values():
        if one.cut and not one.entries:
            return "the text was cut off before its list"
        return Found(
            source,
            one.entries,
            # Copies differ in headers: Graph has none of what was sent from the mailbox itself.
            automatic=any(copy.automatic for copy in messages),
            message_id=one.message_id,
            note="the text was cut off, so the list may go on" if one.cut else None,
        )
    return None


def _key(entry: Address | Rejected) -> str | Rejected:
    return entry.key if isinstance(entry, Address) else entry
