"""What is done from time to time. Each chore is a row of due work, so one worker at a time has it.

A chore that is killed is taken up by another worker, as a ticket's look is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import AutotaskError, Busy
from app.contacts import loops, retire_chore
from app.db.database import db_now, is_outage
from app.db.states import Priority
from app.due import work
from app.due.work import Chore, Lease, LeaseLost, fenced
from app.mail.addresses import mask
from app.ops import reconcile
from app.ops.webhook import read_back
from app.outbound.rules import NotNow
from app.records import retention
from app.services import Services

log = structlog.get_logger()

_START = timedelta(seconds=5)
_BACKOFF = timedelta(seconds=15)
_LONGEST = timedelta(minutes=5)
_USE_OFTEN, _USE_SELDOM = timedelta(minutes=1), timedelta(minutes=5)


async def schedule(session: AsyncSession) -> None:
    """Make all chores due soon, where they are not due earlier: a worker has started."""
    for chore in Chore:
        await work.want(session, work.CHORE, chore, _START, _PRIORITIES.get(chore, Priority.LIVE))


async def run(services: Services, lease: Lease) -> None:
    """Do a chore, and make it due again. Raises LeaseLost, or that the database is away."""
    chore = Chore(lease.ref)
    try:
        async with services.sessions() as session:
            began = await db_now(session)
        again_at = began + await _CHORES[chore](services, lease)
    except NotNow as wait:
        again_at = wait.until
    except LeaseLost:
        raise
    except AutotaskError as error:
        log.warning("chore_waits", chore=chore.name, error=mask(str(error)))
        again_at = await _later(services, lease, error)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("chore_failed", chore=chore.name)
        again_at = await _later(services, lease, error)
    async with fenced(services.sessions, lease) as session:
        await work.finish(session, lease, again_at)


async def _later(services: Services, lease: Lease, error: Exception) -> datetime:
    asked = timedelta(seconds=(error.retry_after or 0) if isinstance(error, Busy) else 0)
    pause = max(min(_BACKOFF * lease.tries, _LONGEST), asked)
    async with services.sessions() as session:
        return await db_now(session) + pause


async def _ask_for_use(services: Services, lease: Lease) -> timedelta:
    """Ask how many calls all of the tenant's tools have made: no answer of Autotask's tells."""
    autotask = await services.autotask(lease)
    told = await autotask.use()
    async with fenced(services.sessions, lease) as session:
        await services.budget.heard(session, told.used, told.limit)
    return _USE_OFTEN if told.used * 5 >= told.limit * 2 else _USE_SELDOM


async def _thin_out(services: Services, lease: Lease) -> timedelta:
    age = timedelta(days=services.settings.retention_days)
    return await retention.thin_out(services.sessions, lease, age)


_CHORES: dict[Chore, Callable[[Services, Lease], Awaitable[timedelta]]] = {
    Chore.RECONCILE: reconcile.run,
    Chore.WEBHOOK: read_back.read_back,
    Chore.RETENTION: _thin_out,
    Chore.USE: _ask_for_use,
    Chore.LIFETIMES: retire_chore.retire_due,
    Chore.LOOPS: loops.break_loops,
}
# What waits when the tenant's calls get scarce; the others are one call each, and needed then.
_PRIORITIES = dict.fromkeys(
    (Chore.WEBHOOK, Chore.RETENTION, Chore.LIFETIMES, Chore.LOOPS), Priority.CATCH_UP
)
