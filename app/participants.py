"""What we know of people on tickets: their participants, links and mappings. SQL only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import policies
from app.db import db_now
from app.decide import Decision, Reason, Verdict
from app.ledger import Pending
from app.models import LinkRecord, Participant
from app.states import Outcome

TRIES = 3
"""How often an address is tried whose contact or link Autotask refuses."""

_RETRY = (timedelta(minutes=5), timedelta(minutes=30))


# --- participants --------------------------------------------------------------------------------


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
        key, name = (policies.alias(one.key), "") if forgotten else (one.key, one.name)
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


async def forgive(session: AsyncSession, ticket_id: int) -> None:
    """Let what failed on a ticket be tried again: a person asked for it."""
    failed = (Outcome.FAILED, Outcome.CREATED_NOT_LINKED)
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == ticket_id, Participant.failures > 0)
        .where(Participant.outcome.is_(None) | Participant.outcome.in_(failed))
        .values(outcome=None, failures=0, retry_at=None)
    )


# --- links ---------------------------------------------------------------------------------------


async def links_of(session: AsyncSession, ticket_id: int) -> dict[int, LinkRecord]:
    """Give a ticket's links, present and past, by contact."""
    found = await session.execute(select(LinkRecord).where(LinkRecord.ticket_id == ticket_id))
    return {row.contact_id: row for row in found.scalars()}


async def saw_linked(
    session: AsyncSession,
    ticket_id: int,
    account_id: int,
    contact_ids: Collection[int],
    link_ids: Mapping[int, int] = {},
) -> None:
    """Record who is on a ticket. One whom we were about to link is ours: it took effect.

    link_ids: the links' own ids by contact. The first that is seen stays: another is not ours.
    """
    if not contact_ids:
        return
    now = func.clock_timestamp()
    seen = insert(LinkRecord).values(
        [
            {
                "ticket_id": ticket_id,
                "contact_id": contact_id,
                "account_id": account_id,
                "first_seen_linked_at": now,
                "link_id": link_ids.get(contact_id),
            }
            for contact_id in sorted(contact_ids)
        ]
    )
    await session.execute(
        seen.on_conflict_do_update(
            index_elements=[LinkRecord.ticket_id, LinkRecord.contact_id],
            set_={
                "account_id": account_id,
                "first_seen_linked_at": func.coalesce(LinkRecord.first_seen_linked_at, now),
                "unlinked_at": None,
                "ours": LinkRecord.ours | LinkRecord.sent_at.is_not(None),
                "link_id": func.coalesce(LinkRecord.link_id, seen.excluded.link_id),
            },
        )
    )


async def forget_other_accounts(session: AsyncSession, ticket_id: int, account_id: int) -> None:
    """Forget links of an account that a ticket has left; their end was nobody's decision."""
    settled = LinkRecord.sent_at.is_(None) | (LinkRecord.first_seen_linked_at >= LinkRecord.sent_at)
    await session.execute(
        delete(LinkRecord).where(
            LinkRecord.ticket_id == ticket_id,
            LinkRecord.account_id != account_id,
            LinkRecord.removed_seen_at.is_(None),
            settled,
        )
    )


async def saw_removed(session: AsyncSession, ticket_id: int, contact_ids: Collection[int]) -> None:
    """Record that a person took contacts off a ticket."""
    await session.execute(
        update(LinkRecord)
        .where(LinkRecord.ticket_id == ticket_id, LinkRecord.contact_id.in_(list(contact_ids)))
        .where(LinkRecord.removed_seen_at.is_(None))
        .values(removed_seen_at=func.clock_timestamp())
    )


async def saw_as_contact(session: AsyncSession, ticket_id: int, contact_id: int) -> None:
    """Forget a link that ended because its contact became the ticket's own."""
    await session.execute(
        delete(LinkRecord).where(
            LinkRecord.ticket_id == ticket_id, LinkRecord.contact_id == contact_id
        )
    )


@dataclass(frozen=True, slots=True)
class Intent:
    """A stored intent to request a link."""

    ticket_id: int
    contact_id: int
    sent_at: datetime


async def intend_link(
    session: AsyncSession,
    ticket_id: int,
    account_id: int,
    contact_id: int,
    *,
    settle: timedelta,
    read_at: datetime,
) -> Intent | Pending:
    """Store that a link is about to be requested; or tell to wait for an earlier request.

    read_at: before the ticket was read that did not show the link. settle: how long a request
    without an answer may still take effect.
    """
    now = await db_now(session)
    row = await session.get(LinkRecord, (ticket_id, contact_id), with_for_update=True)
    if row is None:
        row = LinkRecord(ticket_id=ticket_id, contact_id=contact_id, account_id=account_id)
        session.add(row)
    elif (
        row.sent_at
        and (row.first_seen_linked_at is None or row.first_seen_linked_at < row.sent_at)
        and read_at <= row.sent_at + settle
    ):
        return Pending.since(row.sent_at, now, settle)
    row.sent_at, row.account_id = now, account_id
    row.ours, row.link_id = False, None  # of one that is over, as the reading did not show it
    return Intent(ticket_id, contact_id, now)


async def link_refused(session: AsyncSession, intent: Intent) -> None:
    """Take an intent back: the request definitely did not take effect."""
    await session.execute(
        update(LinkRecord)
        .where(
            LinkRecord.ticket_id == intent.ticket_id,
            LinkRecord.contact_id == intent.contact_id,
            LinkRecord.sent_at == intent.sent_at,
            LinkRecord.first_seen_linked_at.is_(None)
            | (LinkRecord.first_seen_linked_at < intent.sent_at),
        )
        .values(sent_at=None)
    )
