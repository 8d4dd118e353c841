"""Mail: what else a conversation is called, who takes part in it, and whom a machine of ours has answered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "conversation_names",
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "name", name=op.f("pk_conversation_names")),
    )
    op.create_table(
        "conversation_people",
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("urn", sa.String(400), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "urn", name=op.f("pk_conversation_people")),
    )
    op.create_table(
        "auto_replies",
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("urn", sa.String(400), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "urn", name=op.f("pk_auto_replies")),
    )
    op.create_index("ix_auto_replies_at", "auto_replies", ["at"])


def downgrade() -> None:
    """Not offered: a rollback of the code lives with the newer schema (schema_info.min_code)."""
