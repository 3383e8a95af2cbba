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
class Progress:
    """How far tickets were compared, and when."""

    watermark: datetime | None
    """The greatest creation date that Autotask returned; None: there was no ticket."""
    floor: int
    """The newest ticket at the first start: older ones are not compared."""
    at: datetime
    """When the last comparison ended."""


async def progress(session: AsyncSession) -> Progress | None:
    """Return how far tickets were compared; None: they never were."""
    row = (await session.execute(select(Reconciliation))).scalar_one_or_none()
    return Progress(row.watermark, row.floor, row.reconciled_at) if row else None


async def move(
    session: AsyncSession, floor: int, dates: Sequence[datetime | None], found: int
) -> None:
    """Record a finished comparison.

    dates: when the tickets were created that it saw. found: how many of them were new to us.
    """
    before, now = await progress(session), await db_now(session)
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
