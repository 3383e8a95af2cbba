"""What chores found: comparison with Autotask, webhook, secrets; and what readings missed."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, PrimaryKeyConstraint, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import At, Big, Count, Str


class Reconciliation(Base):
    """How far the tenant's tickets have been compared with ours."""

    __tablename__ = "reconciliation"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    watermark: Mapped[At | None]  # the greatest createDate that Autotask returned
    floor: Mapped[Big]  # the newest ticket at the first start; older ones are history
    reconciled_at: Mapped[At]  # when a pass ended last
    found: Mapped[Count]  # tickets without a callout that were made due


class Webhook(Base):
    """Our webhook at Autotask, as it was read back last."""

    __tablename__ = "webhook"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    webhook_id: Mapped[Big | None]
    guid: Mapped[Str | None]
    checked_at: Mapped[At]
    code: Mapped[Str | None]  # what is wrong with it; null: nothing
    detail: Mapped[Str | None]
    since: Mapped[At | None]


class RetiredSecret(Base):
    """The digest of a webhook secret that was replaced, and until when it is still accepted."""

    __tablename__ = "retired_secrets"
    digest: Mapped[Str] = mapped_column(primary_key=True)
    until: Mapped[At]
    since: Mapped[At | None]  # when it was replaced; null: by a version before 0009
    proved_at: Mapped[At | None]  # when a callout came that was signed with the new one
    used_at: Mapped[At | None]  # when one came that was still signed with this one


class Absence(Base):
    """A record that Autotask did not show, though it was known or announced."""

    __tablename__ = "absences"
    __table_args__ = (PrimaryKeyConstraint("kind", "of", "ref"),)
    kind: Mapped[Str]  # of records.absences.Kind
    of: Mapped[Big]  # the ticket of a link; 0 for others
    ref: Mapped[Big]  # the record's id; of a link the contact's
    since: Mapped[At]  # the first reading that did not show it
    latest: Mapped[At]  # the last one
    readings: Mapped[int] = mapped_column(SmallInteger)
