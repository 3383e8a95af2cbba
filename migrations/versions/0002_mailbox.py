"""Mailbox

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mailbox_gate",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("shut_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("times", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_mailbox_gate_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mailbox_gate")),
    )
    op.execute("INSERT INTO mailbox_gate (id) VALUES (1)")
    op.add_column("tickets", sa.Column("by_mail", sa.Boolean(), nullable=True))
    op.add_column("tickets", sa.Column("message_id", sa.Text(), nullable=True))
    op.add_column(
        "tickets",
        sa.Column(
            "waits_for_mailbox", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )


def downgrade() -> None:
    op.drop_column("tickets", "waits_for_mailbox")
    op.drop_column("tickets", "message_id")
    op.drop_column("tickets", "by_mail")
    op.drop_table("mailbox_gate")
