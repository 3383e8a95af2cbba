"""Taking a link of ours off a ticket: the intent first, then the request, then what came of it.

The request names the link's own id, so it may be repeated, and one that takes effect late does no
harm. What got no answer is read again and done again.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.client import Autotask
from app.autotask.errors import AutotaskError, Refusal, Refused, Unanswered
from app.db.database import persist_with
from app.db.tables import LinkRecord
from app.outbound.rules import LEAVE_SECONDS, NotNow
from app.services import Services

UNDER_WAY = "a request of ours got no answer and may still take effect: run it again later"

_TRIES = 3
_Record = Callable[[AsyncSession, LinkRecord], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Marks:
    """What is recorded: before the link is taken off, when it is off, and when it stays."""

    intend: _Record
    done: _Record
    keep: _Record


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it, in words. again: it is to be tried again. refused: Autotask said no."""

    done: bool
    detail: str
    again: bool = False
    refused: bool = False


async def rows_of(autotask: Autotask, ticket_id: int) -> dict[int, list[int]]:
    """Give the ids of a ticket's links by contact."""
    rows: dict[int, list[int]] = {}
    for link in await autotask.additional_contacts(ticket_id):
        rows.setdefault(link.contact_id, []).append(link.id)
    return rows


async def take_off(
    services: Services, autotask: Autotask, link: LinkRecord, rows: Collection[int], marks: Marks
) -> Taken:
    """Delete a contact's rows, by their ids, from a ticket."""
    await persist_with(services.sessions, marks.intend, link)
    lost = False
    try:
        left = list(rows)
        for _ in range(_TRIES):
            lost |= await _delete(autotask, link.ticket_id, left)
            there = (await rows_of(autotask, link.ticket_id)).get(link.contact_id, [])
            left = [one for one in there if one in rows]
            if not left:
                await persist_with(services.sessions, marks.done, link)
                return Taken(True, "taken off the ticket")
    except Unanswered as error:
        return Taken(False, f"{UNDER_WAY} ({error})", again=True)
    except (AutotaskError, NotNow) as error:
        if lost:
            return Taken(False, f"{UNDER_WAY} ({error})", again=True)
        await persist_with(services.sessions, marks.keep, link)
        return Taken(False, str(error), again=True, refused=isinstance(error, Refused))
    return Taken(False, UNDER_WAY, again=True)


async def _delete(autotask: Autotask, ticket_id: int, rows: Collection[int]) -> bool:
    """Delete links, and tell whether an answer was lost; the effect is seen when they are read."""
    lost = False
    for link_id in rows:
        try:
            await autotask.unlink(ticket_id, link_id, time.monotonic() + LEAVE_SECONDS)
        except Unanswered:
            lost = True
        except Refused as refused:
            if refused.kind is not Refusal.MISSING:
                raise
    return lost
