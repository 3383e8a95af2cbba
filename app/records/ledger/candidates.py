"""Which contacts of ours are to be ended, and what our records say of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.db.states import EndedBy, LedgerState, Origin, Outcome
from app.db.tables import Ledger, LinkRecord, Mapping, Participant, TicketRecord
from app.records.ledger.common import BY_US

_STALLED = timedelta(hours=1)  # after which a contact is not being brought back any more

_BROUGHT = (
    Outcome.LINKED,
    Outcome.ALREADY_LINKED,
    Outcome.CREATED_AND_LINKED,
    Outcome.UNLINKED,
    Outcome.RETIRED,
)


async def to_consider(session: AsyncSession, limit: int) -> list[Ledger]:
    """List contacts to be ended, first those whose ending has begun.

    Those whose tickets, as far as we know, are all over; those that a move left behind; and those
    that were about to be brought back for a ticket that does not want them any more.
    """
    by_us = Ledger.end_why.in_(BY_US)
    begun = and_(Ledger.state == LedgerState.RETIRING, by_us)
    stalled = and_(
        Ledger.state == LedgerState.RESTORING, Ledger.sent_at < func.now() - _STALLED, by_us
    )
    created = Ledger.state == LedgerState.CREATED
    unsettled = Ledger.state.in_((LedgerState.SENDING, LedgerState.UNSURE))
    left_behind = and_(or_(created, unsettled), Ledger.end_why == EndedBy.MOVED)
    over = and_(or_(created, unsettled), Ledger.lifetime.is_not(None), _all_over())
    waits = or_(Ledger.end_at.is_(None), Ledger.end_at <= func.now())
    found = await session.execute(
        select(Ledger)
        .where(Ledger.kept.is_(None), waits, or_(begun, stalled, left_behind, over))
        .order_by(Ledger.state != LedgerState.RETIRING, Ledger.end_at.nulls_first(), Ledger.id)
        .limit(limit)
    )
    return list(found.scalars())


def _all_over() -> ColumnElement[bool]:
    """Its own ticket is over, or another account's, and so is each that it may be on."""
    own = select(TicketRecord.id).where(
        TicketRecord.id == Ledger.ticket_id,
        or_(TicketRecord.over_at.is_not(None), TicketRecord.account_id != Ledger.account_id),
    )
    return and_(own.exists(), ~_on_open_ticket())


def _on_open_ticket() -> ColumnElement[bool]:
    other = aliased(TicketRecord)
    on_open = (
        select(LinkRecord.ticket_id)
        .join(other, other.id == LinkRecord.ticket_id)
        .where(
            LinkRecord.contact_id == Ledger.contact_id, LinkRecord.stands(), other.over_at.is_(None)
        )
    )
    return on_open.exists()


@dataclass(frozen=True, slots=True)
class Known:
    """Our links of a contact by ticket, with their ids; when its last ticket was seen to be over.

    by_person: what a person has done with it in our records.
    """

    links: dict[int, int | None]
    over_at: datetime | None
    by_person: str | None


async def known(session: AsyncSession, row: Ledger) -> Known:
    """Give what our records say of a contact."""
    found = await session.execute(
        select(LinkRecord.ticket_id, LinkRecord.link_id).where(
            LinkRecord.contact_id == row.contact_id, LinkRecord.may_be_ours()
        )
    )
    links = {one.ticket_id: one.link_id for one in found}
    ended = func.max(func.coalesce(LinkRecord.removed_seen_at, LinkRecord.unlinked_at))
    off = select(ended).where(LinkRecord.contact_id == row.contact_id)
    tickets = {*links, row.ticket_id}
    over = select(func.max(TicketRecord.over_at)).where(TicketRecord.id.in_(tickets))
    dates = [(await session.execute(one)).scalar_one() for one in (off, over)]
    dates.append(row.freed_at)
    mapped = select(Mapping.email).where(
        Mapping.contact_id == row.contact_id, Mapping.origin == Origin.MANUAL
    )
    manual = (await session.execute(mapped.limit(1))).scalar_one_or_none()
    by_person = "somebody mapped an address to it" if manual is not None else None
    return Known(links, max((at for at in dates if at), default=None), by_person)


@dataclass(frozen=True, slots=True)
class Stale:
    """A contact of ours that nothing has used for long, and since when."""

    row: Ledger
    used_at: datetime


async def stale(session: AsyncSession, age: timedelta, account_id: int | None) -> list[Stale]:
    """List contacts that we created, that no open ticket has and that nothing used for so long.

    Used is: created, linked, copied and recognised, or on a ticket that was open.
    """
    links = select(
        func.max(func.greatest(LinkRecord.sent_at, LinkRecord.first_seen_linked_at))
    ).where(LinkRecord.contact_id == Ledger.contact_id)
    over = (
        select(func.max(TicketRecord.over_at))
        .join(LinkRecord, LinkRecord.ticket_id == TicketRecord.id)
        .where(LinkRecord.contact_id == Ledger.contact_id)
    )
    copied = select(func.max(Mapping.verified_at)).where(Mapping.contact_id == Ledger.contact_id)
    used_at = func.greatest(
        Ledger.sent_at,
        Ledger.settled_at,
        links.scalar_subquery(),
        over.scalar_subquery(),
        copied.scalar_subquery(),
    )
    query = (
        select(Ledger, used_at)
        .where(Ledger.state == LedgerState.CREATED, Ledger.kept.is_(None))
        .where(used_at < func.now() - age, ~_on_open_ticket())
        .order_by(used_at, Ledger.id)
    )
    if account_id is not None:
        query = query.where(Ledger.account_id == account_id)
    return [Stale(row, at) for row, at in await session.execute(query)]


async def end_left_behind(session: AsyncSession, ticket_id: int, account_id: int) -> None:
    """Let contacts be ended that were created for a ticket in another account and never linked."""
    linked = select(LinkRecord.contact_id).where(
        LinkRecord.contact_id == Ledger.contact_id, LinkRecord.first_seen_linked_at.is_not(None)
    )
    # Links that a move took off are forgotten; what came of the address is not, until it is
    # decided about in the new account.
    in_vain = select(Participant.id).where(
        Participant.ticket_id == Ledger.ticket_id,
        Participant.key == Ledger.email,
        Participant.account_id == Ledger.account_id,
        func.coalesce(Participant.outcome, "").not_in(_BROUGHT),
    )
    await session.execute(
        update(Ledger)
        .where(
            Ledger.ticket_id == ticket_id,
            Ledger.account_id != account_id,
            Ledger.state.in_((LedgerState.SENDING, LedgerState.UNSURE, LedgerState.CREATED)),
            Ledger.end_why.is_(None),
            ~linked.exists(),
            in_vain.exists(),
        )
        .values(end_why=EndedBy.MOVED)
    )
