"""What several test modules need."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from app.db import database
from app.db.database import Base
from app.db.states import Priority, Result
from app.db.tables import Absence, Due, LinkRecord, Participant, TicketRecord
from app.due import work
from app.looks.look import look
from app.records import absences, tickets
from app.services import Services
from sandbox.graph import HELP_DESK
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant


async def want(services: Services, *ticket_ids: int) -> None:
    """Make tickets due now, as a callout does."""
    async with services.sessions() as session, session.begin():
        for ticket_id in ticket_ids:
            await tickets.want(session, ticket_id, timedelta(0), Priority.LIVE)


async def look_at(services: Services, ticket_id: int, holder: str = "test") -> Result | None:
    """Make a ticket due, claim it and look at it once; only that ticket may be due."""
    await want(services, ticket_id)
    async with services.sessions() as session, session.begin():
        [lease] = await work.claim(session, work.TICKET, holder, 1)
    assert lease.ref == ticket_id
    return await look(services, lease)


async def look_until_believed(services: Services, ticket_id: int) -> Result | None:
    """Look as often, and over as long a time, as what is not shown is not believed to be gone."""
    result = await look_at(services, ticket_id)
    for _ in range(absences.READINGS - 1):
        await let_absences_age(services)
        result = await look_at(services, ticket_id)
    return result


async def let_absences_age(services: Services) -> None:
    """Move the times of what was not shown back, as if it were read again after a minute."""
    ago = absences.BELIEVED_AFTER / (absences.READINGS - 1)
    async with services.sessions() as session, session.begin():
        await session.execute(
            update(Absence).values(since=Absence.since - ago, latest=Absence.latest - ago)
        )


async def let_links_settle(services: Services) -> None:
    """Move the times of links back: none was requested, or seen first, a moment ago."""
    ago = timedelta(hours=1)
    async with services.sessions() as session, session.begin():
        await session.execute(
            update(LinkRecord).values(
                sent_at=LinkRecord.sent_at - ago,
                first_seen_linked_at=LinkRecord.first_seen_linked_at - ago,
            )
        )


async def missed_before(services: Services, kind: absences.Kind, ref: int, of: int = 0) -> None:
    """Store that readings have missed a record for two minutes: the next one is believed."""
    now = await database.now(services.sessions)
    async with services.sessions() as session, session.begin():
        for ago in (absences.BELIEVED_AFTER, absences.BELIEVED_AFTER / 2):
            await absences.record(session, kind, [ref], (), now - ago, of)


async def people_of(services: Services, ticket_id: int) -> dict[str, Participant]:
    """Return a ticket's participants by address."""
    async with services.sessions() as session:
        rows = await session.execute(select(Participant).where(Participant.ticket_id == ticket_id))
        return {row.key: row for row in rows.scalars()}


async def outcomes(services: Services, ticket_id: int) -> dict[str, tuple[str, str | None]]:
    """Return reason and outcome of a ticket's participants by address."""
    people = await people_of(services, ticket_id)
    return {key: (row.reason, row.outcome) for key, row in people.items()}


async def result_of(services: Services, ticket_id: int) -> str | None:
    """Return a ticket's result."""
    async with services.sessions() as session:
        ticket = await session.get(TicketRecord, ticket_id)
        return ticket.result if ticket else None


async def due_of(services: Services, ticket_id: int) -> Due:
    """Return a ticket's due row."""
    async with services.sessions() as session:
        return await session.get_one(Due, (work.TICKET, ticket_id))


async def rows(services: Services, model: Any) -> list[Any]:
    """Return all rows of a table, by its key."""
    async with services.sessions() as session:
        found = await session.execute(select(model).order_by(*model.__table__.primary_key.columns))
        return list(found.scalars())


def mailbox_of(server: SandboxServer) -> dict[str, Any]:
    """Return the settings with which the product reads the sandbox's help-desk mailbox."""
    mail = server.tenant.mail
    return {
        "graph_tenant_id": mail.tenant_id,
        "graph_client_id": mail.client_id,
        "graph_client_secret": mail.client_secret,
        "graph_mailbox": HELP_DESK,
        "graph_url": server.graph_url,
        "graph_login_url": server.login_url,
    }


async def let_pass(services: Services, ticket_id: int, seconds: float) -> None:
    """Move a ticket's times back, as if it had become due so much earlier."""
    async with services.sessions() as session, session.begin():
        ago = timedelta(seconds=seconds)
        await session.execute(
            update(Due)
            .where(Due.kind == work.TICKET, Due.ref == ticket_id)
            .values(since=Due.since - ago, due_at=Due.due_at - ago)
        )


def notes_on(tenant: Tenant, ticket: int) -> list[dict[str, Any]]:
    """Return a ticket's notes."""
    return [note for note in tenant.notes.values() if note["ticketID"] == ticket]


def changes(server: SandboxServer) -> list[str]:
    """Return the writes to Autotask, by any method."""
    return [
        f"{call.method} {call.path}"
        for call in server.tenant.calls
        if call.method != "GET" and "/query" not in call.path.lower()
    ]


async def everything(services: Services) -> dict[str, list[Any]]:
    """Return all rows of our tables but those of slots, counters and facts read once a day."""
    async with services.sessions() as session:
        return {
            name: sorted(map(repr, (await session.execute(select(table))).all()))
            for name, table in Base.metadata.tables.items()
            if name not in ("slots", "calls", "known_facts")
        }
