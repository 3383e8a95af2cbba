"""Policies of accounts, forgotten addresses, audit, mail loops, notes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import Big, Id, Now, Str


class AccountPolicy(Base):
    """The own policy of an account, as it was stored."""

    __tablename__ = "policies"
    account_id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed_at: Mapped[Now]
    changed_by: Mapped[Str]


class Forgotten(Base):
    """The SHA-256 of an address that is never added again: the address itself is forgotten."""

    __tablename__ = "forgotten"
    digest: Mapped[Str] = mapped_column(primary_key=True)
    at: Mapped[Now]


class Audit(Base):
    """A change that a person or the service made."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "account_id"), Index(None, "ticket_id"))
    id: Mapped[Id]
    at: Mapped[Now]
    who: Mapped[Str]  # the name of the key, `cli` or `service`
    what: Mapped[Str]  # the action
    account_id: Mapped[Big | None]
    ticket_id: Mapped[Big | None]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Loop(Base):
    """A mail loop that was broken: the contact, its tickets of one subject, and when."""

    __tablename__ = "loops"
    id: Mapped[Id]
    account_id: Mapped[Big]
    contact_id: Mapped[Big]
    ticket_id: Mapped[Big]
    tickets: Mapped[int]
    at: Mapped[Now] = mapped_column(index=True)


class Note(Base):
    """A note on a ticket that we wrote or are writing."""

    __tablename__ = "notes"
    id: Mapped[Id]
    ticket_id: Mapped[Big] = mapped_column(index=True)
    state: Mapped[Str]  # as in the ledger
    digest: Mapped[Str]  # of its content, so that none is written twice
    note_id: Mapped[Big | None]
    sent_at: Mapped[Now]
    error: Mapped[Str | None]  # why it was not written
    error_code: Mapped[Str | None]  # of NoteError
