"""Search the configured sources for a ticket's list, and say when to search again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.mail.addresses import Address
from app.outbound.mailbox import MailboxShut, Unread
from app.outbound.rules import NotNow
from app.services import Services
from app.settings.cc_sources import DESCRIPTION, EML, MAILBOX, field_of
from app.settings.settings import Settings
from app.sources.found import AmbiguousMessage, Answer, Found, OfMailbox
from app.sources.mailbox import read_message
from app.sources.ticket import read_description, read_eml, read_udf
from app.sources.window import Position

REREADS = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 2400))
"""Ages at which a ticket without a list is read again: fields and attachments arrive late."""

Source = Callable[[Services, Autotask, Ticket, str], Awaitable[Answer | OfMailbox]]
SOURCES: dict[str, Source] = {
    MAILBOX: read_message,
    DESCRIPTION: read_description,
    EML: read_eml,
}


@dataclass(frozen=True, slots=True)
class Search:
    """The result of a search."""

    found: Found | None = None
    """None: no source has a list."""
    ambiguous: str | None = None
    """The source in which several messages could be the ticket's."""
    shut: NotNow | None = None
    """A source could not be asked, or not to the end, so the search is to be repeated."""
    remarks: tuple[str, ...] = ()
    """Why a source's text is no list."""
    position: Position | None = None
    """How far the mailbox was read, if that takes more than one look."""


def comes_by_mail(ticket: Ticket, settings: Settings) -> bool:
    """Return whether a ticket came by mail, as far as known; health counts lists among these."""
    if settings.mail_ticket_sources:
        return ticket.source in settings.mail_ticket_sources
    return ticket.contact_id is not None


def next_reading(ticket: Ticket, settings: Settings, age: timedelta) -> timedelta | None:
    """Return the age at which a ticket without a list is read again; None if it is not.

    age: since it became due. Only tickets that may have come by mail are read again.
    """
    if ticket.contact_id is None and not comes_by_mail(ticket, settings):
        return None
    return next((step for step in REREADS if step > age), None)


async def find_list(
    services: Services, autotask: Autotask, ticket: Ticket, *, at_once: bool = False
) -> Search:
    """Ask the configured sources in their order. Raises what the client of Autotask raises.

    at_once: there will be no other look, which could read on in the mailbox.
    """
    answers: list[Found] = []
    remarks: list[str] = []
    mailbox = OfMailbox()
    for source in services.settings.cc_sources:
        ask = read_udf if field_of(source) is not None else SOURCES[source]
        if source == MAILBOX and at_once:
            ask = partial(read_message, at_once=True)
        try:
            answer = await ask(services, autotask, ticket, source)
        except (MailboxShut, Unread) as wait:
            answer = OfMailbox(unfinished=wait)
        except AmbiguousMessage:
            return Search(ambiguous=source)
        if isinstance(answer, OfMailbox):
            mailbox, answer = answer, answer.answer
        if isinstance(answer, str):
            remarks.append(f"{source}: {answer}")
        elif answer:
            answers.append(answer)
            if not services.settings.cc_sources_merge:
                return Search(answer, position=mailbox.position)
    shut, position = mailbox.unfinished, mailbox.position
    return Search(_joined(answers), shut=shut, remarks=tuple(remarks), position=position)


def with_earlier(
    found: Found | None,
    earlier: Sequence[Address],
    *,
    automatic: bool = False,
    unknown_sender: bool = False,
    carried: Collection[str] = (),
) -> Found | None:
    """Add addresses that were in a ticket's list at an earlier look: their work may be unfinished.

    An address that a list lacks is not copied any more, unless it was carried over from a merged
    ticket. Without a list this is unknown, and then what is said of its mail stays as it was.
    """
    if found is None and earlier:
        return Found(None, earlier, automatic=automatic, unknown_sender=unknown_sender)
    if found is None:
        return None
    present = {entry.key for entry in found.entries if isinstance(entry, Address)}
    missing = [address for address in earlier if address.key not in present]
    unlisted = frozenset(address.key for address in missing if address.key not in carried)
    return replace(found, entries=[*found.entries, *missing], unlisted=unlisted)


def _joined(answers: Sequence[Found]) -> Found | None:
    if len(answers) < 2:
        return answers[0] if answers else None
    return Found(
        "+".join(str(found.source) for found in answers),
        [entry for found in answers for entry in found.entries],
        automatic=any(found.automatic for found in answers),
        unknown_sender=any(found.unknown_sender for found in answers),
        message_id=next((found.message_id for found in answers if found.message_id), None),
        note="; ".join(found.note for found in answers if found.note) or None,
    )
