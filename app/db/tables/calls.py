"""Calls: to whom, how many, and what forbids them."""

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
    username: Mapped[Str | None]  # of the API user by whom the address was found
    bound_at: Mapped[Now]


class Gate(Base):
    """The one row that every call to Autotask passes: it serialises them, and it can be shut.

    paused_by: who has stopped all writes. silent: how many calls in a row got no answer. tenant_:
    how many calls of how many an hour all of the tenant's tools had made when Autotask said so
    last. The rest: what Autotask refuses us, since when and how often, until that call succeeds.
    """

    __tablename__ = "gate"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    shut_until: Mapped[At | None]
    code: Mapped[Str | None]
    reason: Mapped[Str | None]
    since: Mapped[At | None]
    call: Mapped[Str | None]
    times: Mapped[Count]
    paused_at: Mapped[At | None]
    paused_by: Mapped[Str | None]
    silent: Mapped[Count]
    tenant_used: Mapped[Big | None]
    tenant_limit: Mapped[Big | None]
    tenant_read_at: Mapped[At | None]


class MailboxGate(Base):
    """The one row that every reading of the mailbox passes.

    What keeps us from it, since when and how often, until a reading succeeds.
    """

    __tablename__ = "mailbox_gate"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    shut_until: Mapped[At | None]
    code: Mapped[Str | None]
    reason: Mapped[Str | None]
    since: Mapped[At | None]
    times: Mapped[Count]


class Slot(Base):
    """A request to an entity that is in progress, until its holder releases it or it expires."""

    __tablename__ = "slots"
    __table_args__ = (PrimaryKeyConstraint("entity", "n"),)
    entity: Mapped[Str]
    n: Mapped[int] = mapped_column(SmallInteger)
    holder: Mapped[Str]
    expires_at: Mapped[At]
    writes: Mapped[bool] = mapped_column(server_default=text("false"))


class Calls(Base):
    """How many calls left in one small part of the budget's window."""

    __tablename__ = "calls"
    since: Mapped[At] = mapped_column(primary_key=True)
    count: Mapped[Count]
