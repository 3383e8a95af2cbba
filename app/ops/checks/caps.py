"""Check whether people are held because caps of new people were reached."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Outcome
from app.db.tables import Participant, TicketRecord
from app.decide import Reason
from app.ops.checks.problem import WorkProblem

_RECENT = timedelta(hours=24)
_NAMED = 10  # accounts, and senders of each


async def over_daily_limit(session: AsyncSession, now: datetime) -> WorkProblem | None:
    """Check whether people were held within a day because too many were new; name the senders."""
    senders = func.array_agg(func.coalesce(TicketRecord.contact_id, 0).distinct())
    held = await session.execute(
        select(Participant.account_id, func.count(), func.min(Participant.decided_at), senders)
        .join(TicketRecord, TicketRecord.id == Participant.ticket_id)
        .where(
            Participant.outcome == Outcome.HELD,
            Participant.reason == Reason.OVER_DAILY_LIMIT,
            Participant.decided_at > now - _RECENT,
        )
        .group_by(Participant.account_id)
        .order_by(func.count().desc(), Participant.account_id)
    )
    accounts = [(row[0], row[1], row[2], row[3]) for row in held]
    if not accounts:
        return None
    named = [_named(account_id, count, ids) for account_id, count, _, ids in accounts[:_NAMED]]
    more = f"; and {len(accounts) - _NAMED} more accounts" if len(accounts) > _NAMED else ""
    return WorkProblem(
        code="over_daily_limit",
        since=min(since for _, _, since, _ in accounts),
        detail="People who are held because too many were new within 24 hours: "
        f"{'; '.join(named)}{more}.",
        cure="GET /admin/participants?outcome=held&reason=over_daily_limit shows them: approve or "
        "reject them, POST /admin/participants/approve takes a whole account. Against a flood set "
        "the account's preset to guarded, PUT /admin/accounts/{account_id}/policy. If so many are "
        "usual, raise MAX_NEW_PER_SENDER and MAX_NEW_PER_DAY, of which an account may have a "
        "fifth.",
    )


def _named(account_id: int, count: int, contact_ids: Sequence[int]) -> str:
    ids = sorted(contact_id for contact_id in contact_ids if contact_id)
    senders = [f"contact {contact_id}" for contact_id in ids[:_NAMED]]
    if len(ids) > _NAMED:
        senders.append(f"{len(ids) - _NAMED} more contacts")
    if 0 in contact_ids:
        senders.append("tickets without a contact")
    return f"{count} in account {account_id}, brought by {', '.join(senders)}"
