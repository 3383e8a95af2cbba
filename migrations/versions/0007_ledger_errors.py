"""Ledger: what keeps a contact from being retired, as a code

Revision: 0007, after 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ledger", sa.Column("error_code", sa.Text(), nullable=True))
    op.execute("UPDATE ledger SET error_code = 'forbidden' WHERE error LIKE 'forbidden: %'")
    # An undo of the version before deactivated at once. Its request may have taken effect, so the
    # contact is activated again before it is retired step by step.
    op.execute(
        "UPDATE ledger SET unsure_until = settled_at"
        " WHERE state = 'retiring' AND end_why = 'undo' AND unsure_until IS NULL"
    )


def downgrade() -> None:
    op.execute(
        "UPDATE ledger SET end_why = 'undo'"
        " WHERE end_why = 'forgotten' AND state IN ('retiring', 'retired')"
    )
    op.execute("UPDATE ledger SET end_why = NULL WHERE end_why = 'forgotten'")
    op.drop_column("ledger", "error_code")
