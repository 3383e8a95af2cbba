"""Find the tickets whose callout never came.

How far Autotask's tickets have been compared with ours is a time from Autotask's own records: our
clock may be wrong, and there must be no gap. See docs/decisions/0010-reconciliation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from app.autotask.client import Autotask
from app.autotask.models import NewTicket
from app.db import database
from app.db.states import Priority
from app.due.work import Lease, fenced
from app.records import reconciliation, tickets
from app.records.reconciliation import Progress
from app.services import Services

log = structlog.get_logger()

OVERLAP = timedelta(minutes=15)
"""How much is compared again: a ticket may become visible later than its date."""

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
    """Begin with the newest ticket: people of older ones are not added and mailed."""
    now = await database.now(services.sessions)
    newest: list[NewTicket] = []
    for ago in _FIRST_LOOKS:
        if newest := await created_since(autotask, now - ago):
            break
    floor = max((ticket.id for ticket in newest), default=0)
    dates = [ticket.created_at for ticket in newest]
    async with fenced(services.sessions, lease) as session:
        await reconciliation.move(session, floor, dates, 0)
    log.info("reconciliation_begins", after_ticket=floor)


async def _compare(services: Services, autotask: Autotask, lease: Lease, known: Progress) -> None:
    """Make new, unknown tickets due, and those that we took for gone, as the watermark moves."""
    now = await database.now(services.sessions)
    # Autotask's clock may be behind ours, and a date of a ticket ahead of Autotask's.
    since = min(known.watermark or _LONG_AGO, now - OVERLAP) - OVERLAP
    created = await created_since(autotask, since)
    created = [ticket for ticket in created if ticket.id > known.floor]
    dates = [ticket.created_at for ticket in created]
    live, late = _split(created, now, services)
    settle = timedelta(seconds=services.settings.settle_seconds)
    async with fenced(services.sessions, lease) as session:
        new = await tickets.want_unknown(session, live, settle, Priority.LIVE)
        new += await tickets.want_unknown(session, late, settle, Priority.CATCH_UP)
        gone = await tickets.want_gone(session, live, settle, Priority.LIVE)
        gone += await tickets.want_gone(session, late, settle, Priority.CATCH_UP)
        await reconciliation.move(session, known.floor, dates, len(new))
    if gone:
        log.warning("gone_tickets_found", count=len(gone), newest=max(gone))
    if new:
        log.info("tickets_found", count=len(new), newest=max(new))


def _split(
    created: Sequence[NewTicket], now: datetime, services: Services
) -> tuple[list[int], list[int]]:
    """Return the live tickets and the backlog. Without a webhook all recent tickets are live."""
    dates = [min(ticket.created_at, now) for ticket in created if ticket.created_at]
    newest = max(dates, default=_LONG_AGO)
    recent = newest - OVERLAP - timedelta(seconds=services.settings.reconcile_interval)
    alone = not services.settings.webhook_secrets
    live = [t.id for t in created if alone and (t.created_at or _LONG_AGO) >= recent]
    return live, sorted({ticket.id for ticket in created} - set(live))


async def created_since(
    autotask: Autotask, since: datetime, progress: Callable[[NewTicket], None] | None = None
) -> list[NewTicket]:
    """List all tickets that were created since a time, by id, 500 a call."""
    created: list[NewTicket] = []
    more = True
    while more:
        page, more = await autotask.newer(since, created[-1].id if created else 0)
        created += page
        more = more and bool(page)
        if progress and page:
            progress(page[-1])
    return created
