"""The search through the sources, and when it is made again."""

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
"""After so long a ticket without a list is read again: fields and attachments arrive late."""

Source = Callable[[Services, Autotask, Ticket, str], Awaitable[Answer]]
SOURCES: dict[str, Source] = {
    MAILBOX: read_message,
    DESCRIPTION: read_description,
    EML: read_eml,
}


@dataclass(frozen=True, slots=True)
class Search:
    """What the search came to. found: None: no source had a list.

    ambiguous: the source in which two messages could be the ticket's. shut: a source could not be
    asked, so the search is to be made again. remarks: what was there and was no list.
    """

    found: Found | None = None
    ambiguous: str | None = None
    shut: MailboxShut | None = None
    remarks: tuple[str, ...] = ()


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


async def find_list(services: Services, autotask: Autotask, ticket: Ticket) -> Search:
    """Go through the sources. Raises what the client of Autotask raises."""
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
    carried: Collection[str] = (),
) -> Found | None:
    """Add people who were in a ticket's list at an earlier look: their work may not be done.

    A list that lacks them says that they are not copied any more, unless they were carried over
    from a merged ticket. No list says nothing, and then they are of automatic mail if they were.
    """
    if found is None:
        return Found(None, earlier, automatic=automatic) if earlier else None
    present = {entry.key for entry in found.entries if isinstance(entry, Address)}
    missing = [one for one in earlier if one.key not in present]
    unlisted = frozenset(one.key for one in missing if one.key not in carried)
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
