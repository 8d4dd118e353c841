"""The way out."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from crm_store.schema.columns import Id, at, flag, key, metadata, words

deliveries = Table(
    "deliveries",
    metadata,
    key(),
    Column("interaction_id", Id, nullable=False, unique=True),
    Column("conversation_id", Id, nullable=False),
    Column("account", String(80), nullable=False),
    Column("to_urn", String(400), nullable=False),
    Column("idem_key", String(200), nullable=False, unique=True),
    # held, queued, sending, sent, delivered, read, failed, cancelled, opted_out, unknown
    Column("state", String(10), nullable=False),
    flag("bulk"),
    at("due_at"),
    at("tries_from", null=True),  # the age at which trying ends counts from here; NULL: from created_at
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_owner", String(80)),
    at("lease_until", null=True),
    Column("code", String(20)),
    Column("provider_code", String(80)),
    words("detail", default=""),
    at("created_at"),
    at("sent_at", null=True),
    at("updated_at"),
    Column("by", String(80), nullable=False),
    Column("carries", Text),  # JSON: template, choices, public (crm_store/carried.py); NULL when empty
)
# SQLite uses a partial index only where its condition stands in the query in these very words.
DELIVERY_UNFINISHED = "state IN ('held', 'queued', 'sending', 'unknown')"
Index(
    "ix_deliveries_due",
    deliveries.c.account,
    deliveries.c.bulk,
    deliveries.c.due_at,
    sqlite_where=text(DELIVERY_UNFINISHED),
    postgresql_where=text(DELIVERY_UNFINISHED),
)
Index(
    "ix_deliveries_waiting",  # is an earlier one of the conversation unfinished?
    deliveries.c.conversation_id,
    deliveries.c.id,
    sqlite_where=text(DELIVERY_UNFINISHED),
    postgresql_where=text(DELIVERY_UNFINISHED),
)
DELIVERY_IN_DOUBT = "state IN ('sending', 'unknown')"
Index(
    "ix_deliveries_in_doubt",
    deliveries.c.lease_until,
    sqlite_where=text(DELIVERY_IN_DOUBT),
    postgresql_where=text(DELIVERY_IN_DOUBT),
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
    at("at"),
    PrimaryKeyConstraint("delivery_id", "part"),
)
Index("ix_delivery_parts_external_id", delivery_parts.c.account, delivery_parts.c.external_id)

delivery_events = Table(
    "delivery_events",
    metadata,
    key(),
    Column("delivery_id", Id, nullable=False),
    Column("state", String(10), nullable=False),
    Column("code", String(20)),
    words("detail", default=""),
    at("at"),
)
Index("ix_delivery_events_delivery_id", delivery_events.c.delivery_id, delivery_events.c.id)

auto_replies = Table(
    "auto_replies",  # when a machine of ours answered somebody last, so that two machines do not go on for ever
    metadata,
    Column("account", String(80), nullable=False),
    Column("urn", String(400), nullable=False),
    at("at"),
    PrimaryKeyConstraint("account", "urn"),
)
Index("ix_auto_replies_at", auto_replies.c.at)

revisions = Table(
    "revisions",  # what an agent changes of a reply that went out: to be carried out at the customer's
    metadata,
    key(),
    Column("delivery_id", Id, nullable=False),
    Column("conversation_id", Id, nullable=False),
    Column("account", String(80), nullable=False),
    Column("number", SmallInteger, nullable=False),  # of the delivery: 1, 2, ...; the higher one counts
    Column("change", String(10), nullable=False),  # edit, delete
    words("text", default=""),
    Column("idem_key", String(200), nullable=False, unique=True),
    Column("state", String(10), nullable=False),  # queued, sending, done, failed, dropped
    at("due_at"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_owner", String(80)),
    at("lease_until", null=True),
    Column("code", String(20)),
    Column("provider_code", String(80)),
    words("detail", default=""),
    at("created_at"),
    at("updated_at"),
    Column("by", String(80), nullable=False),
    UniqueConstraint("delivery_id", "number"),
)
REVISION_TO_DO = "state IN ('queued', 'sending')"
Index(
    "ix_revisions_due",
    revisions.c.due_at,
    sqlite_where=text(REVISION_TO_DO),
    postgresql_where=text(REVISION_TO_DO),
)

parked_reports = Table(
    "parked_reports",  # reports and changes that overtook what they speak of
    metadata,
    key(),
    Column("account", String(80), nullable=False),
    Column("external_id", String(400), nullable=False),
    words("event"),  # JSON of the event
    at("at"),
)
Index("ix_parked_reports_external_id", parked_reports.c.account, parked_reports.c.external_id)

account_states = Table(
    "account_states",
    metadata,
    Column("account", String(80), primary_key=True),
    at("paused_until", null=True),
    words("why", default=""),
    at("at"),
)
