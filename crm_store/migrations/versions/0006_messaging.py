"""Messaging: files still at their provider, messages that come in pieces, and what else a delivery carries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNFINISHED = "state IN ('waiting', 'fetching')"


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("carries", sa.Text(), nullable=True))
    op.create_table(
        "media",
        sa.Column("interaction_id", ID, nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, server_default=""),
        sa.Column("content_type", sa.String(120), nullable=False, server_default=""),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(80), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False, server_default=""),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("interaction_id", "position", name=op.f("pk_media")),
    )
    op.create_index(
        "ix_media_due",
        "media",
        ["due_at"],
        sqlite_where=sa.text(UNFINISHED),
        postgresql_where=sa.text(UNFINISHED),
    )
    op.create_table(
        "albums",
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("album", sa.String(200), nullable=False),
        sa.Column("interaction_id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "album", name=op.f("pk_albums")),
    )
    op.create_index("ix_albums_at", "albums", ["at"])


def downgrade() -> None:
    """Not offered: a rollback of the code lives with the newer schema (schema_info.min_code)."""
