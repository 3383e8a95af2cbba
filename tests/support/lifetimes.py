"""Steps of tests of lifetimes, moves and merges: a ticket ends, and the chores are done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import case, func, select, update

from app.contacts import loops, retire_chore
from app.db.states import Chore, Priority, Result
from app.db.tables import Absence, Due, Ledger
from app.decide.policy import PolicyDocument
from app.due import work
from app.due.work import Lease
from app.looks import look
from app.ops.follow import follow
from app.records import absences, policies
from app.services import Services
from sandbox.calls import Call
from sandbox.model import COMPLETE, Record
from sandbox.tenant import Tenant
from tests.support.helpers import let_absences_age, look_at

ALPINE = 174
NINA = "nina@radiology.example"
TICKET = {"inside": "ticket", "outside": "ticket"}


async def say(services: Services, account_id: int = ALPINE, **fields: Any) -> None:
    """Store a policy for an account."""
    async with services.sessions() as session, session.begin():
        await policies.store(session, account_id, PolicyDocument(**fields), "test")


async def seized(services: Services, chore: Chore) -> Lease:
    """Take a chore, whether it is due or not."""
    async with services.sessions() as session, session.begin():
        await work.want(session, work.CHORE, chore, timedelta(hours=1), Priority.LIVE)
        lease = await work.take(session, work.CHORE, chore, "test")
    assert lease
    return lease


async def follow_up(services: Services) -> None:
    """Compare the tickets that we follow, once, and look at those that are due then."""
    lease = await seized(services, Chore.FOLLOW)
    await follow(services, lease)
    async with work.fenced(services.sessions, lease) as session:
        await work.finish(session, lease)
    await look_at_all(services)


async def look_at_all(services: Services) -> None:
    """Look at every ticket that is due now, or once what is not shown has been missed for long."""
    for _ in range(20):
        async with services.sessions() as session, session.begin():
            leases = await work.claim(session, work.TICKET, "test", 8)
        if not leases:
            if not await a_minute_without(services):
                return
            continue
        for lease in leases:
            await look.look(services, lease)
    raise AssertionError("it comes to no rest")


async def a_minute_without(services: Services) -> bool:
    """Let a minute pass for tickets whose reading missed something; return whether there are."""
    tickets = case((Absence.of > 0, Absence.of), else_=Absence.ref)
    unsure = select(tickets).where(Absence.readings < absences.READINGS, Absence.kind != "contact")
    async with services.sessions() as session, session.begin():
        ids = list((await session.execute(unsure)).scalars())
        await session.execute(
            update(Due)
            .where(Due.kind == work.TICKET, Due.ref.in_(ids), Due.due_at.is_not(None))
            .values(due_at=func.now())
        )
    await let_absences_age(services)
    return bool(ids)


async def end(services: Services) -> timedelta:
    """Do both chores once: take off who is in a loop, and retire contacts."""
    await _once(services, Chore.LOOPS, loops.break_loops)
    return await _once(services, Chore.RETIRE, retire_chore.retire_due)


async def _once(
    services: Services, chore: Chore, run: Callable[[Services, Lease], Awaitable[timedelta]]
) -> timedelta:
    lease = await seized(services, chore)
    pause = await run(services, lease)
    async with work.fenced(services.sessions, lease) as session:
        await work.finish(session, lease)
    return pause


async def complete(services: Services, tenant: Tenant, *ticket_ids: int) -> None:
    """Complete tickets as a technician does, and notice it."""
    for ticket_id in ticket_ids:
        tenant.update_ticket(ticket_id, callout=False, status=COMPLETE)
    await follow_up(services)


def contact(tenant: Tenant, contact_id: int) -> Record:
    """Return a contact as it stands."""
    return tenant.contacts[contact_id]


def stands(one: Record) -> tuple[int, str | None]:
    """Return whether a contact is active, and its address."""
    return one["isActive"], one["emailAddress"] or None


async def ledger_of(services: Services, contact_id: int) -> Ledger:
    """Return the ledger's row of a contact."""
    async with services.sessions() as session:
        found = await session.execute(select(Ledger).where(Ledger.contact_id == contact_id))
        return found.scalar_one()


async def is_due(services: Services, ticket_id: int) -> bool:
    """Return whether a ticket is to be looked at."""
    async with services.sessions() as session:
        row = await session.get_one(Due, (work.TICKET, ticket_id))
        return row.due_at is not None


def ours(tenant: Tenant) -> int:
    """Return the one contact that we created, however far its ending has come."""
    [made] = [c for c in tenant.contacts.values() if (c["note"] or "").startswith("autotask-cc ")]
    return int(made["id"])


def ticket_of(tenant: Tenant, contact_id: int) -> int:
    """Return the one ticket that a contact is on."""
    [row] = [row for row in tenant.links.values() if row["contactID"] == contact_id]
    return int(row["ticketID"])


def watch_mail(tenant: Tenant) -> list[str]:
    """Collect each moment at which mail of a contact that we created would be refused."""
    refused: list[str] = []

    def check(call: Call) -> None:
        refused.extend(f"{call.method} {call.path}" for _ in tenant.insane_contacts())

    tenant.before_call = check
    return refused


async def nina_of_a_ticket(services: Services, tenant: Tenant, **policy: Any) -> int:
    """Copy Nina on a ticket at Alpine, with this policy; return her contact."""
    await say(services, lifetime=TICKET, **policy)
    await looks_done(services, tenant.new_ticket(ALPINE, cc=f"Nina Osei <{NINA}>"))
    return ours(tenant)


async def looks_done(services: Services, ticket_id: int) -> None:
    """Look at a ticket that is then done."""
    assert await look_at(services, ticket_id) == Result.DONE
