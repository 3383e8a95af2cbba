"""What a source answers, and whether a message is the ticket's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.mail.addresses import Address, Rejected
from app.mail.message import Message, is_own
from app.outbound.rules import NotNow
from app.services import Services
from app.sources.window import Position


@dataclass(frozen=True, slots=True)
class Found:
    """A Cc list."""

    source: str | None
    """The source that has it; None: none has one, and these are participants of earlier looks."""
    entries: Sequence[Address | Rejected]
    unlisted: frozenset[str] = frozenset()
    """Addresses among the entries that were in the list earlier and are not any more."""
    automatic: bool = False
    """Whether a machine wrote the mail."""
    unknown_sender: bool = False
    """Whether only the domain of the mail's sender says that it is the ticket's own."""
    message_id: str | None = None
    """Of the mail that the list was read from, if known."""
    note: str | None = None

    def without(self, lacks: Sequence[str]) -> Found:
        """Return the list with a note of what was not known when it was decided about."""
        if not lacks:
            return self
        said = f"decided without what cannot be read: {'; '.join(lacks)}"
        return replace(self, note="; ".join(filter(None, (self.note, said))))


Answer: TypeAlias = Found | str | None
"""A list; or, in words, why the source's text is no list; or None: the source has nothing."""


CUT = "the text was cut off, so the list may go on"


@dataclass(frozen=True, slots=True)
class OfMailbox:
    """What the mailbox answers."""

    answer: Answer = None
    position: Position | None = None
    """How far it was read, if that takes more than one look."""
    unfinished: NotNow | None = None
    """Why the answer is not complete."""


class AmbiguousMessage(Exception):
    """More than one message could be the ticket's own."""


async def is_tickets_own(
    services: Services, autotask: Autotask, ticket: Ticket, message: Message
) -> bool:
    """Return whether a message is the ticket's own: reported phishing arrives as an attachment."""
    keys: frozenset[str] = frozenset()
    if message.sender and ticket.contact_id is not None:
        keys = await services.directory.contact_keys(autotask, ticket.contact_id)
    return is_own(message, ticket.title or "", keys)


def only(source: str, messages: Sequence[Message]) -> Answer:
    """Return the list of the only message; copies of one message count once.

    Raises AmbiguousMessage if there are several.
    """
    # A copy may have other names: Exchange replaces them by those of its directory.
    distinct = {(copy.message_id, tuple(map(_key, copy.entries))): copy for copy in messages}
    if len(distinct) > 1 and any(copy.entries for copy in messages):
        raise AmbiguousMessage
    for message in distinct.values():
        if message.cut and not message.entries:
            return "the text was cut off before its list"
        return Found(
            source,
            message.entries,
            # Copies differ in headers: Graph has none for a mail sent from the mailbox itself.
            automatic=any(copy.automatic for copy in messages),
            message_id=message.message_id,
            note=CUT if message.cut else None,
        )
    return None


def _key(entry: Address | Rejected) -> str | Rejected:
    return entry.key if isinstance(entry, Address) else entry
