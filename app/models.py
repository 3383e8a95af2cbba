"""The tables. What is due stands apart from what is known about a ticket."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Identity,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base

Id = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
Big = Annotated[int, mapped_column(BigInteger)]
Str = Annotated[str, mapped_column(Text)]
At = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Now = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.now())]
Count = Annotated[int, mapped_column(BigInteger, server_default="0")]


class Tenant(Base):
    """The one Autotask tenant that this database belongs to."""

    __tablename__ = "tenant"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)
    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    api_url: Mapped[Str]
    web_url: Mapped[Str | None]
    bound_at: Mapped[Now]


class Delivery(Base):
    """One callout that Autotask posted; of its body only the digest is kept."""

    __tablename__ = "deliveries"
    id: Mapped[Id]
    received_at: Mapped[Now]
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
    """What we know of a ticket."""

    __tablename__ = "tickets"
    id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[Str | None]
    account_id: Mapped[Big | None] = mapped_column(index=True)
    contact_id: Mapped[Big | None]
    result: Mapped[Str | None] = mapped_column(index=True)
    note: Mapped[Str | None]  # why the result is what it is, or what the last look waits for
    first_seen_at: Mapped[Now] = mapped_column(index=True)
    looked_at: Mapped[At | None]


class Look(Base):
    """One pass of a worker over a ticket."""

    __tablename__ = "looks"
    id: Mapped[Id]
    ticket_id: Mapped[Big] = mapped_column(index=True)
    attempt: Mapped[Big]
    started_at: Mapped[At]
    ended_at: Mapped[Now]
    result: Mapped[Str | None]
    note: Mapped[Str | None]
    source: Mapped[Str | None]  # where the list was found
    again_at: Mapped[At | None]


class TicketContact(Base):
    """The addresses of a contact that is the contact of tickets, as last read."""

    __tablename__ = "ticket_contacts"
    contact_id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    addresses: Mapped[list[str]] = mapped_column(ARRAY(Text))
    read_at: Mapped[At]


class Participant(Base):
    """One address on one ticket, with our decision and what came of it.

    key is the address, or the token itself where it is not one. detail: in more words, what is
    wrong with the token, or what Autotask said.
    """

    __tablename__ = "participants"
    __table_args__ = (UniqueConstraint("ticket_id", "key"),)
    id: Mapped[Id]
    ticket_id: Mapped[Big]
    key: Mapped[Str]
    name: Mapped[Str]
    position: Mapped[int]
    account_id: Mapped[Big]
    decision: Mapped[Str]
    reason: Mapped[Str]
    outcome: Mapped[Str | None] = mapped_column(index=True)
    contact_id: Mapped[Big | None]
    detail: Mapped[Str | None]
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    retry_at: Mapped[At | None]
    decided_at: Mapped[At]
    acted_at: Mapped[At | None]


class LinkRecord(Base):
    """A contact that is, was or is being made an additional contact of a ticket.

    sent_at is our intent: it stands while a request of ours may still take effect and is cleared
    by a definite refusal. ours: a link of ours was seen to have taken effect.
    """

    __tablename__ = "links"
    __table_args__ = (PrimaryKeyConstraint("ticket_id", "contact_id"),)
    ticket_id: Mapped[Big]
    contact_id: Mapped[Big]
    account_id: Mapped[Big]
    ours: Mapped[bool] = mapped_column(server_default=text("false"))
    sent_at: Mapped[At | None]
    first_seen_linked_at: Mapped[At | None]
    removed_seen_at: Mapped[At | None]


class Mapping(Base):
    """Which contact an address means in an account."""

    __tablename__ = "mappings"
    __table_args__ = (PrimaryKeyConstraint("account_id", "email"), Index(None, "email"))
    account_id: Mapped[Big]
    email: Mapped[Str]
    contact_id: Mapped[Big]
    origin: Mapped[Str]
    created_at: Mapped[Now]
    verified_at: Mapped[At]


class Ledger(Base):
    """One row per contact that we created or are creating. Settled rows are history.

    sent is what was written, sent_at when the request left last, settled_at when its fate was
    known.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        Index(
            "uq_ledger_one_of_ours",
            "account_id",
            "email",
            unique=True,
            postgresql_where=text("state IN ('sending', 'unsure', 'created')"),
        ),
        CheckConstraint(
            "state NOT IN ('created', 'gone') OR contact_id IS NOT NULL", name="contact"
        ),
    )
    id: Mapped[Id]
    account_id: Mapped[Big]
    email: Mapped[Str]
    ticket_id: Mapped[Big]
    state: Mapped[Str]
    contact_id: Mapped[Big | None] = mapped_column(index=True)
    sent: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    sends: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    sent_at: Mapped[At]
    settled_at: Mapped[At | None]
    error: Mapped[Str | None]


class Gate(Base):
    """The one row that every call to Autotask passes: it serialises them, and it can be shut.

    The rest: what Autotask refuses us, since when and how often, until that call succeeds.
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


class Slot(Base):
    """A request to an entity that is in progress, until its holder releases it or it expires."""

    __tablename__ = "slots"
    __table_args__ = (PrimaryKeyConstraint("entity", "n"),)
    entity: Mapped[Str]
    n: Mapped[int] = mapped_column(SmallInteger)
    holder: Mapped[Str]
    expires_at: Mapped[At]


class Calls(Base):
    """How many calls left in one small part of the budget's window."""

    __tablename__ = "calls"
    since: Mapped[At] = mapped_column(primary_key=True)
    count: Mapped[Count]
