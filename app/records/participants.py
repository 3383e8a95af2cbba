"""One address on one ticket: its decision and its outcome. SQL only."""

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
from app.records import forgotten

TRIES = 3
"""How often Autotask is asked for a contact or link that it refuses."""

RETRY = (timedelta(minutes=5), timedelta(minutes=30))
"""After these a request is repeated that was refused."""

RETRY_EFFECT = (timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=30))
"""After these a change is requested again that had no effect; after the last it is read only."""


async def of_ticket(session: AsyncSession, ticket_id: int) -> list[Participant]:
    """Return a ticket's participants, in the order of the list."""
    rows = await session.execute(
        select(Participant)
        .where(Participant.ticket_id == ticket_id)
        .order_by(Participant.position, Participant.id)
    )
    return list(rows.scalars())


async def record_decisions(
    session: AsyncSession,
    ticket_id: int,
    account_id: int,
    decisions: Sequence[Decision],
    ours: Collection[int],
    gone: Collection[str] = (),
) -> dict[str, Participant]:
    """Store decisions that have changed, and return the participants by the decisions' keys.

    ours: contacts that we linked to the ticket or created for it. They are known now because of
    that, so the earlier reason is kept. gone: forgotten addresses; each is stored only as its
    alias. A text of the list that looks like an alias is stored in quotation marks.
    """
    before = {row.key: row for row in await of_ticket(session, ticket_id)}
    rows: dict[str, Participant] = {}
    for position, decision in enumerate(decisions):
        key, name = forgotten.as_typed(decision.key), decision.name
        if decision.reason is Reason.FORGOTTEN or decision.key in gone:
            key, name = forgotten.alias(decision.key), ""
        row = rows[decision.key] = before.get(key) or Participant(
            ticket_id=ticket_id, key=key, name=name, position=position, failures=0
        )
        before[key] = row
        if row not in session:
            session.add(row)
        elif row.account_id == account_id and _is_as_before(row, decision, ours):
            row.muted = row.muted if decision.muted is None else decision.muted
            continue
        _write(row, decision, account_id)
    return rows


def _write(row: Participant, decision: Decision, account_id: int) -> None:
    row.account_id = account_id
    row.decision, row.reason = decision.verdict, decision.reason
    row.contact_id, row.muted = decision.contact_id, decision.muted
    if decision.reason is Reason.REMOVED_BY_PERSON:
        row.removed_account = row.removed_account or account_id
    elif decision.reason is Reason.ALREADY_LINKED:
        row.removed_account = None
    row.detail, row.outcome, row.retry_at, row.failures = decision.detail, None, None, 0
    if decision.verdict is Verdict.HOLD and row.approved_by and row.judged_account != account_id:
        row.detail = f"was approved in account {row.judged_account}; the ticket has moved"
    row.decided_at = func.clock_timestamp()


def _is_as_before(row: Participant, decision: Decision, ours: Collection[int]) -> bool:
    if (row.decision, row.reason) == (decision.verdict, decision.reason):
        return True
    if row.outcome == Outcome.UNLINKED and decision.reason is Reason.REJECTED:
        return True  # undone: the decision, and that it was undone, stay visible
    return (
        decision.reason in (Reason.KNOWN, Reason.ALREADY_LINKED)
        and decision.contact_id in ours
        and row.decision in (Verdict.LINK, Verdict.CREATE)
    )


async def approved_and_rejected(
    session: AsyncSession, ticket_id: int, account_id: int
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the addresses that people approved and rejected on a ticket in this account.

    A rejection outlives a move: an address that was not wanted on the ticket is not held again.
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
    """Return whether a participant was last decided about while it was in another account."""
    others = select(Participant.id).where(
        Participant.ticket_id == ticket_id, Participant.account_id != account_id
    )
    return (await session.execute(others.limit(1))).first() is not None


async def removed_elsewhere(
    session: AsyncSession, ticket_id: int, account_id: int
) -> frozenset[str]:
    """Return the addresses that a person took off a ticket while it was in another account."""
    keys = await session.execute(
        select(Participant.key).where(
            Participant.ticket_id == ticket_id,
            Participant.removed_account.is_not(None),
            Participant.removed_account != account_id,
        )
    )
    return frozenset(keys.scalars())


async def saw_taken_off(
    session: AsyncSession, ticket_id: int, contact_ids: Collection[int], account_id: int
) -> None:
    """Record that a person took contacts off a ticket in an account, on their participants."""
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == ticket_id, Participant.contact_id.in_(list(contact_ids)))
        .values(removed_account=account_id)
    )


async def carry_over(
    session: AsyncSession, people: Sequence[Participant], ticket_id: int
) -> list[str]:
    """Add participants of a merged ticket to the ticket that it was merged into; return the new.

    An address that is a participant there stays as it is: taken off by a person, for instance.
    """
    last = select(func.coalesce(func.max(Participant.position), -1) + 1).where(
        Participant.ticket_id == ticket_id
    )
    first = (await session.execute(last)).scalar_one()
    new: list[str] = []
    for position, row in enumerate(people, start=first):
        copy = insert(Participant).values(
            ticket_id=ticket_id,
            key=row.key,
            name=row.name,
            position=position,
            account_id=row.account_id,
            decision=row.decision,
            reason=row.reason,
            decided_at=func.clock_timestamp(),
            carried_from=row.ticket_id,
        )
        added = await session.execute(copy.on_conflict_do_nothing().returning(Participant.key))
        new += added.scalars()
    return new


def reopen(row: Participant) -> None:
    """Discard an outcome that holds no longer, and the failures before it."""
    row.outcome, row.failures = None, 0


def conclude(row: Participant, outcome: Outcome, contact_id: int | None, at: datetime) -> None:
    """Store the outcome of a decision that took no request."""
    row.outcome, row.contact_id, row.acted_at = outcome, contact_id, at


async def record_outcome(
    session: AsyncSession, ticket_id: int, key: str, outcome: Outcome, contact_id: int
) -> None:
    """Store that an address was put on a ticket."""
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
    session: AsyncSession,
    ticket_id: int,
    key: str,
    error: str,
    contact_id: int | None,
    pauses: Sequence[timedelta] | None = None,
) -> datetime | None:
    """Count a refusal and return when to try again; None if it was the last try.

    contact_id: the contact, if one was created for this and only the link is refused. pauses: after
    each refusal but the last, RETRY by default.
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
    now, pauses = await db_now(session), RETRY if pauses is None else pauses
    row.failures += 1
    row.detail, row.acted_at = error[:500], now
    if contact_id is not None:
        row.contact_id = contact_id
    if row.failures <= len(pauses):
        row.retry_at = now + pauses[row.failures - 1]
        return row.retry_at
    row.retry_at = None
    row.outcome = Outcome.CREATED_NOT_LINKED if contact_id else Outcome.FAILED
    return None


async def record_wait(
    session: AsyncSession, ticket_id: int, key: str, why: str, until: datetime
) -> None:
    """Record what a participant waits for, and until when; it is no failure."""
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == ticket_id, Participant.key == key)
        .values(detail=why[:500], retry_at=until)
    )


async def only_wait(session: AsyncSession, ticket_id: int) -> bool:
    """Return whether all that is left to do on a ticket waits for rights, as recorded."""
    left = [row for row in await of_ticket(session, ticket_id) if row.outcome is None]
    return bool(left) and all(row.retry_at and not row.failures for row in left)


async def close(
    session: AsyncSession, ticket_id: int, created: Collection[int], detail: str | None
) -> None:
    """Fail the unfinished participants of a ticket that is over, so that they can be seen."""
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
        .where(Participant.ticket_id == ticket_id)
        .where((Participant.failures > 0) | Participant.retry_at.is_not(None))
        .where(Participant.outcome.is_(None) | Participant.outcome.in_(FAILURES))
        .values(outcome=None, failures=0, retry_at=None)
    )
