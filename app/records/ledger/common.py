"""What creating, ending and restoring share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.states import OPEN, STANDING, EndedBy, WaitsFor
from app.db.tables import Ledger
from app.decide.policy import Side
from app.records import audit, forgotten

IF_FORGOTTEN = case((Ledger.end_why == EndedBy.FORGOTTEN, Ledger.end_why))
"""The end_why of a contact that stays for now: only a forgotten address still ends it."""

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=2), timedelta(minutes=10)
"""How long to wait at least, and at most, for a request or an ending that is under way."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request is under way, or its fate is unknown: look again at `until`."""

    until: datetime
    ends: datetime | None = None
    """When the request can no longer take effect."""

    waits_for: WaitsFor = WaitsFor.REQUEST

    @classmethod
    def since(cls, sent_at: datetime, now: datetime, settle: timedelta) -> Pending:
        """Wait as long as it has taken so far: most requests take effect at once or soon."""
        waited = max(now - sent_at, FIRST_WAIT)
        settled_at = max(sent_at + settle, now) + timedelta(milliseconds=100)
        return cls(min(now + waited, settled_at), settled_at)

    @classmethod
    def for_ending(cls, row: Ledger, now: datetime) -> Pending:
        """Record that a ticket wants a contact that is being retired, and wait.

        Each time as long again as it was wanted, so that an ending that is stuck uses up few calls.
        """
        row.needed_at = row.needed_at or now
        waited = min(max(now - row.needed_at, FIRST_WAIT), LONGEST_WAIT)
        return cls(now + waited, waits_for=WaitsFor.ENDING)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address that a ticket wants a contact for."""

    account_id: int
    email: str
    ticket_id: int
    counts_as: Side | None = None
    """Among which new people of the day it counts, see caps.brought; None: among none."""
    sender_id: int | None = None
    """The ticket's contact, who brings the person."""
    chain_id: int | None = None
    """The contact who answers for the sender, see caps.chain_of."""
    lifetime: str | None = None
    """`inside` or `outside`: whose lifetime the contact has; None: it is permanent."""

    def columns(self) -> dict[str, object]:
        """Return the values of the row, by column."""
        values: dict[str, object] = asdict(self)
        whose = values.pop("counts_as")
        return values | {"outside": whose == "outside", "inside": whose == "inside"}


async def is_taken(session: AsyncSession, row: Ledger) -> bool:
    """Return whether we have another contact for the address by now."""
    others = select(Ledger.id).where(
        Ledger.account_id == row.account_id,
        Ledger.email == row.email,
        Ledger.id != row.id,
        Ledger.state.in_(OPEN),
    )
    return (await session.execute(others)).first() is not None


async def blank_forgotten(session: AsyncSession, *rows: ColumnElement[bool]) -> None:
    """Blank forgotten addresses in those of these rows whose contact does not carry them."""
    await session.execute(
        update(Ledger)
        .where(*rows, Ledger.state.not_in(STANDING), forgotten.is_forgotten(Ledger.email))
        .values(email=forgotten.alias_of(Ledger.email), sent=None, error=None)
    )


def audit_by_service(session: AsyncSession, row: Ledger, what: str, **more: str) -> None:
    """Record in the audit what the service did by itself."""
    audit.record(
        session,
        audit.SERVICE,
        what,
        account_id=row.account_id,
        ticket_id=row.ticket_id,
        contact_id=row.contact_id,
        **more,
    )
