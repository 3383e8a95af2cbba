"""How far Autotask's tickets have been compared with ours. SQL only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.tables import Reconciliation


@dataclass(frozen=True, slots=True)
class Progress:
    """How far tickets were compared, and when."""

    watermark: datetime | None
    """The greatest creation date that Autotask returned and our clock has passed; None: no ticket.

    A date that lies ahead, by a minute or a day, would hide every ticket until then.
    """
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
    known = [date for date in dates if date]
    seen = [date for date in known if date <= now]
    if before and before.watermark:
        seen.append(min(before.watermark, now))
    # Where only dates ahead are known, the next comparison would begin with the first ticket ever.
    latest = max(seen, default=now if known else None)
    values = {"watermark": latest, "reconciled_at": now}
    row = insert(Reconciliation).values(id=1, floor=floor, found=found, **values)
    await session.execute(
        row.on_conflict_do_update(
            index_elements=[Reconciliation.id],
            set_={**values, "found": Reconciliation.found + found},
        )
    )
