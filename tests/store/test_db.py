"""The store as a process holds it."""

from __future__ import annotations

from crm_store.db import Store
from tests.store.people import at_once


def test_threads_that_come_first_together_share_one_source_of_ids(store: Store) -> None:
    """Two sources over one process slot would give the same id twice."""
    sources = at_once(8, lambda _: store.ids)
    assert len({id(source) for source in sources}) == 1, sources
