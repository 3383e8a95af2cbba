"""Pausing all writes to Autotask, over HTTP."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import UNSETTLED
from app.db.tables import Ledger, LinkRecord, Note
from app.outbound import gate
from app.records import audit
from app.services import Services
from app.web.admin.common import problems, services_of, who
from app.web.auth import AdminRoute

router = APIRouter(prefix="/admin", route_class=AdminRoute)

_STILL_SECONDS = 70.0  # a write's slot is given back, or runs out, within a minute
_POLL_SECONDS = 0.1


class PauseBody(BaseModel):
    """Whether nothing is to be written to Autotask."""

    model_config = ConfigDict(extra="forbid")
    paused: bool = Field(strict=True)


class PauseView(BaseModel):
    """Whether all writes to Autotask are paused, since when and by whom.

    writing: requests that had left before, and whose end is not known yet. unsure: creates, links
    and notes without an answer that Autotask may still carry out, as CREATE_SETTLE says how long;
    those of `writing` are among them.
    """

    paused: bool
    since: datetime | None
    by: str | None
    writing: int
    unsure: int
    detail: str


@router.get("/pause")
async def get_pause(request: Request) -> PauseView:
    """Tell whether all writes to Autotask are paused."""
    services = services_of(request)
    async with services.sessions() as session:
        return await _pause(session, services.create_settle)


@router.put("/pause", responses=problems(s400="the body is not UTF-8"))
async def put_pause(request: Request, body: PauseBody) -> PauseView:
    """Stop all writes to Autotask at once, over all processes, or let them go on.

    The answer to a pause comes when no write is on its way any more, a minute later at most; then
    none leaves until somebody lets it. Those that got no answer before may still take effect at
    Autotask: `unsure` counts them. Callouts are stored meanwhile.
    """
    services = services_of(request)
    async with services.sessions() as session, session.begin():
        if await gate.pause(session, who(request) if body.paused else None):
            what = "writes_paused" if body.paused else "writes_resumed"
            audit.record(session, who(request), what)
    if body.paused:
        await _still(services)
    return await get_pause(request)


async def _still(services: Services) -> None:
    """Wait for the writes that had permission before; somebody else may end the pause."""
    deadline = asyncio.get_running_loop().time() + _STILL_SECONDS
    while asyncio.get_running_loop().time() <= deadline:
        async with services.sessions() as session:
            if not await gate.pause_state(session) or not await gate.writing(session):
                return
        await asyncio.sleep(_POLL_SECONDS)


async def _pause(session: AsyncSession, settle: timedelta) -> PauseView:
    pause, writing = await gate.pause_state(session), await gate.writing(session)
    unsure = await _unsure(session, settle)
    if pause is None:
        detail = "Writes are not paused."
    elif writing:
        detail = "No write leaves any more; some that had left before have not ended. Ask again."
    else:
        detail = "No write is on its way, and none leaves until the pause ends."
        if unsure:
            detail += f" {_still_possible(unsure, settle)}"
    return PauseView(
        paused=pause is not None,
        since=pause.since if pause else None,
        by=pause.by if pause else None,
        writing=writing,
        unsure=unsure,
        detail=detail,
    )


def _still_possible(unsure: int, settle: timedelta) -> str:
    return (
        f"{unsure} that had left before got no answer, and Autotask may still carry them out, "
        f"within {settle.total_seconds():.0f} seconds of leaving. Ask again until `unsure` is 0."
    )


async def _unsure(session: AsyncSession, settle: timedelta) -> int:
    """Count what was announced, is not known to have ended, and may still take effect."""
    since = func.now() - settle
    counts = (
        select(func.count()).where(Ledger.state.in_(UNSETTLED), Ledger.sent_at > since),
        select(func.count()).where(Note.state.in_(UNSETTLED), Note.sent_at > since),
        select(func.count()).where(LinkRecord.sent_at > since, LinkRecord.unanswered),
        select(func.count()).where(Ledger.unsure_until > func.now()),
    )
    return sum([(await session.execute(count)).scalar_one() for count in counts])
