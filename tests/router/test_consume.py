"""The loop: from the stream to the store and back to the receipt, with what may come in between."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py

from crm_store import schema
from crm_store.db import Store
from hub import jobs, notices
from hub.clock import to_us
from hub.errors import Unavailable
from hub.model import Entry, Event
from hub.parts import GROUP, KEYS, PARTS, part_of
from hub.stream import Reader
from router.consume import BACKLOG, BATCH, Counted, Router, run
from tests.databases import on_postgresql, on_sqlite
from tests.router.way_in import WayIn


class Stream:
    """The stream as writers leave it."""

    def __init__(self, client: redis_py.Redis) -> None:
        self.client = client

    def add(self, *entries: Entry) -> None:
        for entry in entries:
            self.raw(part_of(entry.event), entry.producer, entry.seq, to_us(entry.accepted_at), entry.raw)

    def raw(self, part: int, producer: str, seq: int, accepted_us: int, payload: bytes) -> None:
        self.client.xadd(KEYS[part], {"p": producer, "s": seq, "a": accepted_us, "d": payload})

    def pending(self) -> int:
        return sum(
            int(self.client.xpending(name, GROUP)["pending"]) for name in KEYS if self.client.exists(name)
        )


class Turning:
    """A router that is turned by hand, and what it told."""

    def __init__(self, way: WayIn, client: redis_py.Redis) -> None:
        self.way, self.client = way, client
        self.woken: list[str] = []
        self.counted: list[Counted] = []
        self.reader = Reader(client, block_ms=10)
        self.router = Router(way.handler, self.reader, client, self.woken.append, self.counted.append)

    def turn(self) -> int:
        return self.router.once(wait=False)


@pytest.fixture
def way(store: Store) -> WayIn:
    return WayIn(store)


@pytest.fixture
def stream(redis: redis_py.Redis) -> Stream:
    return Stream(redis)


@pytest.fixture
def router(way: WayIn, redis: redis_py.Redis) -> Any:
    turning = Turning(way, redis)
    yield turning
    turning.reader.close()


@on_sqlite
def test_what_is_in_the_stream_comes_into_the_store(way: WayIn, stream: Stream, router: Turning) -> None:
    stream.add(*(way.entry(way.ann(str(n), sender=f"webchat:{n % 7}")) for n in range(40)))
    listener = stream.client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe(notices.CHANNEL)
    listener.get_message(timeout=60)
    while router.turn():
        pass
    assert way.count(schema.interactions) == 40
    assert stream.pending() == 0
    stream.client.publish(notices.CHANNEL, "the end")
    told = []
    while (heard := next(listener.listen())["data"]) != b"the end":
        told.append(json.loads(heard))
    listener.close()
    assert {notice["kind"] for notice in told} == {"conversation", "queue"}
    named = {
        number for notice in told if notice["kind"] == "conversation" for number in notice["conversation"]
    }
    assert named == {row.id for row in way.rows(schema.conversations)}
    assert sum(counted.entries for counted in router.counted) == 40
    assert router.woken == []


@on_postgresql
def test_the_order_of_a_sender_is_kept(way: WayIn, stream: Stream, router: Turning) -> None:
    stream.add(*(way.entry(way.ann(str(n))) for n in range(600)))
    while router.turn():
        pass
    assert [row.text for row in way.rows(schema.interactions)] == [str(n) for n in range(600)]
    assert [counted.entries for counted in router.counted] == [BATCH, 344]
    assert router.router.size == BATCH


@on_sqlite
def test_a_database_that_is_away_keeps_the_batch_in_hand(
    way: WayIn, stream: Stream, router: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.add(way.entry(way.ann()))

    def away(*_: Any, **__: Any) -> None:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr("crm_store.batch.run", away)
        for _ in range(8):
            with pytest.raises(Unavailable):
                router.turn()
    assert (stream.pending(), way.count(schema.intake)) == (1, 0)
    assert router.turn() == 1
    assert (stream.pending(), way.outcomes()) == (0, ["stored"])


def test_a_crash_before_the_receipt_comes_to_nothing(
    way: WayIn, stream: Stream, router: Turning, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F7: committed, told, and killed before XACK: it comes again, and once is enough."""
    stream.add(way.entry(way.ann("one")), way.entry(way.ann("two")))

    class Killed(BaseException):
        pass

    def die(_: object) -> None:
        raise Killed

    monkeypatch.setattr(router.reader, "ack", die)
    with pytest.raises(Killed):
        router.turn()
    router.reader.leases.close()
    other = Turning(way, redis)
    assert other.turn() == 2
    assert (way.outcomes(), stream.pending()) == (["stored", "stored"], 0)
    assert way.count(schema.intake_tries) == 0
    assert way.conversation().version == 1
    other.reader.close()


@on_postgresql
def test_rubbish_and_newer_entries_do_not_hold_up_the_others(
    way: WayIn, stream: Stream, router: Turning
) -> None:
    said = way.entry(way.ann(), seq=3)
    part = part_of(said.event)
    stream.raw(part, "p1", 1, to_us(way.now), b"rubbish")
    stream.raw(part, "p1", 2, to_us(way.now), b"\x82\xa1v\x09\xa4kind\xa8hologram")
    stream.client.xadd(KEYS[part], {"somebody": "else"})
    stream.add(said)
    while router.turn():
        pass
    assert way.outcomes() == ["quarantined", "quarantined", "stored"]
    assert [row.kind for row in way.rows(schema.quarantine)] == ["poison", "newer"]
    assert stream.pending() == 0


@on_sqlite
def test_a_report_that_settles_a_send_wakes_the_deliverer(way: WayIn, router: Turning) -> None:
    from router.handle import Handled

    router.router._tell(Handled(deliveries={1}, conversations={2}))
    assert router.woken == [jobs.DELIVER]


def test_the_loop_ends_when_it_is_told_to(way: WayIn, stream: Stream, redis: redis_py.Redis) -> None:
    stop, counted = threading.Event(), []
    events: list[Event] = [way.ann(str(n), sender=f"webchat:{n}") for n in range(PARTS)]
    stream.add(*(way.entry(event) for event in events))
    reader = Reader(redis, block_ms=20)
    arguments = (way.store, redis, lambda: way.rules, lambda: way.config, lambda _: None, stop, reader)
    thread = threading.Thread(target=run, args=arguments, kwargs={"count": counted.append})
    thread.start()
    for _ in range(5000):
        if sum(one.entries for one in counted) == PARTS:
            break
        time.sleep(0.01)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert way.count(schema.interactions) == PARTS
    assert reader.parts == frozenset()


@on_sqlite
def test_the_end_of_a_batch_is_its_own_however_late_it_comes(
    way: WayIn, stream: Stream, router: Turning, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread beside may begin only once this one has handled the next batch."""
    late: list[Callable[[], None]] = []
    monkeypatch.setattr(router.reader, "read_ahead", lambda _size, before: late.append(before))
    ended: list[str] = []
    router.router.size, router.router._unfinished = 1, lambda: ended.append("the one before")
    stream.add(way.entry(way.ann()))
    assert router.turn() == 1
    for before in late:
        before()
    assert ended == ["the one before"]
    assert [one.entries for one in router.counted] == [1]


def test_what_was_read_ahead_is_finished_before_the_end(
    way: WayIn, stream: Stream, redis: redis_py.Redis
) -> None:
    """Left behind, it would come again as what its reader may have died of, one entry at a time."""
    stream.add(*(way.entry(way.ann(str(n))) for n in range(BATCH + max(BACKLOG.values()))))
    stop, counted = threading.Event(), []

    def count(one: Counted) -> None:
        counted.append(one.entries)
        stop.set()

    reader = Reader(redis, block_ms=20)
    run(
        way.store,
        redis,
        lambda: way.rules,
        lambda: way.config,
        lambda _: None,
        stop,
        reader,
        count=count,
    )
    assert len(counted) > 1
    assert way.count(schema.interactions) == sum(counted)
    assert stream.pending() == 0
