"""The source `mailbox`: the ticket's own message in one Microsoft 365 mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.graph.errors import TooManyMessages
from app.graph.models import Message as GraphMessage
from app.graph.models import Person
from app.mail.addresses import MAX_ENTRIES, Address, Rejected, read_mailbox
from app.mail.message import Message, automatic_reason, message_id_of
from app.mail.subjects import opens_ticket
from app.services import Services
from app.settings.settings import Settings
from app.sources import contactless
from app.sources.found import AmbiguousMessage, Answer, Found, only

# Autotask's processing takes up to half an hour, 10 minutes as a rule:
# https://www.autotask.net/help/content/0_admin/1foundationalfeatures/incomingemailprocessing/
_BEFORE, _AFTER = timedelta(minutes=60), timedelta(minutes=5)

_MOST_FITTING = 5  # messages whose lists are read; more than one is ambiguous, copies apart


async def read_message(
    services: Services, autotask: Autotask, ticket: Ticket, source: str
) -> Answer:
    """Look up the ticket's message. Raises MailboxShut, AmbiguousMessage."""
    if not services.mailbox.configured or not ticket.title or ticket.created_at is None:
        return None
    if not _may_be_mail(ticket, services.settings):
        return None
    try:
        since, until = ticket.created_at - _BEFORE, ticket.created_at + _AFTER
        received = await services.mailbox.messages(since, until)
    except OverflowError:
        return "the ticket has no date of creation"  # .NET writes 0001-01-01 for none
    except TooManyMessages as error:
        return str(error)
    # Strangers' lists may be long: only those of fitting messages are read, and in a thread.
    title = ticket.title
    fitting = [m for m in received if not m.is_draft and opens_ticket(m.subject, title)]
    if ticket.contact_id is None:
        fitting = await contactless.of_colleagues(services, autotask, ticket, fitting)
    else:
        keys = await services.directory.contact_keys(autotask, ticket.contact_id)
        fitting = [m for m in fitting if m.sender and _key_of(m.sender) in keys]
    if len(fitting) > _MOST_FITTING:
        raise AmbiguousMessage
    answer = only(source, await asyncio.to_thread(_read, fitting, services.settings))
    if ticket.contact_id is None and isinstance(answer, Found):
        return replace(answer, unknown_sender=True)
    return answer


def _may_be_mail(ticket: Ticket, settings: Settings) -> bool:
    """Return whether to look at all."""
    return ticket.contact_id is not None or contactless.may_be_mail(ticket, settings)


def _key_of(sender: Person) -> str | None:
    address = read_mailbox(sender.address)
    return address.key if isinstance(address, Address) else None


def _read(messages: Sequence[GraphMessage], settings: Settings) -> list[Message]:
    return [_message(message, settings) for message in messages]


def _message(message: GraphMessage, settings: Settings) -> Message:
    people = [*message.cc, *(message.to if settings.include_to else ())]
    entries = [read_mailbox(person.address, person.name) for person in people[:MAX_ENTRIES]]
    if len(people) > MAX_ENTRIES:
        entries.append(Rejected(f"{len(people) - MAX_ENTRIES} more …", "too_many"))
    return Message(
        sender=None,
        sender_unclear=False,
        subject=message.subject,
        entries=tuple(entries),
        message_id=message_id_of(message.message_id or ""),
        automatic=automatic_reason(message.headers),
    )
