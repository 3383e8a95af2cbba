"""The source `mailbox`: the ticket's own message in one Microsoft 365 mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.db import database
from app.decide import not_customer
from app.graph.errors import TooManyMessages
from app.graph.models import Message as GraphMessage
from app.graph.models import Person
from app.mail.addresses import MAX_ENTRIES, Address, Rejected, read_mailbox
from app.mail.message import Message, automatic_reason, message_id_of
from app.mail.subjects import opens_ticket
from app.services import Services
from app.settings.settings import Settings
from app.sources.found import AmbiguousMessage, Answer, only

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
        now = await database.now(services.sessions)  # a ticket's date may lie ahead
        since, until = min(ticket.created_at, now) - _BEFORE, ticket.created_at + _AFTER
        received = await services.mailbox.messages(since, until)
    except OverflowError:
        return "the ticket has no date of creation"  # .NET writes 0001-01-01 for none
    except TooManyMessages as error:
        return str(error)
    # Strangers' lists may be long: only those of fitting messages are read, and in a thread.
    title = ticket.title
    fitting = [m for m in received if not m.is_draft and opens_ticket(m.subject, title)]
    fitting = [
        m for m in fitting if m.sender and await _is_sender(services, autotask, ticket, m.sender)
    ]
    if len(fitting) > _MOST_FITTING:
        raise AmbiguousMessage
    return only(source, await asyncio.to_thread(_read, fitting, services.settings))


def _may_be_mail(ticket: Ticket, settings: Settings) -> bool:
    """Return whether to look at all: without a contact, the title alone would decide."""
    sources = settings.mail_ticket_sources
    return ticket.contact_id is not None or not sources or ticket.source in sources


async def _is_sender(
    services: Services, autotask: Autotask, ticket: Ticket, sender: Person
) -> bool:
    """Return whether a message is from the ticket's contact.

    If the ticket has none: whether it is from a customer, rather than from the help desk.
    """
    address = read_mailbox(sender.address)
    if not isinstance(address, Address):
        return False
    if ticket.contact_id is not None:
        return address.key in await services.directory.contact_keys(autotask, ticket.contact_id)
    return not not_customer([address.key], await services.help_desk(autotask))


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
