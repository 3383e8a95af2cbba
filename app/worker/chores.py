"""Periodic chores. Each is a row of due work, so one worker at a time has it.

If its worker dies, another one takes the chore over, as with a ticket's look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.errors import AutotaskError, Busy
from app.contacts import loops, retire_chore
from app.db import database
from app.db.database import is_outage
from app.db.states import Chore, Priority
from app.due import work
from app.due.work import Lease, LeaseLost, fenced
from app.mail.addresses import mask
from app.ops.follow import follow
from app.ops.reconcile import reconcile
from app.ops.webhook.read_back import read_back
from app.outbound.facts import NOTE_CHOICES
from app.outbound.rules import NotNow
from app.records import known, notes, retention, tickets
from app.services import Services

log = structlog.get_logger()

_START = timedelta(seconds=5)
_BACKOFF = timedelta(seconds=15)
_LONGEST = timedelta(minutes=5)
_USE_AGAIN = timedelta(seconds=30)  # when it could not be read; known.PAUSES spares the calls
_USE_OFTEN, _USE_SELDOM = timedelta(minutes=1), timedelta(minutes=5)


async def schedule(session: AsyncSession) -> None:
    """Make all chores due soon, or leave them due earlier: a worker has started."""
    for chore in Chore:
        await work.want(session, work.CHORE, chore, _START, _PRIORITIES.get(chore, Priority.LIVE))


async def run(services: Services, lease: Lease) -> None:
    """Do a chore, and make it due again. Raises LeaseLost, and errors of a database outage."""
    chore = Chore(lease.ref)
    try:
        began = await database.now(services.sessions)
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
    return await database.now(services.sessions) + pause


async def _record_usage(services: Services, lease: Lease) -> timedelta:
    """Ask how many calls all of the tenant's tools have made; no other answer says so.

    Then read anew what is only good to know, so that no ticket has to wait for it.
    """
    usage = await services.directory.use()
    if usage:
        async with fenced(services.sessions, lease) as session:
            await services.budget.record_usage(session, usage.used, usage.limit)
    await services.directory.renew()
    await _write_owed_notes(services, lease)
    if usage is None:
        return _USE_AGAIN
    return _USE_OFTEN if usage.used * 5 >= usage.limit * 2 else _USE_SELDOM


async def _write_owed_notes(services: Services, lease: Lease) -> None:
    """Have the notes written that waited for what could not be read."""
    async with fenced(services.sessions, lease) as session:
        read_at = await known.last_good(session, NOTE_CHOICES.name)
        for ticket_id in await notes.take_owed(session, read_at) if read_at else ():
            await tickets.want(session, ticket_id, timedelta(0), Priority.CATCH_UP)


async def _delete_old(services: Services, lease: Lease) -> timedelta:
    age = timedelta(days=services.settings.retention_days)
    return await retention.delete_old(services.sessions, lease, age)


_CHORES: dict[Chore, Callable[[Services, Lease], Awaitable[timedelta]]] = {
    Chore.RECONCILE: reconcile,
    Chore.FOLLOW: follow,
    Chore.WEBHOOK: read_back,
    Chore.RETENTION: _delete_old,
    Chore.USAGE: _record_usage,
    Chore.RETIRE: retire_chore.retire_due,
    Chore.LOOPS: loops.break_loops,
}
# These wait while the tenant's calls are scarce; the others take few calls, and are needed then.
_PRIORITIES = dict.fromkeys(
    (Chore.WEBHOOK, Chore.RETENTION, Chore.RETIRE, Chore.LOOPS), Priority.CATCH_UP
)
