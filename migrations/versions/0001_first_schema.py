"""First schema

Revision: 0001, after nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "callout_counts",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_callout_counts")),
    )
    op.create_table(
        "calls",
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("since", name=op.f("pk_calls")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("guid", sa.Text(), nullable=True),
        sa.Column("entity_type", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("sequence_number", sa.BigInteger(), nullable=True),
        sa.Column("event_time", sa.Text(), nullable=True),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_entity_id"), "deliveries", ["entity_id"], unique=False)
    op.create_index(
        "uq_deliveries_identity",
        "deliveries",
        [
            "entity_type",
            "entity_id",
            "action",
            sa.literal_column("coalesce(guid, '')"),
            sa.literal_column("coalesce(sequence_number, -1)"),
            sa.literal_column("coalesce(event_time, '')"),
        ],
        unique=True,
    )
    op.create_table(
        "due",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ref", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("deaths", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(holder IS NULL) = (lease_until IS NULL)", name=op.f("ck_due_leased")),
        sa.PrimaryKeyConstraint("kind", "ref", name=op.f("pk_due")),
    )
    op.create_index(
        "ix_due_leased",
        "due",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("holder IS NOT NULL"),
    )
    op.create_index(
        "ix_due_waiting",
        "due",
        ["priority", "due_at"],
        unique=False,
        postgresql_where=sa.text("holder IS NULL"),
    )
    op.create_table(
        "gate",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("shut_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("call", sa.Text(), nullable=True),
        sa.Column("times", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_gate_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate")),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("sent", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("sends", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state NOT IN ('created', 'gone') OR contact_id IS NOT NULL",
            name=op.f("ck_ledger_contact"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.create_index(op.f("ix_ledger_contact_id"), "ledger", ["contact_id"], unique=False)
    op.create_index(
        "uq_ledger_one_of_ours",
        "ledger",
        ["account_id", "email"],
        unique=True,
        postgresql_where=sa.text("state IN ('sending', 'unsure', 'created')"),
    )
    op.create_table(
        "links",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("ours", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_seen_linked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("ticket_id", "contact_id", name=op.f("pk_links")),
    )
    op.create_table(
        "looks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "ended_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("again_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_looks")),
    )
    op.create_index(op.f("ix_looks_ticket_id"), "looks", ["ticket_id"], unique=False)
    op.create_table(
        "mappings",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "email", name=op.f("pk_mappings")),
    )
    op.create_index(op.f("ix_mappings_email"), "mappings", ["email"], unique=False)
    op.create_table(
        "participants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("failures", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_participants")),
        sa.UniqueConstraint("ticket_id", "key", name=op.f("uq_participants_ticket_id_key")),
    )
    op.create_index(op.f("ix_participants_outcome"), "participants", ["outcome"], unique=False)
    op.create_table(
        "slots",
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("n", sa.SmallInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("entity", "n", name=op.f("pk_slots")),
    )
    op.create_table(
        "tenant",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("api_url", sa.Text(), nullable=False),
        sa.Column("web_url", sa.Text(), nullable=True),
        sa.Column(
            "bound_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_tenant_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
    )
    op.create_table(
        "ticket_contacts",
        sa.Column("contact_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("addresses", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_ticket_contacts")),
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("contact_id", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "first_seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
    )
    op.create_index(op.f("ix_tickets_account_id"), "tickets", ["account_id"], unique=False)
    op.create_index(op.f("ix_tickets_first_seen_at"), "tickets", ["first_seen_at"], unique=False)
    op.create_index(op.f("ix_tickets_result"), "tickets", ["result"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_index(op.f("ix_workers_seen_at"), "workers", ["seen_at"], unique=False)
    op.execute("INSERT INTO gate (id) VALUES (1)")


def downgrade() -> None:
    op.drop_index(op.f("ix_workers_seen_at"), table_name="workers")
    op.drop_table("workers")
    op.drop_index(op.f("ix_tickets_result"), table_name="tickets")
    op.drop_index(op.f("ix_tickets_first_seen_at"), table_name="tickets")
    op.drop_index(op.f("ix_tickets_account_id"), table_name="tickets")
    op.drop_table("tickets")
    op.drop_table("ticket_contacts")
    op.drop_table("tenant")
    op.drop_table("slots")
    op.drop_index(op.f("ix_participants_outcome"), table_name="participants")
    op.drop_table("participants")
    op.drop_index(op.f("ix_mappings_email"), table_name="mappings")
    op.drop_table("mappings")
    op.drop_index(op.f("ix_looks_ticket_id"), table_name="looks")
    op.drop_table("looks")
    op.drop_table("links")
    op.drop_index(
        "uq_ledger_one_of_ours",
        table_name="ledger",
        postgresql_where=sa.text("state IN ('sending', 'unsure', 'created')"),
    )
    op.drop_index(op.f("ix_ledger_contact_id"), table_name="ledger")
    op.drop_table("ledger")
    op.drop_table("gate")
    op.drop_index("ix_due_waiting", table_name="due", postgresql_where=sa.text("holder IS NULL"))
    op.drop_index("ix_due_leased", table_name="due", postgresql_where=sa.text("holder IS NOT NULL"))
    op.drop_table("due")
    op.drop_index("uq_deliveries_identity", table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_entity_id"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_table("calls")
    op.drop_table("callout_counts")
