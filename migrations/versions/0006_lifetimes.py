"""Lifetimes: contacts for their tickets only, tickets that end, move and merge, and mail loops

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, dict[str, sa.types.TypeEngine[object]]] = {
    "tickets": {
        "over_at": sa.DateTime(timezone=True),
        "origin_account": sa.BigInteger(),
        "created_at": sa.DateTime(timezone=True),
        "stem": sa.Text(),
        "merged_into": sa.BigInteger(),
    },
    "participants": {"removed_account": sa.BigInteger(), "carried_from": sa.BigInteger()},
    "links": {"end_why": sa.Text()},
    "ledger": {
        "lifetime": sa.Text(),
        "end_why": sa.Text(),
        "end_at": sa.DateTime(timezone=True),
        "kept": sa.Text(),
        "needed_at": sa.DateTime(timezone=True),
        "unsure_until": sa.DateTime(timezone=True),
        "freed_at": sa.DateTime(timezone=True),
    },
}
_ONE = "uq_ledger_one_of_ours"


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    op.create_table(
        "loops",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("contact_id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("tickets", sa.Integer(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loops")),
    )
    op.create_index(op.f("ix_loops_at"), "loops", ["at"], unique=False)
    op.create_index(op.f("ix_links_contact_id"), "links", ["contact_id"], unique=False)
    op.create_index(
        op.f("ix_tickets_contact_id_stem"), "tickets", ["contact_id", "stem"], unique=False
    )
    _one_of_ours("'sending', 'unsure', 'created', 'restoring'")
    # What was decided before tickets were followed: where each was then.
    op.execute(
        "UPDATE tickets SET origin_account = account_id WHERE account_id IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM participants WHERE participants.ticket_id = tickets.id)"
    )
    op.execute("UPDATE tickets SET over_at = looked_at WHERE result IN ('complete', 'gone')")
    op.execute("UPDATE ledger SET end_why = 'undo' WHERE state IN ('retiring', 'retired')")
    op.execute(
        "UPDATE participants SET removed_account = account_id WHERE reason = 'removed_by_person'"
    )


def downgrade() -> None:
    op.execute("UPDATE ledger SET state = 'created' WHERE state = 'restoring'")
    _one_of_ours("'sending', 'unsure', 'created'")
    op.drop_index(op.f("ix_tickets_contact_id_stem"), table_name="tickets")
    op.drop_index(op.f("ix_links_contact_id"), table_name="links")
    op.drop_index(op.f("ix_loops_at"), table_name="loops")
    op.drop_table("loops")
    for table, columns in _COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)


def _one_of_ours(states: str) -> None:
    op.drop_index(_ONE, table_name="ledger")
    op.create_index(
        _ONE,
        "ledger",
        ["account_id", "email"],
        unique=True,
        postgresql_where=sa.text(f"state IN ({states})"),
    )
