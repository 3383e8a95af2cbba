"""Participants, links, mappings, and the ledger of contacts that we created."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    UniqueConstraint,
    and_,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from app.db.database import Base
from app.db.tables.columns import At, Big, Id, Now, Str


class TicketContact(Base):
    """The addresses of a contact that is the contact of tickets, as last read."""

    __tablename__ = "ticket_contacts"
    contact_id: Mapped[Big] = mapped_column(primary_key=True, autoincrement=False)
    addresses: Mapped[list[str]] = mapped_column(ARRAY(Text))
    read_at: Mapped[At]


class Participant(Base):
    """One address on one ticket, with our decision and its outcome.

    Approval, rejection and removal are facts about the account that the ticket was in at the time.
    """

    __tablename__ = "participants"
    __table_args__ = (UniqueConstraint("ticket_id", "key"), Index(None, "key"))
    id: Mapped[Id]
    ticket_id: Mapped[Big]
    key: Mapped[Str]  # the address, or the token itself where it is not an address
    name: Mapped[Str]
    position: Mapped[int]
    account_id: Mapped[Big]
    decision: Mapped[Str]
    reason: Mapped[Str]
    outcome: Mapped[Str | None] = mapped_column(index=True)
    contact_id: Mapped[Big | None]
    detail: Mapped[Str | None]  # what is wrong with the token, or Autotask's own words
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    retry_at: Mapped[At | None]
    decided_at: Mapped[At]
    acted_at: Mapped[At | None]
    muted: Mapped[bool | None]  # whether the contact is set to get no mail
    approved_by: Mapped[Str | None]
    rejected_by: Mapped[Str | None]
    judged_at: Mapped[At | None]
    judged_account: Mapped[Big | None]
    removed_account: Mapped[Big | None]  # a person took the contact off in this account
    carried_from: Mapped[Big | None]  # the ticket that was merged into this one


class LinkRecord(Base):
    """A contact that is, was or is about to be an additional contact of a ticket."""

    __tablename__ = "links"
    __table_args__ = (PrimaryKeyConstraint("ticket_id", "contact_id"), Index(None, "contact_id"))
    ticket_id: Mapped[Big]
    contact_id: Mapped[Big]
    account_id: Mapped[Big]
    ours: Mapped[bool] = mapped_column(server_default=text("false"))  # our link took effect
    sent_at: Mapped[At | None]  # our intent; a definite refusal clears it
    first_seen_linked_at: Mapped[At | None]  # first seen on the ticket since the last intent
    removed_seen_at: Mapped[At | None]  # a person took the contact off
    unlinked_at: Mapped[At | None]  # we took it off, or are about to
    link_id: Mapped[Big | None]  # at Autotask; another id is a link that a person made
    end_why: Mapped[Str | None]  # why it is to come off, whatever the list contains

    @hybrid_property
    def unanswered(self) -> bool:
        """Whether the link was not seen since it was last requested.

        A link that was seen before that request left is no answer to it.
        """
        seen = self.first_seen_linked_at
        return self.sent_at is not None and (seen is None or seen < self.sent_at)

    @unanswered.inplace.expression
    @classmethod
    def _unanswered(cls) -> ColumnElement[bool]:
        seen = cls.first_seen_linked_at
        return and_(cls.sent_at.is_not(None), or_(seen.is_(None), seen < cls.sent_at))

    def may_come(self, settled_since: datetime) -> bool:
        """Return whether a request for the link may still take effect.

        A request that left before `settled_since` cannot.
        """
        return self.unanswered and self.sent_at is not None and self.sent_at >= settled_since

    def is_among(self, rows: Collection[int]) -> bool:
        """Return whether this link is among the contact's links at Autotask, given by their ids.

        Any id counts where our link's own id is not known.
        """
        return bool(rows) and (self.link_id is None or self.link_id in rows)

    @classmethod
    def stands(cls) -> ColumnElement[bool]:
        """Return whether the contact is on the ticket by our records, or may still come."""
        sent_or_seen = or_(cls.sent_at.is_not(None), cls.first_seen_linked_at.is_not(None))
        return and_(cls.unlinked_at.is_(None), cls.removed_seen_at.is_(None), sent_or_seen)

    @classmethod
    def may_be_ours(cls) -> ColumnElement[bool]:
        """Return whether we made the link, or may have.

        A contact that a person took off and put on again is on the ticket by that person's will.
        """
        return and_(cls.removed_seen_at.is_(None), or_(cls.ours, cls.sent_at.is_not(None)))


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
    muted: Mapped[bool | None]  # whether the contact is set to get no mail, as last seen


class Ledger(Base):
    """One row per contact that we created or are creating. Settled rows are history."""

    __tablename__ = "ledger"
    __table_args__ = (
        Index(
            "uq_ledger_one_of_ours",
            "account_id",
            "email",
            unique=True,
            postgresql_where=text("state IN ('sending', 'unsure', 'created', 'restoring')"),
        ),
        CheckConstraint(
            "state NOT IN ('created', 'gone') OR contact_id IS NOT NULL", name="contact"
        ),
        Index("ix_ledger_outside", "sent_at", postgresql_where=text("outside")),
        Index("ix_ledger_inside", "sent_at", postgresql_where=text("inside")),
    )
    id: Mapped[Id]
    account_id: Mapped[Big]
    email: Mapped[Str]
    ticket_id: Mapped[Big]
    state: Mapped[Str]
    contact_id: Mapped[Big | None] = mapped_column(index=True)
    sent: Mapped[dict[str, Any] | None] = mapped_column(JSONB)  # the contact as we wrote it
    sends: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    sent_at: Mapped[At]  # when the request last left
    settled_at: Mapped[At | None]
    """When its fate was known, or the state last changed. None while it is being retired: a version
    before 0007 deactivated it, or may have, with its address."""
    error: Mapped[Str | None]
    error_code: Mapped[Str | None]  # of LedgerError: what kept the contact from being retired
    # Counts among the new people from outside, or inside, of the day of sent_at.
    outside: Mapped[bool] = mapped_column(server_default=text("false"))
    inside: Mapped[bool] = mapped_column(server_default=text("false"))
    sender_id: Mapped[Big | None]  # the ticket's contact, who brought the person
    chain_id: Mapped[Big | None]  # the contact who answers for the sender; 0: not known
    token: Mapped[Str | None]  # in the contact's note, so that no one else can write that note
    lifetime: Mapped[Str | None]  # `inside` or `outside`, whose policy said: for its tickets only
    end_why: Mapped[Str | None]  # why it is, or was, ended
    end_at: Mapped[At | None]  # when its ending is considered next
    kept: Mapped[Str | None]  # why it is left to a person, and never ended by itself
    needed_at: Mapped[At | None]  # when a ticket wanted it during its ending
    unsure_until: Mapped[At | None]  # how long an unanswered request of its ending may take effect
    address_until: Mapped[At | None]  # how long an unanswered request may set its address
    freed_at: Mapped[At | None]  # when it was last taken off a ticket that had moved
