"""The audit over HTTP: who changed what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import select

from app.db.tables import Audit
from app.web.admin.common import services_of
from app.web.admin.views import View
from app.web.auth import AdminRoute
from app.web.paging import Cursor, Limit, Page, after_number, page

router = APIRouter(prefix="/admin", route_class=AdminRoute)


class AuditView(View):
    """A change."""

    id: int
    at: datetime
    who: str
    """The name of a key, or `cli` or `service`."""
    what: str
    """The action."""
    account_id: int | None
    ticket_id: int | None
    detail: dict[str, Any]


@router.get("/audit")
async def list_audit(
    request: Request,
    who: Annotated[
        str | None,
        Query(max_length=100, pattern=r"^[^\x00]*$", description="a key's name, cli or service"),
    ] = None,
    what: Annotated[str | None, Query(max_length=100, pattern=r"^[a-z_]*$")] = None,
    account: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    ticket: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    since: Annotated[datetime | None, Query(description="done at or after this")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditView]:
    """List the changes that people and the service made, the newest first."""
    query = select(Audit).order_by(Audit.id.desc()).limit(limit + 1)
    same = {Audit.who: who, Audit.what: what, Audit.account_id: account, Audit.ticket_id: ticket}
    for column, value in same.items():
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(Audit.at >= since)
    before = after_number(cursor)
    if before is not None:
        query = query.where(Audit.id < before)
    async with services_of(request).sessions() as session:
        rows = list((await session.execute(query)).scalars())
    return page(rows, limit, AuditView.model_validate, lambda row: row.id)
