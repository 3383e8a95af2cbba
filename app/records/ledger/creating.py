"""Create a contact once: a row for each contact that we created or are creating.

The row commits as `sending` before the request leaves. Without a definite answer no look creates
that address in that account until Autotask can no longer carry the request out. Then the contacts
are read, inactive ones included, and only then it is created. See
docs/decisions/0002-creating-once.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.autotask.models import Contact
from app.db.database import db_now
from app.db.states import OPEN, UNSETTLED, LedgerState
from app.db.tables import Ledger
from app.records.ledger.common import FIRST_WAIT, Pending, Wanted, blank_forgotten, is_taken

log = structlog.get_logger()

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send one create request."""

    id: int
    """Number of the ledger's row; the contact's note carries it."""
    sends: int
    """How many requests were sent for this row, this one included."""
    token: str | None = None
    """What no one else can know who writes a note like ours on another contact."""

    def mark(self, ticket_number: str | None) -> str:
        """Return the note by which people and we recognise the contact; at most 50 characters."""
        return f"{_mark(self.id, self.token)} Cc of {ticket_number or 'a ticket'}"[:50]


@dataclass(frozen=True, slots=True)
class Created:
    """The contact was created since the contacts were read."""

    contact_id: int


async def claim(
    session: AsyncSession, wanted: Wanted, *, settle: timedelta, read_at: datetime
) -> Claim | Created | Pending:
    """Claim an address that no contact carried when the contacts were read, at `read_at`.

    settle: how long an unanswered request may still take effect.
    """
    for _ in range(_ROUNDS):
        now = await db_now(session)
        token = secrets.token_hex(3)
        row = insert(Ledger).values(
            state=LedgerState.SENDING, sent_at=now, token=token, **wanted.columns()
        )
        new = await session.execute(row.on_conflict_do_nothing().returning(Ledger.id))
        claimed = new.scalar_one_or_none()
        if claimed is not None:
            if pending := await _ended_since(session, wanted, read_at, now):
                await session.execute(delete(Ledger).where(Ledger.id == claimed))
                return pending
            return Claim(claimed, 1, token)
        rows = await session.execute(
            select(Ledger)
            .where(Ledger.account_id == wanted.account_id, Ledger.email == wanted.email)
            .where(Ledger.state.in_(OPEN))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        other = rows.scalar_one_or_none()
        if other is not None:
            answer = _take_over(other, wanted.ticket_id, now, settle, read_at)
            await session.flush()
            if answer is not None:
                return answer
    return Pending(now + FIRST_WAIT)  # a state that this version does not know


def _take_over(
    row: Ledger, ticket_id: int, now: datetime, settle: timedelta, read_at: datetime
) -> Claim | Created | Pending | None:
    """Take over the address's row, or wait for it. Return None if it is over now: claim anew."""
    if row.state == LedgerState.CREATED:
        assert row.contact_id is not None
        if _is_news(row, settle, read_at):
            return Created(row.contact_id)
        row.state, row.settled_at = LedgerState.GONE, now
        return None
    if row.state == LedgerState.RESTORING or read_at <= row.sent_at + settle:
        return Pending.since(row.sent_at, now, settle)
    row.state, row.sent_at, row.ticket_id = LedgerState.SENDING, now, ticket_id
    row.sends += 1
    return Claim(row.id, row.sends, row.token)


async def _ended_since(
    session: AsyncSession, wanted: Wanted, read_at: datetime, now: datetime
) -> Pending | None:
    """Wait if a contact is being ended, or was ended too late for the reading to show it."""
    just_ended = and_(Ledger.state == LedgerState.RETIRED, Ledger.settled_at >= read_at)
    rows = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == wanted.account_id, Ledger.email == wanted.email)
        .where(or_(Ledger.state == LedgerState.RETIRING, just_ended))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    waits = [
        Pending.for_ending(row, now)
        if row.state == LedgerState.RETIRING
        else Pending(now + FIRST_WAIT)
        for row in rows.scalars()
    ]
    await session.flush()
    return max(waits, key=lambda wait: wait.until, default=None)


async def begun(
    session: AsyncSession,
    account_id: int,
    emails: Collection[str],
    settle: timedelta,
    read_at: datetime,
) -> frozenset[str]:
    """Return those of these addresses that a claim now would not be the first of.

    Their contact is being created or brought back, or was created too late for the reading at
    `read_at` to show it. settle: as in `claim`.
    """
    rows = await session.execute(
        select(Ledger)
        .where(Ledger.account_id == account_id, Ledger.email.in_(list(emails)))
        .where(Ledger.state.in_(OPEN))
    )
    return frozenset(
        row.email
        for row in rows.scalars()
        if row.state != LedgerState.CREATED or _is_news(row, settle, read_at)
    )


def _is_news(row: Ledger, settle: timedelta, read_at: datetime) -> bool:
    """Return whether a contact was created too late to trust a reading that does not show it."""
    return row.settled_at is None or row.settled_at + settle >= read_at


async def record_sent(session: AsyncSession, claim: Claim, body: Mapping[str, object]) -> None:
    """Store the contact as it is about to be written, to see later what a person has changed."""
    await session.execute(update(Ledger).where(Ledger.id == claim.id).values(sent=dict(body)))


async def created(session: AsyncSession, claim: Claim, contact_id: int) -> None:
    """Record that the request created a contact."""
    if not await _settle(session, claim, state=LedgerState.CREATED, contact_id=contact_id):
        known = await session.get(Ledger, claim.id)
        if known is None or known.contact_id != contact_id:
            log.error("created_after_it_was_given_up", ledger=claim.id, contact=contact_id)


async def refused(session: AsyncSession, claim: Claim, error: str, *, left: bool = True) -> None:
    """Record that the request definitely created no contact: the address is free.

    left: Autotask refused it. A request that never left does not count as a new person.
    """
    counts = {} if left else {"outside": False, "inside": False}
    await _settle(session, claim, state=LedgerState.REFUSED, error=error[:500], **counts)


async def unsure(session: AsyncSession, claim: Claim, error: str) -> None:
    """Record that the request got no definite answer."""
    await _settle(session, claim, state=LedgerState.UNSURE, error=error[:500])


async def _settle(
    session: AsyncSession, claim: Claim, *, state: LedgerState, **values: object
) -> bool:
    now = None if state is LedgerState.UNSURE else func.clock_timestamp()
    changed = await session.execute(
        update(Ledger)
        .where(Ledger.id == claim.id, Ledger.sends == claim.sends, Ledger.state.in_(UNSETTLED))
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
    """Settle requests whose fate was unknown, by the contacts that carry their addresses now.

    A request that was refused may have taken effect all the same: its contact has its mark.
    """
    of_account = Ledger.account_id == account_id, Ledger.email.in_(list(found))
    for states in (UNSETTLED, (LedgerState.REFUSED,)):
        rows = await session.execute(
            select(Ledger)
            .where(*of_account, Ledger.state.in_(states))
            .order_by(Ledger.id)
            .with_for_update()
        )
        for row in rows.scalars():
            await _recognise(session, row, found[row.email], settle=settle, read_at=read_at)


async def _recognise(
    session: AsyncSession,
    row: Ledger,
    contacts: Sequence[Contact],
    *,
    settle: timedelta,
    read_at: datetime,
) -> None:
    was_refused = row.state == LedgerState.REFUSED
    ours = [
        contact.id
        for contact in contacts
        if (contact.note or "").startswith(_mark(row.id, row.token))
    ]
    if ours and not (was_refused and await is_taken(session, row)):
        row.state, row.contact_id, row.settled_at = LedgerState.CREATED, min(ours), read_at
        row.error = None
        await session.flush()
        if was_refused:
            log.warning("created_though_refused", ledger=row.id, contact=row.contact_id)
    elif not ours and not was_refused and contacts and row.sent_at + settle < read_at:
        row.state, row.settled_at = LedgerState.REFUSED, read_at
        row.error = "the contact that carries the address is not of this request"


async def never_created(session: AsyncSession, row: Ledger) -> None:
    """Record that an unanswered create had no effect, unless it was sent again since."""
    await session.execute(
        update(Ledger)
        .where(Ledger.id == row.id, Ledger.sends == row.sends, Ledger.state.in_(UNSETTLED))
        .values(state=LedgerState.REFUSED, settled_at=func.clock_timestamp(), end_at=None)
    )
    await blank_forgotten(session, Ledger.id == row.id)


async def standing(session: AsyncSession, account_id: int, keys: Sequence[str]) -> dict[str, int]:
    """Return the contacts that we created for these addresses and that stand."""
    rows = await session.execute(
        select(Ledger.email, Ledger.contact_id)
        .where(Ledger.account_id == account_id, Ledger.email.in_(list(keys)))
        .where(Ledger.state == LedgerState.CREATED)
    )
    return {email: contact_id for email, contact_id in rows if contact_id is not None}


async def contacts_created_for(session: AsyncSession, ticket_id: int) -> set[int]:
    """Return the contacts that looks at the ticket created."""
    rows = await session.execute(
        select(Ledger.contact_id).where(
            Ledger.ticket_id == ticket_id, Ledger.state == LedgerState.CREATED
        )
    )
    return {contact_id for contact_id in rows.scalars() if contact_id is not None}


def _mark(ledger_id: int, token: str | None) -> str:
    # Rows of earlier versions have no token.
    return f"autotask-cc {ledger_id}-{token}:" if token else f"autotask-cc {ledger_id}:"
