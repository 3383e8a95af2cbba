"""A contact on a ticket: ours, a person's, about to come, and gone again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import EndedBy, LedgerState, Outcome
from app.db.tables import Ledger, LinkRecord, Participant
from app.records.ledger.creating import Pending


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
                # One of ours stays of the account that it was made in, wherever the ticket goes.
                "account_id": case((LinkRecord.ours, LinkRecord.account_id), else_=account_id),
                # Of one that was asked for again, when that was seen to have taken effect.
                "first_seen_linked_at": case(
                    (LinkRecord.unanswered, now),
                    else_=func.coalesce(LinkRecord.first_seen_linked_at, now),
                ),
                "unlinked_at": None,
                "ours": LinkRecord.ours | LinkRecord.sent_at.is_not(None),
                "link_id": func.coalesce(LinkRecord.link_id, seen.excluded.link_id),
            },
        )
    )
    # Whom a moved ticket left behind is used after all.
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id.in_(list(contact_ids)), Ledger.end_why == EndedBy.MOVED)
        .where(Ledger.state == LedgerState.CREATED)
        .values(end_why=None, end_at=None)
    )


async def ours_elsewhere(
    session: AsyncSession, ticket_id: int, account_id: int
) -> list[LinkRecord]:
    """List links that we made, or may have made, while a ticket was in other accounts."""
    found = await session.execute(
        select(LinkRecord)
        .where(
            LinkRecord.ticket_id == ticket_id,
            LinkRecord.account_id != account_id,
            LinkRecord.may_be_ours(),
        )
        .order_by(LinkRecord.contact_id)
    )
    return list(found.scalars())


async def taken_back(session: AsyncSession, link: LinkRecord) -> None:
    """Forget a link of ours that its ticket's move has ended: that was nobody's decision."""
    await saw_as_contact(session, link.ticket_id, link.contact_id)
    await session.execute(
        update(Participant)
        .where(Participant.ticket_id == link.ticket_id, Participant.contact_id == link.contact_id)
        .values(outcome=Outcome.UNLINKED, acted_at=func.clock_timestamp())
    )
    await session.execute(
        update(Ledger)
        .where(Ledger.contact_id == link.contact_id, Ledger.state == LedgerState.CREATED)
        .values(freed_at=func.clock_timestamp())
    )


async def forget_other_accounts(session: AsyncSession, ticket_id: int, account_id: int) -> None:
    """Forget links of an account that a ticket has left; their end was nobody's decision."""
    await session.execute(
        delete(LinkRecord).where(
            LinkRecord.ticket_id == ticket_id,
            LinkRecord.account_id != account_id,
            LinkRecord.removed_seen_at.is_(None),
            ~LinkRecord.unanswered,
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
    elif row.sent_at and row.may_come(read_at - settle):
        return Pending.since(row.sent_at, now, settle)
    row.sent_at, row.account_id = now, account_id
    # Of one that is over, as the reading did not show it. That we took it off is over, too: this
    # one is to stand in the way of whoever ends its contact, or undoes the ticket.
    row.ours, row.link_id = False, None
    if row.unlinked_at:
        row.unlinked_at = row.first_seen_linked_at = None
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
