"""People: on tickets, in accounts, and those that we created."""

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
    Update,
    and_,
    or_,
    text,
    update,
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
    """One address on one ticket, with our decision and what came of it.

    key is the address, or the token itself where it is not one. detail: in more words, what is
    wrong with the token, or what Autotask said. muted: the contact is set to get no mail. approved
    and rejected, by whom, are facts about the account that the ticket was in then, as is
    removed_account: a person took the address off there. carried_from: the ticket that was merged
    into this one.
    """

    __tablename__ = "participants"
    __table_args__ = (UniqueConstraint("ticket_id", "key"), Index(None, "key"))
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
    muted: Mapped[bool | None]
    approved_by: Mapped[Str | None]
    rejected_by: Mapped[Str | None]
    judged_at: Mapped[At | None]
    judged_account: Mapped[Big | None]
    removed_account: Mapped[Big | None]
    carried_from: Mapped[Big | None]


class LinkRecord(Base):
    """A contact that is, was or is being made an additional contact of a ticket.

    first_seen_linked_at: when it was first seen since it was last asked for.
    sent_at is our intent: it stands while a request of ours may still take effect and is cleared
    by a definite refusal. ours: a link of ours was seen to have taken effect. link_id: its id at
    Autotask; under another id the contact was put on again. unlinked_at: we took it off again.
    end_why: it is to come off, whatever the list says.
    """

    __tablename__ = "links"
    __table_args__ = (PrimaryKeyConstraint("ticket_id", "contact_id"), Index(None, "contact_id"))
    ticket_id: Mapped[Big]
    contact_id: Mapped[Big]
    account_id: Mapped[Big]
    ours: Mapped[bool] = mapped_column(server_default=text("false"))
    sent_at: Mapped[At | None]
    first_seen_linked_at: Mapped[At | None]
    removed_seen_at: Mapped[At | None]
    unlinked_at: Mapped[At | None]
    link_id: Mapped[Big | None]
    end_why: Mapped[Str | None]

    @hybrid_property
    def unanswered(self) -> bool:
        """Whether the last request for it may still take effect, unless too much time has passed.

        What was seen before that request left says nothing about it.
        """
        seen = self.first_seen_linked_at
        return self.sent_at is not None and (seen is None or seen < self.sent_at)

    @unanswered.inplace.expression
    @classmethod
    def _unanswered(cls) -> ColumnElement[bool]:
        seen = cls.first_seen_linked_at
        return and_(cls.sent_at.is_not(None), or_(seen.is_(None), seen < cls.sent_at))

    def may_come(self, settled_since: datetime) -> bool:
        """Tell whether it may still come. settled_since: what left before then will not."""
        return self.unanswered and self.sent_at is not None and self.sent_at >= settled_since

    def is_among(self, rows: Collection[int]) -> bool:
        """Tell whether one of a contact's rows on the ticket is this link, as far as is known."""
        return bool(rows) and (self.link_id is None or self.link_id in rows)

    @classmethod
    def stands(cls) -> ColumnElement[bool]:
        """Whether it is there by our records, or may come."""
        sent_or_seen = or_(cls.sent_at.is_not(None), cls.first_seen_linked_at.is_not(None))
        return and_(cls.unlinked_at.is_(None), cls.removed_seen_at.is_(None), sent_or_seen)

    @classmethod
    def may_be_ours(cls) -> ColumnElement[bool]:
        """Whether we made it, or may have.

        Whom a person took off and put on again is on the ticket by a person's will.
        """
        return and_(cls.removed_seen_at.is_(None), or_(cls.ours, cls.sent_at.is_not(None)))

    def update(self) -> Update:
        """Change this link's row."""
        return update(LinkRecord).where(
            LinkRecord.ticket_id == self.ticket_id, LinkRecord.contact_id == self.contact_id
        )


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
    """One row per contact that we created or are creating. Settled rows are history.

    sent is what was written, sent_at when the request left last, settled_at when its fate was
    known. outside: somebody from outside the account, whom sender_id, the ticket's contact,
    brought.

    lifetime: `inside` or `outside`, where the policy for these said that the contact is for its
    tickets only. end_why: why it is, or was, ended; end_at: when it is considered next. kept: why
    it is never ended by itself. needed_at: when a ticket wanted it that was about to be ended.
    unsure_until: how long a request that got no answer while it was ended may still take effect.
    freed_at: when it was last taken off a ticket that had moved to another account.
    """

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
    outside: Mapped[bool] = mapped_column(server_default=text("false"))
    sender_id: Mapped[Big | None]
    lifetime: Mapped[Str | None]
    end_why: Mapped[Str | None]
    end_at: Mapped[At | None]
    kept: Mapped[Str | None]
    needed_at: Mapped[At | None]
    unsure_until: Mapped[At | None]
    freed_at: Mapped[At | None]
