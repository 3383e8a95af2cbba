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

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import Chore, Priority
from app.db.tables import Ledger
from app.due import work
from app.records import audit, forgotten, mappings, policies, rejections
from app.records.ledger import ending
from app.records.ledger.common import blank_forgotten


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
    tickets = await rejections.blank(session, key, alias)
    await forgotten.remember(session, key)
    mapped = await mappings.delete_of_address(session, key)
    if not keep_contacts:
        await ending.order_forgotten(session, key)
        await work.want(session, work.CHORE, Chore.RETIRE, timedelta(0), Priority.LIVE)
    # After the order, which waits for a contact that is being ended at this moment.
    await blank_forgotten(session, Ledger.email == key)
    listed = await policies.take_off_lists(session, key)
    await audit.blank(session, key, alias)
    return Forgot(tickets, mapped, listed)
