"""Due work: what it waits for; tickets: how far their part of the mailbox has been read

Revision: 0011, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("due", sa.Column("waits_for", sa.Text(), nullable=True))
    op.add_column("due", sa.Column("waits_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("due", sa.Column("vain", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("tickets", sa.Column("mailbox_position", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("tickets", "mailbox_position")
    op.drop_column("due", "vain")
    op.drop_column("due", "waits_since")
    op.drop_column("due", "waits_for")
