"""What people say of somebody who is held: approved or rejected, on a ticket or for good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pydantic import ValidationError
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Outcome, Priority
from app.db.tables import Participant, TicketRecord
from app.decide import Reason, Verdict
from app.decide.policy import PolicyDocument
from app.records import audit, policies, tickets

_OBSERVED = (
    "The ticket was first decided on in observe mode, which is for good: nobody is added to it. "
    "The account's policy, once it is live, is for new tickets."
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Somebody's word about people who are held.

    account: where the person was seen to be held, None if that was not said. always: put the
    address, or all of its domain, on the account's list `allowed` or `denied`.
    """

    who: str
    approved: bool
    account: int | None = None
    always: Literal["address", "domain"] | None = None


class CannotJudge(Exception):
    """Nobody is waiting to be judged there, or not any more; the text says how it stands."""


async def judge(
    session: AsyncSession, participant_id: int, word: Judgement, default: PolicyDocument
) -> tuple[Participant, str | None] | None:
    """Approve or reject somebody who is held, and give them and the ticket's number.

    None: there is no such participant. default: what accounts inherit. Raises CannotJudge, upon
    which the transaction must not commit.
    """
    of = select(Participant.ticket_id).where(Participant.id == participant_id)
    ticket_id = (await session.execute(of)).scalar_one_or_none()
    if ticket_id is None:
        return None
    # With the lock on the due row no look and no other judge gets in between.
    await tickets.want(session, ticket_id, timedelta(0), Priority.URGENT)
    found = await session.execute(
        select(Participant, TicketRecord.number, TicketRecord.account_id, TicketRecord.observed)
        .join(TicketRecord, TicketRecord.id == Participant.ticket_id)
        .where(Participant.id == participant_id)
        .with_for_update(of=Participant)
    )
    row, number, account_id, observed = found.one()
    _require_held(row, account_id, word.account)
    if word.approved and observed:
        raise CannotJudge(_OBSERVED)
    reason = row.reason
    _write(row, word)
    if word.always:
        await _say_always(session, row, word, default)
    audit.record(
        session,
        word.who,
        "participant_approved" if word.approved else "participant_rejected",
        account_id=row.account_id,
        ticket_id=ticket_id,
        participant=row.id,
        email=row.key,
        reason=reason,
        always=word.always,
    )
    await session.flush()
    await session.refresh(row)
    return row, number


async def held_in(
    session: AsyncSession, account_id: int, reason: Reason | None, limit: int, *, approved: bool
) -> list[int]:
    """List who is held in an account, ticket by ticket.

    approved: they are to be approved; who has been and is held all the same, as the ticket is
    full, is left out, and so is who cannot be, as the ticket is observed.
    """
    query = (
        select(Participant.id)
        .join(TicketRecord, TicketRecord.id == Participant.ticket_id)
        .where(
            Participant.outcome == Outcome.HELD,
            Participant.account_id == account_id,
            TicketRecord.account_id == account_id,
        )
        .order_by(Participant.ticket_id, Participant.position, Participant.id)
        .limit(limit)
    )
    if reason is not None:
        query = query.where(Participant.reason == reason)
    if approved:
        before = Participant.approved_by.is_not(None)
        query = query.where(or_(~before, Participant.judged_account != account_id))
        query = query.where(~TicketRecord.observed)
    return list((await session.execute(query)).scalars())


async def look_anew(session: AsyncSession, account_id: int, entry: str) -> None:
    """Make the tickets of an account due on which others are held whom a list now speaks of."""
    ends = (Participant.key.endswith(f"{by}{entry}", autoescape=True) for by in "@.")
    waiting = await session.execute(
        select(Participant.ticket_id)
        .where(Participant.outcome == Outcome.HELD, Participant.account_id == account_id)
        .where(or_(Participant.key == entry, *ends))
        .distinct()
        .order_by(Participant.ticket_id)
    )
    for ticket_id in waiting.scalars():
        await tickets.want(session, ticket_id, timedelta(0), Priority.LIVE)


def _require_held(row: Participant, account_id: int | None, seen_in: int | None) -> None:
    if row.outcome != Outcome.HELD or row.decision != Verdict.HOLD:
        by = f"approved by {row.approved_by}" if row.approved_by else None
        by = f"rejected by {row.rejected_by}" if row.rejected_by else by
        state = ", ".join(filter(None, [f"reason {row.reason}", by]))
        raise CannotJudge(f"Not held now, but {row.outcome or 'being worked on'}: {state}.")
    if account_id != row.account_id:
        raise CannotJudge(
            f"Held in account {row.account_id}, and the ticket has moved to {account_id} since: "
            f"POST /admin/tickets/{row.ticket_id}/process decides anew for that account."
        )
    if seen_in not in (None, account_id):
        raise CannotJudge(f"Held ({row.reason}) in account {account_id} now, not in {seen_in}.")


def entry_of(key: str, word: Judgement) -> str:
    """Give what a word for good puts on a list: the address, or its domain."""
    return key.rpartition("@")[2] if word.always == "domain" else key


def _write(row: Participant, word: Judgement) -> None:
    """Store a word. An approval is acted on by the next look; a rejection is the end of it."""
    now = func.clock_timestamp()
    row.approved_by = word.who if word.approved else None
    row.rejected_by = None if word.approved else word.who
    row.judged_at, row.judged_account = now, row.account_id
    row.outcome, row.detail, row.failures, row.retry_at = None, None, 0, None
    if not word.approved:
        row.decision, row.reason = Verdict.IGNORE, Reason.REJECTED
        row.outcome, row.decided_at, row.acted_at = Outcome.IGNORED, now, now


async def _say_always(
    session: AsyncSession, row: Participant, word: Judgement, default: PolicyDocument
) -> None:
    entry = entry_of(row.key, word)
    level: Literal["allowed", "denied"] = "allowed" if word.approved else "denied"
    try:
        old, new = await policies.put_on_list(
            session, row.account_id, entry, level, default, word.who
        )
    except ValidationError:
        raise CannotJudge(
            f"Account {row.account_id}'s list `{level}` is full: shorten it with "
            f"PUT /admin/accounts/{row.account_id}/policy, or leave `always` out."
        ) from None
    audit.record(
        session,
        word.who,
        "policy_set",
        account_id=row.account_id,
        old=old.model_dump(mode="json", exclude_none=True),
        new=new.model_dump(mode="json", exclude_none=True),
    )
