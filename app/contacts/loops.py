"""The loop breaker: who was added and answers every mail with a new ticket is taken off again.

Autotask's own brake lets two mails of one sender and subject through in five minutes:
https://www.autotask.net/help/Content/4_Admin/1FoundationalFeatures/IncomingEmailProcessing/Loops_Dupes.htm
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial

import structlog
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Barred, Overloaded, Refusal, Refused
from app.autotask.models import Ticket
from app.contacts.unlink import Marks, rows_of, take_off
from app.db.database import db_now, persist_with
from app.db.tables import LinkRecord
from app.due.exclusive import InUse, holding
from app.mail.addresses import mask
from app.records import audit, forgotten, loops, policies, undo
from app.records.loops import Suspect
from app.services import Services
from app.settings.settings import Settings

log = structlog.get_logger()

_AT_ONCE = 20  # links that are listed at once
_SECONDS = 60.0  # after which a pass ends: other chores want their turn
_MARKS = Marks(
    partial(undo.intend_unlink, who=audit.SERVICE, what="loop_unlink"),
    undo.unlinked,
    undo.keep_link,
)


async def look_out(session: AsyncSession, ticket: Ticket, settings: Settings) -> None:
    """Break a loop that a ticket shows, in the transaction that records its look."""
    one = await loops.suspect(session, ticket.id)
    if one is None or not await loops.is_ours(session, one):
        return
    # Of two looks at once the second one sees what the first has recorded.
    await loops.alone(session, one)
    within = timedelta(minutes=settings.loop_minutes)
    count = await loops.count(session, one, within)
    if count < settings.loop_tickets or await loops.is_broken(session, one, within):
        return
    await _break(session, one, count, settings)


async def _break(session: AsyncSession, one: Suspect, count: int, settings: Settings) -> None:
    """Deny the addresses, and have our links taken off."""
    known = await loops.addresses(session, one)
    # Who is forgotten is ignored anyway, and must not be stored again.
    denied = sorted(set(known) - await forgotten.forgotten(session, known))
    detail: dict[str, object] = {"denied": denied}
    for key in denied:
        try:
            await policies.put_on_list(
                session, one.account_id, key, "denied", settings.default_policy, audit.SERVICE
            )
        except ValidationError:
            why = "the list is full"
            detail = {"denied": denied[: denied.index(key)], "not_denied": why}
            log.error("loop_not_denied", account=one.account_id, reason=why)
            break
    await loops.record(session, one, count)
    audit.record(
        session,
        audit.SERVICE,
        "loop_broken",
        account_id=one.account_id,
        ticket_id=one.ticket_id,
        contact_id=one.contact_id,
        tickets=count,
        **detail,
    )
    log.error("loop_broken", account=one.account_id, contact=one.contact_id, tickets=count)


async def run(services: Services, autotask: Autotask) -> bool:
    """Take off what is to come off; tells whether there is more. Raises what the throttle raises.

    What cannot be taken off now is tried again at the next pass, and keeps nothing else waiting.
    """
    began = time.monotonic()
    await persist_with(services.sessions, loops.note_late)
    after = (-1, -1)
    while True:
        async with services.sessions() as session:
            links = await loops.to_take_off(session, after, _AT_ONCE)
        if not links:
            return False
        for link in links:
            if time.monotonic() - began > _SECONDS:
                return True
            await _try(services, autotask, link)
        after = (links[-1].ticket_id, links[-1].contact_id)


async def _try(services: Services, autotask: Autotask, link: LinkRecord) -> None:
    try:
        async with holding(services.sessions, link.ticket_id, "loop"):
            await _take_off(services, autotask, link.ticket_id, link.contact_id)
    except InUse:
        log.info("loop_link_waits", ticket=link.ticket_id, why="it is being looked at")
    except (Barred, Overloaded):
        raise
    except AutotaskError as error:
        log.warning("loop_link_waits", ticket=link.ticket_id, why=mask(str(error)))


async def _take_off(
    services: Services, autotask: Autotask, ticket_id: int, contact_id: int
) -> None:
    """Take a link off a ticket that is held, as far as it is there and ours."""
    rows = await _rows(autotask, ticket_id, contact_id)
    async with services.sessions() as session:
        link = await loops.still_to_take_off(session, ticket_id, contact_id)
        now = await db_now(session)
    if link is None:
        return  # somebody has seen to it since it was listed
    if link.is_among(rows):
        taken = await take_off(services, autotask, link, rows, _MARKS)
        if taken.refused:
            await persist_with(services.sessions, _stays, link, mask(taken.detail))
        elif taken.done:
            await persist_with(services.sessions, loops.done, link)
        else:
            log.warning("loop_link_waits", ticket=ticket_id, why=mask(taken.detail))
        return
    if not rows and link.may_come(now - services.create_settle):
        return
    if not rows and link.unlinked_at:  # by us, and then we died
        await persist_with(services.sessions, undo.unlinked, link)
    # What is there otherwise is a person's.
    await persist_with(services.sessions, loops.done, link)


async def _rows(autotask: Autotask, ticket_id: int, contact_id: int) -> list[int]:
    """Give the ids of a contact's links on a ticket; none of one that is deleted."""
    try:
        return (await rows_of(autotask, ticket_id)).get(contact_id, [])
    except Refused as refused:
        if refused.kind is not Refusal.MISSING:
            raise
        return []


async def _stays(session: AsyncSession, link: LinkRecord, why: str) -> None:
    """Record that Autotask does not let us take a link off: it is not asked again."""
    await loops.stays(session, link)
    audit.record(
        session,
        audit.SERVICE,
        "loop_link_stays",
        account_id=link.account_id,
        ticket_id=link.ticket_id,
        contact_id=link.contact_id,
        why=why[:200],
    )
    log.error("loop_link_stays", ticket=link.ticket_id, contact=link.contact_id, why=why)
