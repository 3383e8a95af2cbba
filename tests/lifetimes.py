"""What tests of lifetimes, moves and merges say: let a ticket end, and let what follows be done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from app import follow, policies, retire, work
from app import look as looks
from app.desk import Desk
from app.models import Due, Ledger
from app.policy import PolicyDocument
from app.states import Priority
from app.work import Chore, Lease
from sandbox.model import COMPLETE, Record
from sandbox.tenant import Tenant

ALPINE = 174
NINA = "nina@radiology.example"
TICKET = {"inside": "ticket", "outside": "ticket"}


async def say(desk: Desk, account_id: int = ALPINE, **fields: Any) -> None:
    """Give an account a policy."""
    async with desk.sessions() as session, session.begin():
        await policies.store(session, account_id, PolicyDocument(**fields), "test")


async def seized(desk: Desk, chore: Chore) -> Lease:
    """Take a chore, whether it is due or not."""
    async with desk.sessions() as session, session.begin():
        await work.want(session, work.CHORE, chore, timedelta(hours=1), Priority.LIVE)
        lease = await work.seize(session, work.CHORE, chore, "test")
    assert lease
    return lease


async def follow_up(desk: Desk) -> None:
    """Compare the tickets that we follow, once, and look at those that are due then."""
    lease = await seized(desk, Chore.RECONCILE)
    await follow.run(desk, await desk.autotask(lease), lease)
    async with work.fenced(desk.sessions, lease) as session:
        await work.finish(session, lease)
    await look_at_all(desk)


async def look_at_all(desk: Desk) -> None:
    """Look at every ticket that is due now."""
    for _ in range(20):
        async with desk.sessions() as session, session.begin():
            leases = await work.claim(session, work.TICKET, "test", 8)
        if not leases:
            return
        for lease in leases:
            await looks.look(desk, lease)
    raise AssertionError("it comes to no rest")


async def end(desk: Desk) -> timedelta:
    """Do the chore once: end what nothing needs any more."""
    lease = await seized(desk, Chore.LIFETIMES)
    pause = await retire.run(desk, lease)
    async with work.fenced(desk.sessions, lease) as session:
        await work.finish(session, lease)
    return pause


async def complete(desk: Desk, tenant: Tenant, *ticket_ids: int) -> None:
    """Complete tickets as a technician does, and let us notice."""
    for ticket_id in ticket_ids:
        tenant.update_ticket(ticket_id, callout=False, status=COMPLETE)
    await follow_up(desk)


def contact(tenant: Tenant, contact_id: int) -> Record:
    """Give a contact as it stands."""
    return tenant.contacts[contact_id]


def stands(one: Record) -> tuple[int, str | None]:
    """Tell whether a contact is active, and its address."""
    return one["isActive"], one["emailAddress"] or None


async def ledger_of(desk: Desk, contact_id: int) -> Ledger:
    """Give the ledger's row of a contact."""
    async with desk.sessions() as session:
        found = await session.execute(select(Ledger).where(Ledger.contact_id == contact_id))
        return found.scalar_one()


async def is_due(desk: Desk, ticket_id: int) -> bool:
    """Tell whether a ticket is to be looked at."""
    async with desk.sessions() as session:
        row = await session.get_one(Due, (work.TICKET, ticket_id))
        return row.due_at is not None
