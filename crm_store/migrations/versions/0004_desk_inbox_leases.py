"""What a surface told us is worked off by several processes: in order within a subject, one process a row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("desk_posts", sa.Column("detail", sa.Text(), server_default="", nullable=False))
    op.add_column("desk_inbox", sa.Column("subject", sa.String(120), server_default="", nullable=False))
    op.add_column("desk_inbox", sa.Column("due_at", sa.BigInteger(), nullable=True))
    op.add_column("desk_inbox", sa.Column("lease_owner", sa.String(80), nullable=True))
    op.add_column("desk_inbox", sa.Column("lease_until", sa.BigInteger(), nullable=True))
    waiting = sa.text("done_at IS NULL")
    op.create_index(
        "ix_desk_inbox_subject",
        "desk_inbox",
        ["surface", "subject", "id"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def downgrade() -> None:
    """Not offered: a rollback of the code lives with the newer schema (schema_info.min_code)."""
