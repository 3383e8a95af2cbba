"""One address on one ticket: what was decided, and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import FAILURES, Outcome
from app.db.tables import Participant
from app.decide import Decision, Reason, Verdict
from app.records import forgotten as forgotten_records

TRIES = 3
"""How often an address is tried whose contact or link Autotask refuses."""

_RETRY = (timedelta(minutes=5), timedelta(minutes=30))


async def of_ticket(session: AsyncSession, ticket_id: int) -> list[Participant]:
    """List a ticket's participants, as they stood in the list."""
    found = await session.execute(
        select(Participant)
        .where(Participant.ticket_id == ticket_id)
        .order_by(Participant.position, Participant.id)
    )
    return list(found.scalars())


async def record_decisions(
    session: AsyncSession,
    ticket_id: int,
    account_id: int,
    decisions: Sequence[Decision],
    ours: Collection[int],
) -> dict[str, Participant]:
    """Store decisions that are not the same as before, and give the participants by key.

    ours: contacts that we linked to the ticket or created for it. That they are known now is our
    own doing, so the reason why they were brought is kept. Of a forgotten address no more is
    stored than its alias.
    """
    rows = {row.key: row for row in await of_ticket(session, ticket_id)}
    for position, one in enumerate(decisions):
        forgotten = one.reason is Reason.FORGOTTEN
        key, name = (forgotten_records.alias(one.key), "") if forgotten else (one.key, one.name)
        row = rows[one.key] = rows.get(key) or Participant(
            ticket_id=ticket_id, key=key, name=name, position=position, failures=0
        )
        if row not in session:
            session.add(row)
        elif row.account_id == account_id and _is_as_before(row, one, ours):
            row.muted = row.muted if one.muted is None else one.muted
            continue
        row.account_id = account_id
        row.decision, row.reason, row.contact_id = one.verdict, one.reason, one.contact_id
        if one.reason is Reason.REMOVED_BY_PERSON:
            row.removed_account = row.removed_account or account_id
        elif one.reason is Reason.ALREADY_LINKED:
            row.removed_account = None
        row.detail, row.outcome, row.retry_at, row.failures = one.detail, None, None, 0
        if one.verdict is Verdict.HOLD and row.approved_by and row.judged_account != account_id:
            row.detail = f"was approved in account {row.judged_account}; the ticket has moved"
        row.muted = one.muted
        row.decided_at = func.clock_timestamp()
    return rows


def _is_as_before(row: Participant, one: Decision, ours: Collection[int]) -> bool:
    if (row.decision, row.reason) == (one.verdict, one.reason):
        return True
    if row.outcome == Outcome.UNLINKED and one.reason is Reason.REJECTED:
        return True  # undone: what was done, and that it was undone, stays to be seen
    return (
        one.reason in (Reason.KNOWN, Reason.ALREADY_LINKED)
        and one.contact_id in ours
        and row.decision in (Verdict.LINK, Verdict.CREATE)
    )


async def judged(
    session: AsyncSession, ticket_id: int, account_id: int
) -> tuple[frozenset[str], frozenset[str]]:
    """Give whom people approved on a ticket, and whom they rejected, while it is in an account.

    A rejection outlives a move: who was not wanted on the ticket is not asked for again.
    """
    rows = [row for row in await of_ticket(session, ticket_id) if row.judged_at]
    approved = {r.key for r in rows if r.approved_by and r.judged_account == account_id}
    return frozenset(approved), frozenset(row.key for row in rows if row.rejected_by)


def record_approval(row: Participant, who: str, *, approved: bool) -> None:
    """Store that a person approved a participant, for the next look, or rejected it for good."""
    now = func.clock_timestamp()
    row.approved_by, row.rejected_by = (who, None) if approved else (None, who)
    row.judged_at, row.judged_account = now, row.account_id
    row.outcome, row.detail, row.failures, row.retry_at = None, None, 0, None
    if not approved:
        row.decision, row.reason = Verdict.IGNORE, Reason.REJECTED
        row.outcome, row.decided_at, row.acted_at = Outcome.IGNORED, now, now


async def decided_elsewhere(session: AsyncSession, ticket_id: int, account_id: int) -> bool:
    """Tell whether somebody on a ticket was last decided about while it was in another account."""
    found = select(Participant.id).where(
        Participant.ticket_id == ticket_id, Participant.account_id != account_id
    )
    return (await session.execute(found.limit(1))).first() is not None


async def removed_elsewhere(
    session: AsyncSession, ticket_id: int, account_id: int
) -> frozenset[str]:
    """Name the addresses that a person took off a ticket while it was in another account."""
    found = await session.execute(
        select(Participant.key).where(
            Participant.ticket_id == ticket_id,
            Participant.removed_account.is_not(None),
            Participant.removed_account != account_id,
        )
    )
    return frozenset(found.scalars())


async def saw_taken_off(
    session: AsyncSession, ticket_id: int, contact_ids: Collection[int], account_id: int
) -> None:
    """Record that a person took contacts off a ticket in an account, by their addresses."""
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == ticket_id, Participant.contact_id.in_(list(contact_ids)))
        .values(removed_account=account_id)
    )


async def carry_over(
    session: AsyncSession, people: Sequence[Participant], ticket_id: int
) -> list[str]:
    """Put people of a ticket that was merged on the list of the one it went into.

    Whoever is known there stays as they are: taken off by a person, for instance. Gives the others.
    """
    last = select(func.coalesce(func.max(Participant.position), -1) + 1).where(
        Participant.ticket_id == ticket_id
    )
    first = (await session.execute(last)).scalar_one()
    new: list[str] = []
    for position, one in enumerate(people, start=first):
        row = insert(Participant).values(
            ticket_id=ticket_id,
            key=one.key,
            name=one.name,
            position=position,
            account_id=one.account_id,
            decision=one.decision,
            reason=one.reason,
            decided_at=func.clock_timestamp(),
            carried_from=one.ticket_id,
        )
        added = await session.execute(row.on_conflict_do_nothing().returning(Participant.key))
        new += added.scalars()
    return new


def reopen(row: Participant) -> None:
    """Discard an outcome that holds no longer."""
    row.outcome = None


def conclude(row: Participant, outcome: Outcome, contact_id: int | None, at: datetime) -> None:
    """Store the outcome of a decision that took no request."""
    row.outcome, row.contact_id, row.acted_at = outcome, contact_id, at


async def record_outcome(
    session: AsyncSession, ticket_id: int, key: str, outcome: Outcome, contact_id: int
) -> None:
    """Store that somebody was brought onto a ticket."""
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == ticket_id, Participant.key == key)
        .values(
            outcome=outcome,
            contact_id=contact_id,
            detail=None,
            retry_at=None,
            acted_at=func.clock_timestamp(),
        )
    )


async def record_failure(
    session: AsyncSession, ticket_id: int, key: str, error: str, contact_id: int | None
) -> datetime | None:
    """Count a refusal and give when to try again; None when that was the last try.

    contact_id: the contact, where one was created for this and only the link is refused.
    """
    row = (
        await session.execute(
            select(Participant)
            .where(Participant.ticket_id == ticket_id, Participant.key == key)
            .with_for_update()
        )
    ).scalar_one_or_none()
    if row is None:  # forgotten meanwhile
        return None
    now = await db_now(session)
    row.failures += 1
    row.detail, row.acted_at = error[:500], now
    if contact_id is not None:
        row.contact_id = contact_id
    if row.failures < TRIES:
        row.retry_at = now + _RETRY[row.failures - 1]
        return row.retry_at
    row.retry_at = None
    row.outcome = Outcome.CREATED_NOT_LINKED if contact_id else Outcome.FAILED
    return None


async def close(
    session: AsyncSession, ticket_id: int, created: Collection[int], detail: str | None
) -> None:
    """End what is still open on a ticket that is over, for it to be seen and done again."""
    for row in await of_ticket(session, ticket_id):
        if row.outcome is None:
            made = row.contact_id in created
            row.outcome = Outcome.CREATED_NOT_LINKED if made else Outcome.FAILED
            row.detail = row.detail or detail
            row.failures, row.retry_at = TRIES, None
            row.acted_at = func.clock_timestamp()


async def retry_failures(session: AsyncSession, ticket_id: int) -> None:
    """Try a ticket's failures again: a person asked for it, or the ticket is open again."""
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == ticket_id, Participant.failures > 0)
        .where(Participant.outcome.is_(None) | Participant.outcome.in_(FAILURES))
        .values(outcome=None, failures=0, retry_at=None)
    )
