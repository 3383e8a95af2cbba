"""What is done from time to time. Each chore is a row of due work, so one worker at a time has it.

A chore that is killed is taken up by another worker, as a ticket's look is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import reconcile, retention, retire, webhook_care, work
from app.addresses import mask
from app.autotask.errors import AutotaskError, Busy
from app.db import db_now, is_outage
from app.desk import Desk
from app.errors import LeaseLost, NotNow
from app.states import Priority
from app.work import Chore, Lease, fenced

log = structlog.get_logger()

_START = timedelta(seconds=5)
_BACKOFF = timedelta(seconds=15)
_LONGEST = timedelta(minutes=5)
_USE_OFTEN, _USE_SELDOM = timedelta(minutes=1), timedelta(minutes=5)


async def schedule(session: AsyncSession) -> None:
    """Make all chores due soon, where they are not due earlier: a worker has started."""
    for chore in Chore:
        await work.want(session, work.CHORE, chore, _START, _PRIORITIES.get(chore, Priority.LIVE))


async def run(desk: Desk, lease: Lease) -> None:
    """Do a chore, and make it due again. Raises LeaseLost, or that the database is away."""
    chore = Chore(lease.ref)
    try:
        async with desk.sessions() as session:
            began = await db_now(session)
        again_at = began + await _CHORES[chore](desk, lease)
    except NotNow as wait:
        again_at = wait.until
    except LeaseLost:
        raise
    except AutotaskError as error:
        log.warning("chore_waits", chore=chore.name, error=mask(str(error)))
        again_at = await _later(desk, lease, error)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("chore_failed", chore=chore.name)
        again_at = await _later(desk, lease, error)
    async with fenced(desk.sessions, lease) as session:
        await work.finish(session, lease, again_at)


async def _later(desk: Desk, lease: Lease, error: Exception) -> datetime:
    asked = timedelta(seconds=(error.retry_after or 0) if isinstance(error, Busy) else 0)
    pause = max(min(_BACKOFF * lease.tries, _LONGEST), asked)
    async with desk.sessions() as session:
        return await db_now(session) + pause


async def _ask_for_use(desk: Desk, lease: Lease) -> timedelta:
    """Ask how many calls all of the tenant's tools have made: no answer of Autotask's tells."""
    autotask = await desk.autotask(lease)
    told = await autotask.use()
    async with fenced(desk.sessions, lease) as session:
        await desk.budget.heard(session, told.used, told.limit)
    return _USE_OFTEN if told.used * 5 >= told.limit * 2 else _USE_SELDOM


_CHORES: dict[Chore, Callable[[Desk, Lease], Awaitable[timedelta]]] = {
    Chore.RECONCILE: reconcile.run,
    Chore.WEBHOOK: webhook_care.read_back,
    Chore.RETENTION: retention.run,
    Chore.USE: _ask_for_use,
    Chore.LIFETIMES: retire.run,
}
# What waits when the tenant's calls get scarce; the others are one call each, and needed then.
_PRIORITIES = dict.fromkeys((Chore.WEBHOOK, Chore.RETENTION, Chore.LIFETIMES), Priority.CATCH_UP)
