"""Chores: what is done from time to time, and what it found."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import At, Big, Count, Str


class Reconciliation(Base):
    """How far the tenant's tickets have been compared with ours.

    watermark: the greatest createDate that Autotask returned. floor: the newest ticket at the
    first start; what is older is history. reconciled_at: when a pass ended last. found: how many
    tickets it has made due that no callout had brought.
    """

    __tablename__ = "reconciliation"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    watermark: Mapped[At | None]
    floor: Mapped[Big]
    reconciled_at: Mapped[At]
    found: Mapped[Count]


class Webhook(Base):
    """Our webhook at Autotask, as it was read back last.

    code, detail: what is wrong with it, since when; null: nothing. checked_at: when it was read.
    """

    __tablename__ = "webhook"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    webhook_id: Mapped[Big | None]
    guid: Mapped[Str | None]
    checked_at: Mapped[At]
    code: Mapped[Str | None]
    detail: Mapped[Str | None]
    since: Mapped[At | None]


class RetiredSecret(Base):
    """A webhook secret that was rotated out; its digest, and until when it is still accepted."""

    __tablename__ = "retired_secrets"
    digest: Mapped[Str] = mapped_column(primary_key=True)
    until: Mapped[At]
