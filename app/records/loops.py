"""Mail loops: a contact that we added writes ticket after ticket of one subject. SQL only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import AT_AUTOTASK
from app.db.tables import Ledger, LinkRecord, Loop, Participant, TicketRecord
from app.records import links

_BREAKING = 7_301_002  # an advisory lock's first number; the second one is the contact
_LATE = timedelta(minutes=1)  # within which a request leaves that was decided before the loop


@dataclass(frozen=True, slots=True)
class Suspect:
    """A ticket whose contact may be in a loop."""

    ticket_id: int
    account_id: int
    contact_id: int
    stem: str
    created_at: datetime


async def suspected(session: AsyncSession, ticket_id: int) -> Suspect | None:
    """Return what the last look learnt of a ticket; None where that is not enough."""
    row = await session.get(TicketRecord, ticket_id, populate_existing=True)
    if row is None or row.contact_id is None or row.stem is None or row.account_id is None:
        return None
    created_at = row.created_at or row.first_seen_at
    return Suspect(ticket_id, row.account_id, row.contact_id, row.stem, created_at)


async def lock(session: AsyncSession, suspect: Suspect) -> None:
    """Lock the contact's loops until this transaction ends."""
    taken = func.pg_advisory_xact_lock(_BREAKING, suspect.contact_id % 2**31)
    await session.execute(select(taken))


async def count(session: AsyncSession, suspect: Suspect, within: timedelta) -> int:
    """Count the tickets of the contact and stem around this one, the most within `within`."""
    created = func.coalesce(TicketRecord.created_at, TicketRecord.first_seen_at)
    found = await session.execute(
        select(created)
        .where(
            TicketRecord.contact_id == suspect.contact_id,
            TicketRecord.stem == suspect.stem,
            TicketRecord.account_id == suspect.account_id,
            created.between(suspect.created_at - within, suspect.created_at + within),
        )
        .order_by(created)
    )
    times = list(found.scalars())
    return max((bisect_right(times, at + within) - n for n, at in enumerate(times)), default=0)


async def is_ours(session: AsyncSession, suspect: Suspect) -> bool:
    """Return whether we created the contact, or put it on a ticket."""
    linked = select(LinkRecord.ticket_id).where(
        LinkRecord.contact_id == suspect.contact_id,
        or_(LinkRecord.ours, LinkRecord.sent_at.is_not(None)),
    )
    created = select(Ledger.ticket_id).where(
        Ledger.contact_id == suspect.contact_id, Ledger.state.in_(AT_AUTOTASK)
    )
    return (await session.execute(linked.union(created).limit(1))).first() is not None


async def is_broken(session: AsyncSession, suspect: Suspect, within: timedelta) -> bool:
    """Return whether the ticket's loop is broken already, or was shortly before it came."""
    found = select(Loop.id).where(
        Loop.contact_id == suspect.contact_id,
        Loop.account_id == suspect.account_id,
        Loop.at >= suspect.created_at - within,
    )
    return (await session.execute(found.limit(1))).first() is not None


async def addresses(session: AsyncSession, suspect: Suspect) -> list[str]:
    """Return the addresses by which the contact came onto tickets of the account.

    Aliases of forgotten addresses are left out.
    """
    copied = select(Participant.key).where(
        Participant.contact_id == suspect.contact_id, Participant.account_id == suspect.account_id
    )
    created = select(Ledger.email).where(
        Ledger.contact_id == suspect.contact_id, Ledger.state.in_(AT_AUTOTASK)
    )
    found = (await session.execute(copied.union(created))).scalars()
    return sorted({key for key in found if "@" in key})


async def record(session: AsyncSession, suspect: Suspect, tickets: int) -> None:
    """Record a loop, and mark our links of its contact to come off."""
    session.add(
        Loop(
            account_id=suspect.account_id,
            contact_id=suspect.contact_id,
            ticket_id=suspect.ticket_id,
            tickets=tickets,
            at=await db_now(session),
        )
    )
    await links.mark_loop(session, LinkRecord.contact_id == suspect.contact_id)


async def mark_late(session: AsyncSession) -> None:
    """Mark links, too, that looks announced while their contact's loop was being broken."""
    loop = select(Loop.id).where(
        Loop.contact_id == LinkRecord.contact_id,
        Loop.at > func.now() - timedelta(hours=1),
        LinkRecord.sent_at.between(Loop.at - _LATE, Loop.at + _LATE),
    )
    await links.mark_loop(session, LinkRecord.end_why.is_(None), loop.exists())


async def to_take_off(
    session: AsyncSession, after: tuple[int, int], limit: int
) -> Sequence[LinkRecord]:
    """Return our links that are to come off, by ticket and contact, after one of them."""
    place = tuple_(LinkRecord.ticket_id, LinkRecord.contact_id)
    found = await session.execute(
        select(LinkRecord)
        .where(LinkRecord.end_why == links.LOOP, place > after)
        .order_by(LinkRecord.ticket_id, LinkRecord.contact_id)
        .limit(limit)
    )
    return list(found.scalars())


async def still_to_take_off(
    session: AsyncSession, ticket_id: int, contact_id: int
) -> LinkRecord | None:
    """Return the link as it stands now; None if it is not to come off any more."""
    link = await session.get(LinkRecord, (ticket_id, contact_id))
    return link if link and link.end_why == links.LOOP else None


async def latest(session: AsyncSession, since: datetime) -> tuple[int, datetime | None, list[int]]:
    """Return how many loops were broken since a time, when the first was, and the accounts."""
    found = list((await session.execute(select(Loop).where(Loop.at >= since))).scalars())
    first = min((loop.at for loop in found), default=None)
    return len(found), first, sorted({loop.account_id for loop in found})
