"""The overview over HTTP: the state of a deployment in numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import AT_AUTOTASK, Outcome
from app.db.tables import Ledger, Participant, TicketRecord
from app.due import backlog
from app.outbound import gate, mailbox
from app.records.ledger import caps
from app.settings.settings import Settings
from app.web.admin.common import services_of
from app.web.admin.views import View
from app.web.auth import AdminRoute

router = APIRouter(prefix="/admin", route_class=AdminRoute)

_DAY = timedelta(hours=24)
_OPEN = "open"  # no result, or no outcome, yet


class TroubleView(View):
    """Why Autotask or the mailbox cannot be asked."""

    code: str
    reason: str
    since: datetime
    until: datetime | None
    """The next call is made at this time."""


class PausedView(View):
    """Who has paused all writes, and since when."""

    since: datetime
    by: str


class NewPeople(View):
    """Contacts created or tried for outside people within 24 hours, and the caps."""

    in_all: int
    max_new_per_day: int
    by_one_sender: int
    """By the sender who brought the most, with those that it brought earlier."""
    max_new_per_sender: int


class OurContacts(View):
    """Contacts that the service created."""

    by_state: dict[str, int]
    for_tickets: int
    """Contacts to be retired after their tickets."""
    kept: int
    """Contacts that are never retired by themselves, because a person has changed or used them."""


class Overview(View):
    """The state of a deployment. `open` counts tickets and participants that are not finished."""

    at: datetime
    tickets: dict[str, int]
    """All tickets by result."""
    tickets_24h: dict[str, int]
    """Tickets first seen within 24 hours, by result."""
    people_24h: dict[str, int]
    """Participants decided on or acted on within 24 hours, by outcome."""
    held: int
    """Participants that wait for an approval."""
    oldest_due: datetime | None
    """Since when the ticket is wanted that has waited longest, whenever its next try is."""
    paused: PausedView | None
    autotask: TroubleView | None
    mailbox: TroubleView | None
    new_outside_24h: NewPeople
    contacts: OurContacts


@router.get("/overview")
async def get_overview(request: Request) -> Overview:
    """Return the state of the deployment in numbers."""
    services = services_of(request)
    async with services.sessions() as session:
        now = await db_now(session)
        tickets, tickets_24h = await _tickets(session, now)
        held = select(func.count()).where(Participant.outcome == Outcome.HELD)
        paused = await gate.pause_state(session)
        refused = await gate.state(session)
        unread = await mailbox.trouble(session) if services.mailbox.configured else None
        return Overview(
            at=now,
            tickets=tickets,
            tickets_24h=tickets_24h,
            people_24h=await _people(session, now),
            held=(await session.execute(held)).scalar_one(),
            oldest_due=await backlog.oldest_due(session),
            paused=PausedView.model_validate(paused) if paused else None,
            autotask=TroubleView.model_validate(refused) if refused else None,
            mailbox=TroubleView.model_validate(unread) if unread else None,
            new_outside_24h=await _new_outside(session, now, services.settings),
            contacts=await _contacts(session),
        )


async def _tickets(session: AsyncSession, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    recent = func.count().filter(TicketRecord.first_seen_at > now - _DAY)
    counted = select(TicketRecord.result, func.count(), recent).group_by(TicketRecord.result)
    rows: list[Any] = list(await session.execute(counted))
    return (
        {result or _OPEN: count for result, count, _ in rows},
        {result or _OPEN: count for result, _, count in rows if count},
    )


async def _people(session: AsyncSession, now: datetime) -> dict[str, int]:
    last = func.greatest(Participant.acted_at, Participant.decided_at)
    counted = (
        select(Participant.outcome, func.count())
        .where(last > now - _DAY)
        .group_by(Participant.outcome)
    )
    return {outcome or _OPEN: count for outcome, count in await session.execute(counted)}


async def _contacts(session: AsyncSession) -> OurContacts:
    kept = Ledger.kept.is_not(None)
    active = Ledger.state.in_(AT_AUTOTASK)
    for_tickets = func.count().filter(active, ~kept, Ledger.lifetime.is_not(None))
    counted = (
        select(Ledger.state, func.count(), for_tickets, func.count().filter(active, kept))
        .where(Ledger.contact_id.is_not(None))
        .group_by(Ledger.state)
    )
    rows: list[Any] = list(await session.execute(counted))
    return OurContacts(
        by_state={state: count for state, count, _, _ in rows},
        for_tickets=sum(row[2] for row in rows),
        kept=sum(row[3] for row in rows),
    )


async def _new_outside(session: AsyncSession, now: datetime, settings: Settings) -> NewPeople:
    # Tickets without a contact share one count in each account.
    no_sender = case((caps.answers() == caps.UNKNOWN, Ledger.account_id))
    by_sender = (
        select(func.count().label("count"))
        .where(Ledger.outside, Ledger.sent_at > now - _DAY)
        .group_by(caps.answers(), no_sender)
        .subquery()
    )
    counted = select(func.sum(by_sender.c.count), func.max(by_sender.c.count))
    in_all, most = (await session.execute(counted)).one()
    return NewPeople(
        in_all=in_all or 0,
        max_new_per_day=settings.max_new_per_day,
        by_one_sender=most or 0,
        max_new_per_sender=settings.max_new_per_sender,
    )
