"""A ticket whose people wait for a right in its account: it is not even read meanwhile."""

from __future__ import annotations

from app.due import work
from app.due.work import Lease
from app.outbound import refusals
from app.outbound.rules import RightMissing
from app.records import participants, tickets
from app.services import Services


async def for_a_right(services: Services, lease: Lease) -> RightMissing | None:
    """Return the right that all unfinished people of a ticket go on waiting for.

    None: the ticket is to be looked at, as something new has happened to it, or the right is there,
    or this ticket tries for all tickets of its account whether it is.
    """
    async with services.sessions() as session, session.begin():
        if await work.wanted_anew(session, lease):
            return None
        account_id = await tickets.account_of(session, lease.ref)
        if account_id is None or not await participants.only_wait(session, lease.ref):
            return None
        return await refusals.let_try(session, account_id, lease.ref)
