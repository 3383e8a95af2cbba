"""Mail loops: somebody whom we added writes ticket after ticket of one subject. SQL only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.database import db_now
from app.db.states import AT_AUTOTASK
from app.db.tables import Ledger, LinkRecord, Loop, Participant, TicketRecord

LOOP = "loop"
"""Why a link of ours is to come off."""

_STAYS = "loop stays"  # it was to come off, and Autotask did not let us
_BREAKING = 7_301_002  # an advisory lock's first number; the second one is the contact
_LATE = timedelta(minutes=1)  # within which a request leaves that was decided on before


@dataclass(frozen=True, slots=True)
class Suspect:
    """A ticket whose contact may be in a loop."""

    ticket_id: int
    account_id: int
    contact_id: int
    stem: str
    created_at: datetime


async def suspect(session: AsyncSession, ticket_id: int) -> Suspect | None:
    """Give what a ticket's last look has learnt of it; None where that is not enough."""
    row = await session.get(TicketRecord, ticket_id, populate_existing=True)
    if row is None or row.contact_id is None or row.stem is None or row.account_id is None:
        return None
    created_at = row.created_at or row.first_seen_at
    return Suspect(ticket_id, row.account_id, row.contact_id, row.stem, created_at)


async def alone(session: AsyncSession, one: Suspect) -> None:
    """Let nobody else judge this contact until this transaction ends."""
    lock = func.pg_advisory_xact_lock(_BREAKING, one.contact_id % 2**31)
    await session.execute(select(lock))


async def count(session: AsyncSession, one: Suspect, within: timedelta) -> int:
    """Count the most tickets of this contact and stem that came within a time, this one's."""
    created = func.coalesce(TicketRecord.created_at, TicketRecord.first_seen_at)
    found = await session.execute(
        select(created)
        .where(
            TicketRecord.contact_id == one.contact_id,
            TicketRecord.stem == one.stem,
            TicketRecord.account_id == one.account_id,
            created.between(one.created_at - within, one.created_at + within),
        )
        .order_by(created)
    )
    times = list(found.scalars())
    return max((bisect_right(times, at + within) - n for n, at in enumerate(times)), default=0)


async def is_ours(session: AsyncSession, one: Suspect) -> bool:
    """Tell whether we created a contact, or put it on a ticket."""
    linked = select(LinkRecord.ticket_id).where(
        LinkRecord.contact_id == one.contact_id,
        or_(LinkRecord.ours, LinkRecord.sent_at.is_not(None)),
    )
    created = select(Ledger.ticket_id).where(
        Ledger.contact_id == one.contact_id, Ledger.state.in_(AT_AUTOTASK)
    )
    return (await session.execute(linked.union(created).limit(1))).first() is not None


async def is_broken(session: AsyncSession, one: Suspect, within: timedelta) -> bool:
    """Tell whether a ticket is of a loop that was broken already, or came soon after that."""
    found = select(Loop.id).where(
        Loop.contact_id == one.contact_id,
        Loop.account_id == one.account_id,
        Loop.at >= one.created_at - within,
    )
    return (await session.execute(found.limit(1))).first() is not None


async def addresses(session: AsyncSession, one: Suspect) -> list[str]:
    """Name the addresses by which a contact came onto tickets of an account.

    Not what stands in the place of forgotten ones.
    """
    copied = select(Participant.key).where(
        Participant.contact_id == one.contact_id, Participant.account_id == one.account_id
    )
    created = select(Ledger.email).where(
        Ledger.contact_id == one.contact_id, Ledger.state.in_(AT_AUTOTASK)
    )
    found = (await session.execute(copied.union(created))).scalars()
    return sorted({key for key in found if "@" in key})


async def record(session: AsyncSession, one: Suspect, tickets: int) -> None:
    """Record a loop, and that our links of its contact are to come off."""
    session.add(
        Loop(
            account_id=one.account_id,
            contact_id=one.contact_id,
            ticket_id=one.ticket_id,
            tickets=tickets,
            at=await db_now(session),
        )
    )
    await session.execute(
        update(LinkRecord)
        .where(
            LinkRecord.contact_id == one.contact_id, LinkRecord.may_be_ours(), LinkRecord.stands()
        )
        .values(end_why=LOOP)
    )


async def note_late(session: AsyncSession) -> None:
    """Let links come off, too, that looks announced while their contact's loop was being broken."""
    loop = select(Loop.id).where(
        Loop.contact_id == LinkRecord.contact_id,
        Loop.at > func.now() - timedelta(hours=1),
        LinkRecord.sent_at.between(Loop.at - _LATE, Loop.at + _LATE),
    )
    await session.execute(
        update(LinkRecord)
        .where(
            LinkRecord.end_why.is_(None),
            LinkRecord.may_be_ours(),
            LinkRecord.stands(),
            loop.exists(),
        )
        .values(end_why=LOOP)
        .execution_options(synchronize_session=False)
    )


async def to_take_off(
    session: AsyncSession, after: tuple[int, int], limit: int
) -> Sequence[LinkRecord]:
    """List our links that are to come off, by ticket and contact, after one of them."""
    place = tuple_(LinkRecord.ticket_id, LinkRecord.contact_id)
    found = await session.execute(
        select(LinkRecord)
        .where(LinkRecord.end_why == LOOP, place > after)
        .order_by(LinkRecord.ticket_id, LinkRecord.contact_id)
        .limit(limit)
    )
    return list(found.scalars())


async def still_to_take_off(
    session: AsyncSession, ticket_id: int, contact_id: int
) -> LinkRecord | None:
    """Give a link as it stands now; None: it is not to come off any more."""
    link = await session.get(LinkRecord, (ticket_id, contact_id))
    return link if link and link.end_why == LOOP else None


async def done(session: AsyncSession, link: LinkRecord) -> None:
    """Record that nothing more is to be done about a link."""
    await _end(session, link, None)


async def stays(session: AsyncSession, link: LinkRecord) -> None:
    """Record that a link cannot be taken off."""
    await _end(session, link, _STAYS)


async def _end(session: AsyncSession, link: LinkRecord, why: str | None) -> None:
    await session.execute(link.update().values(end_why=why))


async def latest(session: AsyncSession, since: datetime) -> tuple[int, datetime | None, list[int]]:
    """Count the loops that were broken since a time; when the first was, and in which accounts."""
    found = list((await session.execute(select(Loop).where(Loop.at >= since))).scalars())
    first = min((one.at for one in found), default=None)
    return len(found), first, sorted({one.account_id for one in found})
