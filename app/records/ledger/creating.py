"""Creating once: a row per contact that we created or are creating.

The row commits as `sending` before the request leaves. Without a definite answer nobody creates
that address in that account before Autotask can no longer carry the request out; then one looks,
inactive contacts included, and only then creates. See docs/decisions/0002-creating-once.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.models import Contact
from app.db.database import db_now
from app.db.states import OPEN, EndedBy, LedgerState
from app.db.tables import Ledger

log = structlog.get_logger()

_UNSETTLED = (LedgerState.SENDING, LedgerState.UNSURE)
_ROUNDS = 5
_FIRST_WAIT = timedelta(seconds=2)
_COUNTING = 20_261_123  # an advisory lock's number, like no other of ours


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one create request. id marks the contact; sends counts the requests."""

    id: int
    sends: int

    def mark(self, ticket_number: str | None) -> str:
        """Write the note that tells people, and us, whose contact it is; at most 50 characters."""
        return f"{_mark(self.id)} Cc of {ticket_number or 'a ticket'}"[:50]


@dataclass(frozen=True, slots=True)
class Created:
    """Somebody has created it since the contacts were read."""

    contact_id: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A request is on its way, or its fate is unknown: look again at `until`."""

    until: datetime

    @classmethod
    def since(cls, sent_at: datetime, now: datetime, settle: timedelta) -> Pending:
        """Wait as long again as it has been: as a rule a request takes effect at once or soon."""
        waited = max(now - sent_at, _FIRST_WAIT)
        settled_at = max(sent_at + settle, now) + timedelta(milliseconds=100)
        return cls(min(now + waited, settled_at))


async def claim(
    session: AsyncSession,
    account_id: int,
    email: str,
    ticket_id: int,
    *,
    settle: timedelta,
    read_at: datetime,
    outside: bool = False,
    sender_id: int | None = None,
    lifetime: str | None = None,
) -> Claim | Created | Pending:
    """Claim an address whose contacts, read at `read_at`, showed none that carries it.

    settle: how long a request without an answer may still take effect. outside and sender_id: who
    it is, and who brings them, to be counted by new_outside. lifetime: whose lifetime the contact
    has, None: it is there for good.
    """
    for _ in range(_ROUNDS):
        now = await db_now(session)
        row = insert(Ledger).values(
            account_id=account_id,
            email=email,
            ticket_id=ticket_id,
            state=LedgerState.SENDING,
            sent_at=now,
            outside=outside,
            sender_id=sender_id,
            lifetime=lifetime,
        )
        new = await session.execute(row.on_conflict_do_nothing().returning(Ledger.id))
        claimed = new.scalar_one_or_none()
        if claimed is not None:
            if await _ended_since(session, account_id, email, read_at):
                await session.execute(delete(Ledger).where(Ledger.id == claimed))
                return Pending(now + _FIRST_WAIT)
            return Claim(claimed, 1)
        found = await session.execute(
            select(Ledger)
            .where(Ledger.account_id == account_id, Ledger.email == email, Ledger.state.in_(OPEN))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        other = found.scalar_one_or_none()
        if other is not None:
            answer = _over(other, ticket_id, now, settle, read_at)
            await session.flush()
            if answer is not None:
                return answer
    return Pending(now + _FIRST_WAIT)  # a state that this version does not know


def _over(
    row: Ledger, ticket_id: int, now: datetime, settle: timedelta, read_at: datetime
) -> Claim | Created | Pending | None:
    """Take over a row that stands, or wait for it; None: it stands no longer, claim anew."""
    if row.state == LedgerState.CREATED:
        assert row.contact_id is not None
        # A read that shows nothing so soon after is more likely late than right.
        if row.settled_at is None or row.settled_at + settle >= read_at:
            return Created(row.contact_id)
        row.state, row.settled_at = LedgerState.GONE, now
        return None
    if row.state == LedgerState.RESTORING or read_at <= row.sent_at + settle:
        return Pending.since(row.sent_at, now, settle)
    row.state, row.sent_at, row.ticket_id = LedgerState.SENDING, now, ticket_id
    row.sends += 1
    return Claim(row.id, row.sends)


async def _ended_since(
    session: AsyncSession, account_id: int, email: str, read_at: datetime
) -> bool:
    """Tell whether undo ended a contact that a reading of the contacts was too early to show."""
    being_ended = and_(
        Ledger.state == LedgerState.RETIRING, Ledger.end_why.is_distinct_from(EndedBy.UNDO)
    )
    just_ended = and_(
        Ledger.state.in_((LedgerState.RETIRING, LedgerState.RETIRED)), Ledger.settled_at >= read_at
    )
    ended = select(func.count()).where(
        Ledger.account_id == account_id, Ledger.email == email, or_(being_ended, just_ended)
    )
    return bool((await session.execute(ended)).scalar_one())


async def being_ended(session: AsyncSession, contact_id: int, settle: timedelta) -> Pending | None:
    """Tell to wait where a contact of ours is about to be ended, or may still be.

    Until this transaction ends, none is announced. Whoever is at it is told that it is needed.
    """
    found = await session.execute(
        select(Ledger)
        .where(
            Ledger.contact_id == contact_id,
            Ledger.state.in_((LedgerState.CREATED, LedgerState.RETIRING)),
        )
        .order_by(Ledger.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    now = await db_now(session)
    ending = [row for row in found.scalars() if row.state == LedgerState.RETIRING]
    for row in ending:
        row.needed_at = now
    ends = [row.settled_at for row in ending]
    latest = max((at for at in ends if at), default=None)
    under_way = latest is not None and latest + settle > now
    return Pending.since(latest, now, settle) if latest and under_way else None


async def new_outside(
    session: AsyncSession, account_id: int, sender_id: int | None, *, alone: bool = False
) -> tuple[int, int]:
    """Count the outside people of the last 24 hours: those of a sender, and all.

    Refused ones count, too: a list of nonsense is no way round. Senders of an account who are no
    contacts share one count. alone: nobody else counts until this transaction ends.
    """
    if alone:
        await session.execute(select(func.pg_advisory_xact_lock(_COUNTING)))
    unknown = and_(Ledger.sender_id.is_(None), Ledger.account_id == account_id)
    mine = Ledger.sender_id == sender_id if sender_id else unknown
    counted = select(func.count().filter(mine), func.count()).where(
        Ledger.outside, Ledger.sent_at > func.now() - timedelta(hours=24)
    )
    by_sender, in_all = (await session.execute(counted)).one()
    return by_sender, in_all


async def record_sent(session: AsyncSession, claim: Claim, body: Mapping[str, object]) -> None:
    """Keep what is about to be written, to tell later whether a person has changed it since."""
    await session.execute(update(Ledger).where(Ledger.id == claim.id).values(sent=dict(body)))


async def created(session: AsyncSession, claim: Claim, contact_id: int) -> None:
    """Record that the request created a contact."""
    if not await _settle(session, claim, LedgerState.CREATED, contact_id=contact_id):
        known = await session.get(Ledger, claim.id)
        if known is None or known.contact_id != contact_id:
            log.error("created_after_it_was_given_up", ledger=claim.id, contact=contact_id)


async def refused(session: AsyncSession, claim: Claim, error: str, *, left: bool = True) -> None:
    """Record that the request definitely created nothing: the address is free.

    left: it was Autotask that refused it. What never left does not count as brought.
    """
    counts = {} if left else {"outside": False}
    await _settle(session, claim, LedgerState.REFUSED, error=error[:500], **counts)


async def unsure(session: AsyncSession, claim: Claim, error: str) -> None:
    """Record that the request got no definite answer."""
    await _settle(session, claim, LedgerState.UNSURE, error=error[:500])


async def _settle(
    session: AsyncSession, claim: Claim, state: LedgerState, **values: object
) -> bool:
    now = None if state is LedgerState.UNSURE else func.clock_timestamp()
    changed = await session.execute(
        update(Ledger)
        .where(Ledger.id == claim.id, Ledger.sends == claim.sends, Ledger.state.in_(_UNSETTLED))
        .values(state=state, settled_at=now, **values)
        .returning(Ledger.id)
    )
    return changed.scalar_one_or_none() is not None


async def recognise(
    session: AsyncSession,
    account_id: int,
    found: dict[str, list[Contact]],
    *,
    settle: timedelta,
    read_at: datetime,
) -> None:
    """Settle requests whose fate was unknown, by the contacts that now carry their addresses."""
    rows = await session.execute(
        select(Ledger)
        .where(
            Ledger.account_id == account_id,
            Ledger.email.in_(list(found)),
            Ledger.state.in_(_UNSETTLED),
        )
        .order_by(Ledger.id)
        .with_for_update()
    )
    for row in rows.scalars():
        ours = [c.id for c in found[row.email] if (c.note or "").startswith(_mark(row.id))]
        if ours:
            row.state, row.contact_id, row.settled_at = LedgerState.CREATED, min(ours), read_at
        elif found[row.email] and row.sent_at + settle < read_at:
            row.state, row.settled_at = LedgerState.REFUSED, read_at
            row.error = "the contact that carries the address is not of this request"


async def contacts_created_for(session: AsyncSession, ticket_id: int) -> set[int]:
    """Name the contacts that a ticket's looks created."""
    rows = await session.execute(
        select(Ledger.contact_id).where(
            Ledger.ticket_id == ticket_id, Ledger.state == LedgerState.CREATED
        )
    )
    return {contact_id for contact_id in rows.scalars() if contact_id is not None}


def _mark(ledger_id: int) -> str:
    return f"autotask-cc {ledger_id}:"
