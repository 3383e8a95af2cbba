"""Health: does the process live, can it serve, and does the work flow."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import budget, mailbox, work
from app.db import db_now, is_outage, schema_problem
from app.desk import Desk
from app.graph.errors import Trouble
from app.models import CalloutCount, Delivery, Participant, Tenant, TicketRecord, Worker
from app.problems import ProblemDetails, response
from app.states import Outcome, Result

router = APIRouter(prefix="/health", tags=["health"])

LATE = timedelta(minutes=5)
"""Work that should have been taken up so long ago is a problem."""

_WORKER_SILENT = timedelta(seconds=60)
_PATIENCE_SECONDS = 4.0
_RECENT = timedelta(hours=24)
_LISTS_EXPECTED = 0.8  # of the mail tickets
_ENOUGH = 5  # mail tickets, from which on a share says something

_CURES = {
    "unauthorized": "Check AUTOTASK_USERNAME, AUTOTASK_SECRET and AUTOTASK_INTEGRATION_CODE, and "
    "whether the API user is active or locked; work resumes by itself.",
    "forbidden": "Give the API user's security level the right that the call needs; work resumes "
    "by itself.",
    "overloaded": "Find the tool that uses up the tenant's API calls, or lower BUDGET_SHARE if it "
    "is this one; work resumes by itself.",
    Trouble.THROTTLED: "Microsoft asks to wait; if it lasts, see what else reads this mailbox.",
    Trouble.SECRET_EXPIRED: "Make a new secret for the app, set GRAPH_CLIENT_SECRET, restart.",
    Trouble.CREDENTIALS: "Check GRAPH_CLIENT_ID and GRAPH_CLIENT_SECRET (its value, not its id).",
    Trouble.TENANT: "Check GRAPH_TENANT_ID: the directory in which the app is registered.",
    Trouble.OUT_OF_SCOPE: "Assign the app the role Application Mail.ReadBasic (or Mail.Read), "
    "with a scope that this mailbox is in.",
    Trouble.MISSING: "Check GRAPH_MAILBOX: a mailbox in Exchange Online, not a group or an alias.",
    Trouble.AWAY: "See that this machine reaches GRAPH_URL and GRAPH_LOGIN_URL.",
}


class WorkProblem(BaseModel):
    """Something that a person should see to. since: UTC."""

    code: str
    since: datetime | None
    detail: str
    cure: str


class WorkHealth(BaseModel):
    """Whether the work flows. callouts: by kind, those that nothing was to be done about.

    mail_tickets: finished within a day and come by mail, as far as that is known. lists_found: the
    share of them for which a source had a list, or proved that nobody was copied; null: no ticket.
    """

    status: str
    problems: list[WorkProblem]
    oldest_due: datetime | None
    last_delivery: datetime | None
    callouts: dict[str, int]
    mail_tickets: int
    lists_found: float | None


@router.get("/live")
async def live() -> dict[str, str]:
    """Tell that the process answers; nothing else is asked."""
    return {"status": "live"}


@router.get(
    "/ready",
    response_model=None,
    responses={
        503: {
            "description": "not ready, and why",
            "content": {"application/problem+json": {"schema": ProblemDetails.model_json_schema()}},
        }
    },
)
async def ready(request: Request) -> dict[str, str] | JSONResponse:
    """Tell whether callouts can be stored: the database is there, its schema is ours or newer."""
    desk: Desk = request.app.state.desk
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            problem = await schema_problem(desk.sessions)
    except Exception as error:
        if not is_outage(error):
            raise
        problem = "the database does not answer"
    return response(503, f"Not ready: {problem}.") if problem else {"status": "ready"}


@router.get("/work", responses={503: {"model": WorkHealth}}, response_model=WorkHealth)
async def work_health(request: Request) -> JSONResponse:
    """Tell whether the work flows, and otherwise what is wrong, since when, and the cure."""
    desk: Desk = request.app.state.desk
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), desk.sessions() as session:
            health = await _work_health(session, desk)
    except Exception as error:
        if not is_outage(error):
            raise
        away = WorkProblem(
            code="database",
            since=None,
            detail="The database does not answer.",
            cure="See to the database; callouts are refused meanwhile and Autotask tries again.",
        )
        health = WorkHealth(
            status="problem",
            problems=[away],
            oldest_due=None,
            last_delivery=None,
            callouts={},
            mail_tickets=0,
            lists_found=None,
        )
    return JSONResponse(health.model_dump(mode="json"), 503 if health.problems else 200)


async def _work_health(session: AsyncSession, desk: Desk) -> WorkHealth:
    now = await db_now(session)
    oldest = await work.oldest_due(session)
    mail_tickets, lists = await _lists_found(session, now)
    found = [
        await _silent_workers(session, now),
        await _unknown_tenant(session),
        await _paused(session),
        await _mailbox(session) if desk.mailbox.configured else None,
        _late(oldest, now),
        await _failed_tickets(session),
        await _failed_people(session, now),
        _without_lists(mail_tickets, lists),
    ]
    problems = [problem for problem in found if problem]
    counts = await session.execute(select(CalloutCount))
    return WorkHealth(
        status="problem" if problems else "ok",
        problems=problems,
        oldest_due=oldest,
        last_delivery=(await session.execute(select(func.max(Delivery.received_at)))).scalar_one(),
        callouts={row.kind: row.count for row in counts.scalars()},
        mail_tickets=mail_tickets,
        lists_found=round(lists / mail_tickets, 3) if mail_tickets else None,
    )


async def _silent_workers(session: AsyncSession, now: datetime) -> WorkProblem | None:
    seen = (await session.execute(select(func.max(Worker.seen_at)))).scalar_one()
    if seen and seen > now - _WORKER_SILENT:
        return None
    return WorkProblem(
        code="worker",
        since=seen,
        detail="No worker is alive: callouts are stored, and nobody looks at the tickets.",
        cure="Start one with `autotask-cc worker`, or `serve` with RUN_WORKER=true.",
    )


async def _unknown_tenant(session: AsyncSession) -> WorkProblem | None:
    """Until the first answer of Autotask nobody looks at a ticket, and no call shuts the gate."""
    if (await session.execute(select(Tenant.id))).scalar_one_or_none() is not None:
        return None
    return WorkProblem(
        code="tenant",
        since=None,
        detail="Autotask has not told yet where this tenant's API is: nobody looks at tickets.",
        cure="Set AUTOTASK_USERNAME to your API user's, and see that this machine reaches "
        "webservices.autotask.net; or set AUTOTASK_API_URL.",
    )


async def _paused(session: AsyncSession) -> WorkProblem | None:
    gate = await budget.gate_state(session)
    if gate is None:
        return None
    paused = f" Nothing is sent until {gate.until:%H:%M:%S} UTC." if gate.until else ""
    return WorkProblem(
        code=gate.code,
        since=gate.since,
        detail=f"{gate.reason}.{paused}",
        cure=_CURES[gate.code],
    )


async def _mailbox(session: AsyncSession) -> WorkProblem | None:
    found = await mailbox.trouble(session)
    if found is None:
        return None
    paused = f" It is asked again at {found.until:%H:%M:%S} UTC." if found.until else ""
    return WorkProblem(
        code=found.code,
        since=found.since,
        detail=f"The mailbox cannot be read: {found.reason}.{paused} Tickets wait for it.",
        cure=f"{_CURES[found.code]} docs/setup/m365.md has the steps; work resumes by itself.",
    )


async def _lists_found(session: AsyncSession, now: datetime) -> tuple[int, int]:
    """Count the mail tickets that were finished within a day, and those whose list was found."""
    found = TicketRecord.result.in_((Result.DONE, Result.NOBODY_COPIED))
    missing = TicketRecord.result.in_((Result.NO_LIST, Result.AMBIGUOUS_MESSAGE))
    counted = select(func.count(), func.count().filter(found)).where(
        TicketRecord.by_mail.is_(True), found | missing, TicketRecord.looked_at > now - _RECENT
    )
    tickets, lists = (await session.execute(counted)).one()
    return tickets, lists


def _without_lists(tickets: int, lists: int) -> WorkProblem | None:
    if tickets < _ENOUGH or lists >= _LISTS_EXPECTED * tickets:
        return None
    return WorkProblem(
        code="lists_missing",
        since=None,
        detail=f"Of {tickets} tickets that came by mail within a day, {lists} had a Cc list, or "
        "proof that nobody was copied.",
        cure="GET /admin/tickets?result=no_list (or ambiguous_message): their notes say more. See "
        "docs/setup/ for your CC_SOURCES, and name in MAIL_TICKET_SOURCES which tickets come by "
        "mail.",
    )


def _late(oldest: datetime | None, now: datetime) -> WorkProblem | None:
    if oldest is None or oldest > now - LATE:
        return None
    return WorkProblem(
        code="late",
        since=oldest,
        detail="Tickets wait longer than they should.",
        cure="See the workers' log; more workers help only while calls to Autotask are left.",
    )


async def _failed_tickets(session: AsyncSession) -> WorkProblem | None:
    failed = select(func.count(), func.min(TicketRecord.looked_at)).where(
        TicketRecord.result == Result.FAILED
    )
    count, since = (await session.execute(failed)).one()
    if not count:
        return None
    return WorkProblem(
        code="failed_tickets",
        since=since,
        detail=f"Tickets that were given up: {count}.",
        cure="See GET /admin/tickets?result=failed, then POST /admin/tickets/{id}/process.",
    )


async def _failed_people(session: AsyncSession, now: datetime) -> WorkProblem | None:
    tickets = func.array_agg(Participant.ticket_id.distinct())
    failed = select(func.count(), func.min(Participant.acted_at), tickets).where(
        Participant.outcome.in_((Outcome.FAILED, Outcome.CREATED_NOT_LINKED)),
        Participant.acted_at > now - _RECENT,
    )
    count, since, ids = (await session.execute(failed)).one()
    if not count:
        return None
    some = ", ".join(str(ticket_id) for ticket_id in sorted(ids, reverse=True)[:5])
    return WorkProblem(
        code="failed_people",
        since=since,
        detail=f"People whom Autotask refused within a day: {count}, on tickets {some}.",
        cure="GET /admin/tickets/{id} shows Autotask's reason (all: /admin/tickets?outcome=failed);"
        " a field that the tenant requires belongs into CONTACT_DEFAULTS."
        " Then POST /admin/tickets/{id}/process.",
    )
