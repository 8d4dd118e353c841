"""Who answers, and what stands on the surfaces where they do."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, SmallInteger, String, Table, UniqueConstraint, text

from crm_store.schema.columns import Id, at, key, metadata, words

assignments = Table(
    "assignments",
    metadata,
    key(),
    Column("conversation_id", Id, nullable=False),
    Column("agent", String(80), nullable=False),
    Column("kind", String(10), nullable=False),  # offer, claim
    at("at"),
    at("ended_at", null=True),
    Column("ended_how", String(20)),
)
Index("ix_assignments_conversation_id", assignments.c.conversation_id)
Index("ix_assignments_agent", assignments.c.agent, assignments.c.id)

presence = Table(
    "presence",
    metadata,
    Column("agent", String(80), primary_key=True),
    Column("status", String(12), nullable=False),  # available, busy, away, offline
    at("since"),
    at("until", null=True),
)

presence_changes = Table(
    "presence_changes",  # for occupancy: who was here when
    metadata,
    key(),
    Column("agent", String(80), nullable=False),
    Column("status", String(12), nullable=False),
    at("at"),
    at("until", null=True),
)
Index("ix_presence_changes_agent", presence_changes.c.agent, presence_changes.c.at)

desk_threads = Table(
    "desk_threads",  # where a conversation is shown on a surface that is a view (Slack): its card and what hangs below
    metadata,
    key(),
    Column("conversation_id", Id, nullable=False),
    Column("surface", String(20), nullable=False),
    Column("place", String(80), nullable=False),  # a channel's id
    Column("thread", String(80)),  # the card's own id there; NULL until it is posted
    Column(
        "shown_version", Integer, nullable=False, server_default="0"
    ),  # of the conversation, as drawn last
    at("at"),
    at("retired_at", null=True),  # it moved on: the card is a tombstone, or is to become one
    Column("retired_why", String(20)),  # transferred, woken, closed, moved, gone
    Column("settled", Boolean, nullable=False, server_default=text("false")),  # nothing is left to draw here
)
# One living card a conversation; any number of tombstones.
Index(
    "uq_desk_threads_living",
    desk_threads.c.surface,
    desk_threads.c.conversation_id,
    unique=True,
    sqlite_where=text("retired_at IS NULL"),
    postgresql_where=text("retired_at IS NULL"),
)
Index("ix_desk_threads_conversation_id", desk_threads.c.conversation_id, desk_threads.c.id)
Index("ix_desk_threads_place", desk_threads.c.surface, desk_threads.c.place, desk_threads.c.thread)
Index(
    "ix_desk_threads_unsettled",
    desk_threads.c.surface,
    desk_threads.c.id,
    sqlite_where=text("NOT settled"),
    postgresql_where=text("NOT settled"),
)

desk_posts = Table(
    "desk_posts",  # every message of a surface that stands for something of ours; written down before it is posted
    metadata,
    key(),
    Column("thread_id", Id, nullable=False),  # a desk_threads row; 0: a notice that hangs below no card
    Column("surface", String(20), nullable=False),
    Column("place", String(80), nullable=False),
    Column(
        "kind", String(12), nullable=False
    ),  # card, message, receipt, note, change, notice; typed: an agent's own
    Column(
        "ref", String(80), nullable=False
    ),  # of what: a conversation, interaction, delivery, change; typed: its ts
    Column("uuid", String(36), nullable=False),  # goes with the post, to find it again after a crash
    Column("posted", String(80)),  # the surface's id of the message; NULL until it is known
    Column("drawn", String(64), nullable=False, server_default=""),  # a hash of what it shows; '' never drawn
    Column("interaction_id", Id),
    Column("delivery_id", Id),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    Column("lease_owner", String(80)),
    at("lease_until", null=True),
    at("at"),
    at("posted_at", null=True),
    words(
        "detail", default=""
    ),  # typed: JSON of what is known of it beyond its note (crm_store/desk_typed.py)
    UniqueConstraint("surface", "thread_id", "kind", "ref"),
)
Index("ix_desk_posts_posted", desk_posts.c.surface, desk_posts.c.place, desk_posts.c.posted)
Index("ix_desk_posts_delivery_id", desk_posts.c.delivery_id)
Index(
    "ix_desk_posts_unposted",
    desk_posts.c.surface,
    desk_posts.c.id,
    sqlite_where=text("posted IS NULL"),
    postgresql_where=text("posted IS NULL"),
)

desk_inbox = Table(
    "desk_inbox",  # what a surface told us: written before it is acknowledged, done once
    metadata,
    key(),
    Column("surface", String(20), nullable=False),
    Column("key", String(200), nullable=False),  # Slack: its event_id, or channel:ts:edit
    Column("kind", String(40), nullable=False),
    words("body"),  # JSON, as it came
    at("received_at"),
    at("done_at", null=True),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    words("trouble", default=""),
    Column(
        "subject", String(120), nullable=False, server_default=""
    ),  # what of one subject came first is done first
    at("due_at", null=True),  # not before then; NULL: at once
    Column("lease_owner", String(80)),
    at("lease_until", null=True),
    UniqueConstraint("surface", "key"),
)
Index(
    "ix_desk_inbox_waiting",
    desk_inbox.c.surface,
    desk_inbox.c.id,
    sqlite_where=text("done_at IS NULL"),
    postgresql_where=text("done_at IS NULL"),
)

Index(
    "ix_desk_inbox_subject",
    desk_inbox.c.surface,
    desk_inbox.c.subject,
    desk_inbox.c.id,
    sqlite_where=text("done_at IS NULL"),
    postgresql_where=text("done_at IS NULL"),
)

credentials = Table(
    "credentials",
    metadata,
    Column("agent", String(80), primary_key=True),
    words("password_hash"),
    Column("failures", Integer, nullable=False, server_default="0"),
    at("locked_until", null=True),
    at("changed_at"),
)

login_links = Table(
    "login_links",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("agent", String(80), nullable=False),
    at("expires_at"),
    at("used_at", null=True),
)

desk_sessions = Table(
    "desk_sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("agent", String(80), nullable=False),
    Column("csrf", String(64), nullable=False),
    at("created_at"),
    at("last_used_at"),
    at("expires_at"),
)
