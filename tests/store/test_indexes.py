"""What is asked all the time goes by an index, however much is over and done with. SQLite tells, by its plans.

A partial index serves only where the query says its condition in the index's own words, and as a condition: bound
values, or a `= 1` behind it, and SQLite reads the table from end to end. PostgreSQL sees the values.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from crm_store import cards, configs, conversations, doubts, media, outbox, presence, revision_work, views
from crm_store.db import Store
from crm_store.schema import metadata
from hub.ids import Ids
from mainstem import metrics
from tests.store.people import CONFIG
from workers import sweep

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
SOON = timedelta(seconds=5)
IDS = Ids(1)
PARTIAL = [  # they hold only what is not over and done with
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None
]
GROWS = ("deliveries", "media", "revisions", "conversations", "interactions", "identities", "customers")

ASKED: dict[str, Callable[[Connection], Any]] = {
    "not sent, on every home": lambda tx: views.failed_sends(tx, "bo", now=NOW),
    "mine": lambda tx: cards.mine(tx, "bo"),
    "on hand": lambda tx: presence.loads(tx, ["bo"]),
    "a conversation's card": lambda tx: cards.by_ids(tx, [1]),
    "claim": lambda tx: outbox.claim(tx, {"a/b": 5}, owner="me", now=NOW, lease=SOON),
    "next due": lambda tx: outbox.next_due(tx, ["a/b"], NOW),
    "in doubt": lambda tx: doubts.looks(tx, NOW, again_after=SOON, room=5),
    "ended leases": lambda tx: doubts.expire(tx, IDS, NOW),
    "files": lambda tx: media.waiting(tx, NOW),
    "files to fetch": lambda tx: media.claim(tx, {"a/b": 5}, owner="me", now=NOW, lease=SOON),
    "the next file": lambda tx: media.next_due(tx, ["a/b"]),
    "files of nobody": lambda tx: media.homeless(tx, ["a/b"], NOW),
    "revisions": lambda tx: revision_work.waiting(tx, NOW),
    "revisions to make": lambda tx: revision_work.claim(tx, {"a/b": 5}, owner="me", now=NOW, lease=SOON),
    "the next revision": lambda tx: revision_work.next_due(tx, ["a/b"], NOW),
    "revisions of what did not go out": lambda tx: revision_work.settle(tx, IDS, NOW),
    "dead revisers": lambda tx: revision_work.expire(tx, NOW),
    "offers": lambda tx: conversations.expire_offers(tx, IDS, NOW),
    "sleepers": lambda tx: conversations.wake(tx, IDS, NOW),
    "queues that are gone": lambda tx: configs._stranded(tx, CONFIG, "config"),
    "what is in them": lambda tx: configs.settle(tx, IDS, CONFIG, "bo", NOW),
    "sends of nobody": lambda tx: sweep.homeless(tx, IDS, ["a/b"], NOW),
}


def read_whole(store: Store, work: Callable[[], Any]) -> list[str]:
    """The steps of its statements that read a table of those that grow from end to end."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        asked.append((statement, values))

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
    whole = []
    with store.read() as tx:
        for statement, values in asked:
            if statement.startswith(("SELECT", "UPDATE")) or statement.lstrip().startswith(
                ("SELECT", "UPDATE")
            ):
                plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                whole += [row[3] for row in plan if row[3].startswith("SCAN") and row[3].split()[1] in GROWS]
    return [step for step in whole if not any(f" {name}" in step for name in PARTIAL)]


@pytest.mark.parametrize("what", ASKED)
def test_nothing_is_read_from_end_to_end(sqlite_url: str, what: str) -> None:
    store = Store.open(sqlite_url)

    def work() -> None:
        with store.begin() as tx:
            ASKED[what](tx)

    assert read_whole(store, work) == []
    store.close()


def test_nor_by_a_scrape(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    assert read_whole(store, lambda: list(metrics.Hub(store, None)._of_store())) == []
    store.close()
