"""Which thing may use which without the hub."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "pairings",
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("thing", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("verbs", sa.LargeBinary, nullable=False),
        sa.Column("names", sa.LargeBinary),
        sa.Column("until", sa.Integer),
        sa.Column("lease", sa.Integer, nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
    )
