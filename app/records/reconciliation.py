"""How far Autotask's tickets have been compared with ours. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.tables import Reconciliation

# A date that is further ahead would hide every ticket until then; clocks differ by less.
_CREDIBLE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Known:
    """How far it came, and when. watermark: None: there was no ticket. floor: see the table."""

    watermark: datetime | None
    floor: int
    at: datetime


async def known(session: AsyncSession) -> Known | None:
    """Say how far it came; None: nothing was ever compared."""
    row = (await session.execute(select(Reconciliation))).scalar_one_or_none()
    return Known(row.watermark, row.floor, row.reconciled_at) if row else None


async def move(
    session: AsyncSession, floor: int, dates: Sequence[datetime | None], found: int
) -> None:
    """Record that a pass has ended that saw tickets of these dates and found so many new ones."""
    before, now = await known(session), await db_now(session)
    seen = [date for date in dates if date and date < now + _CREDIBLE]
    if before and before.watermark:
        seen.append(before.watermark)
    values = {"watermark": max(seen, default=None), "reconciled_at": now}
    row = insert(Reconciliation).values(id=1, floor=floor, found=found, **values)
    await session.execute(
        row.on_conflict_do_update(
            index_elements=[Reconciliation.id],
            set_={**values, "found": Reconciliation.found + found},
        )
    )
