"""The way in: what was journalled, and what became of each entry."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
)

from crm_store.schema.columns import Id, at, key, metadata, words

producers = Table(
    "producers",
    metadata,
    Column("producer", String(32), primary_key=True),
    words("host"),
    Column("last_seq", BigInteger, nullable=False),
    words("pending"),  # JSON: [[first, last], ...] of entries still in the journal
    at("reported_at"),
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
    words("event_key"),
    Column("kind", String(24), nullable=False),
    Column("outcome", String(12), nullable=False),  # stored, duplicate, quarantined
    Column("interaction_id", Id),
    at("accepted_at"),
    at("stored_at"),
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
    words("error"),
    at("last_at"),
    PrimaryKeyConstraint("producer", "seq"),
)

quarantine = Table(
    "quarantine",
    metadata,
    key(),
    Column("producer", String(32)),
    Column("seq", BigInteger),
    Column("account", String(80), nullable=False),
    Column("kind", String(12), nullable=False),  # unreadable, poison, newer
    words("reason"),
    Column("entry", LargeBinary),  # the journalled bytes
    Column("blob", String(64)),  # the raw request
    Column("state", String(10), nullable=False),  # waiting, replayed, dropped
    at("at"),
    at("replayed_at", null=True),
    Column("by", String(80)),
    UniqueConstraint("producer", "seq"),
)
Index("ix_quarantine_state", quarantine.c.state, quarantine.c.id)

cursors = Table(
    "cursors",
    metadata,
    Column("account", String(80), nullable=False),
    Column("name", String(200), nullable=False),
    words("value"),
    at("at"),
    PrimaryKeyConstraint("account", "name"),
)
