"""Exclusive access to a ticket or a chore: workers skip it meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from app.db.database import Sessions
from app.db.states import Chore, Priority
from app.due import work
from app.due.work import Lease, LeaseLost

_WAIT_SECONDS = 90.0  # for another holder of the chore


class InUse(Exception):
    """The ticket or chore is held by a worker or by another command."""


@asynccontextmanager
async def holding(sessions: Sessions, ticket_id: int, what: str) -> AsyncIterator[Lease]:
    """Hold a ticket's lease, named after `what`; what is due stays due. Raise InUse if held."""
    async with sessions() as session, session.begin():
        lease = await work.take(session, work.TICKET, ticket_id, _name(what))
    if lease is None:
        raise InUse
    async with _held(sessions, lease):
        yield lease


@asynccontextmanager
async def holding_chore(
    sessions: Sessions, chore: Chore, what: str, every: timedelta
) -> AsyncIterator[Lease]:
    """Hold a chore's lease, waiting up to 90 seconds for another holder; then raise InUse.

    A chore that was never due becomes due after `every`.
    """
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while True:
        async with sessions() as session, session.begin():
            await work.want(session, work.CHORE, chore, every, Priority.CATCH_UP)
            lease = await work.take(session, work.CHORE, chore, _name(what))
        if lease:
            break
        if asyncio.get_running_loop().time() > deadline:
            raise InUse
        await asyncio.sleep(0.5)
    async with _held(sessions, lease):
        yield lease


@asynccontextmanager
async def _held(sessions: Sessions, lease: Lease) -> AsyncIterator[None]:
    beating = asyncio.create_task(_beat(sessions, lease))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        # The work is done and reported, although the lease may have expired by now.
        with suppress(LeaseLost):
            async with work.fenced(sessions, lease) as session:
                await work.finish(session, lease)


async def _beat(sessions: Sessions, lease: Lease) -> None:
    while True:
        await asyncio.sleep(work.BEAT.total_seconds())
        async with sessions() as session, session.begin():
            await work.beat(session, [lease])


def _name(what: str) -> str:
    return f"{what}:{uuid.uuid4().hex}"
