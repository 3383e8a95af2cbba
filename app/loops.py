"""The loop breaker: who was added and answers every mail with a new ticket is taken off again.

Autotask's own brake lets two mails of one sender and subject through in five minutes:
https://www.autotask.net/help/Content/4_Admin/1FoundationalFeatures/IncomingEmailProcessing/Loops_Dupes.htm
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app import audit, loop_records, policies, traces
from app.autotask.client import Autotask
from app.autotask.models import Ticket
from app.db import db_now, persist_with
from app.desk import Desk
from app.holding import InUse, holding
from app.loop_records import Suspect
from app.models import LinkRecord
from app.settings import Settings
from app.unlinking import Marks, rows_of, take_off

log = structlog.get_logger()

_AT_ONCE = 20
_MARKS = Marks(
    partial(traces.intend_unlink, who=audit.SERVICE, what="loop_unlink"),
    traces.unlinked,
    traces.keep_link,
)


async def look_out(session: AsyncSession, ticket: Ticket, settings: Settings) -> None:
    """Break a loop that a ticket shows, in the transaction that records its look."""
    one = await loop_records.suspect(session, ticket.id)
    if one is None:
        return
    within = timedelta(minutes=settings.loop_minutes)
    count = await loop_records.count(session, one, within)
    if count < settings.loop_tickets or not await loop_records.is_ours(session, one):
        return
    if await loop_records.broken_since(session, one, await db_now(session) - within):
        return
    await _break(session, one, count, settings)


async def _break(session: AsyncSession, one: Suspect, count: int, settings: Settings) -> None:
    """Deny the addresses, and have our links taken off."""
    for key in await loop_records.addresses(session, one):
        try:
            await policies.put_on_list(
                session, one.account_id, key, "denied", settings.default_policy, audit.SERVICE
            )
        except ValidationError:
            log.error("loop_not_denied", account=one.account_id, reason="the list is full")
    await loop_records.record(session, one, count)
    audit.record(
        session,
        audit.SERVICE,
        "loop_broken",
        account_id=one.account_id,
        ticket_id=one.ticket_id,
        contact_id=one.contact_id,
        tickets=count,
    )
    log.error("loop_broken", account=one.account_id, contact=one.contact_id, tickets=count)


async def run(desk: Desk, autotask: Autotask) -> bool:
    """Take off what is to come off; tells whether there is more. Raises what the client raises."""
    async with desk.sessions() as session:
        links = await loop_records.to_take_off(session, _AT_ONCE)
    for link in links:
        try:
            async with holding(desk.sessions, link.ticket_id, "loop"):
                await _take_off(desk, autotask, link)
        except InUse:
            log.info("loop_link_waits", ticket=link.ticket_id)
    return len(links) == _AT_ONCE


async def _take_off(desk: Desk, autotask: Autotask, link: LinkRecord) -> None:
    rows = (await rows_of(autotask, link.ticket_id)).get(link.contact_id, [])
    if not rows:
        async with desk.sessions() as session:
            now = await db_now(session)
        unseen = link.sent_at and not link.first_seen_linked_at
        if unseen and link.sent_at and link.sent_at + desk.create_settle > now:
            return  # it may still come
        await persist_with(desk.sessions, loop_records.done, link)
        return
    if link.link_id and link.link_id not in rows:
        await persist_with(desk.sessions, loop_records.done, link)  # a person's
        return
    taken = await take_off(desk, autotask, link, rows, _MARKS)
    if taken.done:
        await persist_with(desk.sessions, loop_records.done, link)
