"""Parts and leases: order within a part, one holder, nothing forgotten, whatever routers and Redis do."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis as redis_py

from hub import codec, model, stream
from hub.codec import encode
from hub.errors import Unavailable
from hub.leases import ROUTERS, lease_key
from hub.parts import EPOCH, GROUP, KEYS, PARTS, key, part_of, part_of_payload
from hub.redis import connect, connect_reader
from hub.stream import Batch, Reader, tail
from tests.hub.events import NOON, message
from tests.servers.valkey import Valkey

SENDERS = [f"tel:+1555{n:07d}" for n in range(200)]


def put(
    client: redis_py.Redis, number: int, event: model.Event | None = None, raw: bytes | None = None
) -> None:
    event = event or message(number, SENDERS[number % len(SENDERS)])
    fields = {"p": "prod", "s": number, "a": 1_700_000_000_000_000 + number, "d": raw or encode(event)}
    client.xadd(key(part_of(event)), fields)


@pytest.fixture
def made(redis: redis_py.Redis) -> redis_py.Redis:
    make(redis)
    return redis


def make(client: redis_py.Redis) -> None:
    for name in KEYS:
        client.xgroup_create(name, GROUP, id="0", mkstream=True)
    client.set(EPOCH, "e1")


@contextmanager
def reader(url: str, name: str, lease_s: float = 10.0) -> Iterator[Reader]:
    opened = Reader(connect_reader(url), name=name, lease_s=lease_s, block_ms=50)
    try:
        yield opened
    finally:
        opened.close()


def drain(reading: Reader, count: int = 256) -> list[int]:
    seqs: list[int] = []
    while len(batch := reading.read(count, wait=False)):
        seqs += [entry.seq for entry in batch.entries]
        reading.ack(batch)
    return seqs


def balance(*readers: Reader) -> None:
    """As if a second had passed: everyone says that he lives, gives back and takes."""
    for _ in range(2):
        for one in readers:
            one._balance()


def test_a_sender_has_one_part_for_ever() -> None:
    event = message(1, "tel:+15551234567")
    assert part_of(event) == part_of(message(2, "tel:+15551234567", "other", "webchat/main")) == 13
    change = model.MessageChanged(
        account="a/b",
        event_key="k",
        received_at=NOON,
        sender="tel:+15551234567",
        external_id="x",
        change=model.Change.EDIT,
    )
    consent = model.ConsentChanged(
        account="a/b", event_key="k", received_at=NOON, urn="tel:+15551234567", granted=False
    )
    assert part_of(change) == part_of(consent) == part_of(event)
    reports = [
        model.DeliveryReported(account="a/b", event_key=k, received_at=NOON, status=status, external_id="m1")
        for k, status in (("1", model.DeliveryStatus.SENT), ("2", model.DeliveryStatus.READ))
    ]
    assert part_of(reports[0]) == part_of(reports[1])
    assert {part_of(message(1, sender)) for sender in SENDERS} == set(range(PARTS))
    assert part_of_payload(encode(event)) == part_of(event)
    assert part_of_payload(b"rubbish") == part_of_payload(b"rubbish")


def test_one_reader_reads_everything_in_order_and_trims(made: redis_py.Redis, valkey: str) -> None:
    for number in range(1000):
        put(made, number)
    with reader(valkey, "a") as a:
        batch = a.read(100)
        assert len(batch) == 100
        assert batch.entries[0].event.account == "webhook/main"
        a.ack(batch)
        rest = drain(a)
        seqs = [entry.seq for entry in batch.entries] + rest
        assert sorted(seqs) == list(range(1000))
        for sender in range(len(SENDERS)):
            mine = [seq for seq in seqs if seq % len(SENDERS) == sender]
            assert mine == sorted(mine)
        balance(a)
        assert sum(lag.length for lag in stream.lag(made).values()) == 0


def test_nothing_that_is_not_done_is_trimmed(made: redis_py.Redis, valkey: str) -> None:
    for number in range(100):
        put(made, number, message(number, SENDERS[0]))
    part = part_of(message(0, SENDERS[0]))
    with reader(valkey, "a") as a:
        first = a.read(10)
        second = a.read(10)
        a.ack(second)
        balance(a)
        assert made.xlen(key(part)) == 100
        figures = stream.lag(made)[part]
        assert (figures.pending, figures.lag, figures.holder) == (10, 80, "a")
        assert figures.oldest_s >= 0
        a.ack(first)
        balance(a)
        assert made.xlen(key(part)) == 80
        assert stream.lag(made)[part].pending == 0


def test_what_a_dead_router_had_comes_first(made: redis_py.Redis, valkey: str) -> None:
    for number in range(20):
        put(made, number, message(number, SENDERS[0]))
    dead = Reader(connect_reader(valkey), name="dead", lease_s=1.0, block_ms=10)
    assert [entry.seq for entry in dead.read(5).entries] == [0, 1, 2, 3, 4]
    dead.leases._stop.set()  # it renews no more, and says nothing
    with reader(valkey, "b", lease_s=1.0) as b:
        until = time.monotonic() + 60
        seqs: list[int] = []
        while len(seqs) < 20 and time.monotonic() < until:
            batch = b.read(7)
            seqs += [entry.seq for entry in batch.entries]
            b.ack(batch)
        assert seqs == list(range(20))
        assert len(dead.read(5, wait=False)) == 0  # awake again, it finds that nothing is its own
        dead.close()


def test_routers_share_the_parts_and_none_has_two_holders(made: redis_py.Redis, valkey: str) -> None:
    with reader(valkey, "a") as a:
        balance(a)
        assert len(a.parts) == PARTS
        with reader(valkey, "b") as b, reader(valkey, "c") as c:
            balance(a, b, c)
            balance(a, b, c)
            held = [set(one.parts) for one in (a, b, c)]
            assert sum(len(parts) for parts in held) == PARTS
            assert set.union(*held) == set(range(PARTS))
            assert max(len(parts) for parts in held) - min(len(parts) for parts in held) <= 2
        balance(a)
        balance(a)
        assert len(a.parts) == PARTS
        assert made.zrange(ROUTERS, 0, -1) == [b"a"]


def test_a_part_in_hand_is_not_given_away(made: redis_py.Redis, valkey: str) -> None:
    for number in range(400):
        put(made, number)
    with reader(valkey, "a") as a:
        batch = a.read(400)
        assert len(batch) == 400
        with reader(valkey, "b") as b:
            balance(a, b)
            assert len(b.parts) == 0
            a.ack(batch)
            balance(a, b)
            assert len(b.parts) == PARTS // 2


def test_a_frozen_router_reads_nothing_that_is_not_its_own(made: redis_py.Redis, valkey: str) -> None:
    """Its own clock still says that it holds the part; Redis, asked in the same moment, knows better."""
    put(made, 1, message(1, SENDERS[0]))
    part = part_of(message(1, SENDERS[0]))
    with reader(valkey, "a") as a:
        balance(a)
        made.set(lease_key(part), "b")
        assert part in a.parts
        assert len(a.read(10, wait=False)) == 0
        assert made.xpending(key(part), GROUP)["pending"] == 0
        a._balance()
        assert part not in a.parts


def test_a_batch_given_up_comes_again_in_order(made: redis_py.Redis, valkey: str) -> None:
    for number in range(10):
        put(made, number, message(number, SENDERS[0]))
    with reader(valkey, "a") as a:
        a.give_up(a.read(4))
        assert drain(a, 3) == list(range(10))


def test_a_read_that_the_network_held_back_delivers_into_no_void(
    made: redis_py.Redis, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is carried out after we took stock: what it delivered would be ours and unseen, and out of order when seen."""
    with reader(valkey, "r1") as one:
        balance(one)
        held, mark = one._read_script, one.leases.mark

        def breaking(**_: object) -> object:
            raise redis_py.TimeoutError("no answer")

        monkeypatch.setattr(one, "_read_script", breaking)
        with pytest.raises(Unavailable):
            one.read(wait=False)
        monkeypatch.setattr(one, "_read_script", held)
        assert drain(one) == []
        for number in range(64):
            put(made, number)
        parts = sorted(one.parts)
        keys = [key(part) for part in parts] + [lease_key(part) for part in parts]
        assert held(keys=keys, args=(GROUP, "r1", 10, mark)) == []
        assert sorted(drain(one)) == list(range(64))


def test_a_read_whose_answer_is_lost_is_not_tried_again_in_silence(made: redis_py.Redis, valkey: str) -> None:
    """The second try would bring what comes next, and what the first delivered would be nobody's."""
    with pytest.raises(ValueError, match="in silence"):
        Reader(connect(valkey))
    patch = pytest.MonkeyPatch()
    with reader(valkey, "r1") as one:
        assert drain(one) == []
        put(made, 1)
        answered = redis_py.connection.AbstractConnection.read_response

        def reset(*args: object, **kwargs: object) -> None:
            answered(*args, **kwargs)
            patch.undo()
            raise redis_py.ConnectionError("connection reset by peer")

        one._balanced_at = time.monotonic()  # so that reading comes first
        patch.setattr(redis_py.connection.AbstractConnection, "read_response", reset)
        with pytest.raises(Unavailable):
            one.read(wait=False)
        put(made, 2, message(2, SENDERS[1]))
        assert drain(one) == [1, 2]


def test_parts_taken_while_redis_goes_away_are_read(
    made: redis_py.Redis, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their leases stand and are renewed, so nobody else can take them: whoever holds them looks at them again."""
    for number in range(64):
        put(made, number)
    with reader(valkey, "r1") as one:
        claim, calls = one._redis.xautoclaim, []

        def breaking(*args: object, **options: object) -> object:
            calls.append(args)
            if len(calls) == 3:
                raise redis_py.ConnectionError("it went away")
            return claim(*args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(one._redis, "xautoclaim", breaking)
        with pytest.raises(Unavailable):
            one.read(wait=False)
        balance(one)
        assert sorted(drain(one)) == list(range(64))


def test_two_routers_at_work_with_one_leaving(made: redis_py.Redis, valkey: str) -> None:
    """Every entry is handled, and in each part in order: nobody sees a later one before an earlier one was done."""
    total = 3000
    done: dict[int, list[int]] = {n: [] for n in range(len(SENDERS))}
    lock = threading.Lock()
    stop = threading.Event()

    def work(name: str, life: int) -> None:
        with reader(valkey, name, lease_s=1.0) as mine:
            for _ in range(life):
                if stop.is_set():
                    return
                batch = mine.read(64)
                with lock:
                    for entry in batch.entries:
                        done[entry.seq % len(SENDERS)].append(entry.seq)
                mine.ack(batch)

    threads = [threading.Thread(target=work, args=(name, life)) for name, life in (("a", 10**6), ("b", 12))]
    for thread in threads:
        thread.start()
    for number in range(total):
        put(made, number)
    until = time.monotonic() + 60
    while sum(len(set(seqs)) for seqs in done.values()) < total and time.monotonic() < until:
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    assert sorted(seq for seqs in done.values() for seq in seqs) == list(range(total))
    assert all(seqs == sorted(seqs) for seqs in done.values())


def test_after_flushall_the_group_is_made_again(made: redis_py.Redis, valkey: str) -> None:
    with reader(valkey, "a") as a:
        put(made, 1)
        batch = a.read()
        made.flushall()
        a.ack(batch)
        assert len(a.read()) == 0
        put(made, 2)  # a writer that made no group
        a._balance()
        assert drain(a) == [2]
        assert len(a.parts) == PARTS


def test_bytes_that_cannot_be_read_are_handed_on(made: redis_py.Redis, valkey: str) -> None:
    newer = encode(message(3)).replace(b"\xa1v\x01", b"\xa1v\x02")
    put(made, 1)
    put(made, 2, raw=b"rubbish")
    put(made, 3, raw=newer)
    made.xadd(key(0), {"somebody": "else's"})
    made.xadd(key(0), {b"\xff": b"in bytes"})
    with reader(valkey, "a") as a:
        batch = a.read()
        assert [entry.seq for entry in batch.entries] == [1]
        unread = sorted(batch.unread, key=lambda item: item.seq)
        assert [(item.seq, item.newer, item.raw) for item in unread] == [
            (2, False, b"rubbish"),
            (3, True, newer),
        ]
        a.ack(batch)
        balance(a)
        assert sum(figures.length for figures in stream.lag(made).values()) == 0


def test_redis_away() -> None:
    with Valkey() as server:
        with server.client() as client:
            make(client)
            put(client, 1)
        with reader(server.url, "a") as a:
            batch = a.read()
            server.kill()
            a.ack(batch)
            with pytest.raises(Unavailable):
                a.read()
            server.start()
            assert len(a.read(wait=False)) == 0  # and it was told what is done
            with server.client() as client:
                assert sum(figures.pending for figures in stream.lag(client).values()) == 0


def test_tail_takes_nothing(made: redis_py.Redis, valkey: str) -> None:
    put(made, 1)
    everything = tail(made, from_start=True, block_ms=10)
    assert next(everything)[2] == message(1, SENDERS[1])  # type: ignore[index]
    assert next(everything) is None
    from_now = tail(made, block_ms=10)
    assert next(from_now) is None
    put(made, 2, raw=b"rubbish")
    said = next(from_now)
    assert said is not None
    assert isinstance(said[2], ValueError)
    with reader(valkey, "a") as a:
        assert len(a.read()) == 2


def test_an_empty_stream_has_no_lag(redis: redis_py.Redis) -> None:
    figures = stream.lag(redis)
    assert set(figures) == set(range(PARTS))
    assert figures[0] == stream.Lag()
    assert Batch() is not None
    assert codec.VERSION == 1


@pytest.mark.parametrize("inherited", [False, True])
def test_what_was_delivered_into_a_broken_connection_is_not_forgotten(inherited: bool) -> None:
    """Redis hands it out in our name, and its answer never arrives: the lease stays ours, so nobody else takes it."""
    with Valkey() as server, server.client() as client:
        make(client)
        impatient = redis_py.Redis(unix_socket_path=str(server.socket), socket_timeout=1.0, retry=None)
        one = Reader(impatient, name="r1", block_ms=50)
        try:
            assert drain(one) == []
            other = message(1, SENDERS[1])
            put(client, 1, other)
            if inherited:  # and what was found as somebody else's is not dropped with it
                client.xreadgroup(GROUP, "dead", {key(part_of(other)): ">"})
                one._inherit(part_of(other))
            put(client, 2, message(2, SENDERS[2]))
            one._balanced_at = time.monotonic()
            server.freeze()
            with pytest.raises(Unavailable):
                one.read(wait=False)
            server.thaw()
            assert sorted(drain(one)) == [1, 2]
            assert all(not client.xpending(name, GROUP)["pending"] for name in KEYS)
        finally:
            server.thaw()
            one.close()
