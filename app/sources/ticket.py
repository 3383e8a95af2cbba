"""Sources on the ticket itself: a field, the description, an attached mail."""

from __future__ import annotations

import asyncio

from app.autotask.client import Autotask
from app.autotask.errors import Refused
from app.autotask.models import Attachment, Ticket
from app.mail.eml import MAX_MAIL_FILE, read_mail_file
from app.mail.header_block import read_header_block
from app.mail.message import read_field
from app.mail.text import clean
from app.services import Services
from app.settings.cc_sources import field_of
from app.sources.found import Answer, Found, is_tickets_own, only

_MOST_FILES = 5  # attached messages that are opened


async def read_udf(_services: Services, _autotask: Autotask, ticket: Ticket, source: str) -> Answer:
    """Read a user-defined field."""
    text = ticket.udf(field_of(source) or "") or ""
    entries = read_field(text)
    if entries is not None:
        return Found(source, entries)
    return f"it holds no list: {clean(text, limit=60)}" if text.strip() else None


async def read_description(
    services: Services, autotask: Autotask, ticket: Ticket, source: str
) -> Answer:
    """Read the header block at the top of the description, if it is the ticket's own."""
    message = read_header_block(ticket.description or "", include_to=services.settings.include_to)
    own = [message] if message and await is_tickets_own(services, autotask, ticket, message) else []
    return only(source, own)


async def read_eml(services: Services, autotask: Autotask, ticket: Ticket, source: str) -> Answer:
    """Read the attached messages, and return the list of the ticket's own message.

    Raises AmbiguousMessage.
    """
    attached = sorted(
        filter(_is_mail_file, await autotask.attachments(ticket.id)), key=lambda file: file.id
    )
    own, unread = [], len(attached[_MOST_FILES:])
    for file in attached[:_MOST_FILES]:
        try:
            data = await autotask.attachment_data(ticket.id, file.id, MAX_MAIL_FILE)
        except Refused:  # this file only
            unread += 1
            continue
        if data is None:
            continue
        # In a thread: a stranger's header may take a second to read.
        include_to = services.settings.include_to
        message = await asyncio.to_thread(read_mail_file, data, include_to=include_to)
        if message is None or message.subject is None:
            continue  # a mail to a help desk has a subject; a forged one may lack it
        if await is_tickets_own(services, autotask, ticket, message):
            own.append(message)
    if not own and unread:
        return f"of {len(attached)} attached messages {unread} could not be read"
    return only(source, own)


def _is_mail_file(attachment: Attachment) -> bool:
    """Return whether it may be the original message; an attachment of a note is not."""
    names = (attachment.title or "", attachment.full_path or "")
    named = any(name.lower().endswith(".eml") for name in names)
    fits = attachment.size is None or attachment.size <= MAX_MAIL_FILE
    is_mail = named or (attachment.content_type or "").lower() == "message/rfc822"
    return attachment.of_ticket and fits and is_mail
