"""Count calls to Autotask, over all processes, and know what is left of the hour.

The window is counted in 60 parts, a minute each as a rule. Statements run in the transaction of
app/outbound/budget.py that holds the gate's row, so no two processes count at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import Calls, Gate

_PARTS = 60
_USE_KNOWN = timedelta(minutes=15)  # how long Autotask's figure for all tools is believed


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Calls in the window."""

    ours: int
    share: int
    """Calls that we may make."""

    tenant: int | None
    """Calls of all the tenant's tools; None while Autotask has not reported it lately."""

    limit: int | None
    """Calls that all of them may make."""

    @property
    def of_tenant(self) -> float:
        """The used part of the tenant's calls, from 0 to 1; 0 when it is not known."""
        return self.tenant / self.limit if self.tenant is not None and self.limit else 0.0


class CallCounter:
    """Count calls in a window. `share` is our part of the tenant's calls, `limit` a default."""

    def __init__(self, share: float, window: timedelta, limit: int) -> None:
        self._share = share
        self._window = window
        self._limit = limit
        self._part = window / _PARTS

    async def use(self, session: AsyncSession, gate: Gate, now: datetime) -> CallCounts:
        """Return our calls and, as far as Autotask reported them lately, those of all tools."""
        ours = sum(part.count for part in await self._recent(session, now))
        share = self._allowed(gate)
        if gate.tenant_read_at is None or gate.tenant_read_at < now - _USE_KNOWN:
            return CallCounts(ours, share, None, None)
        since = select(func.coalesce(func.sum(Calls.count), 0)).where(
            Calls.since > gate.tenant_read_at
        )
        more = int((await session.execute(since)).scalar_one())
        return CallCounts(ours, share, (gate.tenant_used or 0) + more, gate.tenant_limit)

    async def spent_until(
        self, session: AsyncSession, gate: Gate, now: datetime
    ) -> datetime | None:
        """Return until when our share is spent; None while calls are left."""
        recent = await self._recent(session, now)
        if sum(part.count for part in recent) < self._allowed(gate):
            return None
        return (recent[0].since if recent else now) + self._window + 2 * self._part

    async def count(self, session: AsyncSession, now: datetime) -> None:
        """Count one call, and delete counts that no window needs."""
        seconds = self._part.total_seconds()
        since = datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
        part = insert(Calls).values(since=since, count=1)
        await session.execute(
            part.on_conflict_do_update(
                index_elements=[Calls.since], set_={"count": Calls.count + 1}
            )
        )
        await session.execute(delete(Calls).where(Calls.since < now - 2 * self._window))

    def _allowed(self, gate: Gate) -> int:
        """Return our share in calls: of the limit that Autotask reported, else of the default."""
        return int((gate.tenant_limit or self._limit) * self._share)

    async def _recent(self, session: AsyncSession, now: datetime) -> list[Calls]:
        """Return the counts of any window that Autotask may look at, the oldest first.

        The oldest part counts whole, and one more covers the way of a request to Autotask.
        """
        first = now - self._window - 2 * self._part
        counts = await session.execute(
            select(Calls).where(Calls.since > first).order_by(Calls.since)
        )
        return list(counts.scalars())
