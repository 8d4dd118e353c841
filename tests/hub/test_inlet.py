"""From `accept` to the stream and back: nothing that was accepted is lost, whatever Redis and the store do."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis as redis_py

from hub import inlet as inlets
from hub import writer as writers
from hub.errors import Unavailable
from hub.inlet import Inlet
from hub.journal import Journal
from hub.model import Cursor
from hub.parts import EPOCH, KEYS, key, part_of
from hub.redis import connect_writer
from tests.hub.events import NOON, Receipts, message
from tests.servers.valkey import Valkey
from tests.waiting import eventually


@asynccontextmanager
async def running(folder: Path, url: str, receipts: Receipts) -> AsyncIterator[tuple[Inlet, Journal]]:
    """An inlet at work; recovery happens where a test calls it."""
    journal = Journal.open(folder)
    client = connect_writer(url)
    inlet = Inlet(journal, client, receipts, clock=lambda: NOON, every_s=3600, host="h")
    pump = asyncio.create_task(inlet.run())
    try:
        yield inlet, journal
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        journal.close()
        await client.aclose()


def in_stream(client: redis_py.Redis) -> dict[int, list[int]]:
    """Part -> seqs, in the stream's order."""
    return {part: [int(fields[b"s"]) for _, fields in client.xrange(name)] for part, name in enumerate(KEYS)}


def seqs_in(client: redis_py.Redis) -> list[int]:
    return sorted(seq for seqs in in_stream(client).values() for seq in seqs)


async def recover(inlet: Inlet) -> None:
    """Two rounds: the first learns what is old."""
    await inlet.recover()
    await inlet.recover()


def sent(inlet: Inlet, journal: Journal) -> bool:
    return inlet.writer.idle and inlet.writer.next == journal.next_seq


async def test_accepted_events_reach_their_part_in_order(
    tmp_path: Path, valkey: str, redis: redis_py.Redis
) -> None:
    receipts = Receipts()
    async with running(tmp_path, valkey, receipts) as (inlet, journal):
        senders = [f"tel:+1555000{n:04d}" for n in range(40)]
        await asyncio.gather(*[inlet.accept([message(n, senders[n % 40])]) for n in range(400)])
        await inlet.accept([])
        await inlet.accept([message(400), message(401)], Cursor(account="webhook/main", name="c", value="7"))
        await eventually(lambda: sent(inlet, journal))
        assert seqs_in(redis) == list(range(1, 403))
        assert all(seqs == sorted(seqs) for seqs in in_stream(redis).values())
        last = redis.xrevrange(key(part_of(message(401))), count=1)[0][1]
        assert b"cursor" in last[b"d"]
        assert last[b"p"].decode() == journal.producer

        await recover(inlet)
        assert journal.pending == 402  # the store has none, the stream all: left alone
        receipts.took(journal.producer, range(1, 401))
        await recover(inlet)
        assert journal.pending_seqs() == [401, 402]
        await inlet.report()
        told = receipts.reports[-1]
        assert (told.last_seq, told.pending, told.host) == (402, [(401, 402)], "h")
        assert told.counts == {("2026-11-22", "webhook/main"): (402, 2)}
        await inlet.report()
        assert receipts.reports[-1].counts == {}  # nothing changed
        assert seqs_in(redis) == list(range(1, 403))


async def test_without_redis_everything_is_accepted_and_sent_later_in_order(tmp_path: Path) -> None:
    with Valkey() as server:
        async with running(tmp_path, server.url, Receipts()) as (inlet, journal):
            await inlet.accept([message(0)])
            await eventually(lambda: sent(inlet, journal))
            server.kill()
            for n in range(1, 300):
                await inlet.accept([message(n)])
            await eventually(lambda: inlet.writer.away_since is not None)
            server.start()
            await eventually(lambda: sent(inlet, journal))
            assert inlet.writer.away_since is None
            with server.client() as client:
                stood = in_stream(client)[part_of(message(0))]
            assert list(dict.fromkeys(stood)) == list(
                range(1, 301)
            )  # the batch in flight may stand there twice


async def test_what_waits_for_redis_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writers, "_CACHE_BYTES", 5000)
    with Valkey() as server:
        server.stop()
        async with running(tmp_path, server.url, Receipts()) as (inlet, journal):
            await asyncio.gather(*[inlet.accept([message(n, text="x" * 1000)]) for n in range(500)])
            assert len(inlet.writer._ready) < 10
            server.start()
            await eventually(lambda: sent(inlet, journal))
            await inlet.accept([message(500)])
            await eventually(lambda: sent(inlet, journal))
            with server.client() as client:
                assert list(dict.fromkeys(in_stream(client)[part_of(message(0))])) == list(range(1, 502))


async def test_flushall_sends_again_what_the_store_has_not_before_anything_new(
    tmp_path: Path, valkey: str, redis: redis_py.Redis
) -> None:
    receipts = Receipts()
    async with running(tmp_path, valkey, receipts) as (inlet, journal):
        for n in range(50):
            await inlet.accept([message(n)])
        await eventually(lambda: sent(inlet, journal))
        receipts.took(journal.producer, range(1, 21))
        redis.flushall()
        await inlet.accept([message(50)])
        await eventually(lambda: sent(inlet, journal))
        assert in_stream(redis)[part_of(message(0))] == list(range(21, 52))
        assert journal.pending_seqs() == list(range(21, 52))
        assert redis.xinfo_groups(KEYS[0])


async def test_flushall_when_nothing_new_comes_is_found_by_recovery(
    tmp_path: Path, valkey: str, redis: redis_py.Redis
) -> None:
    async with running(tmp_path, valkey, Receipts()) as (inlet, journal):
        for n in range(10):
            await inlet.accept([message(n)])
        await eventually(lambda: sent(inlet, journal))
        redis.flushall()
        await recover(inlet)
        await eventually(
            lambda: sent(inlet, journal) and redis.exists(EPOCH) == 1 and len(seqs_in(redis)) >= 10
        )
        assert set(seqs_in(redis)) == set(range(1, 11))
        await recover(inlet)
        await asyncio.sleep(0.05)
        assert len(seqs_in(redis)) == 10


async def test_entries_that_the_stream_lost_are_sent_again(
    tmp_path: Path, valkey: str, redis: redis_py.Redis
) -> None:
    """As after a cut append-only file: the streams are there, their last entries are not."""
    async with running(tmp_path, valkey, Receipts()) as (inlet, journal):
        for n in range(30):
            await inlet.accept([message(n)])
        await eventually(lambda: sent(inlet, journal))
        name = key(part_of(message(0)))
        for at, _ in redis.xrevrange(name, count=5):
            redis.xdel(name, at)
        await recover(inlet)
        await eventually(lambda: len(seqs_in(redis)) == 30)
        await recover(inlet)
        await recover(inlet)
        await asyncio.sleep(0.05)
        assert seqs_in(redis) == list(range(1, 31))  # once, not at every look


async def test_after_a_restart_the_store_is_asked_first(
    tmp_path: Path, valkey: str, redis: redis_py.Redis
) -> None:
    receipts = Receipts()
    async with running(tmp_path, valkey, receipts) as (inlet, journal):
        for n in range(20):
            await inlet.accept([message(n)])
        await eventually(lambda: sent(inlet, journal))
    receipts.took(journal.producer, range(1, 16))
    async with running(tmp_path, valkey, receipts) as (inlet, journal):
        await inlet.accept([message(20)])
        await eventually(lambda: sent(inlet, journal))
        assert journal.pending_seqs() == list(range(16, 22))
        stood = in_stream(redis)[part_of(message(0))]
        assert stood == [*range(1, 21), *range(16, 21), 21]  # doubles before what is new: order holds


async def test_a_store_that_is_away_at_the_start_is_not_waited_for_for_ever(
    tmp_path: Path, valkey: str, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inlets, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(inlets, "CHECK_S", 0.05)
    monkeypatch.setattr(writers, "_PATIENCE_S", 0.01)
    receipts = Receipts()
    receipts.away = True
    async with running(tmp_path, valkey, receipts) as (inlet, _):
        await inlet.accept([message(0)])
    async with running(tmp_path, valkey, receipts) as (inlet, journal):
        await inlet.accept([message(1)])
        await eventually(lambda: sent(inlet, journal))
        assert set(seqs_in(redis)) == {1, 2}
        with pytest.raises(Unavailable):
            await recover(inlet)
        assert journal.pending == 2


async def test_a_journal_older_than_the_store_gets_a_new_name(
    tmp_path: Path, valkey: str, redis: redis_py.Redis
) -> None:
    """A folder restored from a copy would give out seqs that the store knows: new messages would be taken for old."""
    receipts = Receipts()
    async with running(tmp_path, valkey, receipts) as (inlet, journal):
        await inlet.accept([message(0)])
        await eventually(lambda: sent(inlet, journal))
        old = journal.producer
    receipts.took(old, range(1, 10))  # so it had written nine
    async with running(tmp_path, valkey, receipts) as (inlet, journal):
        await inlet.accept([message(1)])
        await eventually(lambda: sent(inlet, journal))
        assert journal.producer != old
        await recover(inlet)
        assert journal.pending_seqs() == [1, 2]
        assert journal.counts() == {("2026-11-22", "webhook/main"): (2, 2)}


async def test_a_full_redis_takes_all_or_nothing_and_order_holds(tmp_path: Path) -> None:
    with Valkey() as server, server.client() as client:
        async with running(tmp_path, server.url, Receipts()) as (inlet, journal):
            await inlet.accept([message(0)])
            await eventually(lambda: sent(inlet, journal))
            client.config_set("maxmemory", "1mb")
            for n in range(1, 100):
                await inlet.accept([message(n)])
            await eventually(lambda: inlet.writer.away_since is not None)
            assert seqs_in(client) == [1]
            client.config_set("maxmemory", "0")
            await eventually(lambda: sent(inlet, journal))
            assert in_stream(client)[part_of(message(0))] == list(range(1, 101))


async def test_a_frozen_redis_delays_no_answer(tmp_path: Path) -> None:
    with Valkey() as server:
        async with running(tmp_path, server.url, Receipts()) as (inlet, journal):
            await inlet.accept([message(0)])
            await eventually(lambda: sent(inlet, journal))
            server.freeze()
            await asyncio.wait_for(asyncio.gather(*[inlet.accept([message(n)]) for n in range(1, 50)]), 30.0)
            server.thaw()
            await eventually(lambda: sent(inlet, journal))
            with server.client() as client:
                assert set(seqs_in(client)) == set(range(1, 51))


async def test_two_producers_see_each_others_flush(
    tmp_path: Path, valkey: str, redis: redis_py.Redis
) -> None:
    async with (
        running(tmp_path / "a", valkey, Receipts()) as (one, first),
        running(tmp_path / "b", valkey, Receipts()) as (two, second),
    ):
        for n in range(5):
            await one.accept([message(n)])
            await two.accept([message(n)])
        await eventually(lambda: sent(one, first) and sent(two, second))
        redis.flushall()
        await one.accept([message(5)])
        await eventually(lambda: sent(one, first))
        await two.accept([message(6)])
        await eventually(lambda: sent(two, second))
        for journal in (first, second):
            entries = [
                f for name in KEYS for _, f in redis.xrange(name) if f[b"p"].decode() == journal.producer
            ]
            assert [int(fields[b"s"]) for fields in entries] == [1, 2, 3, 4, 5, 6]


async def test_a_journal_that_cannot_be_written_is_unavailable(
    tmp_path: Path, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, valkey, Receipts()) as (inlet, journal):

        def refuse(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("hub.journal.os.write", refuse)
            with pytest.raises(Unavailable, match="No space left"):
                await inlet.accept([message(0)])
        await inlet.accept([message(1)])
        assert journal.pending_seqs() == [1]


async def test_it_ends_when_asked_however_early(
    tmp_path: Path, valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation that redis-py swallows (asyncio.wait_for on Python 3.11 does) while the streams are looked at."""
    join = writers.Writer._join

    async def swallowing(self: writers.Writer) -> None:
        with suppress(asyncio.CancelledError):
            joining.set()
            await asyncio.sleep(60)
        await join(self)

    joining = asyncio.Event()
    monkeypatch.setattr(writers.Writer, "_join", swallowing)
    journal, client = Journal.open(tmp_path), connect_writer(valkey)
    pump = asyncio.create_task(Inlet(journal, client, Receipts(), every_s=3600).run())
    await joining.wait()
    pump.cancel()
    await asyncio.wait({pump}, timeout=30)
    assert pump.cancelled()
    journal.close()
    await client.aclose()


ACCEPT = """
import asyncio, sys
from pathlib import Path
from hub.inlet import Inlet
from hub.journal import Journal
from hub.redis import connect_writer
from tests.hub.events import Receipts, message

async def main():
    inlet = Inlet(Journal.open(Path(sys.argv[1])), connect_writer(sys.argv[2]), Receipts(), every_s=3600)
    pump = asyncio.create_task(inlet.run())
    for number in range(10**9):
        await inlet.accept([message(number)])
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("failpoint", ["", "web.after_journal", "journal.after_fsync"])
async def test_a_killed_edge_loses_nothing_it_said_yes_to(
    tmp_path: Path, valkey: str, redis: redis_py.Redis, failpoint: str
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", ACCEPT, str(tmp_path), valkey],
        stdout=subprocess.PIPE,
        env={**os.environ, "MAINSTEM_FAIL": failpoint},
        text=True,
    )
    assert child.stdout is not None
    said = [] if failpoint else [child.stdout.readline() for _ in range(50)]
    if not failpoint:
        child.kill()
    said += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    accepted = sum(line.endswith("\n") for line in said)
    assert bool(accepted) is not bool(failpoint)
    async with running(tmp_path, valkey, Receipts()) as (inlet, journal):
        await eventually(lambda: sent(inlet, journal))
        assert journal.next_seq - 1 >= max(accepted, 1)
        assert set(seqs_in(redis)) == set(range(1, journal.next_seq))
        await inlet.report()


def test_receipts_are_the_ports_shape() -> None:
    def takes(receipts: inlets.Receipts) -> Sequence[str]:
        return [receipts.known.__name__, receipts.report.__name__]

    assert takes(Receipts()) == ["known", "report"]
