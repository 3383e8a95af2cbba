"""Ledger and notes: why a request was not carried out, as a code

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
    op.add_column("notes", sa.Column("error_code", sa.Text(), nullable=True))
    op.add_column("ledger", sa.Column("address_until", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE ledger SET error_code = 'forbidden' WHERE error LIKE 'forbidden: %'")
    op.execute(
        "UPDATE notes SET error_code = CASE"
        " WHEN error LIKE 'forbidden: %' THEN 'forbidden'"
        " WHEN error LIKE 'TICKET\\_NOTE\\_PUBLISH %' THEN 'wrong_setting'"
        " WHEN error = 'it got no answer, and is not among the ticket''s notes' THEN 'no_answer'"
        " END WHERE state = 'refused'"
    )
    # An undo of the version before deactivated at once, and left the address: Autotask refuses its
    # mail. The chore retires such contacts anew, as settled_at is NULL. unsure_until is set if the
    # deactivation had no answer; otherwise a contact that is active was activated by a person.
    op.execute(
        "UPDATE ledger SET state = 'retiring', settled_at = NULL, end_at = now(), kept = NULL,"
        " unsure_until = CASE WHEN state = 'retiring' THEN coalesce(settled_at, sent_at) END"
        " WHERE end_why = 'undo'"
        " AND (state = 'retiring' OR state = 'retired' AND sent IS NOT NULL)"
    )
    # Which request got no answer is not on record: perhaps one that sets the address.
    op.execute("UPDATE ledger SET address_until = unsure_until WHERE state = 'retiring'")


def downgrade() -> None:
    op.execute(
        "UPDATE ledger SET end_why = 'undo'"
        " WHERE end_why = 'forgotten' AND state IN ('retiring', 'retired')"
    )
    op.execute("UPDATE ledger SET end_why = NULL WHERE end_why = 'forgotten'")
    op.drop_column("ledger", "address_until")
    op.drop_column("notes", "error_code")
    op.drop_column("ledger", "error_code")
