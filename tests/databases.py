"""Which database a test runs on where one is enough: whatever the store is asked, tests/store asks it on both.

A file keeps its broadest tests on both and gives each of the others to one of them, by turns.
"""

import time
from concurrent.futures import Future
from typing import Any

import pytest
from sqlalchemy import Connection, text

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)

# pg_stat_activity stands still in a transaction
_WAITS = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


def until_it_waits(tx: Connection, beside: Future[Any], at_most_s: float = 10.0) -> None:
    """On PostgreSQL: until what was begun beside waits for this transaction, or has ended without."""
    until = time.monotonic() + at_most_s
    while not tx.execute(_WAITS).scalar() and not beside.done() and time.monotonic() < until:
        time.sleep(0.01)
