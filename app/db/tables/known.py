"""What is good to know of a tenant, as it was read last; all processes share it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, PrimaryKeyConstraint, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import At, Big, Count, Str


class KnownFact(Base):
    """A fact of app/outbound/facts.py. No personal data."""

    __tablename__ = "known_facts"
    __table_args__ = (PrimaryKeyConstraint("name", "ref"),)
    name: Mapped[Str]
    ref: Mapped[Big] = mapped_column(autoincrement=False)  # the record that it is about, or 0
    version: Mapped[int] = mapped_column(SmallInteger)  # of the value's form
    value: Mapped[Any | None] = mapped_column(JSON)  # not JSONB, which takes no NUL in a label
    read_at: Mapped[At | None]  # when the value was asked for; null: there is none
    asked_at: Mapped[At] = mapped_column(server_default=func.now())
    again_at: Mapped[At | None]  # not asked before; null: when it is too old
    failing_since: Mapped[At | None]  # null: the latest reading succeeded
    times: Mapped[Count]  # how often in a row reading failed
    error: Mapped[Str | None]
