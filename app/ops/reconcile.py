"""Find the tickets that no callout told of.

How far Autotask's tickets have been compared with ours is a time that Autotask itself has told:
our clock may be wrong, and a gap must not open. See docs/decisions/0010-reconciliation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from app.autotask.client import Autotask
from app.autotask.models import NewTicket
from app.db.database import db_now
from app.db.states import Priority
from app.due.work import Lease, fenced
from app.records import reconciliation, tickets
from app.records.reconciliation import Progress
from app.services import Services

log = structlog.get_logger()

OVERLAP = timedelta(minutes=15)
"""How much of what was compared is compared again: a ticket can be seen later than it is dated."""

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_LOOKS = (timedelta(hours=1), timedelta(days=1), timedelta(days=30), timedelta(days=3650))


async def reconcile(services: Services, lease: Lease) -> timedelta:
    """Compare once; the chore. Raises what the client raises; nothing has moved then."""
    autotask = await services.autotask(lease)
    async with services.sessions() as session:
        known = await reconciliation.progress(session)
    if known is None:
        await _begin(services, autotask, lease)
    else:
        await _compare(services, autotask, lease, known)
    return timedelta(seconds=services.settings.reconcile_interval)


async def _begin(services: Services, autotask: Autotask, lease: Lease) -> None:
    """Begin with the newest ticket, so that nobody's history is mailed."""
    async with services.sessions() as session:
        now = await db_now(session)
    found: list[NewTicket] = []
    for ago in _FIRST_LOOKS:
        if found := await created_since(autotask, now - ago):
            break
    floor = max((ticket.id for ticket in found), default=0)
    async with fenced(services.sessions, lease) as session:
        await reconciliation.move(session, floor, [one.created_at for one in found], 0)
    log.info("reconciliation_begins", after_ticket=floor)


async def _compare(services: Services, autotask: Autotask, lease: Lease, known: Progress) -> None:
    """Make due what is new and unheard of, in the transaction that moves the watermark."""
    since = (known.watermark or _LONG_AGO) - OVERLAP
    found = [one for one in await created_since(autotask, since) if one.id > known.floor]
    live, late = _told_apart(found, services)
    settle = timedelta(seconds=services.settings.settle_seconds)
    async with fenced(services.sessions, lease) as session:
        new = await tickets.want_unknown(session, live, settle, Priority.LIVE)
        new += await tickets.want_unknown(session, late, settle, Priority.CATCH_UP)
        await reconciliation.move(session, known.floor, [one.created_at for one in found], len(new))
    if new:
        log.info("tickets_found", count=len(new), newest=max(new))


def _told_apart(found: Sequence[NewTicket], services: Services) -> tuple[list[int], list[int]]:
    """Say what is live and what is caught up with: without a webhook all that is new is live."""
    newest = max((one.created_at for one in found if one.created_at), default=_LONG_AGO)
    fresh = newest - OVERLAP - timedelta(seconds=services.settings.reconcile_interval)
    alone = not services.settings.webhook_secrets
    live = [one.id for one in found if alone and (one.created_at or _LONG_AGO) >= fresh]
    return live, sorted({one.id for one in found} - set(live))


async def created_since(
    autotask: Autotask, since: datetime, progress: Callable[[NewTicket], None] | None = None
) -> list[NewTicket]:
    """List all tickets that were created since a time, 500 a call, by id."""
    found: list[NewTicket] = []
    more = True
    while more:
        page, more = await autotask.newer(since, found[-1].id if found else 0)
        found += page
        more = more and bool(page)
        if progress and page:
            progress(page[-1])
    return found
