"""Calls: the tenant, slots, counts, and what stops calls."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, PrimaryKeyConstraint, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import At, Big, Count, Now, Str


class Tenant(Base):
    """The one Autotask tenant that this database belongs to."""

    __tablename__ = "tenant"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    api_url: Mapped[Str]
    web_url: Mapped[Str | None]
    username: Mapped[Str | None]  # of the API user with which the address was found
    bound_at: Mapped[Now]


class Gate(Base):
    """The one row that every call to Autotask passes: it serialises them, and it can be shut."""

    __tablename__ = "gate"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    shut_until: Mapped[At | None]
    code: Mapped[Str | None]  # what Autotask refuses us, until that call succeeds
    reason: Mapped[Str | None]
    since: Mapped[At | None]
    call: Mapped[Str | None]  # whose success ends it; null: any call's
    times: Mapped[Count]  # how often in a row the gate was shut
    probe: Mapped[Str | None]  # the slot's holder that tries whether it may open
    credentials: Mapped[Str | None]  # a keyed hash of those that the latest start had
    paused_at: Mapped[At | None]
    paused_by: Mapped[Str | None]  # the key that paused all writes
    silent: Mapped[Count]  # calls in a row without an answer
    tenant_used: Mapped[Big | None]  # calls of all the tenant's tools, as Autotask told last
    tenant_limit: Mapped[Big | None]  # calls an hour that they may make
    tenant_read_at: Mapped[At | None]


class MailboxGate(Base):
    """The one row that every reading of the mailbox passes: why it fails, until one succeeds."""

    __tablename__ = "mailbox_gate"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    shut_until: Mapped[At | None]
    code: Mapped[Str | None]
    reason: Mapped[Str | None]
    since: Mapped[At | None]
    times: Mapped[Count]


class Slot(Base):
    """A request to an entity under way, until its holder releases the slot or it expires."""

    __tablename__ = "slots"
    __table_args__ = (PrimaryKeyConstraint("entity", "n"),)
    entity: Mapped[Str]
    n: Mapped[int] = mapped_column(SmallInteger)
    holder: Mapped[Str]
    expires_at: Mapped[At]
    writes: Mapped[bool] = mapped_column(server_default=text("false"))
    # The lease with which it ends; null: it ends by itself.
    kind: Mapped[Str | None]
    ref: Mapped[Big | None]
    attempt: Mapped[Big | None]
    backend: Mapped[Big | None]  # the process's connection to PostgreSQL


class RefusedCall(Base):
    """A kind of call that was refused: a right is missing, or something in between answered."""

    __tablename__ = "refused_calls"
    __table_args__ = (PrimaryKeyConstraint("code", "call", "about"),)
    code: Mapped[Str]
    call: Mapped[Str]
    about: Mapped[Str]  # the account, or the record; empty: whatever it is about
    since: Mapped[At]
    last_at: Mapped[At]
    until: Mapped[At | None]  # until when no such call leaves
    times: Mapped[Count]
    reason: Mapped[Str]
    probe: Mapped[Big | None]  # the ticket that tries again for all
    # Whether it has succeeded elsewhere since.
    elsewhere: Mapped[bool] = mapped_column(server_default=text("false"))


class Calls(Base):
    """The number of calls that were made in one small part of the budget's window."""

    __tablename__ = "calls"
    since: Mapped[At] = mapped_column(primary_key=True)
    count: Mapped[Count]
