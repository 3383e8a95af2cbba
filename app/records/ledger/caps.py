"""Count the new people of a day: of one sender and the people that it brought, of an account, all.

A person counts when the create is announced, or the bringing back of a contact that was ended. A
person that Autotask refused counts, too, so that a list of nonsense is no way round the caps. An
approved person does not, nor one whose request never left.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.tables import Ledger
from app.decide import Brought
from app.decide.policy import Side

UNKNOWN = 0
"""Who answers for tickets without a contact, in each account; no contact has this id."""

DAY = timedelta(hours=24)

_COUNTING = 20_261_123  # the number of an advisory lock; no other lock has it
_ANSWERS = timedelta(days=30)  # so long a contact answers for a person that it brought


@dataclass(frozen=True, slots=True)
class Sender:
    """Who brings people to a ticket."""

    account_id: int
    contact_id: int | None
    """The ticket's contact."""
    chain_id: int
    """The contact who answers for that contact."""


def answers() -> ColumnElement[int]:
    """Return the contact who answers for a row; rows of earlier versions name the sender only."""
    return func.coalesce(Ledger.chain_id, Ledger.sender_id, UNKNOWN)


async def chain_of(session: AsyncSession, sender_id: int | None) -> int:
    """Return the contact who answers for the people that a sender brings.

    It is the contact in whose mail the sender was copied when we created the sender's contact, or
    who answered for that contact. Otherwise one sender could bring many by letting those that it
    brought write in their turn. A contact that was created a month ago answers for itself.
    """
    if not sender_id:
        return UNKNOWN
    brought_by = await session.execute(
        select(answers())
        .where(Ledger.contact_id == sender_id, Ledger.sent_at > func.now() - _ANSWERS)
        .order_by(Ledger.id.desc())
        .limit(1)
    )
    chain_id = brought_by.scalar_one_or_none()
    return sender_id if chain_id is None else chain_id


async def brought(
    session: AsyncSession, sender: Sender, whose: Side, *, alone: bool = False
) -> Brought:
    """Count the new people of one side of the last 24 hours.

    alone: lock out other counts until this transaction ends.
    """
    if alone:
        await session.execute(select(func.pg_advisory_xact_lock(_COUNTING)))
    its_own = Ledger.account_id == sender.account_id
    chain = answers() == sender.chain_id
    # Tickets without a contact share one count in each account.
    of_sender = and_(chain, its_own) if sender.chain_id == UNKNOWN else chain
    if sender.contact_id:
        of_sender = or_(of_sender, Ledger.sender_id == sender.contact_id)
    counts = Ledger.outside if whose == "outside" else Ledger.inside
    counted = select(func.count().filter(of_sender), func.count().filter(its_own), func.count())
    row = (await session.execute(counted.where(counts, Ledger.sent_at > func.now() - DAY))).one()
    return Brought(*row)
