"""Accounts: what each allows; and who changed what."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import Big, Id, Now, Str


class AccountPolicy(Base):
    """What an account allows other than the default, as it was written down."""

    __tablename__ = "policies"
    account_id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_at: Mapped[Now]
    changed_by: Mapped[Str]


class Forgotten(Base):
    """An address that is never to be added again; its SHA-256, as the address is forgotten."""

    __tablename__ = "forgotten"
    digest: Mapped[Str] = mapped_column(primary_key=True)
    at: Mapped[Now]


class Audit(Base):
    """A change that somebody made. who: the name of the key, or `cli`. what: the action."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "account_id"), Index(None, "ticket_id"))
    id: Mapped[Id]
    at: Mapped[Now]
    who: Mapped[Str]
    what: Mapped[Str]
    account_id: Mapped[Big | None]
    ticket_id: Mapped[Big | None]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Loop(Base):
    """A mail loop that was broken: whose tickets, of how many of one subject, and when."""

    __tablename__ = "loops"
    id: Mapped[Id]
    account_id: Mapped[Big]
    contact_id: Mapped[Big]
    ticket_id: Mapped[Big]
    tickets: Mapped[int]
    at: Mapped[Now] = mapped_column(index=True)


class Note(Base):
    """A note on a ticket that we wrote or are writing. state: as in the ledger; error: why not."""

    __tablename__ = "notes"
    id: Mapped[Id]
    ticket_id: Mapped[Big] = mapped_column(index=True)
    state: Mapped[Str]
    digest: Mapped[Str]  # of what it says, so that nothing is said twice
    note_id: Mapped[Big | None]
    sent_at: Mapped[Now]
    error: Mapped[Str | None]
    error_code: Mapped[Str | None]  # of NoteError
