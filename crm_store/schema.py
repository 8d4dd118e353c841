"""The tables, for SQLite and PostgreSQL alike. No ORM: Core tables that statements are written against.

Times are microseconds since 1970 UTC in a BIGINT (docs/decisions/0002): one form on both databases, in the
hand-written batch statements and in arithmetic on `rank_at`. Brands, accounts, queues and agents are named by their
YAML key. Who acted stands in `by`: `agent:bo`, `customer`, `rule:vip`, `system`. Ids are the application's
(hub/ids.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator

from hub.clock import from_us, to_us

VERSION = 6  # of this schema
MIN_CODE = 1  # the oldest code version that can live with it

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# A plain INTEGER PRIMARY KEY is the row id on SQLite: no second b-tree.
Id = BigInteger().with_variant(Integer, "sqlite")


class At(TypeDecorator[datetime]):
    """An aware UTC datetime in Python, microseconds since 1970 in the database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_us(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_us(value)


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=False)


def _at(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, At, nullable=null)


def _words(name: str, *, null: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=null, server_default=default)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


# What the database knows of itself and of the processes that use it.

schema_info = Table(
    "schema_info",
    metadata,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("min_code", Integer, nullable=False),
)

process_slots = Table(
    "process_slots",
    metadata,
    Column("slot", SmallInteger, primary_key=True, autoincrement=False),
    _words("owner"),
    _at("leased_until"),
)

counters = Table(
    "counters",  # SQLite only; PostgreSQL has a sequence of the same name
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

# The way in: what was journalled, and what became of each entry.

producers = Table(
    "producers",
    metadata,
    Column("producer", String(32), primary_key=True),
    _words("host"),
    Column("last_seq", BigInteger, nullable=False),
    _words("pending"),  # JSON: [[first, last], ...] of entries still in the journal
    _at("reported_at"),
)

journalled = Table(
    "journalled",  # the producer's own count, for the ledger
    metadata,
    Column("producer", String(32), nullable=False),
    Column("day", String(10), nullable=False),
    Column("account", String(80), nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    PrimaryKeyConstraint("producer", "day", "account"),
)

intake = Table(
    "intake",
    metadata,
    Column("producer", String(32), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("account", String(80), nullable=False),
    _words("event_key"),
    Column("kind", String(24), nullable=False),
    Column("outcome", String(12), nullable=False),  # stored, duplicate, quarantined
    Column("interaction_id", Id),
    _at("accepted_at"),
    _at("stored_at"),
    PrimaryKeyConstraint("producer", "seq"),
    sqlite_with_rowid=False,
)
Index(
    "uq_intake_account_event_key",
    intake.c.account,
    intake.c.event_key,
    unique=True,
    sqlite_where=text("outcome <> 'duplicate'"),
    postgresql_where=text("outcome <> 'duplicate'"),
)
Index("ix_intake_accepted_at", intake.c.accepted_at)

intake_tries = Table(
    "intake_tries",  # an entry handled alone that failed on its data
    metadata,
    Column("producer", String(32), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    _words("error"),
    _at("last_at"),
    PrimaryKeyConstraint("producer", "seq"),
)

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    Column("producer", String(32)),
    Column("seq", BigInteger),
    Column("account", String(80), nullable=False),
    Column("kind", String(12), nullable=False),  # unreadable, poison, newer
    _words("reason"),
    Column("entry", LargeBinary),  # the journalled bytes
    Column("blob", String(64)),  # the raw request
    Column("state", String(10), nullable=False),  # waiting, replayed, dropped
    _at("at"),
    _at("replayed_at", null=True),
    Column("by", String(80)),
    UniqueConstraint("producer", "seq"),
)
Index("ix_quarantine_state", quarantine.c.state, quarantine.c.id)

cursors = Table(
    "cursors",
    metadata,
    Column("account", String(80), nullable=False),
    Column("name", String(200), nullable=False),
    _words("value"),
    _at("at"),
    PrimaryKeyConstraint("account", "name"),
)

# Who writes to us.

customers = Table(
    "customers",
    metadata,
    _id(),
    Column("brand_id", String(40), nullable=False),
    Column("kind", String(12), nullable=False, server_default="person"),  # person, organisation
    Column("stage", String(12), nullable=False, server_default="lead"),  # lead, customer
    _words("name", default=""),
    Column("tier", String(40)),
    _words("tags", default="[]"),  # JSON, sorted
    Column("language", String(12)),
    Column("preferred_channel", String(40)),
    _words("notes", default=""),
    Column("merged_into", Id),
    _at("created_at"),
    _at("updated_at"),
    Column("by", String(80), nullable=False, server_default="system"),
)
Index("ix_customers_name", customers.c.brand_id, customers.c.name)

identities = Table(
    "identities",
    metadata,
    _id(),
    Column("brand_id", String(40), nullable=False),
    Column("urn", String(400), nullable=False),
    Column("customer_id", Id, nullable=False),  # the only pointer from an address to a person
    _flag("verified"),
    _words("name", default=""),
    Column("trouble", String(40)),  # dead, full, blocked: why it should not be written to
    _at("first_seen_at"),
    _at("last_seen_at"),  # 1970: only claimed so far, never written from
    UniqueConstraint("brand_id", "urn"),
)
Index("ix_identities_customer_id", identities.c.customer_id)

merges = Table(
    "merges",
    metadata,
    _id(),
    Column("survivor_id", Id, nullable=False),
    Column("merged_id", Id, nullable=False),
    _words("why"),
    Column("by", String(80), nullable=False),
    _at("at"),
    Column("undone_by", String(80)),
    _at("undone_at", null=True),
)
Index("ix_merges_survivor_id", merges.c.survivor_id)
Index("ix_merges_merged_id", merges.c.merged_id)

merge_moves = Table(
    "merge_moves",
    metadata,
    Column("merge_id", Id, nullable=False),
    Column("identity_id", Id, nullable=False),
    Column("from_customer_id", Id, nullable=False),
    PrimaryKeyConstraint("merge_id", "identity_id"),
)
Index("ix_merge_moves_identity_id", merge_moves.c.identity_id)

merge_proposals = Table(
    "merge_proposals",
    metadata,
    _id(),
    Column("one_id", Id, nullable=False),
    Column("other_id", Id, nullable=False),
    _words("evidence"),  # JSON
    Column("score", Float, nullable=False),
    Column("state", String(10), nullable=False, server_default="waiting"),  # waiting, merged, refused
    _at("at"),
    Column("by", String(80)),
    UniqueConstraint("one_id", "other_id"),
)

consents = Table(
    "consents",
    metadata,
    Column("brand_id", String(40), nullable=False),
    Column("urn", String(400), nullable=False),
    Column("scope", String(20), nullable=False),
    Column("granted", Boolean, nullable=False),
    _words("wording", default=""),
    Column("account", String(80)),
    _at("at"),
    Column("by", String(80), nullable=False),
    PrimaryKeyConstraint("brand_id", "urn", "scope"),
)

consent_changes = Table(
    "consent_changes",  # every change, for the day somebody asks
    metadata,
    _id(),
    Column("brand_id", String(40), nullable=False),
    Column("urn", String(400), nullable=False),
    Column("scope", String(20), nullable=False),
    Column("granted", Boolean, nullable=False),
    _words("wording", default=""),
    Column("account", String(80)),
    _at("at"),
    Column("by", String(80), nullable=False),
)
Index("ix_consent_changes_urn", consent_changes.c.urn)

# What is said.

conversations = Table(
    "conversations",
    metadata,
    _id(),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("brand_id", String(40), nullable=False),
    Column("customer_id", Id, nullable=False),  # whose it was when opened; merges leave it, links show both
    Column("account", String(80), nullable=False),  # the customer's last channel
    Column("identity_id", Id, nullable=False),  # the customer's last address
    Column("state", String(10), nullable=False),  # waiting, offered, open, pending, snoozed, closed
    Column("slot", String(200), unique=True),  # NULL when closed; what a next message continues
    Column("home", String(200)),  # the slot it has while not closed, kept for its reopening
    Column("thread", String(200)),
    _words("subject", default=""),
    Column("queue", String(80), nullable=False),
    Column("ruled_queue", String(80)),  # where the rules put it last; differs once a person has moved it
    Column("priority", String(40), nullable=False),
    Column("ruled_priority", String(40)),
    Column("head_start_s", Float, nullable=False),
    _words("tags", default="[]"),
    _words("skills", default="[]"),
    Column("decision_id", Id),
    _at("waiting_since", null=True),  # the first message not yet answered; survives a transfer
    _at("rank_at", null=True),  # waiting_since - head start; the place in the queue, ascending
    Column("assignee", String(80)),
    Column("offered_to", String(80)),
    _at("offer_expires_at", null=True),
    _at("snoozed_until", null=True),
    Column("disposition", String(80)),
    _at("opened_at"),
    _at("closed_at", null=True),
    _at("last_at"),
    Column("last_inbound_id", Id),
    _at("first_answer_at", null=True),
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
    _at("at"),
    PrimaryKeyConstraint("conversation_id", "other_id"),
)

conversation_names = Table(
    "conversation_names",  # what else a provider calls a conversation, beside its messages' ids: Outlook's Thread-Index
    metadata,
    Column("account", String(80), nullable=False),
    Column("name", String(120), nullable=False),
    Column("conversation_id", Id, nullable=False),
    _at("at"),
    PrimaryKeyConstraint("account", "name"),
)

conversation_people = Table(
    "conversation_people",  # who takes part beside the customer: To and CC of their mails
    metadata,
    Column("conversation_id", Id, nullable=False),
    Column("urn", String(400), nullable=False),
    _at("at"),
    PrimaryKeyConstraint("conversation_id", "urn"),
)

conversation_events = Table(
    "conversation_events",
    metadata,
    _id(),
    Column("conversation_id", Id, nullable=False),
    _at("at"),
    Column("by", String(80), nullable=False),
    Column("what", String(24), nullable=False),
    _words("why", default=""),
    _words("data", default="{}"),  # JSON
)
Index(
    "ix_conversation_events_conversation_id", conversation_events.c.conversation_id, conversation_events.c.id
)

interactions = Table(
    "interactions",
    metadata,
    _id(),
    Column("conversation_id", Id, nullable=False),
    Column("identity_id", Id, nullable=False),  # for ever
    Column("account", String(80), nullable=False),
    Column("direction", String(4), nullable=False),  # in, out, note
    Column("form", String(20), nullable=False),  # message, post, call, form, letter, visit, ...
    _words("text", default=""),
    Column("subject", Text),
    Column("external_id", String(400)),
    Column("in_reply_to", String(400)),
    _words("sender_name", default=""),
    Column("by", String(80), nullable=False),
    Column("extra", Text),  # JSON: fields, language, automatic, claims, proof, quoted; NULL when empty
    Column("blob", String(64)),
    Column("attachments", SmallInteger, nullable=False, server_default="0"),
    Column("deleted", Boolean, nullable=False, server_default=text("false")),
    _at("at"),  # where it stands in the timeline
    _at("received_at"),
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
    _words("name"),
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
    _words("ref"),
    Column("kind", String(12), nullable=False),  # image, video, audio, voice, sticker, file
    _words("name", default=""),
    Column("content_type", String(120), nullable=False, server_default=""),  # what the provider says
    Column("size_bytes", BigInteger),
    Column("state", String(10), nullable=False),  # waiting, fetching, done, failed, refused
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    _at("due_at"),
    Column("lease_owner", String(80)),
    _at("lease_until", null=True),
    _words("why", default=""),
    _at("at"),
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
    _at("at"),
    PrimaryKeyConstraint("account", "album"),
)
Index("ix_albums_at", albums.c.at)

interaction_changes = Table(
    "interaction_changes",  # edits, deletes, reactions; the first text stays where it was
    metadata,
    _id(),
    Column("interaction_id", Id),
    Column("account", String(80), nullable=False),
    Column("external_id", String(400), nullable=False),
    Column("change", String(10), nullable=False),
    _words("text"),
    Column("by", String(80), nullable=False),
    _at("at"),
)
Index("ix_interaction_changes_interaction_id", interaction_changes.c.interaction_id)
Index("ix_interaction_changes_external_id", interaction_changes.c.account, interaction_changes.c.external_id)

note_keys = Table(
    "note_keys",  # so that what a surface says twice is one note
    metadata,
    Column("idem_key", String(200), primary_key=True),
    Column("interaction_id", Id, nullable=False),
    _at("at"),
)
Index("ix_note_keys_interaction_id", note_keys.c.interaction_id)

decisions = Table(
    "decisions",
    metadata,
    _id(),
    Column("conversation_id", Id, nullable=False),
    Column("interaction_id", Id, nullable=False),
    Column("config_hash", String(64), nullable=False),
    Column("rule", String(80), nullable=False),
    Column("facts_version", SmallInteger, nullable=False),
    _words("facts"),  # JSON, flat; the text by reference
    _words("outcome"),  # JSON: queue, priority, tags, skills, adjusted_by
    _at("at"),
)
Index("ix_decisions_conversation_id", decisions.c.conversation_id, decisions.c.id)

# Who answers.

assignments = Table(
    "assignments",
    metadata,
    _id(),
    Column("conversation_id", Id, nullable=False),
    Column("agent", String(80), nullable=False),
    Column("kind", String(10), nullable=False),  # offer, claim
    _at("at"),
    _at("ended_at", null=True),
    Column("ended_how", String(20)),
)
Index("ix_assignments_conversation_id", assignments.c.conversation_id)
Index("ix_assignments_agent", assignments.c.agent, assignments.c.id)

presence = Table(
    "presence",
    metadata,
    Column("agent", String(80), primary_key=True),
    Column("status", String(12), nullable=False),  # available, busy, away, offline
    _at("since"),
    _at("until", null=True),
)

presence_changes = Table(
    "presence_changes",  # for occupancy: who was here when
    metadata,
    _id(),
    Column("agent", String(80), nullable=False),
    Column("status", String(12), nullable=False),
    _at("at"),
    _at("until", null=True),
)
Index("ix_presence_changes_agent", presence_changes.c.agent, presence_changes.c.at)

desk_threads = Table(
    "desk_threads",  # where a conversation is shown on a surface that is a view (Slack): its card and what hangs below
    metadata,
    _id(),
    Column("conversation_id", Id, nullable=False),
    Column("surface", String(20), nullable=False),
    Column("place", String(80), nullable=False),  # a channel's id
    Column("thread", String(80)),  # the card's own id there; NULL until it is posted
    Column(
        "shown_version", Integer, nullable=False, server_default="0"
    ),  # of the conversation, as drawn last
    _at("at"),
    _at("retired_at", null=True),  # it moved on: the card is a tombstone, or is to become one
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
    _id(),
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
    _at("lease_until", null=True),
    _at("at"),
    _at("posted_at", null=True),
    _words(
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
    _id(),
    Column("surface", String(20), nullable=False),
    Column("key", String(200), nullable=False),  # Slack: its event_id, or channel:ts:edit
    Column("kind", String(40), nullable=False),
    _words("body"),  # JSON, as it came
    _at("received_at"),
    _at("done_at", null=True),
    Column("tries", SmallInteger, nullable=False, server_default="0"),
    _words("trouble", default=""),
    Column(
        "subject", String(120), nullable=False, server_default=""
    ),  # what of one subject came first is done first
    _at("due_at", null=True),  # not before then; NULL: at once
    Column("lease_owner", String(80)),
    _at("lease_until", null=True),
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
    _words("password_hash"),
    Column("failures", Integer, nullable=False, server_default="0"),
    _at("locked_until", null=True),
    _at("changed_at"),
)

login_links = Table(
    "login_links",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("agent", String(80), nullable=False),
    _at("expires_at"),
    _at("used_at", null=True),
)

desk_sessions = Table(
    "desk_sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("agent", String(80), nullable=False),
    Column("csrf", String(64), nullable=False),
    _at("created_at"),
    _at("last_used_at"),
    _at("expires_at"),
)

# The way out.

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    Column("interaction_id", Id, nullable=False, unique=True),
    Column("conversation_id", Id, nullable=False),
    Column("account", String(80), nullable=False),
    Column("to_urn", String(400), nullable=False),
    Column("idem_key", String(200), nullable=False, unique=True),
    # held, queued, sending, sent, delivered, read, failed, cancelled, opted_out, unknown
    Column("state", String(10), nullable=False),
    _flag("bulk"),
    _at("due_at"),
    _at("tries_from", null=True),  # the age at which trying ends counts from here; NULL: from created_at
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_owner", String(80)),
    _at("lease_until", null=True),
    Column("code", String(20)),
    Column("provider_code", String(80)),
    _words("detail", default=""),
    _at("created_at"),
    _at("sent_at", null=True),
    _at("updated_at"),
    Column("by", String(80), nullable=False),
    Column("carries", Text),  # JSON: template, choices, public (crm_store/carried.py); NULL when empty
)
_UNFINISHED = "state IN ('held', 'queued', 'sending', 'unknown')"
Index(
    "ix_deliveries_due",
    deliveries.c.account,
    deliveries.c.bulk,
    deliveries.c.due_at,
    sqlite_where=text(_UNFINISHED),
    postgresql_where=text(_UNFINISHED),
)
Index(
    "ix_deliveries_waiting",  # is an earlier one of the conversation unfinished?
    deliveries.c.conversation_id,
    deliveries.c.id,
    sqlite_where=text(_UNFINISHED),
    postgresql_where=text(_UNFINISHED),
)
_IN_DOUBT = "state IN ('sending', 'unknown')"
Index(
    "ix_deliveries_in_doubt",
    deliveries.c.lease_until,
    sqlite_where=text(_IN_DOUBT),
    postgresql_where=text(_IN_DOUBT),
)
Index("ix_deliveries_conversation_id", deliveries.c.conversation_id, deliveries.c.id)
# What an agent must look at; asked for in these very words, or the index is not used (crm_store/cards.py).
NEEDS_SOMEBODY = (
    "deliveries.state IN ('failed', 'unknown', 'opted_out')"
    " OR (deliveries.state = 'held' AND deliveries.code IS NOT NULL)"
)
Index(
    "ix_deliveries_needs_somebody",
    deliveries.c.updated_at,
    sqlite_where=text(NEEDS_SOMEBODY.replace("deliveries.", "")),
    postgresql_where=text(NEEDS_SOMEBODY.replace("deliveries.", "")),
)

delivery_parts = Table(
    "delivery_parts",
    metadata,
    Column("delivery_id", Id, nullable=False),
    Column("part", SmallInteger, nullable=False),
    Column("account", String(80), nullable=False),
    Column("external_id", String(400), nullable=False),
    Column("state", String(10), nullable=False),
    _at("at"),
    PrimaryKeyConstraint("delivery_id", "part"),
)
Index("ix_delivery_parts_external_id", delivery_parts.c.account, delivery_parts.c.external_id)

delivery_events = Table(
    "delivery_events",
    metadata,
    _id(),
    Column("delivery_id", Id, nullable=False),
    Column("state", String(10), nullable=False),
    Column("code", String(20)),
    _words("detail", default=""),
    _at("at"),
)
Index("ix_delivery_events_delivery_id", delivery_events.c.delivery_id, delivery_events.c.id)

auto_replies = Table(
    "auto_replies",  # when a machine of ours answered somebody last, so that two machines do not go on for ever
    metadata,
    Column("account", String(80), nullable=False),
    Column("urn", String(400), nullable=False),
    _at("at"),
    PrimaryKeyConstraint("account", "urn"),
)
Index("ix_auto_replies_at", auto_replies.c.at)

revisions = Table(
    "revisions",  # what an agent changes of a reply that went out: to be carried out at the customer's
    metadata,
    _id(),
    Column("delivery_id", Id, nullable=False),
    Column("conversation_id", Id, nullable=False),
    Column("account", String(80), nullable=False),
    Column("number", SmallInteger, nullable=False),  # of the delivery: 1, 2, ...; the higher one counts
    Column("change", String(10), nullable=False),  # edit, delete
    _words("text", default=""),
    Column("idem_key", String(200), nullable=False, unique=True),
    Column("state", String(10), nullable=False),  # queued, sending, done, failed, dropped
    _at("due_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_owner", String(80)),
    _at("lease_until", null=True),
    Column("code", String(20)),
    Column("provider_code", String(80)),
    _words("detail", default=""),
    _at("created_at"),
    _at("updated_at"),
    Column("by", String(80), nullable=False),
    UniqueConstraint("delivery_id", "number"),
)
_TO_DO = "state IN ('queued', 'sending')"
Index(
    "ix_revisions_due",
    revisions.c.due_at,
    sqlite_where=text(_TO_DO),
    postgresql_where=text(_TO_DO),
)

parked_reports = Table(
    "parked_reports",  # reports and changes that overtook what they speak of
    metadata,
    _id(),
    Column("account", String(80), nullable=False),
    Column("external_id", String(400), nullable=False),
    _words("event"),  # JSON of the event
    _at("at"),
)
Index("ix_parked_reports_external_id", parked_reports.c.account, parked_reports.c.external_id)

account_states = Table(
    "account_states",
    metadata,
    Column("account", String(80), primary_key=True),
    _at("paused_until", null=True),
    _words("why", default=""),
    _at("at"),
)

# How it is tuned.

configs = Table(
    "configs",
    metadata,
    _id(),
    Column("hash", String(64), nullable=False),
    _words("files"),  # JSON: name -> text
    _words("summary", default=""),
    Column("by", String(80), nullable=False),
    _at("at"),
)

config_now = Table(
    "config_now",
    metadata,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("config_id", Id, nullable=False),
    Column("generation", BigInteger, nullable=False),
)
