"""What a surface told us: kept once, worked off in order, by one process at a time."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crm_store import desk_inbox
from crm_store.db import Store
from crm_store.desk_inbox import Heard, Told

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
LEASE = timedelta(seconds=60)


def put(store: Store, *told: Told) -> int:
    return store.run(lambda tx: desk_inbox.put(tx, store.ids, "slack", told, NOW))


def one(key: str, subject: str = "", **more: Any) -> Told:
    return Told(key=key, kind="message", body="{}", subject=subject, **more)


def claim(store: Store, owner: str = "a", now: datetime = NOW, limit: int = 10) -> list[Heard]:
    return store.run(lambda tx: desk_inbox.claim(tx, "slack", owner, now=now, until=now + LEASE, limit=limit))


def done(store: Store, row: Heard, owner: str = "a", **more: Any) -> bool:
    return store.run(lambda tx: desk_inbox.done(tx, store.ids, "slack", row.id, owner, now=NOW, **more))


def keys(rows: list[Heard]) -> list[str]:
    return [row.key for row in rows]


def test_told_twice_is_one(store: Store) -> None:
    assert put(store, one("a"), one("b")) == 2
    assert put(store, one("b"), one("c")) == 1
    rows = claim(store)
    assert keys(rows) == ["a", "b", "c"]
    for row in rows:
        assert done(store, row)
    assert put(store, one("a")) == 0
    assert claim(store) == []


def test_within_one_put_too(store: Store) -> None:
    assert put(store, one("a"), one("a")) == 1


def test_a_subject_goes_in_its_order(store: Store) -> None:
    put(store, one("a1", "A"), one("b1", "B"), one("a2", "A"), one("x1"), one("x2"))
    first = claim(store)
    assert keys(first) == ["a1", "b1", "x1", "x2"]
    assert claim(store, "b") == []
    done(store, first[0])
    assert keys(claim(store, "b")) == ["a2"]


def test_a_lease_ends(store: Store) -> None:
    put(store, one("a", "A"))
    (row,) = claim(store)
    assert row.tries == 1
    assert claim(store, "b", NOW + LEASE / 2) == []
    (again,) = claim(store, "b", NOW + LEASE)
    assert (again.id, again.tries) == (row.id, 2)
    assert not done(store, row, "a", then=[one("follows")]), "who lost the lease writes nothing"
    assert done(store, again, "b", then=[one("follows")])
    assert keys(claim(store, "b")) == ["follows"]


def test_later(store: Store) -> None:
    put(store, one("a", "A"), one("b", "A"))
    (row,) = claim(store)
    due = NOW + timedelta(seconds=5)
    store.run(lambda tx: desk_inbox.later(tx, row.id, "a", due_at=due, counts=False))
    assert claim(store) == [], "what stands behind it waits too"
    with store.read() as tx:
        assert desk_inbox.next_due(tx, "slack") == NOW
    (again,) = claim(store, now=due)
    assert (again.key, again.tries) == ("a", 1)


def test_due_later_from_the_start(store: Store) -> None:
    put(store, one("a", due_at=NOW + timedelta(seconds=5)))
    assert claim(store) == []
    with store.read() as tx:
        assert desk_inbox.next_due(tx, "slack") == NOW + timedelta(seconds=5)
    assert keys(claim(store, now=NOW + timedelta(seconds=5))) == ["a"]


def test_forgotten_words_are_gone(store: Store) -> None:
    put(store, Told(key="a", kind="message", body='{"text": "lunch?"}'))
    (row,) = claim(store)
    done(store, row, forget=True)
    with store.read() as tx:
        assert desk_inbox.known(tx, "slack", ["a", "b"]) == {"a"}
        assert tx.exec_driver_sql("SELECT body FROM desk_inbox").scalar_one() == "{}"


def test_prefixes(store: Store) -> None:
    put(store, one("C1:5.1:send:U1:7"))
    with store.read() as tx:
        assert desk_inbox.begins(tx, "slack", "C1:5.1:send:U1:")
        assert not desk_inbox.begins(tx, "slack", "C1:5.1:send:U2:")
        assert not desk_inbox.begins(tx, "web", "C1:5.1:send:U1:")


def test_backlog_and_cleaning_up(store: Store) -> None:
    put(store, one("a"), one("b"))
    row = claim(store, limit=1)[0]
    done(store, row)
    with store.read() as tx:
        found = desk_inbox.backlog(tx, "slack")
        assert desk_inbox.given_up(tx, "slack") == 0
    assert (found.waiting, found.oldest, found.troubled) == (1, NOW, 0)
    long_after = NOW + timedelta(days=30)
    assert store.run(lambda tx: desk_inbox.forget_before(tx, "slack", long_after)) == 1
    assert keys(claim(store)) == ["b"]


def test_what_was_given_up_is_kept_and_can_be_taken_up_again(store: Store) -> None:
    put(store, one("a"))
    (row,) = claim(store)
    done(store, row, trouble=f"{desk_inbox.GIVEN_UP} after 8 tries: a bug")
    assert store.run(lambda tx: desk_inbox.forget_before(tx, "slack", NOW + timedelta(days=99))) == 0
    with store.read() as tx:
        assert desk_inbox.given_up(tx, "slack") == 1
    assert store.run(lambda tx: desk_inbox.again(tx, "slack")) == 1
    assert keys(claim(store)) == ["a"]


@pytest.mark.timeout(60)
def test_many_claimers_take_each_row_once(store: Store) -> None:
    put(store, *(one(f"{subject}{n}", subject) for n in range(5) for subject in "ABCDEF"))
    taken: list[str] = []
    lock = threading.Lock()

    def work(owner: str) -> None:
        while True:
            rows = claim(store, owner, limit=3)
            if not rows:
                with store.read() as tx:
                    if desk_inbox.backlog(tx, "slack").waiting == 0:
                        return
                continue
            for row in rows:
                with lock:
                    taken.append(row.key)
                assert done(store, row, owner)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 30
    for subject in "ABCDEF":
        assert [key for key in taken if key.startswith(subject)] == [f"{subject}{n}" for n in range(5)]
