"""Tickets: callouts, due work, the tickets themselves, and their looks."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, SmallInteger, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import At, Big, Count, Id, Now, Str


class Delivery(Base):
    """One callout that Autotask posted and we stored; only the digest of its body is kept."""

    __tablename__ = "deliveries"
    id: Mapped[Id]
    received_at: Mapped[Now] = mapped_column(index=True)
    guid: Mapped[Str | None]
    entity_type: Mapped[Str]
    entity_id: Mapped[Big] = mapped_column(index=True)
    action: Mapped[Str]
    sequence_number: Mapped[Big | None]
    event_time: Mapped[Str | None]
    body_sha256: Mapped[Str]


# "Nulls not distinct" in a form that PostgreSQL 14 has, too.
Index(
    "uq_deliveries_identity",
    Delivery.entity_type,
    Delivery.entity_id,
    Delivery.action,
    func.coalesce(Delivery.guid, text("''")),
    func.coalesce(Delivery.sequence_number, text("-1")),
    func.coalesce(Delivery.event_time, text("''")),
    unique=True,
)


class CalloutCount(Base):
    """How many callouts of a kind came that made no ticket due."""

    __tablename__ = "callout_counts"
    kind: Mapped[Str] = mapped_column(primary_key=True)
    count: Mapped[Count]
    last_at: Mapped[Now]


class Due(Base):
    """A ticket or a chore that is due. When its look is over the row stays, with due_at null."""

    __tablename__ = "due"
    __table_args__ = (
        PrimaryKeyConstraint("kind", "ref"),
        CheckConstraint("(holder IS NULL) = (lease_until IS NULL)", name="leased"),
        Index("ix_due_waiting", "priority", "due_at", postgresql_where=text("holder IS NULL")),
        Index("ix_due_leased", "lease_until", postgresql_where=text("holder IS NOT NULL")),
    )
    kind: Mapped[Str]
    ref: Mapped[Big]
    due_at: Mapped[At | None]
    since: Mapped[Now]  # when it became due first, since it was last done
    priority: Mapped[int] = mapped_column(SmallInteger)
    wanted: Mapped[Count]  # triggers
    done: Mapped[Count]  # triggers that a finished look has covered
    # Raised at every claim and never reset: with holder it fences out a worker taken for dead.
    attempt: Mapped[Count]
    tries: Mapped[Count]  # claims since it became due, without those that only had to wait
    deaths: Mapped[Count]  # claims whose holder died
    waits_for: Mapped[Str | None]  # of WaitsFor: why its last look did not end its work
    waits_since: Mapped[At | None]  # since when its looks have ended for that reason
    vain: Mapped[Count]  # looks since it became due that had to wait, not on purpose
    holder: Mapped[Str | None]
    lease_until: Mapped[At | None]


class Worker(Base):
    """A worker process that is alive; seen_at: its last heartbeat."""

    __tablename__ = "workers"
    id: Mapped[Str] = mapped_column(primary_key=True)
    started_at: Mapped[Now]
    seen_at: Mapped[Now] = mapped_column(index=True)


class TicketRecord(Base):
    """What we know of a ticket."""

    __tablename__ = "tickets"
    __table_args__ = (Index(None, "contact_id", "stem"),)
    id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[Str | None]
    account_id: Mapped[Big | None] = mapped_column(index=True)
    contact_id: Mapped[Big | None]
    result: Mapped[Str | None] = mapped_column(index=True)
    note: Mapped[Str | None]  # why it has this result, or why it is due again
    first_seen_at: Mapped[Now] = mapped_column(index=True)
    looked_at: Mapped[At | None]
    by_mail: Mapped[bool | None]  # whether it may have come by mail; null before the first look
    message_id: Mapped[Str | None] = mapped_column(index=True)  # that its list was read from
    # Whether the last look found no list and could not ask the mailbox.
    waits_for_mailbox: Mapped[bool] = mapped_column(server_default=text("false"))
    # How far its part of the mailbox has been read, while that takes more than one look: times and
    # counts, see app/sources/window.py.
    mailbox_position: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    # Whether it was first decided on in observe mode; then it stays so.
    observed: Mapped[bool] = mapped_column(server_default=text("false"))
    over_at: Mapped[At | None]  # since when it is known to be complete or gone
    origin_account: Mapped[Big | None]  # in which participants were first decided about
    created_at: Mapped[At | None]  # at Autotask
    stem: Mapped[Str | None]  # a digest of its subject, without the prefixes of replies
    merged_into: Mapped[Big | None]  # the ticket's id


class Look(Base):
    """One pass of a worker over a ticket."""

    __tablename__ = "looks"
    id: Mapped[Id]
    ticket_id: Mapped[Big] = mapped_column(index=True)
    attempt: Mapped[Big]
    started_at: Mapped[At]
    ended_at: Mapped[Now] = mapped_column(index=True)
    result: Mapped[Str | None]
    note: Mapped[Str | None]
    source: Mapped[Str | None]  # where the list was found
    again_at: Mapped[At | None]
