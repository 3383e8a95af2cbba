"""What readings did not show, and whether Autotask still signs with a replaced secret

Revision: 0009, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "absences",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("of", sa.BigInteger(), nullable=False),
        sa.Column("ref", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("readings", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "of", "ref", name=op.f("pk_absences")),
    )
    at = sa.DateTime(timezone=True)
    for name in ("since", "proved_at", "used_at"):
        op.add_column("retired_secrets", sa.Column(name, at, nullable=True))


def downgrade() -> None:
    for name in ("used_at", "proved_at", "since"):
        op.drop_column("retired_secrets", name)
    op.drop_table("absences")
