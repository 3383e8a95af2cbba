"""Pause all writes to Autotask, over HTTP."""

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
from app.web.admin.views import View
from app.web.auth import AdminRoute

router = APIRouter(prefix="/admin", route_class=AdminRoute)

_STILL_SECONDS = 70.0  # a write's slot is released, or expires, within a minute
_POLL_SECONDS = 0.1


class PauseBody(BaseModel):
    """Whether all writes to Autotask are to be paused."""

    model_config = ConfigDict(extra="forbid")
    paused: bool = Field(strict=True)


class PauseView(View):
    """Whether all writes to Autotask are paused."""

    paused: bool
    since: datetime | None
    by: str | None
    """Name of the key that paused them."""
    writing: int
    """Requests that were sent before the pause and have not finished."""
    unsure: int
    """Requests without an answer that Autotask may still carry out within CREATE_SETTLE.

    Those that `writing` counts are among them.
    """
    detail: str


@router.get("/pause")
async def get_pause(request: Request) -> PauseView:
    """Return whether all writes to Autotask are paused."""
    services = services_of(request)
    async with services.sessions() as session:
        return await _pause(session, services.create_settle)


@router.put("/pause", responses=problems(s400="the body is not UTF-8"))
async def put_pause(request: Request, body: PauseBody) -> PauseView:
    """Pause all writes to Autotask at once, in all processes, or resume them.

    A pause is answered when no write is in progress, a minute later at most; none is sent until
    it is ended. Requests that got no answer before may still take effect at Autotask: `unsure`
    counts them. Callouts are stored meanwhile.
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
    """Wait for the writes that were permitted before, or until another request ends the pause."""
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
        detail = "No new write is sent; some sent earlier have not finished. Ask again."
    else:
        detail = "No write is in progress, and none is sent until the pause ends."
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
        f"{unsure} sent earlier got no answer, and Autotask may still carry them out, within "
        f"{settle.total_seconds():.0f} seconds of sending. Ask again until `unsure` is 0."
    )


async def _unsure(session: AsyncSession, settle: timedelta) -> int:
    """Count the intended requests without a known result that may still take effect."""
    since = func.now() - settle
    counts = (
        select(func.count()).where(Ledger.state.in_(UNSETTLED), Ledger.sent_at > since),
        select(func.count()).where(Note.state.in_(UNSETTLED), Note.sent_at > since),
        select(func.count()).where(LinkRecord.sent_at > since, LinkRecord.unanswered),
        select(func.count()).where(Ledger.unsure_until > func.now()),
    )
    return sum([(await session.execute(count)).scalar_one() for count in counts])
