"""Ledger: new people of an account's own domains count, too; who answers for whom; a token

Revision: 0012, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    no = sa.text("false")
    op.add_column("ledger", sa.Column("inside", sa.Boolean(), nullable=False, server_default=no))
    op.add_column("ledger", sa.Column("chain_id", sa.BigInteger(), nullable=True))
    op.add_column("ledger", sa.Column("token", sa.Text(), nullable=True))
    op.create_index("ix_ledger_inside", "ledger", ["sent_at"], postgresql_where=sa.text("inside"))
    op.create_index("ix_tickets_message_id", "tickets", ["message_id"])


def downgrade() -> None:
    op.drop_index("ix_tickets_message_id", "tickets")
    op.drop_index("ix_ledger_inside", "ledger")
    op.drop_column("ledger", "token")
    op.drop_column("ledger", "chain_id")
    op.drop_column("ledger", "inside")
