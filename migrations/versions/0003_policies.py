"""Policies, people who were judged, notes, audit

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("ticket_id", sa.BigInteger(), nullable=True),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_account_id"), "audit", ["account_id"], unique=False)
    op.create_index(op.f("ix_audit_ticket_id"), "audit", ["ticket_id"], unique=False)
    op.create_table(
        "forgotten",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_forgotten")),
    )
    op.create_table(
        "notes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("note_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "sent_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
    )
    op.create_index(op.f("ix_notes_ticket_id"), "notes", ["ticket_id"], unique=False)
    op.create_table(
        "policies",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_policies")),
    )
    op.add_column("gate", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("gate", sa.Column("paused_by", sa.Text(), nullable=True))
    op.add_column(
        "ledger",
        sa.Column("outside", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("ledger", sa.Column("sender_id", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_ledger_outside",
        "ledger",
        ["sent_at"],
        unique=False,
        postgresql_where=sa.text("outside"),
    )
    op.add_column("links", sa.Column("unlinked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("mappings", sa.Column("muted", sa.Boolean(), nullable=True))
    op.add_column("participants", sa.Column("muted", sa.Boolean(), nullable=True))
    op.add_column("participants", sa.Column("approved_by", sa.Text(), nullable=True))
    op.add_column("participants", sa.Column("rejected_by", sa.Text(), nullable=True))
    op.add_column("participants", sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("participants", sa.Column("judged_account", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_participants_key"), "participants", ["key"], unique=False)
    op.add_column(
        "slots", sa.Column("writes", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column(
        "tickets",
        sa.Column("observed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("tickets", "observed")
    op.drop_column("slots", "writes")
    op.drop_index(op.f("ix_participants_key"), table_name="participants")
    op.drop_column("participants", "judged_account")
    op.drop_column("participants", "judged_at")
    op.drop_column("participants", "rejected_by")
    op.drop_column("participants", "approved_by")
    op.drop_column("participants", "muted")
    op.drop_column("mappings", "muted")
    op.drop_column("links", "unlinked_at")
    op.drop_index("ix_ledger_outside", table_name="ledger", postgresql_where=sa.text("outside"))
    op.drop_column("ledger", "sender_id")
    op.drop_column("ledger", "outside")
    op.drop_column("gate", "paused_by")
    op.drop_column("gate", "paused_at")
    op.drop_table("policies")
    op.drop_index(op.f("ix_notes_ticket_id"), table_name="notes")
    op.drop_table("notes")
    op.drop_table("forgotten")
    op.drop_index(op.f("ix_audit_ticket_id"), table_name="audit")
    op.drop_index(op.f("ix_audit_account_id"), table_name="audit")
    op.drop_table("audit")
