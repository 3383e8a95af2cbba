"""What can be wrong with contacts that are for one ticket, and with mail loops."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import loop_records
from app.desk import Desk
from app.health.checks import WorkProblem
from app.models import Ledger
from app.retire.chore import FORBIDDEN
from app.states import LedgerState

_RECENT = timedelta(hours=24)
_TRIED = timedelta(hours=1)  # who waits for a right is tried again within that
_NAMED = 10  # accounts


async def loops(session: AsyncSession, now: datetime) -> WorkProblem | None:
    """People whom we added wrote ticket after ticket, and were taken off."""
    count, first, accounts = await loop_records.latest(session, now - _RECENT)
    if not count:
        return None
    return WorkProblem(
        code="loop",
        since=first,
        detail=f"Mail loops that were broken within a day: {count}, in {_named(accounts)}. Who was "
        "in them is denied for the account and taken off.",
        cure="GET /admin/audit?what=loop_broken says whom and on which ticket. Mend the cause, an "
        "automatic reply as a rule; then take the address off `denied` of the account's policy.",
    )


def _named(accounts: Sequence[int]) -> str:
    shown = ", ".join(str(one) for one in accounts[:_NAMED])
    more = f" and {len(accounts) - _NAMED} more" if len(accounts) > _NAMED else ""
    return f"account{'s' if len(accounts) > 1 else ''} {shown}{more}"


async def contacts_not_ended(
    session: AsyncSession, desk: Desk, now: datetime
) -> WorkProblem | None:
    """Contacts of ours wait to be ended, and our user lacks a right for it."""
    patience = max(3 * timedelta(seconds=desk.settings.reconcile_interval), _TRIED)
    waits = select(func.count()).where(
        Ledger.state.in_((LedgerState.CREATED, LedgerState.RETIRING)),
        Ledger.kept.is_(None),
        Ledger.error.startswith(FORBIDDEN, autoescape=True),
        Ledger.end_at > now - patience,  # tried of late, so they are still to be ended
    )
    count = (await session.execute(waits)).scalar_one()
    if not count:
        return None
    return WorkProblem(
        code="contacts_not_ended",
        since=None,
        detail=f"Contacts that are for their tickets only, whose tickets are over, and that cannot "
        f"be ended as our user lacks a right: {count}.",
        cure="Give the API user's security level the right to query ClientPortalUsers, and to "
        "change contacts; it is tried again every ten minutes.",
    )
