"""Search the configured sources for a ticket's list, and say when to search again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.mail.addresses import Address
from app.outbound.mailbox import MailboxShut
from app.services import Services
from app.settings.cc_sources import DESCRIPTION, EML, MAILBOX, field_of
from app.settings.settings import Settings
from app.sources.found import AmbiguousMessage, Answer, Found
from app.sources.mailbox import read_message
from app.sources.ticket import read_description, read_eml, read_udf

REREADS = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 2400))
"""Ages at which a ticket without a list is read again: fields and attachments arrive late."""

Source = Callable[[Services, Autotask, Ticket, str], Awaitable[Answer]]
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
    shut: MailboxShut | None = None
    """A source could not be asked, so the search is to be repeated."""
    remarks: tuple[str, ...] = ()
    """Why a source's text is no list."""


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


async def find_list(services: Services, autotask: Autotask, ticket: Ticket) -> Search:
    """Ask the configured sources in their order. Raises what the client of Autotask raises."""
    answers: list[Found] = []
    remarks: list[str] = []
    shut: MailboxShut | None = None
    for source in services.settings.cc_sources:
        ask = read_udf if field_of(source) is not None else SOURCES[source]
        try:
            answer = await ask(services, autotask, ticket, source)
        except MailboxShut as error:
            shut = error
            continue
        except AmbiguousMessage:
            return Search(ambiguous=source)
        if isinstance(answer, str):
            remarks.append(f"{source}: {answer}")
        elif answer:
            answers.append(answer)
            if not services.settings.cc_sources_merge:
                return Search(answer)
    return Search(_joined(answers), shut=shut, remarks=tuple(remarks))


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
