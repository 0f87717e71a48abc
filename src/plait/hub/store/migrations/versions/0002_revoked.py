"""What was taken back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of credentials that were taken back."""
    op.create_table(
        "revoked",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("credential", sa.Text, nullable=False),
        sa.Column("time", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
