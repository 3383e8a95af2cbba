"""People on tickets over HTTP: who is held and why, and what is to be done about them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import select

from app.db.states import Outcome
from app.db.tables import Participant, TicketRecord
from app.decide import Reason
from app.records import approvals
from app.records.approvals import CannotJudge, Judgement
from app.services import Services
from app.web.admin.common import problems, services_of, who
from app.web.admin.views import ParticipantDetails
from app.web.auth import AdminRoute
from app.web.paging import Cursor, Limit, Page, after_number, page
from app.web.problems import Problem

router = APIRouter(prefix="/admin", route_class=AdminRoute)

AT_ONCE = 500
"""People that one request can approve or reject."""

ParticipantId = Annotated[int, Path(ge=0, lt=2**63, description="`id` of a participant")]
_NO_TEXT = problems(s400="the body is not UTF-8")
_PROBLEMS = _NO_TEXT | problems(
    s404="no such participant", s409="not held any more, or elsewhere; the state"
)


class JudgementBody(BaseModel):
    """How far a word reaches.

    always: the address, or its whole domain, is put on the account's list `allowed` or `denied`,
    so that nobody is asked again. account: refuse if the person is held in another one by now.
    """

    model_config = ConfigDict(extra="forbid")
    always: Literal["address", "domain"] | None = None
    account: int | None = Field(None, ge=0, lt=2**31)


class BulkBody(BaseModel):
    """Whom to judge: by id, or whoever is held in an account, perhaps for one reason only."""

    model_config = ConfigDict(extra="forbid")
    ids: list[Annotated[int, Field(ge=0, lt=2**63)]] | None = Field(
        None, min_length=1, max_length=AT_ONCE
    )
    account: int | None = Field(None, ge=0, lt=2**31)
    reason: Reason | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.ids is None) == (self.account is None):
            raise ValueError("say either ids or account")
        if self.ids is not None and self.reason is not None:
            raise ValueError("reason goes with account")
        return self


class JudgedView(BaseModel):
    """What came of judging one person: 200, or 404 or 409 with a detail and nothing changed."""

    id: int
    status: Literal[200, 404, 409]
    detail: str | None = None
    participant: ParticipantDetails | None = None


class BulkView(BaseModel):
    """What came of each; more: others are held there, so ask again."""

    items: list[JudgedView]
    more: bool


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
    """List people on tickets, the newest first; outcome=held: those who wait for a word."""
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
    """Approve many, each for itself: who cannot be approved keeps nobody else from it."""
    return await _judge_many(request, body, approved=True)


@router.post("/participants/reject", responses=_NO_TEXT)
async def reject_many(request: Request, body: BulkBody) -> BulkView:
    """Reject many, each for itself: who cannot be rejected keeps nobody else from it."""
    return await _judge_many(request, body, approved=False)


@router.post("/participants/{participant_id}/approve", responses=_PROBLEMS)
async def approve(
    request: Request, participant_id: ParticipantId, body: JudgementBody | None = None
) -> ParticipantDetails:
    """Bring somebody who is held onto the ticket, first of all; outcome null: it is being done."""
    word = _word(request, body or JudgementBody(), approved=True)
    return await _judge(services_of(request), participant_id, word)


@router.post("/participants/{participant_id}/reject", responses=_PROBLEMS)
async def reject(
    request: Request, participant_id: ParticipantId, body: JudgementBody | None = None
) -> ParticipantDetails:
    """Keep somebody who is held off the ticket, wherever it moves."""
    word = _word(request, body or JudgementBody(), approved=False)
    return await _judge(services_of(request), participant_id, word)


def _word(request: Request, body: JudgementBody, *, approved: bool) -> Judgement:
    return Judgement(who(request), approved, body.account, body.always)


async def _judge(services: Services, participant_id: int, word: Judgement) -> ParticipantDetails:
    async with services.sessions() as session, session.begin():
        try:
            judged = await approvals.judge(
                session, participant_id, word, services.settings.default_policy
            )
        except CannotJudge as error:
            raise Problem(409, str(error)) from None
        if judged is None:
            raise Problem(404, "There is no such participant.")
        shown = ParticipantDetails.of(*judged)
    if word.always:
        # In a transaction of its own: two words at once would wait for each other's tickets.
        async with services.sessions() as session, session.begin():
            entry = approvals.entry_of(shown.address, word)
            await approvals.look_anew(session, shown.account_id, entry)
    return shown


async def _judge_many(request: Request, body: BulkBody, *, approved: bool) -> BulkView:
    services = services_of(request)
    ids = body.ids or []
    if body.account is not None:
        async with services.sessions() as session:
            ids = await approvals.held_in(
                session, body.account, body.reason, AT_ONCE + 1, approved=approved
            )
    word = Judgement(who(request), approved, body.account)
    items = []
    for participant_id in dict.fromkeys(ids[:AT_ONCE]):
        try:
            shown = await _judge(services, participant_id, word)
        except Problem as problem:
            status: Literal[404, 409] = 404 if problem.status == 404 else 409
            items.append(JudgedView(id=participant_id, status=status, detail=problem.detail))
        else:
            items.append(JudgedView(id=participant_id, status=200, participant=shown))
    return BulkView(items=items, more=len(ids) > AT_ONCE)
