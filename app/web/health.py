"""Health: whether the process lives, can serve, and gets its work done."""

from __future__ import annotations

import asyncio
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now, is_outage
from app.db.schema import schema_problem
from app.db.tables import CalloutCount, Delivery
from app.due import backlog
from app.ops.checks import people
from app.ops.checks.all import problems_of_work
from app.ops.checks.problem import WorkProblem
from app.services import Services
from app.web.problems import ProblemDetails, response

router = APIRouter(prefix="/health", tags=["health"])

_PATIENCE_SECONDS = 4.0


class WorkHealth(BaseModel):
    """Whether the work gets done, and what is wrong if not."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    status: str
    """`ok` or `problem`."""
    problems: list[WorkProblem]
    oldest_due: datetime | None
    """Since when the ticket is wanted that has waited longest, whenever its next try is."""
    last_delivery: datetime | None
    callouts: dict[str, int]
    """Callouts that needed no work, by kind."""
    catching_up: int
    """Tickets that no callout brought in time and that wait their turn."""
    calls: int
    """API calls of this deployment in the last hour."""
    mail_tickets: int
    """Tickets finished within a day that came by mail, as far as that is known."""
    lists_found: float | None
    """Share of `mail_tickets` for which a source had a list or proved that nobody was copied."""


@router.get("/live")
async def live() -> dict[str, str]:
    """Answer 200 while the process lives; nothing else is checked."""
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
    """Answer 200 if callouts can be stored: the database answers, its schema is new enough."""
    services: Services = request.app.state.services
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            problem = await schema_problem(services.sessions)
    except Exception as error:
        if not is_outage(error):
            raise
        problem = "the database does not answer"
    return response(503, f"Not ready: {problem}.") if problem else {"status": "ready"}


@router.get("/work", responses={503: {"model": WorkHealth}}, response_model=WorkHealth)
async def work_health(request: Request) -> JSONResponse:
    """Answer 200 if the work gets done, else 503 with what is wrong, since when, and the cure."""
    services: Services = request.app.state.services
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), services.sessions() as session:
            health = await _work_health(session, services)
    except Exception as error:
        if not is_outage(error):
            raise
        away = WorkProblem(
            code="database",
            since=None,
            detail="The database does not answer.",
            cure="Check the database; callouts are refused meanwhile, and Autotask retries them.",
        )
        health = WorkHealth(
            status="problem",
            problems=[away],
            oldest_due=None,
            last_delivery=None,
            callouts={},
            catching_up=0,
            calls=0,
            mail_tickets=0,
            lists_found=None,
        )
    return JSONResponse(health.model_dump(mode="json"), 503 if health.problems else 200)


async def _work_health(session: AsyncSession, services: Services) -> WorkHealth:
    now = await db_now(session)
    oldest = await backlog.oldest_due(session)
    mail_tickets, lists = await people.lists_found(session, now)
    problems = await problems_of_work(session, services, now, oldest, (mail_tickets, lists))
    counts = await session.execute(select(CalloutCount))
    return WorkHealth(
        status="problem" if problems else "ok",
        problems=problems,
        oldest_due=oldest,
        last_delivery=(await session.execute(select(func.max(Delivery.received_at)))).scalar_one(),
        callouts={row.kind: row.count for row in counts.scalars()},
        catching_up=await backlog.catching_up(session),
        calls=(await services.budget.use(session)).ours,
        mail_tickets=mail_tickets,
        lists_found=round(lists / mail_tickets, 3) if mail_tickets else None,
    )
