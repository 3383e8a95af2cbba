"""Keeping looks away from a ticket while something else is done to it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app import work
from app.db import Sessions
from app.errors import LeaseLost
from app.work import Lease


class InUse(Exception):
    """Somebody else has the ticket: a worker looks at it, or something else is done to it."""


@asynccontextmanager
async def holding(sessions: Sessions, ticket_id: int, what: str) -> AsyncIterator[Lease]:
    """Hold a ticket's lease; what is due stays due. Raises InUse."""
    async with sessions() as session, session.begin():
        lease = await work.seize(session, work.TICKET, ticket_id, f"{what}:{uuid.uuid4().hex}")
    if lease is None:
        raise InUse
    beating = asyncio.create_task(_beat(sessions, lease))
    try:
        yield lease
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        # What was done is said, though the lease may have run out by now.
        with suppress(LeaseLost):
            async with work.fenced(sessions, lease) as session:
                await work.finish(session, lease)


async def _beat(sessions: Sessions, lease: Lease) -> None:
    while True:
        await asyncio.sleep(work.BEAT.total_seconds())
        async with sessions() as session, session.begin():
            await work.beat(session, [lease])
