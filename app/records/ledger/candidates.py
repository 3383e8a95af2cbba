"""Which contacts that we created are to be ended, and what our records contain of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.db.states import (
    RESTORABLE,
    UNSETTLED,
    WAS_ON_TICKET,
    EndedBy,
    LedgerState,
    Origin,
)
from app.db.tables import Ledger, LinkRecord, Mapping, Participant, TicketRecord
from app.records.forgotten import is_forgotten

_NOT_BEGUN = (*UNSETTLED, LedgerState.CREATED)  # its ending has not begun
_STALLED = timedelta(hours=1)  # after which no look brings the contact back any more


async def to_consider(session: AsyncSession, limit: int) -> list[Ledger]:
    """Return contacts to be ended, first those whose ending has begun, for whatever reason.

    The others: contacts whose tickets are all over as far as we know; contacts that a move left
    behind; contacts whose address was forgotten; unanswered creates which no look asks about any
    more, because the address was forgotten or the ticket is over; and contacts that were about to
    be brought back for a ticket that does not want them any more.
    """
    forgotten = Ledger.end_why == EndedBy.FORGOTTEN
    begun = Ledger.state == LedgerState.RETIRING
    stalled = and_(
        Ledger.state == LedgerState.RESTORING,
        Ledger.sent_at < func.now() - _STALLED,
        or_(Ledger.end_why.in_(RESTORABLE), forgotten),
    )
    stands = Ledger.state.in_(_NOT_BEGUN)
    ordered = and_(stands, or_(Ledger.end_why == EndedBy.MOVED, forgotten))
    abandoned = or_(is_forgotten(Ledger.email), _own_is_over())
    unknown = and_(Ledger.state.in_(UNSETTLED), abandoned)
    over = and_(stands, Ledger.lifetime.is_not(None), _all_over())
    waits = or_(Ledger.end_at.is_(None), Ledger.end_at <= func.now())
    rows = await session.execute(
        select(Ledger)
        .where(or_(Ledger.kept.is_(None), stalled))
        .where(waits, or_(begun, stalled, ordered, unknown, over))
        .order_by(Ledger.state != LedgerState.RETIRING, Ledger.end_at.nulls_first(), Ledger.id)
        .limit(limit)
    )
    return list(rows.scalars())


def _all_over() -> ColumnElement[bool]:
    """Each ticket that the contact may be on is over, and so is its own."""
    return and_(_own_is_over(), ~_on_open_ticket())


def _own_is_over() -> ColumnElement[bool]:
    """The ticket that the contact was created for is over, or has moved to another account."""
    own = select(TicketRecord.id).where(
        TicketRecord.id == Ledger.ticket_id,
        or_(TicketRecord.over_at.is_not(None), TicketRecord.account_id != Ledger.account_id),
    )
    return own.exists()


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
class ContactHistory:
    """What our records contain of a contact."""

    links: dict[int, int | None]
    """The ids of our links by ticket; None where an id is not known."""
    over_at: datetime | None
    """When we saw that its last ticket was over, or that it came off."""
    by_person: str | None
    """What a person has done with it."""


async def current(session: AsyncSession, ledger_id: int) -> Ledger:
    """Return a row as it stands now; the session must not have loaded it before."""
    return await session.get_one(Ledger, ledger_id)


async def history(session: AsyncSession, row: Ledger) -> ContactHistory:
    """Return what our records contain of a contact."""
    ours = await session.execute(
        select(LinkRecord.ticket_id, LinkRecord.link_id).where(
            LinkRecord.contact_id == row.contact_id, LinkRecord.may_be_ours()
        )
    )
    links = {link.ticket_id: link.link_id for link in ours}
    ended = func.max(func.coalesce(LinkRecord.removed_seen_at, LinkRecord.unlinked_at))
    off = select(ended).where(LinkRecord.contact_id == row.contact_id)
    tickets = {*links, row.ticket_id}
    over = select(func.max(TicketRecord.over_at)).where(TicketRecord.id.in_(tickets))
    dates = [(await session.execute(query)).scalar_one() for query in (off, over)]
    dates.append(row.freed_at)
    mapped = select(Mapping.email).where(
        Mapping.contact_id == row.contact_id, Mapping.origin == Origin.MANUAL
    )
    manual = (await session.execute(mapped.limit(1))).scalar_one_or_none()
    by_person = "a person mapped an address to it" if manual is not None else None
    old_undo = row.state == LedgerState.RETIRING and row.settled_at is None
    if old_undo and row.unsure_until is None:  # it was deactivated; asked only if it is active
        by_person = "a person activated it again"
    return ContactHistory(links, max((at for at in dates if at), default=None), by_person)


@dataclass(frozen=True, slots=True)
class Stale:
    """A contact that we created and that nothing has used for long."""

    row: Ledger
    used_at: datetime
    """When it was last used."""


async def stale(session: AsyncSession, age: timedelta, account_id: int | None) -> list[Stale]:
    """Return contacts that we created, that are on no open ticket and unused for `age`.

    A contact is used when it is created, linked, copied and recognised, or on an open ticket.
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
    """Order the ending of contacts that the ticket created in another account and never linked."""
    linked = select(LinkRecord.contact_id).where(
        LinkRecord.contact_id == Ledger.contact_id, LinkRecord.first_seen_linked_at.is_not(None)
    )
    # Links that a move took off are deleted; the address keeps its outcome until it is decided
    # about in the new account.
    in_vain = select(Participant.id).where(
        Participant.ticket_id == Ledger.ticket_id,
        Participant.key == Ledger.email,
        Participant.account_id == Ledger.account_id,
        func.coalesce(Participant.outcome, "").not_in(WAS_ON_TICKET),
    )
    await session.execute(
        update(Ledger)
        .where(
            Ledger.ticket_id == ticket_id,
            Ledger.account_id != account_id,
            Ledger.state.in_(_NOT_BEGUN),
            Ledger.end_why.is_(None),
            ~linked.exists(),
            in_vain.exists(),
        )
        .values(end_why=EndedBy.MOVED)
    )
