"""The ids of links, to tell ours from one that a person made again

Revision: 0004, after 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("link_id", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "link_id")
