"""What is said, and what was decided about it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from crm_store.schema.columns import Id, at, key, metadata, words

conversations = Table(
    "conversations",
    metadata,
    key(),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("brand_id", String(40), nullable=False),
    Column("customer_id", Id, nullable=False),  # whose it was when opened; merges leave it, links show both
    Column("account", String(80), nullable=False),  # the customer's last channel
    Column("identity_id", Id, nullable=False),  # the customer's last address
    Column("state", String(10), nullable=False),  # waiting, offered, open, pending, snoozed, closed
    Column("slot", String(200), unique=True),  # NULL when closed; what a next message continues
    Column("home", String(200)),  # the slot it has while not closed, kept for its reopening
    Column("thread", String(200)),
    words("subject", default=""),
    Column("queue", String(80), nullable=False),
    Column("ruled_queue", String(80)),  # where the rules put it last; differs once a person has moved it
    Column("priority", String(40), nullable=False),
    Column("ruled_priority", String(40)),
    Column("head_start_s", Float, nullable=False),
    words("tags", default="[]"),
    words("skills", default="[]"),
    Column("decision_id", Id),
    at("waiting_since", null=True),  # the first message not yet answered; survives a transfer
    at("rank_at", null=True),  # waiting_since - head start; the place in the queue, ascending
    Column("assignee", String(80)),
    Column("offered_to", String(80)),
    at("offer_expires_at", null=True),
    at("snoozed_until", null=True),
    Column("disposition", String(80)),
    at("opened_at"),
    at("closed_at", null=True),
    at("last_at"),
    Column("last_inbound_id", Id),
    at("first_answer_at", null=True),
    Column("version", Integer, nullable=False, server_default="1"),  # grows with every change
)
Index("ix_conversations_queue", conversations.c.queue, conversations.c.state, conversations.c.rank_at)
Index("ix_conversations_customer_id", conversations.c.customer_id)
Index(
    "ix_conversations_home",
    conversations.c.home,
    conversations.c.id,
    sqlite_where=text("slot IS NULL"),
    postgresql_where=text("slot IS NULL"),
)
Index("ix_conversations_assignee", conversations.c.assignee, conversations.c.state)
Index(
    "ix_conversations_snoozed_until",
    conversations.c.snoozed_until,
    sqlite_where=text("snoozed_until IS NOT NULL"),
    postgresql_where=text("snoozed_until IS NOT NULL"),
)
Index(
    "ix_conversations_offer_expires_at",
    conversations.c.offer_expires_at,
    sqlite_where=text("offer_expires_at IS NOT NULL"),
    postgresql_where=text("offer_expires_at IS NOT NULL"),
)

conversation_links = Table(
    "conversation_links",
    metadata,
    Column("conversation_id", Id, nullable=False),
    Column("other_id", Id, nullable=False),
    Column("why", String(40), nullable=False),  # merged, reopened, split, reference
    at("at"),
    PrimaryKeyConstraint("conversation_id", "other_id"),
)

conversation_names = Table(
    "conversation_names",  # what else a provider calls a conversation, beside its messages' ids: Outlook's Thread-Index
    metadata,
    Column("account", String(80), nullable=False),
    Column("name", String(120), nullable=False),
    Column("conversation_id", Id, nullable=False),
    at("at"),
    PrimaryKeyConstraint("account", "name"),
)

conversation_people = Table(
    "conversation_people",  # who takes part beside the customer: To and CC of their mails
    metadata,
    Column("conversation_id", Id, nullable=False),
    Column("urn", String(400), nullable=False),
    at("at"),
    PrimaryKeyConstraint("conversation_id", "urn"),
)

conversation_events = Table(
    "conversation_events",
    metadata,
    key(),
    Column("conversation_id", Id, nullable=False),
    at("at"),
    Column("by", String(80), nullable=False),
    Column("what", String(24), nullable=False),
    words("why", default=""),
    words("data", default="{}"),  # JSON
)
Index(
    "ix_conversation_events_conversation_id", conversation_events.c.conversation_id, conversation_events.c.id
)

interactions = Table(
    "interactions",
    metadata,
    key(),
    Column("conversation_id", Id, nullable=False),
    Column("identity_id", Id, nullable=False),  # for ever
    Column("account", String(80), nullable=False),
    Column("direction", String(4), nullable=False),  # in, out, note
    Column("form", String(20), nullable=False),  # message, post, call, form, letter, visit, ...
    words("text", default=""),
    Column("subject", Text),
    Column("external_id", String(400)),
    Column("in_reply_to", String(400)),
    words("sender_name", default=""),
    Column("by", String(80), nullable=False),
    Column("extra", Text),  # JSON: fields, language, automatic, claims, proof, quoted; NULL when empty
    Column("blob", String(64)),
    Column("attachments", SmallInteger, nullable=False, server_default="0"),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    at("at"),  # where it stands in the timeline
    at("received_at"),
)
Index("ix_interactions_conversation_id", interactions.c.conversation_id, interactions.c.id)
Index("ix_interactions_identity_id", interactions.c.identity_id, interactions.c.id)
Index(
    "ix_interactions_external_id",
    interactions.c.account,
    interactions.c.external_id,
    sqlite_where=text("external_id IS NOT NULL"),
    postgresql_where=text("external_id IS NOT NULL"),
)

interaction_attachments = Table(
    "interaction_attachments",
    metadata,
    Column("interaction_id", Id, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    words("name"),
    Column("content_type", String(120), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("interaction_id", "position"),
)
Index("ix_interaction_attachments_sha256", interaction_attachments.c.sha256)

media = Table(
    "media",  # files that are still at their provider, or were; what has come is an interaction_attachments row too
    metadata,
    Column("interaction_id", Id, nullable=False),
    Column("position", SmallInteger, nullable=False),  # the same as its attachment's
    Column("account", String(80), nullable=False),
    words("ref"),
    Column("kind", String(12), nullable=False),  # image, video, audio, voice, sticker, file
    words("name", default=""),
    Column("content_type", String(120), nullable=False, server_default=""),  # what the provider says
    Column("size_bytes", BigInteger),
    Column("state", String(10), nullable=False),  # waiting, fetching, done, failed, refused
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    at("due_at"),
    Column("lease_owner", String(80)),
    at("lease_until", null=True),
    words("why", default=""),
    at("at"),
    PrimaryKeyConstraint("interaction_id", "position"),
)
MEDIA_UNFINISHED = "state IN ('waiting', 'fetching')"
Index(
    "ix_media_due",
    media.c.due_at,
    sqlite_where=text(MEDIA_UNFINISHED),
    postgresql_where=text(MEDIA_UNFINISHED),
)

albums = Table(
    "albums",  # messages that a provider sends in pieces: which interaction the first piece became
    metadata,
    Column("account", String(80), nullable=False),
    Column("album", String(200), nullable=False),
    Column("interaction_id", Id, nullable=False),
    at("at"),
    PrimaryKeyConstraint("account", "album"),
)
Index("ix_albums_at", albums.c.at)

interaction_changes = Table(
    "interaction_changes",  # edits, deletes, reactions; the first text stays where it was
    metadata,
    key(),
    Column("interaction_id", Id),
    Column("account", String(80), nullable=False),
    Column("external_id", String(400), nullable=False),
    Column("change", String(10), nullable=False),
    words("text"),
    Column("by", String(80), nullable=False),
    at("at"),
)
Index("ix_interaction_changes_interaction_id", interaction_changes.c.interaction_id)
Index("ix_interaction_changes_external_id", interaction_changes.c.account, interaction_changes.c.external_id)

note_keys = Table(
    "note_keys",  # so that what a surface says twice is one note
    metadata,
    Column("idem_key", String(200), primary_key=True),
    Column("interaction_id", Id, nullable=False),
    at("at"),
)
Index("ix_note_keys_interaction_id", note_keys.c.interaction_id)

decisions = Table(
    "decisions",
    metadata,
    key(),
    Column("conversation_id", Id, nullable=False),
    Column("interaction_id", Id, nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("rule", String(80), nullable=False),
    Column("facts_version", SmallInteger, nullable=False),
    words("facts"),  # JSON, flat; the text by reference
    words("outcome"),  # JSON: queue, priority, tags, skills, adjusted_by
    at("at"),
)
Index("ix_decisions_conversation_id", decisions.c.conversation_id, decisions.c.id)
