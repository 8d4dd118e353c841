"""Proposals of a customer are found from either side: every conversation's page and card asks for them."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Short: proposals are few beside everything else, and routers write one now and then.
    op.create_index("ix_merge_proposals_other_id", "merge_proposals", ["other_id"])


def downgrade() -> None:
    """Not offered: a rollback of the code lives with the newer schema (schema_info.min_code)."""
