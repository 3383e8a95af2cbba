"""Where a ticket's Cc list is: each source, and the search through those that are configured.

A source answers with a list, which may be empty (it proves that nobody was copied), or not at all.
The first answer ends the search; CC_SOURCES_MERGE joins all of them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from app.addresses import Address, Rejected, read_addresses, read_mailbox
from app.autotask.client import Autotask
from app.autotask.models import Attachment, Ticket
from app.desk import Desk
from app.errors import NotNow
from app.graph.models import Message as GraphMessage
from app.header_blocks import read_header_block
from app.header_text import clean
from app.mail_files import MAX_MAIL_FILE, read_mail_file
from app.mailbox import MailboxShut
from app.messages import Message, automatic_reason, is_follow_up, is_own, same_subject
from app.settings import Settings

# Autotask's processing takes up to half an hour, 10 minutes as a rule:
# https://www.autotask.net/help/content/0_admin/1foundationalfeatures/incomingemailprocessing/
_BEFORE, _AFTER = timedelta(minutes=60), timedelta(minutes=5)

REREADS = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 2400))
"""After so long a ticket without a list is read again: fields and attachments arrive late."""

_LONGEST = 100_000  # characters of a field that are read
_MOST_FILES = 5  # attached messages that are opened
_LABEL_ALONE = re.compile(r"\s*cc\s*:", re.I)


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


@dataclass(frozen=True, slots=True)
class Search:
    """What the search came to. found: None: no source had anything.

    ambiguous: the source in which two messages could be the ticket's. shut: a source could not be
    asked, so the search is to be made again.
    """

    found: Found | None = None
    ambiguous: str | None = None
    shut: NotNow | None = None


class AmbiguousMessage(Exception):
    """More than one message could be the ticket's own."""


def comes_by_mail(ticket: Ticket, settings: Settings) -> bool:
    """Tell whether a ticket came by mail, as far as that is known; these make up the share."""
    if settings.mail_ticket_sources:
        return ticket.source in settings.mail_ticket_sources
    return ticket.contact_id is not None


def next_reading(ticket: Ticket, settings: Settings, age: timedelta) -> timedelta | None:
    """Give at which age a ticket without a list is read again, None when it is not.

    age: since it was wanted. Only tickets that may have come by mail are worth it.
    """
    if ticket.contact_id is None and not comes_by_mail(ticket, settings):
        return None
    return next((step for step in REREADS if step > age), None)


async def find_list(desk: Desk, autotask: Autotask, ticket: Ticket) -> Search:
    """Go through the sources. Raises what the client of Autotask raises."""
    answers: list[Found] = []
    shut: NotNow | None = None
    for source in desk.settings.cc_sources:
        ask = _udf if source.startswith("udf:") else _SOURCES[source]
        try:
            found = await ask(desk, autotask, ticket, source)
        except MailboxShut as error:
            shut = error
            continue
        except AmbiguousMessage:
            return Search(ambiguous=source)
        if found:
            answers.append(found)
            if not desk.settings.cc_sources_merge:
                return Search(found)
    return Search(_joined(answers), shut=shut)


def with_earlier(
    found: Found | None, earlier: Sequence[Address], *, automatic: bool = False
) -> Found | None:
    """Add people who were in a ticket's list at an earlier look: their work may not be done.

    A list that lacks them says that they are not copied any more. No list says nothing, and then
    they are of automatic mail if they were.
    """
    if found is None:
        return Found(None, earlier, automatic=automatic) if earlier else None
    present = {entry.key for entry in found.entries if isinstance(entry, Address)}
    missing = [one for one in earlier if one.key not in present]
    unlisted = frozenset(one.key for one in missing)
    return replace(found, entries=[*found.entries, *missing], unlisted=unlisted)


def _joined(answers: Sequence[Found]) -> Found | None:
    if len(answers) < 2:
        return answers[0] if answers else None
    return Found(
        "+".join(str(one.source) for one in answers),
        [entry for one in answers for entry in one.entries],
        automatic=any(one.automatic for one in answers),
        message_id=next((one.message_id for one in answers if one.message_id), None),
        note="; ".join(one.note for one in answers if one.note) or None,
    )


async def _udf(_desk: Desk, _autotask: Autotask, ticket: Ticket, source: str) -> Found | None:
    """Read a user-defined field; one without an address answers only where it says `Cc:`.

    An empty field is what a gateway leaves that has not come to it yet.
    """
    text = ticket.udf(source.removeprefix("udf:")) or ""
    entries = read_addresses(text[:_LONGEST], cut=len(text) > _LONGEST)
    return Found(source, entries) if entries or _LABEL_ALONE.match(text) else None


async def _mailbox(desk: Desk, autotask: Autotask, ticket: Ticket, source: str) -> Found | None:
    """Look the ticket's message up. Raises MailboxShut, AmbiguousMessage."""
    if not desk.mailbox.configured or not ticket.title or ticket.created_at is None:
        return None
    since, until = ticket.created_at - _BEFORE, ticket.created_at + _AFTER
    received = await desk.mailbox.messages(since, until)
    messages = [_from_graph(one, desk.settings) for one in received if not one.is_draft]
    messages = [one for one in messages if _fits(one, ticket.title)]
    if ticket.contact_id is None:
        # Nobody is known to be its sender; what we sent ourselves is none of a customer's.
        ours = desk.settings.our_addresses
        return _only(source, [one for one in messages if one.sender not in ours])
    keys = await desk.directory.contact_keys(autotask, ticket.contact_id) if messages else ()
    return _only(source, [one for one in messages if one.sender in keys])


def _fits(message: Message, title: str) -> bool:
    """Tell whether a message opened a ticket of that title; its number is in follow-ups only."""
    subject = message.subject or ""
    return bool(message.sender) and same_subject(subject, title) and not is_follow_up(subject)


def _from_graph(message: GraphMessage, settings: Settings) -> Message:
    people = [*message.cc, *(message.to if settings.include_to else ())]
    sender = read_mailbox(message.sender.address) if message.sender else None
    return Message(
        sender=sender.key if isinstance(sender, Address) else None,
        sender_unclear=not isinstance(sender, Address),
        subject=message.subject,
        entries=tuple(read_mailbox(one.address, one.name) for one in people),
        message_id=clean(message.message_id or "", limit=995).strip("<>") or None,
        automatic=automatic_reason(message.headers),
    )


async def _description(desk: Desk, autotask: Autotask, ticket: Ticket, source: str) -> Found | None:
    """Read the header block that the description begins with, if it is the ticket's own."""
    message = read_header_block(ticket.description or "", include_to=desk.settings.include_to)
    own = [message] if message and await _is_own(desk, autotask, ticket, message) else []
    return _only(source, own)


async def _eml(desk: Desk, autotask: Autotask, ticket: Ticket, source: str) -> Found | None:
    """Read the attached messages, and of them the one that is the ticket's own.

    Raises AmbiguousMessage.
    """
    attached = filter(_is_mail_file, await autotask.attachments(ticket.id))
    own = []
    for one in sorted(attached, key=lambda one: one.id)[:_MOST_FILES]:
        data = await autotask.attachment_data(ticket.id, one.id, MAX_MAIL_FILE)
        message = data and read_mail_file(data, include_to=desk.settings.include_to)
        if message and await _is_own(desk, autotask, ticket, message):
            own.append(message)
    return _only(source, own)


def _is_mail_file(attachment: Attachment) -> bool:
    """Tell whether it may be the original message; what hangs on a note or a time entry is not."""
    names = (attachment.title or "", attachment.full_path or "")
    named = any(name.lower().endswith(".eml") for name in names)
    fits = attachment.size is None or attachment.size <= MAX_MAIL_FILE
    is_mail = named or (attachment.content_type or "").lower() == "message/rfc822"
    return attachment.of_ticket and fits and is_mail


async def _is_own(desk: Desk, autotask: Autotask, ticket: Ticket, message: Message) -> bool:
    """Tell whether a message is the ticket's own: reported phishing arrives as an attachment."""
    keys: Iterable[str] = ()
    if message.sender and ticket.contact_id is not None:
        keys = await desk.directory.contact_keys(autotask, ticket.contact_id)
    return is_own(message, ticket.title or "", frozenset(keys))


def _only(source: str, messages: Sequence[Message]) -> Found | None:
    """Take the one message that is left; copies of one message count once.

    Raises AmbiguousMessage.
    """
    distinct = {(one.message_id, one.entries): one for one in messages}
    if len(distinct) > 1 and any(one.entries for one in messages):
        raise AmbiguousMessage
    for one in distinct.values():
        if one.cut and not one.entries:
            return None
        note = "the text was cut off, so the list may go on" if one.cut else None
        automatic = one.automatic is not None
        return Found(source, one.entries, frozenset(), automatic, one.message_id, note)
    return None


_Source = Callable[[Desk, Autotask, Ticket, str], Awaitable[Found | None]]
_SOURCES: dict[str, _Source] = {"mailbox": _mailbox, "description": _description, "eml": _eml}
