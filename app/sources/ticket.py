"""Sources on the ticket itself: a field, the description, an attached mail."""

from __future__ import annotations

import asyncio

from app.autotask.client import Autotask
from app.autotask.errors import Refused
from app.autotask.models import Attachment, Ticket
from app.mail.eml import MAX_MAIL_FILE, read_mail_file
from app.mail.header_block import DESCRIPTION, read_header_block
from app.mail.message import read_field
from app.mail.text import clean, fills
from app.services import Services
from app.settings.cc_sources import field_of
from app.sources.found import CUT, Answer, Found, is_tickets_own, only

_MOST_FILES = 5  # attached messages that are opened
_TEXT_FIELDS = (255, 8_000)  # characters of a single-line field, and of one with several lines


async def read_udf(services: Services, autotask: Autotask, ticket: Ticket, source: str) -> Answer:
    """Read a user-defined field."""
    name = field_of(source) or ""
    text = ticket.udf(name) or ""
    if not text.strip():
        return None
    told = await services.directory.field_lengths(autotask, user_defined=True)
    cut = fills(text, {*_TEXT_FIELDS, told.get(name.casefold(), 0)})
    entries = read_field(text, cut=cut)
    if entries is None:
        return f"it holds no list: {clean(text, limit=60)}"
    return Found(source, entries, note=CUT if cut else None)


async def read_description(
    services: Services, autotask: Autotask, ticket: Ticket, source: str
) -> Answer:
    """Read the header block at the top of the description, if it is the ticket's own."""
    text = ticket.description or ""
    if not text.strip():
        return None
    told = await services.directory.field_lengths(autotask, user_defined=False)
    rooms = {DESCRIPTION, told.get("description", 0)}
    message = read_header_block(text, include_to=services.settings.include_to, rooms=rooms)
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
