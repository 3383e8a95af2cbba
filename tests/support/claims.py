"""Claims on one address in one account: made, settled, recognised."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from app.autotask.models import Contact
from app.db.database import Sessions, now
from app.db.states import LedgerState
from app.db.tables import Ledger
from app.records.ledger import creating
from app.records.ledger.common import Pending, Wanted
from app.records.ledger.creating import Claim, Created

EMAIL = "nina@radiology.example"
ACCOUNT, TICKET = 174, 7
SETTLE = timedelta(seconds=330)
SECOND = timedelta(seconds=1)
CONTACT = 30_001


async def claim(
    sessions: Sessions,
    *,
    read_at: datetime | None = None,
    ticket: int = TICKET,
    account: int = ACCOUNT,
    email: str = EMAIL,
) -> Claim | Created | Pending:
    """Claim the address; its contacts were read at `read_at`, by default now."""
    read_at = read_at or await now(sessions)
    async with sessions() as session, session.begin():
        wanted = Wanted(account, email, ticket)
        return await creating.claim(session, wanted, settle=SETTLE, read_at=read_at)


async def first_claim(sessions: Sessions) -> Claim:
    """Claim the address as the first."""
    claimed = await claim(sessions)
    assert isinstance(claimed, Claim)
    return claimed


async def settle(sessions: Sessions, one: Claim, state: LedgerState) -> None:
    """Record what became of a request."""
    async with sessions() as session, session.begin():
        if state is LedgerState.CREATED:
            await creating.created(session, one, CONTACT)
        elif state is LedgerState.REFUSED:
            await creating.refused(session, one, "Autotask said no")
        elif state is LedgerState.UNSURE:
            await creating.unsure(session, one, "no answer")


async def ledger_rows(sessions: Sessions) -> list[Ledger]:
    """Read the ledger."""
    async with sessions() as session:
        return list((await session.execute(select(Ledger).order_by(Ledger.id))).scalars())


def contact(note: str, n: int = 0) -> Contact:
    """Return a contact with the address and this note."""
    return Contact.model_validate(
        {"id": CONTACT + n, "companyID": ACCOUNT, "isActive": 1, "emailAddress": EMAIL}
        | {"note": note}
    )


async def recognise(sessions: Sessions, *notes: str, read_at: datetime | None = None) -> Ledger:
    """Settle the ledger's one row by contacts with these notes, and return it."""
    found = [contact(note, n) for n, note in enumerate(notes)]
    read_at = read_at or await now(sessions)
    async with sessions() as session, session.begin():
        await creating.recognise(session, ACCOUNT, {EMAIL: found}, settle=SETTLE, read_at=read_at)
    [row] = await ledger_rows(sessions)
    return row
