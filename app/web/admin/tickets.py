"""Tickets and deliveries over HTTP: what happened to each, and looking again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy import select

from app.contacts.undo import Undo
from app.db.states import Outcome, Priority, Result
from app.db.tables import Delivery, Due, Participant, TicketRecord
from app.due.exclusive import InUse
from app.due.work import TICKET, LeaseLost
from app.looks.preview import preview
from app.records import audit, history, participants, tickets
from app.web.admin import views
from app.web.admin.common import TicketId, asking_autotask, problems, services_of, who
from app.web.auth import AdminRoute
from app.web.paging import Cursor, Limit, Page, after_number, page
from app.web.problems import Problem

router = APIRouter(prefix="/admin", route_class=AdminRoute)

LIST_LOOKS = 50
"""Looks and deliveries that a ticket's page shows, the latest first."""


class StepView(views.View):
    """One step of an undo."""

    action: Literal["unlink", "deactivate"]
    contact_id: int | None
    address: str | None
    done: bool
    """Whether it is done; in a dry run, whether it would be."""
    detail: str
    again: bool
    """Whether to try it again."""


class UndoView(views.View):
    """What was undone for a ticket."""

    ticket_id: int
    dry_run: bool
    complete: bool
    """Whether no step is left to try again."""
    steps: list[StepView]


@router.get("/tickets")
async def list_tickets(
    request: Request,
    result: Annotated[
        Result | Literal["open"] | None, Query(description="the result; `open` for none yet")
    ] = None,
    outcome: Annotated[
        Outcome | None, Query(description="has a participant with this outcome")
    ] = None,
    account: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    since: Annotated[datetime | None, Query(description="first seen at or after this")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[views.TicketView]:
    """List tickets, the newest first."""
    query = select(TicketRecord).order_by(TicketRecord.id.desc()).limit(limit + 1)
    if result is not None:
        query = query.where(
            TicketRecord.result.is_(None) if result == "open" else TicketRecord.result == result
        )
    if outcome is not None:
        having = select(Participant.ticket_id).where(Participant.outcome == outcome)
        query = query.where(TicketRecord.id.in_(having))
    if account is not None:
        query = query.where(TicketRecord.account_id == account)
    if since is not None:
        query = query.where(TicketRecord.first_seen_at >= since)
    before = after_number(cursor)
    if before is not None:
        query = query.where(TicketRecord.id < before)
    async with services_of(request).sessions() as session:
        rows = list((await session.execute(query)).scalars())
    return page(rows, limit, views.TicketView.model_validate, lambda row: row.id)


@router.get("/tickets/{ticket_id}", responses=problems(s404="unknown ticket"))
async def get_ticket(request: Request, ticket_id: TicketId) -> views.TicketDetails:
    """Return a ticket with its participants, looks, deliveries and notes."""
    async with services_of(request).sessions() as session:
        known = await history.of_ticket(session, ticket_id, latest=LIST_LOOKS)
    if known is None:
        raise Problem(404, "No callout of this ticket has come. POST …/process looks at it anyway.")
    return views.ticket_details(known)


@router.post(
    "/tickets/{ticket_id}/process",
    status_code=202,
    response_model=views.DueView,
    responses=problems(s502="Autotask is away")
    | {200: {"model": views.PreviewView, "description": "a dry run: what a look would do"}},
)
async def process_ticket(
    request: Request,
    ticket_id: TicketId,
    dry_run: Annotated[bool, Query(description="only return what a look would do")] = False,
) -> views.DueView | JSONResponse:
    """Look at a ticket again, before others, and retry what has failed on it."""
    services = services_of(request)
    if dry_run:
        with asking_autotask("dry run"):
            shown = views.PreviewView.of(ticket_id, await preview(services, ticket_id))
        return JSONResponse(shown.model_dump(mode="json"))
    async with services.sessions() as session, session.begin():
        await tickets.want(session, ticket_id, timedelta(0), Priority.URGENT)
        await participants.retry_failures(session, ticket_id)
        due = await session.get_one(Due, (TICKET, ticket_id), populate_existing=True)
        audit.record(session, who(request), "process_wanted", ticket_id=ticket_id)
        return views.due_view(due)


@router.post(
    "/tickets/{ticket_id}/undo",
    responses=problems(
        s404="unknown ticket", s409="it is being looked at", s502="Autotask is away"
    ),
)
async def undo_ticket(
    request: Request,
    ticket_id: TicketId,
    dry_run: Annotated[
        bool, Query(description="only return what would be done, and change nothing")
    ] = False,
) -> UndoView:
    """Unlink the contacts that the service linked to a ticket, and retire those it created.

    What a person has changed since stays.
    """
    services = services_of(request)
    async with services.sessions() as session:
        if await session.get(TicketRecord, ticket_id) is None:
            raise Problem(404, "We have never worked on this ticket: there is nothing to undo.")
    try:
        with asking_autotask("undo"):
            steps = await Undo(services, who(request), dry_run).ticket(ticket_id)
    except (InUse, LeaseLost):
        raise Problem(409, "The ticket is being looked at: try again in a moment.") from None
    return UndoView(
        ticket_id=ticket_id,
        dry_run=dry_run,
        complete=not any(step.again for step in steps),
        steps=[StepView.model_validate(step) for step in steps],
    )


@router.get("/deliveries")
async def list_deliveries(
    request: Request,
    ticket: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[views.DeliveryView]:
    """List stored callouts, the newest first."""
    query = select(Delivery).order_by(Delivery.id.desc()).limit(limit + 1)
    if ticket is not None:
        query = query.where(Delivery.entity_id == ticket)
    before = after_number(cursor)
    if before is not None:
        query = query.where(Delivery.id < before)
    async with services_of(request).sessions() as session:
        rows = list((await session.execute(query)).scalars())
    return page(rows, limit, views.DeliveryView.model_validate, lambda row: row.id)
