"""What the statements about ending and bringing back share."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import OPEN, EndedBy, Origin
from app.db.tables import Ledger, Mapping
from app.records import audit

BY_US = (EndedBy.LIFETIME, EndedBy.MOVED, EndedBy.STALE)
"""Whom the service has ended, or was told to, so that it may bring them back."""


async def is_taken(session: AsyncSession, row: Ledger) -> bool:
    """Tell whether an address has another contact of ours by now."""
    others = select(Ledger.id).where(
        Ledger.account_id == row.account_id,
        Ledger.email == row.email,
        Ledger.id != row.id,
        Ledger.state.in_(OPEN),
    )
    return (await session.execute(others)).first() is not None


async def drop_mappings(session: AsyncSession, row: Ledger) -> None:
    """Let no address mean a contact any more, unless somebody has said since that it does."""
    await session.execute(
        delete(Mapping).where(Mapping.contact_id == row.contact_id, Mapping.origin != Origin.MANUAL)
    )


def record(session: AsyncSession, row: Ledger, what: str, **more: str) -> None:
    """Tell the audit what the service did by itself."""
    audit.record(
        session,
        audit.SERVICE,
        what,
        account_id=row.account_id,
        ticket_id=row.ticket_id,
        contact_id=row.contact_id,
        **more,
    )
