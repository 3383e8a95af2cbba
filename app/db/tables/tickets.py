"""Tickets: callouts, due work, what is known of each, and its looks."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, SmallInteger, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import At, Big, Count, Id, Now, Str


class Delivery(Base):
    """One callout that Autotask posted; of its body only the digest is kept."""

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
    """How many callouts of a kind came that nothing was to be done about."""

    __tablename__ = "callout_counts"
    kind: Mapped[Str] = mapped_column(primary_key=True)
    count: Mapped[Count]
    last_at: Mapped[Now]


class Due(Base):
    """What needs a look. A row stays when the look is over, with due_at null.

    wanted counts the triggers, done those that a finished look has covered. attempt is raised at
    every claim and never reset: with holder it fences out a worker that was taken for dead.
    tries counts the claims since the work was first wanted, less those that only had to wait;
    deaths those of them whose holder died.
    """

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
    since: Mapped[Now]
    priority: Mapped[int] = mapped_column(SmallInteger)
    wanted: Mapped[Count]
    done: Mapped[Count]
    attempt: Mapped[Count]
    tries: Mapped[Count]
    deaths: Mapped[Count]
    holder: Mapped[Str | None]
    lease_until: Mapped[At | None]


class Worker(Base):
    """A worker process, as long as it says that it lives."""

    __tablename__ = "workers"
    id: Mapped[Str] = mapped_column(primary_key=True)
    started_at: Mapped[Now]
    seen_at: Mapped[Now] = mapped_column(index=True)


class TicketRecord(Base):
    """What we know of a ticket. observed: it was first decided on in observe mode, and stays so.

    over_at: since when it was seen to be complete, or gone. origin_account: the customer account
    that it was in when people were first decided about. created_at: at Autotask. stem: a digest of
    its subject, without what replies add. merged_into: the ticket that it was merged into.
    """

    __tablename__ = "tickets"
    __table_args__ = (Index(None, "contact_id", "stem"),)
    id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[Str | None]
    account_id: Mapped[Big | None] = mapped_column(index=True)
    contact_id: Mapped[Big | None]
    result: Mapped[Str | None] = mapped_column(index=True)
    note: Mapped[Str | None]  # why the result is what it is, or what the last look waits for
    first_seen_at: Mapped[Now] = mapped_column(index=True)
    looked_at: Mapped[At | None]
    by_mail: Mapped[bool | None]  # whether it may have come by mail; null before the first look
    message_id: Mapped[Str | None]  # of the message that its list was read from
    # Whether the last look had no list, and could not ask the mailbox.
    waits_for_mailbox: Mapped[bool] = mapped_column(server_default=text("false"))
    observed: Mapped[bool] = mapped_column(server_default=text("false"))
    over_at: Mapped[At | None]
    origin_account: Mapped[Big | None]
    created_at: Mapped[At | None]
    stem: Mapped[Str | None]
    merged_into: Mapped[Big | None]


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
