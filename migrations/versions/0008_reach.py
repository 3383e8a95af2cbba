"""How far a refusal reaches; slots that end with a lease; which credentials were refused

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_AT = sa.DateTime(timezone=True)
_SLOTS: dict[str, sa.types.TypeEngine[object]] = {
    "kind": sa.Text(),
    "ref": sa.BigInteger(),
    "attempt": sa.BigInteger(),
    "backend": sa.BigInteger(),
}


def upgrade() -> None:
    op.create_table(
        "refused_calls",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("since", _AT, nullable=False),
        sa.Column("last_at", _AT, nullable=False),
        sa.Column("until", _AT, nullable=True),
        sa.Column("times", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("probe", sa.BigInteger(), nullable=True),
        sa.Column("elsewhere", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("code", "call", "about", name=op.f("pk_refused_calls")),
    )
    for name, kind in _SLOTS.items():
        op.add_column("slots", sa.Column(name, kind, nullable=True))
    op.add_column("gate", sa.Column("probe", sa.Text(), nullable=True))
    op.add_column("gate", sa.Column("credentials", sa.Text(), nullable=True))
    # Writes are named by what they do now: only the success of the same call ends a refusal.
    op.execute("UPDATE gate SET call = 'create ' || substr(call, 7) WHERE call LIKE 'write %'")


def downgrade() -> None:
    op.execute("UPDATE gate SET call = 'write ' || substr(call, 8) WHERE call LIKE 'create %'")
    op.drop_column("gate", "credentials")
    op.drop_column("gate", "probe")
    for name in reversed(_SLOTS):
        op.drop_column("slots", name)
    op.drop_table("refused_calls")
