"""Follow the tickets with people that we added: complete, moved to another account, deleted.

One query reads the state of 500 tickets; only those whose state has changed are looked at. A parked
ticket that has a real account now is looked at, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

import structlog

from app.autotask.models import TicketState
from app.db import database
from app.db.states import Priority, Result
from app.db.tables import TicketRecord
from app.due.work import Lease, fenced
from app.records import tickets
from app.services import Services
from app.settings.settings import Settings

log = structlog.get_logger()

_LONG_OVER = timedelta(days=1)
_NEWS = 50  # more changes in one pass are history, not news
_PAGE = 500  # tickets of one query: Autotask takes no more values


async def follow(services: Services, lease: Lease) -> timedelta:
    """Make the tickets due whose state has changed; the chore. Raises what the client raises."""
    again = timedelta(seconds=services.settings.reconcile_interval)
    autotask = await services.autotask(lease)
    after, complete = -1, frozenset[int]()
    while True:
        async with services.sessions() as session:
            known = await tickets.to_follow(session, after, _PAGE)
        if not known:
            return again
        if not complete:
            named = services.settings.complete_statuses
            complete = await services.directory.complete_statuses(autotask, named)
        after = known[-1].id
        states = {state.id: state for state in await autotask.states_of([row.id for row in known])}
        now = await database.now(services.sessions)
        over = {row.id: at for row in known if (at := long_over(row, states, complete, now))}
        changed = [
            row.id
            for row in known
            if row.id not in over
            and has_changed(row, states.get(row.id), services.settings, complete)
        ]
        # A first pass finds more than that, and no one is waiting for these.
        priority = Priority.LIVE if len(changed) <= _NEWS else Priority.CATCH_UP
        async with fenced(services.sessions, lease) as session:
            for ticket_id in changed:
                await tickets.want(session, ticket_id, timedelta(0), priority)
            await tickets.were_over(session, over)
        if changed:
            log.info("tickets_changed", count=len(changed), first=changed[0])
        if len(known) < _PAGE:
            return again


def long_over(
    row: TicketRecord,
    states: Mapping[int, TicketState],
    complete: Collection[int],
    at: datetime,
) -> datetime | None:
    """Return since when a ticket is over if that is history: no look has recorded its beginning."""
    now = states.get(row.id)
    if (
        row.created_at
        or now is None
        or now.status not in complete
        or now.company_id != row.account_id
    ):
        return None
    long_ago = now.completed_at and now.completed_at < at - _LONG_OVER
    return now.completed_at if long_ago else None


def has_changed(
    row: TicketRecord, now: TicketState | None, settings: Settings, complete: Collection[int]
) -> bool:
    """Return whether a ticket must be looked at: it is over, gone, or in another account."""
    if now is None or now.status in complete:
        return True
    if row.result == Result.PARKED:
        return not settings.is_parked(now.company_id)
    return now.company_id != row.account_id
