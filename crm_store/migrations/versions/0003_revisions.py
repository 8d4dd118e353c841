"""Notes that are kept once however often they are said, and replies that are changed after they went out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "note_keys",
        sa.Column("idem_key", sa.String(200), nullable=False),
        sa.Column("interaction_id", ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("idem_key", name=op.f("pk_note_keys")),
    )
    op.create_index("ix_note_keys_interaction_id", "note_keys", ["interaction_id"])
    op.create_table(
        "revisions",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("delivery_id", ID, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("number", sa.SmallInteger(), nullable=False),
        sa.Column("change", sa.String(10), nullable=False),
        sa.Column("text", sa.Text(), server_default="", nullable=False),
        sa.Column("idem_key", sa.String(200), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.String(80), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.String(20), nullable=True),
        sa.Column("provider_code", sa.String(80), nullable=True),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(80), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revisions")),
        sa.UniqueConstraint("delivery_id", "number", name=op.f("uq_revisions_delivery_id_number")),
        sa.UniqueConstraint("idem_key", name=op.f("uq_revisions_idem_key")),
    )
    to_do = sa.text("state IN ('queued', 'sending')")
    op.create_index("ix_revisions_due", "revisions", ["due_at"], sqlite_where=to_do, postgresql_where=to_do)


def downgrade() -> None:
    """Not offered: a rollback of the code lives with the newer schema (schema_info.min_code)."""
