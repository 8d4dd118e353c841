"""The store as a process holds it."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from crm_store.db import Store
from hub.errors import Unavailable
from tests.databases import on_postgresql
from tests.store.people import at_once


def test_threads_that_come_first_together_share_one_source_of_ids(store: Store) -> None:
    """Two sources over one process slot would give the same id twice."""
    sources = at_once(8, lambda _: store.ids)
    assert len({id(source) for source in sources}) == 1, sources


@on_postgresql
def test_a_reader_that_slept_too_long_is_told_so_in_our_words(store: Store) -> None:
    """PostgreSQL ends the transaction of a process that was frozen in it."""
    gone = sa.text("SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = :pid")

    def sleepy() -> None:
        with store.read() as tx:
            pid = tx.scalar(sa.text("SELECT pg_backend_pid()"))
            tx.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 1"))
            until = time.monotonic() + 30
            while time.monotonic() < until:
                with store.engine.connect() as other:
                    if other.scalar(gone, {"pid": pid}):
                        break
            tx.execute(sa.text("SELECT 1"))

    with pytest.raises(Unavailable):
        sleepy()
