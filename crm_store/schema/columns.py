"""What the tables are made of. No ORM: Core tables that statements are written against.

Times are microseconds since 1970 UTC in a BIGINT (docs/decisions/0002): one form on both databases, in the hand-written
batch statements and in arithmetic on `rank_at`. Brands, accounts, queues and agents are named by their YAML key. Who
acted stands in `by`: `agent:bo`, `customer`, `rule:vip`, `system`. Ids are the application's (hub/ids.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Integer,
    MetaData,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

from hub.clock import from_us, to_us

VERSION = 7  # of this schema
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


def key() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=False)


def at(name: str, *, null: bool = False) -> Column[datetime]:
    return Column(name, At, nullable=null)


def words(name: str, *, null: bool = False, default: str | None = None) -> Column[str]:
    return Column(name, Text, nullable=null, server_default=default)


def flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))
