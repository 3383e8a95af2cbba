"""Forget an address on request: what is deleted, what is blanked, and what stays. SQL only.

From then on line 2 of the table ignores the address in every account, and its alias takes its
place: on tickets, so that each ignored person can be listed; in the history of the ledger; in the
audit. Its mappings, the stored addresses of contacts that carry it, and its entries in policies are
deleted. The contacts that we created for it are retired by the chore, unless they are to be kept.
What stays: the SHA-256 by which the address is recognised; and in the ledger the contact as we
wrote it, as long as the contact carries the address, because otherwise it could not be retired. A
look that was under way may store the address for half a minute: forget it again to delete that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Text, case, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Outcome, Priority
from app.db.tables import Audit, Participant
from app.decide import Reason, Verdict
from app.due import work
from app.due.work import Chore
from app.records import forgotten, mappings, policies
from app.records.ledger import ending


@dataclass(frozen=True, slots=True)
class Forgot:
    """How much was deleted or blanked."""

    tickets: int
    mappings: int
    policies: int
    """Policies that listed the address."""


async def forget(session: AsyncSession, key: str, *, keep_contacts: bool = False) -> Forgot:
    """Forget an address in all accounts, for good.

    keep_contacts: do not retire the contacts that we created for it.
    """
    alias = forgotten.alias(key)
    # Tickets first, as a look locks its ticket before it stores anything.
    tickets = await _blank_on_tickets(session, key, alias)
    await forgotten.remember(session, key)
    mapped = await mappings.delete_of_address(session, key)
    await ending.forget(session, key)
    if not keep_contacts:
        await ending.order_forgotten(session, key)
        await work.want(session, work.CHORE, Chore.RETIRE, timedelta(0), Priority.LIVE)
    listed = await policies.take_off_lists(session, key)
    await _blank_in_audit(session, key, alias)
    return Forgot(tickets, mapped, listed)


async def _blank_on_tickets(session: AsyncSession, key: str, alias: str) -> int:
    """Blank the address and keep what was done; what is pending or held is ignored from now on."""
    its = Participant.key == key
    rows = await session.execute(select(Participant.ticket_id).where(its))
    tickets = list(rows.scalars())
    await work.hold(session, work.TICKET, tickets)
    has_alias = select(Participant.ticket_id).where(Participant.key == alias)
    await session.execute(
        delete(Participant)
        .where(its, Participant.ticket_id.in_(has_alias))
        .execution_options(synchronize_session=False)
    )
    waits = Participant.outcome.is_(None) | (Participant.outcome == Outcome.HELD)
    await session.execute(
        update(Participant)
        .where(its)
        .values(
            key=alias,
            name="",
            detail=None,
            decision=Verdict.IGNORE,
            reason=Reason.FORGOTTEN,
            outcome=case((waits, Outcome.IGNORED), else_=Participant.outcome),
            failures=0,
            retry_at=None,
            decided_at=func.clock_timestamp(),
        )
        .execution_options(synchronize_session=False)
    )
    return len(tickets)


async def _blank_in_audit(session: AsyncSession, key: str, alias: str) -> None:
    detail, quoted = cast(Audit.detail, Text), json.dumps(key, ensure_ascii=False)
    blanked = cast(func.replace(detail, quoted, json.dumps(alias)), JSONB)
    await session.execute(
        update(Audit)
        .where(func.strpos(detail, quoted) > 0)
        .values(detail=blanked)
        .execution_options(synchronize_session=False)
    )
