"""Forgetting an address on request: what is deleted, what is blanked, and what has to stay. SQL.

From then on line 2 of the table ignores the address in every account, and its alias stands where
it stood: on tickets, so that nothing ignored is silent, in the history of the ledger and in the
audit. Deleted are its mappings, what was kept of contacts that carry it, and its entries in
policies. What stays: the SHA-256 by which it is known again; in the ledger what we wrote of a
contact that we created, or may have created, because that contact can only be ended as long as it
is known what we wrote; contacts at Autotask, which are the MSP's own records. A look that was
under way can leave something for half a minute: forgetting twice is allowed, and cleans that, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Text, case, cast, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import LedgerState, Outcome
from app.db.tables import AccountPolicy, Audit, Ledger, Mapping, Participant, TicketContact
from app.decide import Reason, Verdict
from app.due import work
from app.records import forgotten

_STANDS = (
    LedgerState.SENDING,
    LedgerState.UNSURE,
    LedgerState.CREATED,
    LedgerState.RETIRING,
    LedgerState.RESTORING,
)
_LISTS = ("allowed", "denied")


@dataclass(frozen=True, slots=True)
class Forgot:
    """How much was deleted or blanked: tickets, mappings, and policies that listed the address."""

    tickets: int
    mappings: int
    policies: int


async def forget(session: AsyncSession, key: str) -> Forgot:
    """Forget an address in all accounts, for good."""
    alias = forgotten.alias(key)
    # Tickets first: whoever looks at one of them holds it before he stores anything.
    tickets = await _blank_on_tickets(session, key, alias)
    await forgotten.forget(session, key)
    mappings = await session.execute(
        delete(Mapping).where(Mapping.email == key).returning(Mapping.account_id)
    )
    await session.execute(delete(TicketContact).where(TicketContact.addresses.contains([key])))
    await session.execute(
        update(Ledger)
        .where(Ledger.email == key, Ledger.state.not_in(_STANDS))
        .values(email=alias, sent=None, error=None)
    )
    listed = await _take_out_of_policies(session, key)
    await _blank_in_audit(session, key, alias)
    return Forgot(tickets, len(mappings.all()), listed)


async def _blank_on_tickets(session: AsyncSession, key: str, alias: str) -> int:
    """Blank who it was and keep what was done; what is still to be done, or held, is ignored."""
    its = Participant.key == key
    found = await session.execute(select(Participant.ticket_id).where(its))
    tickets = list(found.scalars())
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


async def _take_out_of_policies(session: AsyncSession, key: str) -> int:
    document = AccountPolicy.document
    found = await session.execute(
        select(AccountPolicy)
        .where(or_(*(document[name].has_key(key) for name in _LISTS)))
        .order_by(AccountPolicy.account_id)
        .with_for_update()
    )
    rows = list(found.scalars())
    for row in rows:
        said = {name: row.document[name] for name in _LISTS if name in row.document}
        kept = {name: [one for one in entries if one != key] for name, entries in said.items()}
        row.document = row.document | kept
    return len(rows)


async def _blank_in_audit(session: AsyncSession, key: str, alias: str) -> None:
    detail, quoted = cast(Audit.detail, Text), json.dumps(key, ensure_ascii=False)
    blanked = cast(func.replace(detail, quoted, json.dumps(alias)), JSONB)
    await session.execute(
        update(Audit)
        .where(func.strpos(detail, quoted) > 0)
        .values(detail=blanked)
        .execution_options(synchronize_session=False)
    )
