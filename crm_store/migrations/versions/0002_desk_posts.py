"""What stands for our conversations on Slack, and what Slack told us. desk_threads was not in use before."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _threads()
    _posts()
    _inbox()


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _threads() -> None:
    op.drop_table("desk_threads")
    op.create_table(
        "desk_threads",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("surface", sa.String(20), nullable=False),
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("thread", sa.String(80), nullable=True),
        sa.Column("shown_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_why", sa.String(20), nullable=True),
        sa.Column("settled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_desk_threads")),
    )
    op.create_index(
        "uq_desk_threads_living",
        "desk_threads",
        ["surface", "conversation_id"],
        unique=True,
        **_partial("retired_at IS NULL"),
    )
    op.create_index("ix_desk_threads_conversation_id", "desk_threads", ["conversation_id", "id"])
    op.create_index("ix_desk_threads_place", "desk_threads", ["surface", "place", "thread"])
    op.create_index("ix_desk_threads_unsettled", "desk_threads", ["surface", "id"], **_partial("NOT settled"))


def _posts() -> None:
    op.create_table(
        "desk_posts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("thread_id", ID, nullable=False),
        sa.Column("surface", sa.String(20), nullable=False),
        sa.Column("place", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("ref", sa.String(80), nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("posted", sa.String(80), nullable=True),
        sa.Column("drawn", sa.String(64), server_default="", nullable=False),
        sa.Column("interaction_id", ID, nullable=True),
        sa.Column("delivery_id", ID, nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.String(80), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("posted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_desk_posts")),
        sa.UniqueConstraint(
            "surface", "thread_id", "kind", "ref", name=op.f("uq_desk_posts_surface_thread_id_kind_ref")
        ),
    )
    op.create_index("ix_desk_posts_posted", "desk_posts", ["surface", "place", "posted"])
    op.create_index("ix_desk_posts_delivery_id", "desk_posts", ["delivery_id"])
    op.create_index("ix_desk_posts_unposted", "desk_posts", ["surface", "id"], **_partial("posted IS NULL"))


def _inbox() -> None:
    op.create_table(
        "desk_inbox",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("surface", sa.String(20), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("trouble", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_desk_inbox")),
        sa.UniqueConstraint("surface", "key", name=op.f("uq_desk_inbox_surface_key")),
    )
    op.create_index("ix_desk_inbox_waiting", "desk_inbox", ["surface", "id"], **_partial("done_at IS NULL"))


def downgrade() -> None:
    """Not offered: a rollback of the code lives with the newer schema (schema_info.min_code)."""
