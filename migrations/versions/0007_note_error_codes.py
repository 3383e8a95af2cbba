"""Notes: why one was not written, as a code

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
    op.add_column("notes", sa.Column("error_code", sa.Text(), nullable=True))
    op.execute(
        "UPDATE notes SET error_code = CASE"
        " WHEN error LIKE 'forbidden: %' THEN 'forbidden'"
        " WHEN error LIKE 'TICKET\\_NOTE\\_PUBLISH %' THEN 'wrong_setting'"
        " WHEN error = 'it got no answer, and is not among the ticket''s notes' THEN 'no_answer'"
        " END WHERE state = 'refused'"
    )


def downgrade() -> None:
    op.drop_column("notes", "error_code")
