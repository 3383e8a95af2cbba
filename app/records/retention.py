"""Delete history: old deliveries, and old looks but each ticket's last.

Decisions, mappings, the ledger and links are kept for good: a callout that is replayed after a year
finds nothing to do.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Delete, delete, func, select
from sqlalchemy.orm import aliased

from app.db.database import Sessions
from app.db.tables import Absence, Delivery, Look
from app.due.work import Lease, fenced
from app.records import known
from app.records.ledger.common import blank_forgotten

log = structlog.get_logger()

_BATCH = 1000  # rows a transaction, so that no look waits for it
_EVERY = timedelta(hours=6)
_MISSED = timedelta(days=1)  # what was not read again within that is counted anew anyway


async def delete_old(sessions: Sessions, lease: Lease, age: timedelta) -> timedelta:
    """Delete what is older than `age`, in small batches; return when to do it again.

    Forgotten addresses of contacts that have ceased to carry them by a look are blanked as well.
    """
    async with fenced(sessions, lease) as session:
        await blank_forgotten(session)
        await known.delete_unused(session, age)
        await session.execute(delete(Absence).where(Absence.latest < func.now() - _MISSED))
    for name, old in (("deliveries", _old_deliveries(age)), ("looks", _old_looks(age))):
        deleted = 0
        while count := await _delete(sessions, lease, old):
            deleted += count
        if deleted:
            log.info("history_deleted", what=name, count=deleted)
    return _EVERY


async def _delete(sessions: Sessions, lease: Lease, old: Delete) -> int:
    async with fenced(sessions, lease) as session:
        result: Any = await session.execute(old, execution_options={"synchronize_session": False})
        return int(result.rowcount)


def _old_deliveries(age: timedelta) -> Delete:
    old = select(Delivery.id).where(Delivery.received_at < func.now() - age).limit(_BATCH)
    return delete(Delivery).where(Delivery.id.in_(old))


def _old_looks(age: timedelta) -> Delete:
    later = aliased(Look)
    has_later = select(later.id).where(later.ticket_id == Look.ticket_id, later.id > Look.id)
    old = select(Look.id).where(Look.ended_at < func.now() - age, has_later.exists()).limit(_BATCH)
    return delete(Look).where(Look.id.in_(old))
