"""What the database knows of itself and of the processes that use it, and how the hub is tuned."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, SmallInteger, String, Table

from crm_store.schema.columns import Id, at, key, metadata, words

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
    words("owner"),
    at("leased_until"),
)

counters = Table(
    "counters",  # SQLite only; PostgreSQL has a sequence of the same name
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)


configs = Table(
    "configs",
    metadata,
    key(),
    Column("hash", String(64), nullable=False),
    words("files"),  # JSON: name -> text
    words("summary", default=""),
    Column("by", String(80), nullable=False),
    at("at"),
)

config_now = Table(
    "config_now",
    metadata,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("config_id", Id, nullable=False),
    Column("generation", BigInteger, nullable=False),
)
