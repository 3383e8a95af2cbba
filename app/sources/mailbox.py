"""The source `mailbox`: the ticket's own message in one Microsoft 365 mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.db import database
from app.graph.models import Message as GraphMessage
from app.graph.models import Person
from app.mail.addresses import MAX_ENTRIES, Address, Rejected, is_same_person, read_mailbox
from app.mail.message import Message, automatic_reason, message_id_of
from app.mail.subjects import opens_ticket
from app.records import tickets
from app.services import Services
from app.settings.settings import Settings
from app.sources import contactless
from app.sources.found import AmbiguousMessage, Found, OfMailbox, only
from app.sources.window import MOST_FITTING, Position, Window, about, position_of

# Autotask's processing takes up to half an hour, 10 minutes as a rule:
# https://www.autotask.net/help/content/0_admin/1foundationalfeatures/incomingemailprocessing/
_BEFORE, _AFTER = timedelta(minutes=60), timedelta(minutes=5)


async def read_message(
    services: Services, autotask: Autotask, ticket: Ticket, source: str, *, at_once: bool = False
) -> OfMailbox:
    """Look up the ticket's message. Raises NotNow, AmbiguousMessage.

    at_once: there will be no other look, which could read on.
    """
    title, created_at = ticket.title, ticket.created_at
    if not services.mailbox.configured or not title or created_at is None:
        return OfMailbox()
    if not _may_be_mail(ticket, services.settings):
        return OfMailbox()
    try:
        now = await database.now(services.sessions)  # a ticket's date may lie ahead
        since, until = min(created_at, now) - _BEFORE, created_at + _AFTER
    except OverflowError:
        return OfMailbox("the ticket has no date of creation")  # .NET writes 0001-01-01 for none

    async def fits(message: GraphMessage) -> bool:
        return await _fits(services, autotask, ticket, message)

    position = await _position(services, ticket, until)
    window = Window(services.mailbox, since, until, fits, position, at_once=at_once)
    read = await window.read()
    if read.more_than is not None:
        remark = f"more than {read.more_than} messages came in at about that time"
        return OfMailbox(remark, read.position)
    kept = read.position.fitting if read.position else ()
    if max(len(read.fitting), len(kept)) > MOST_FITTING:
        raise AmbiguousMessage
    answer = only(source, await asyncio.to_thread(_read, read.fitting, services.settings))
    if ticket.contact_id is None and isinstance(answer, Found):
        answer = replace(answer, unknown_sender=True)
    return OfMailbox(answer, read.position, read.unfinished)


async def _fits(
    services: Services, autotask: Autotask, ticket: Ticket, message: GraphMessage
) -> bool:
    """Return whether a message may be the ticket's. Strangers' lists may be long: read later."""
    if message.is_draft or not opens_ticket(message.subject, ticket.title or ""):
        return False
    if ticket.contact_id is None:
        return bool(await contactless.of_colleagues(services, autotask, ticket, [message]))
    keys = await services.directory.contact_keys(autotask, ticket.contact_id)
    sender = _key_of(message.sender) if message.sender else None
    return sender is not None and is_same_person(sender, keys)


async def _position(services: Services, ticket: Ticket, until: datetime) -> Position:
    """Return where an earlier look stopped, or the beginning."""
    async with services.sessions() as session:
        stored = await tickets.mailbox_position(session, ticket.id)
    return position_of(stored, ticket) or Position(about=about(ticket), down_to=until)


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
