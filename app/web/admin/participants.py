"""Participants over HTTP: who is held and why; approve and reject."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import select

from app.db.states import Outcome
from app.db.tables import Participant, TicketRecord
from app.decide import Reason
from app.looks import approvals
from app.looks.approvals import ApprovedParticipant
from app.records.approvals import Approval, NotHeld
from app.web.admin.common import problems, services_of, who
from app.web.admin.views import ParticipantDetails
from app.web.auth import AdminRoute
from app.web.paging import Cursor, Limit, Page, after_number, page
from app.web.problems import Problem

router = APIRouter(prefix="/admin", route_class=AdminRoute)

AT_ONCE = 500
"""People that one request can approve or reject."""

ParticipantId = Annotated[int, Path(ge=0, lt=2**63, description="`id` of a participant")]
_NO_SUCH = "There is no such participant."
_NO_TEXT = problems(s400="the body is not UTF-8")
_PROBLEMS = _NO_TEXT | problems(
    s404="no such participant", s409="not held any more, or elsewhere; the state"
)


class ApprovalBody(BaseModel):
    """How far an approval or a rejection reaches."""

    model_config = ConfigDict(extra="forbid")
    always: Literal["address", "domain"] | None = Field(
        None,
        description="put the address, or its whole domain, on the account's list `allowed` or "
        "`denied`, so that it is not held again",
    )
    account: int | None = Field(
        None, ge=0, lt=2**31, description="refuse if the person is held in another account by now"
    )


class BulkBody(BaseModel):
    """Who is approved or rejected: participants by id, or all who are held in an account."""

    model_config = ConfigDict(extra="forbid")
    ids: list[Annotated[int, Field(ge=0, lt=2**63)]] | None = Field(
        None, min_length=1, max_length=AT_ONCE
    )
    account: int | None = Field(None, ge=0, lt=2**31)
    reason: Reason | None = Field(None, description="with account: only those held for this")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.ids is None) == (self.account is None):
            raise ValueError("say either ids or account")
        if self.ids is not None and self.reason is not None:
            raise ValueError("reason goes with account")
        return self


class ApprovalResult(BaseModel):
    """The result for one participant: 200; or 404 or 409, and nothing was changed."""

    id: int
    status: Literal[200, 404, 409]
    detail: str | None = None
    participant: ParticipantDetails | None = None

    @classmethod
    def of(cls, participant_id: int, result: ApprovedParticipant | NotHeld | None) -> Self:
        """Show what became of one participant."""
        if result is None:
            return cls(id=participant_id, status=404, detail=_NO_SUCH)
        if isinstance(result, NotHeld):
            return cls(id=participant_id, status=409, detail=str(result))
        return cls(id=participant_id, status=200, participant=ParticipantDetails.of(*result))


class BulkView(BaseModel):
    """The result for each participant."""

    items: list[ApprovalResult]
    more: bool = Field(description="more are held there: ask again")


@router.get("/participants")
async def list_participants(
    request: Request,
    outcome: Outcome | None = None,
    reason: Reason | None = None,
    account: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    ticket: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ParticipantDetails]:
    """List participants, the newest first; outcome=held: those who wait for approval."""
    query = (
        select(Participant, TicketRecord.number)
        .join(TicketRecord, TicketRecord.id == Participant.ticket_id)
        .order_by(Participant.id.desc())
        .limit(limit + 1)
    )
    wanted = [
        (Participant.outcome, outcome),
        (Participant.reason, reason),
        (Participant.account_id, account),
        (Participant.ticket_id, ticket),
    ]
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    before = after_number(cursor)
    if before is not None:
        query = query.where(Participant.id < before)
    async with services_of(request).sessions() as session:
        rows = [(row, number) for row, number in await session.execute(query)]
    return page(rows, limit, lambda one: ParticipantDetails.of(*one), lambda one: one[0].id)


@router.post("/participants/approve", responses=_NO_TEXT)
async def approve_many(request: Request, body: BulkBody) -> BulkView:
    """Approve many participants; one that cannot be approved does not stop the others."""
    return await _approve_or_reject_many(request, body, approved=True)


@router.post("/participants/reject", responses=_NO_TEXT)
async def reject_many(request: Request, body: BulkBody) -> BulkView:
    """Reject many participants; one that cannot be rejected does not stop the others."""
    return await _approve_or_reject_many(request, body, approved=False)


@router.post("/participants/{participant_id}/approve", responses=_PROBLEMS)
async def approve(
    request: Request, participant_id: ParticipantId, body: ApprovalBody | None = None
) -> ParticipantDetails:
    """Add a participant who is held to the ticket, first of all. outcome null: it is being done."""
    return await _approve_or_reject(request, participant_id, body or ApprovalBody(), approved=True)


@router.post("/participants/{participant_id}/reject", responses=_PROBLEMS)
async def reject(
    request: Request, participant_id: ParticipantId, body: ApprovalBody | None = None
) -> ParticipantDetails:
    """Keep a participant who is held off the ticket, in whatever account it is."""
    return await _approve_or_reject(request, participant_id, body or ApprovalBody(), approved=False)


async def _approve_or_reject(
    request: Request, participant_id: int, body: ApprovalBody, *, approved: bool
) -> ParticipantDetails:
    approval = Approval(who(request), approved, body.account, body.always)
    try:
        judged = await approvals.approve_or_reject(services_of(request), participant_id, approval)
    except NotHeld as error:
        raise Problem(409, str(error)) from None
    if judged is None:
        raise Problem(404, _NO_SUCH)
    return ParticipantDetails.of(*judged)


async def _approve_or_reject_many(request: Request, body: BulkBody, *, approved: bool) -> BulkView:
    services = services_of(request)
    ids = body.ids or []
    if body.account is not None:
        ids = await approvals.held_in(
            services, body.account, body.reason, AT_ONCE + 1, approved=approved
        )
    approval = Approval(who(request), approved, body.account)
    results = await approvals.approve_or_reject_many(services, ids[:AT_ONCE], approval)
    items = [
        ApprovalResult.of(participant_id, result) for participant_id, result in results.items()
    ]
    return BulkView(items=items, more=len(ids) > AT_ONCE)
