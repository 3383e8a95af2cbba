"""Undoing what was done for a ticket, over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from app.contacts.undo import Undo
from app.db.tables import TicketRecord
from app.due.exclusive import InUse
from app.due.work import LeaseLost
from app.web.admin.common import TicketId, asking_autotask, problems, services_of, who
from app.web.auth import AdminRoute
from app.web.problems import Problem

router = APIRouter(prefix="/admin", route_class=AdminRoute)


class StepView(BaseModel):
    """One thing to be undone: whether it is (or would be), or why not. again: try again."""

    model_config = ConfigDict(from_attributes=True)
    action: Literal["unlink", "deactivate"]
    contact_id: int | None
    address: str | None
    done: bool
    detail: str
    again: bool


class UndoView(BaseModel):
    """What was undone for a ticket. complete: there is nothing to be tried again."""

    ticket_id: int
    dry_run: bool
    complete: bool
    steps: list[StepView]


@router.post(
    "/tickets/{ticket_id}/undo",
    responses=problems(
        s404="never heard of", s409="it is being looked at", s502="Autotask is away"
    ),
)
async def undo_ticket(
    request: Request,
    ticket_id: TicketId,
    dry_run: Annotated[bool, Query(description="say what would be done, and change nothing")] = (
        False
    ),
) -> UndoView:
    """Take off whom we linked and deactivate whom we created, but for whom a person touched."""
    services = services_of(request)
    async with services.sessions() as session:
        if await session.get(TicketRecord, ticket_id) is None:
            raise Problem(404, "We have never worked on this ticket: there is nothing to undo.")
    try:
        with asking_autotask("undo"):
            steps = await Undo(services, who(request), dry_run).ticket(ticket_id)
    except (InUse, LeaseLost):
        raise Problem(409, "The ticket is being looked at: try again in a moment.") from None
    shown = [StepView.model_validate(step) for step in steps]
    complete = not any(step.again for step in steps)
    return UndoView(ticket_id=ticket_id, dry_run=dry_run, complete=complete, steps=shown)
