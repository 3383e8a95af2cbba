"""Chores: reconciliation, the webhook, what all tools of the tenant use

Revision: 0005, after 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("watermark", sa.DateTime(timezone=True), nullable=True),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_reconciliation_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation")),
    )
    op.create_table(
        "webhook",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("webhook_id", sa.BigInteger(), nullable=True),
        sa.Column("guid", sa.Text(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_webhook_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_table(
        "retired_secrets",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_retired_secrets")),
    )
    op.add_column("tenant", sa.Column("username", sa.Text(), nullable=True))
    op.add_column("gate", sa.Column("silent", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("gate", sa.Column("tenant_used", sa.BigInteger(), nullable=True))
    op.add_column("gate", sa.Column("tenant_limit", sa.BigInteger(), nullable=True))
    op.add_column("gate", sa.Column("tenant_read_at", sa.DateTime(timezone=True), nullable=True))
    # Found by date when old ones are thinned out.
    op.create_index(op.f("ix_deliveries_received_at"), "deliveries", ["received_at"], unique=False)
    op.create_index(op.f("ix_looks_ended_at"), "looks", ["ended_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_looks_ended_at"), table_name="looks")
    op.drop_index(op.f("ix_deliveries_received_at"), table_name="deliveries")
    op.drop_column("gate", "tenant_read_at")
    op.drop_column("gate", "tenant_limit")
    op.drop_column("gate", "tenant_used")
    op.drop_column("gate", "silent")
    op.drop_column("tenant", "username")
    op.drop_table("retired_secrets")
    op.drop_table("webhook")
    op.drop_table("reconciliation")
