"""Who did what: changes by people and by the service itself. SQL only."""

from __future__ import annotations

import json
from typing import Any

import structlog
from sqlalchemy import Text, cast, func, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import Audit

log = structlog.get_logger()

CLI = "cli"
"""Who: the command line."""

SERVICE = "service"
"""Who: the service by itself."""


def record(
    session: AsyncSession,
    who: str,
    what: str,
    *,
    account_id: int | None = None,
    ticket_id: int | None = None,
    **detail: Any,
) -> None:
    """Store a change, in the transaction that makes it. detail: JSON, without secrets."""
    session.add(
        Audit(who=who, what=what, account_id=account_id, ticket_id=ticket_id, detail=detail)
    )
    log.info(what, account=account_id, ticket=ticket_id, contact=detail.get("contact_id"))


async def blank(session: AsyncSession, key: str, alias: str) -> None:
    """Replace a forgotten address by its alias."""
    detail, quoted = cast(Audit.detail, Text), json.dumps(key, ensure_ascii=False)
    blanked = cast(func.replace(detail, quoted, json.dumps(alias)), JSONB)
    await session.execute(
        update(Audit)
        .where(func.strpos(detail, quoted) > 0)
        .values(detail=blanked)
        .execution_options(synchronize_session=False)
    )
