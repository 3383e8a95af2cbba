"""A contact on a ticket: the link is intended, seen, taken off. Only this module writes links.

That a link is to come off is stored before the request (`intend_unlink`), and afterwards that it is
off (`unlinked`) or stays (`keep`). A participant taken off by a person or the loop breaker is
rejected in the same transaction, so no look adds them again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Update, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import Outcome
from app.db.tables import LinkRecord, Participant
from app.records import audit, rejections
from app.records.ledger import ending
from app.records.ledger.common import Pending

LOOP = "loop"
"""LinkRecord.end_why: the link is to come off, as its contact is in a mail loop."""

LOOP_STAYS = "loop stays"
"""LinkRecord.end_why: Autotask does not let us take such a link off."""


async def links_of(session: AsyncSession, ticket_id: int) -> dict[int, LinkRecord]:
    """Return a ticket's links, present and past, by contact."""
    rows = await session.execute(select(LinkRecord).where(LinkRecord.ticket_id == ticket_id))
    return {row.contact_id: row for row in rows.scalars()}


async def saw_linked(
    session: AsyncSession,
    ticket_id: int,
    account_id: int,
    contact_ids: Collection[int],
    link_ids: Mapping[int, int] = {},
) -> None:
    """Record which contacts are on a ticket. A link that we had requested is ours: it took effect.

    link_ids: the links' own ids by contact. The first id that is seen stays: another is not ours.
    """
    if not contact_ids:
        return
    now = func.clock_timestamp()
    row = {"ticket_id": ticket_id, "account_id": account_id, "first_seen_linked_at": now}
    seen = insert(LinkRecord).values(
        [
            row | {"contact_id": contact_id, "link_id": link_ids.get(contact_id)}
            for contact_id in sorted(contact_ids)
        ]
    )
    changed = {
        # Our link stays in the account that it was made in, wherever the ticket goes.
        "account_id": case((LinkRecord.ours, LinkRecord.account_id), else_=account_id),
        # If it was requested again: when that request was seen to have taken effect.
        "first_seen_linked_at": case(
            (LinkRecord.unanswered, now),
            else_=func.coalesce(LinkRecord.first_seen_linked_at, now),
        ),
        "unlinked_at": None,
        "ours": LinkRecord.ours | LinkRecord.sent_at.is_not(None),
        "link_id": func.coalesce(LinkRecord.link_id, seen.excluded.link_id),
    }
    keys = [LinkRecord.ticket_id, LinkRecord.contact_id]
    await session.execute(seen.on_conflict_do_update(index_elements=keys, set_=changed))
    await ending.saw_in_use(session, contact_ids)


async def ours_elsewhere(
    session: AsyncSession, ticket_id: int, account_id: int
) -> list[LinkRecord]:
    """Return links that we made, or may have made, while the ticket was in other accounts."""
    rows = await session.execute(
        select(LinkRecord)
        .where(
            LinkRecord.ticket_id == ticket_id,
            LinkRecord.account_id != account_id,
            LinkRecord.may_be_ours(),
        )
        .order_by(LinkRecord.contact_id)
    )
    return list(rows.scalars())


async def forget_other_accounts(session: AsyncSession, ticket_id: int, account_id: int) -> None:
    """Delete links of an account that the ticket has left; no person decided about their end."""
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
    """Delete a link that ended because its contact became the ticket's own."""
    await _delete(session, ticket_id, contact_id)


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
    """Store the intent to request a link, or return when to retry: an earlier request may succeed.

    read_at: before the reading of the ticket that did not show the link. settle: how long an
    unanswered request may still take effect.
    """
    now = await db_now(session)
    row = await session.get(LinkRecord, (ticket_id, contact_id), with_for_update=True)
    if row is None:
        row = LinkRecord(ticket_id=ticket_id, contact_id=contact_id, account_id=account_id)
        session.add(row)
    elif row.sent_at and row.may_come(read_at - settle):
        return Pending.since(row.sent_at, now, settle)
    row.sent_at, row.account_id = now, account_id
    # The reading did not show an earlier link, so that link and its removal are history. This
    # request has to keep its contact from being retired, and an undo has to wait for it.
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
            LinkRecord.unanswered,
        )
        .values(sent_at=None)
    )


async def took_effect(session: AsyncSession, ticket_id: int, contact_ids: Collection[int]) -> None:
    """Record that links are ours that were refused and are there all the same."""
    if contact_ids:
        await session.execute(
            update(LinkRecord)
            .where(LinkRecord.ticket_id == ticket_id, LinkRecord.contact_id.in_(list(contact_ids)))
            .values(ours=True)
        )


# --- taking a link off ---------------------------------------------------------------------------


async def intend_unlink(
    session: AsyncSession, link: LinkRecord, rejected_by: str | None = None
) -> None:
    """Store that our link is about to come off.

    rejected_by: who does not want the person on this ticket. None: its ticket is over or has moved.
    """
    await session.execute(_row(link).values(unlinked_at=func.clock_timestamp(), ours=True))
    if rejected_by is None:
        return
    what = "loop_unlink" if rejected_by == audit.SERVICE else "undo_unlink"
    audit.record(session, rejected_by, what, ticket_id=link.ticket_id, contact_id=link.contact_id)
    await rejections.reject(session, rejected_by, rejections.of_link(link))


async def keep(session: AsyncSession, link: LinkRecord, rejected_by: str | None = None) -> None:
    """Take that intent back: the contact is on the ticket as before."""
    await session.execute(_row(link).values(unlinked_at=None))
    if rejected_by is not None:
        await rejections.withdraw(session, rejections.of_link(link))


async def unlinked(session: AsyncSession, link: LinkRecord, rejected_by: str | None = None) -> None:
    """Record that our link is off: a link of the contact that is seen later is a person's."""
    await session.execute(
        _row(link).values(
            unlinked_at=func.coalesce(LinkRecord.unlinked_at, func.clock_timestamp()),
            ours=False,
            sent_at=None,
            link_id=None,
            end_why=None,
        )
    )
    if rejected_by is not None:
        await rejections.record_off(session, Outcome.UNLINKED, rejections.of_link(link))


async def moved_away(session: AsyncSession, link: LinkRecord) -> None:
    """Delete our link, which its ticket's move has ended: that was no person's decision."""
    await _delete(session, link.ticket_id, link.contact_id)
    await rejections.record_off(
        session,
        Outcome.UNLINKED,
        Participant.ticket_id == link.ticket_id,
        Participant.contact_id == link.contact_id,
    )
    await ending.freed(session, link.contact_id)


async def mark_loop(session: AsyncSession, *where: ColumnElement[bool]) -> None:
    """Mark our links that stand, of those that meet conditions, to come off: a mail loop."""
    await session.execute(
        update(LinkRecord)
        .where(LinkRecord.may_be_ours(), LinkRecord.stands(), *where)
        .values(end_why=LOOP)
        .execution_options(synchronize_session=False)
    )


async def end_loop(session: AsyncSession, link: LinkRecord, *, stays: bool = False) -> None:
    """Record that there is no more to be done about a link that a loop has marked.

    stays: Autotask does not let us take it off.
    """
    await session.execute(_row(link).values(end_why=LOOP_STAYS if stays else None))


async def _delete(session: AsyncSession, ticket_id: int, contact_id: int) -> None:
    await session.execute(
        delete(LinkRecord).where(
            LinkRecord.ticket_id == ticket_id, LinkRecord.contact_id == contact_id
        )
    )


def _row(link: LinkRecord) -> Update:
    return update(LinkRecord).where(
        LinkRecord.ticket_id == link.ticket_id, LinkRecord.contact_id == link.contact_id
    )
