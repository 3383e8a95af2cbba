"""Approve or reject a held participant, once or permanently. SQL only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from pydantic import ValidationError
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Outcome, Priority
from app.db.tables import Participant, TicketRecord
from app.decide import Reason, Verdict
from app.decide.policy import ListName, PolicyDocument
from app.records import audit, participants, policies, tickets

_OBSERVED = (
    "The ticket was first decided on in observe mode, which is for good: no one is added to it. "
    "The account's policy, once it is live, is for new tickets."
)


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's approval or rejection of participants who are held."""

    who: str
    approved: bool
    """False: rejected."""
    account: int | None = None
    """The account where the participant was seen to be held; None: any."""
    always: Literal["address", "domain"] | None = None
    """What to put on the account's list `allowed` or `denied`."""


class NotHeld(Exception):
    """The participant is not held there, or not any more; the message says how it stands."""


async def approve_or_reject(
    session: AsyncSession, participant_id: int, approval: Approval, default: PolicyDocument
) -> tuple[Participant, str | None] | None:
    """Approve or reject a participant who is held, and return it with the ticket's number.

    Return None if there is no such participant. default: the policy that accounts inherit. Raises
    NotHeld, upon which the transaction must not commit.
    """
    of = select(Participant.ticket_id).where(Participant.id == participant_id)
    ticket_id = (await session.execute(of)).scalar_one_or_none()
    if ticket_id is None:
        return None
    # With the lock on the due row no look and no other approval gets in between.
    await tickets.want(session, ticket_id, timedelta(0), Priority.URGENT)
    locked = await session.execute(
        select(Participant, TicketRecord.number, TicketRecord.account_id, TicketRecord.observed)
        .join(TicketRecord, TicketRecord.id == Participant.ticket_id)
        .where(Participant.id == participant_id)
        .with_for_update(of=Participant)
    )
    row, number, account_id, observed = locked.one()
    _require_held(row, account_id, approval.account)
    if approval.approved and observed:
        raise NotHeld(_OBSERVED)
    reason = row.reason
    participants.record_approval(row, approval.who, approved=approval.approved)
    if approval.always:
        await _put_on_list(session, row, approval, default)
    _audit(session, row, approval, reason)
    await session.flush()
    await session.refresh(row)
    return row, number


def _audit(session: AsyncSession, row: Participant, approval: Approval, reason: str) -> None:
    audit.record(
        session,
        approval.who,
        "participant_approved" if approval.approved else "participant_rejected",
        account_id=row.account_id,
        ticket_id=row.ticket_id,
        participant=row.id,
        email=row.key,
        reason=reason,
        always=approval.always,
    )


async def held_in(
    session: AsyncSession, account_id: int, reason: Reason | None, limit: int, *, approved: bool
) -> list[int]:
    """Return the ids of those who are held in an account, ticket by ticket.

    approved: they are to be approved. Then those are left out who were approved before and are
    held because the ticket is full, and those on tickets that are observed.
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


async def requeue_held(session: AsyncSession, account_id: int, entry: str) -> None:
    """Make the account's tickets due on which participants are held that a list's entry names."""
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
        raise NotHeld(f"Not held now, but {row.outcome or 'being worked on'}: {state}.")
    if account_id != row.account_id:
        raise NotHeld(
            f"Held in account {row.account_id}, and the ticket has moved to {account_id} since: "
            f"POST /admin/tickets/{row.ticket_id}/process decides anew for that account."
        )
    if seen_in not in (None, account_id):
        raise NotHeld(f"Held ({row.reason}) in account {account_id} now, not in {seen_in}.")


def entry_of(key: str, approval: Approval) -> str:
    """Return what a permanent approval puts on a list: the address, or its domain."""
    return key.rpartition("@")[2] if approval.always == "domain" else key


async def _put_on_list(
    session: AsyncSession, row: Participant, approval: Approval, default: PolicyDocument
) -> None:
    entry = entry_of(row.key, approval)
    name: ListName = "allowed" if approval.approved else "denied"
    try:
        old, new = await policies.put_on_list(
            session, row.account_id, entry, name, default, approval.who
        )
    except ValidationError:
        raise NotHeld(
            f"Account {row.account_id}'s list `{name}` is full: shorten it with "
            f"PUT /admin/accounts/{row.account_id}/policy, or leave `always` out."
        ) from None
    audit.record(
        session,
        approval.who,
        "policy_set",
        account_id=row.account_id,
        old=old.model_dump(mode="json", exclude_none=True),
        new=new.model_dump(mode="json", exclude_none=True),
    )
