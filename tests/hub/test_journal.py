"""The journal: what was answered for is there again, whatever happened to the process, the disk or the file."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub import segments
from hub.clock import to_us
from hub.counts import Counts, load_counts, save_counts
from hub.errors import MainstemError, Unavailable
from hub.journal import LOST, InUse, Journal, New
from tests.hub.events import NOON

NOON_US = to_us(NOON)
DAY = "2026-11-22"


def new(number: int, account: str = "webhook/main", size: int = 0) -> New:
    return New(account, NOON_US + number, b"%d:" % number + b"x" * size)


def payloads(journal: Journal) -> list[bytes]:
    return [record.payload for record in journal.read(journal.pending_seqs(limit=1 << 30))]


def segment_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


async def test_entries_come_back_after_a_restart(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j")
    assert list(await journal.append([new(1), new(2)])) == [1, 2]
    assert list(await journal.append([new(3, "webchat/main")])) == [3]
    name = journal.producer
    journal.close()
    journal.close()

    again = Journal.open(tmp_path / "j")
    assert (again.producer, again.next_seq, again.pending) == (name, 4, 3)
    assert again.read([1, 2, 3, 99])[2] == segments.Record(3, NOON_US + 3, "webchat/main", b"3:")
    assert again.counts() == {(DAY, "webhook/main"): (2, 2), (DAY, "webchat/main"): (1, 1)}
    assert list(await again.append([new(4)])) == [4]
    again.close()
    with pytest.raises(Unavailable):
        await again.append([new(5)])


async def test_one_folder_one_process(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with pytest.raises(InUse, match=f"in use by process {os.getpid()}"):
        Journal.open(tmp_path)
    journal.close()
    Journal.open(tmp_path).close()


async def test_callers_at_once_share_a_write_and_stay_in_order(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    heard: list[tuple[int, int]] = []
    journal.listener = lambda first, entries: heard.append((first, len(entries)))
    seqs = await asyncio.gather(*[journal.append([new(n)]) for n in range(500)])
    assert [list(got) for got in seqs] == [[n] for n in range(1, 501)]
    assert len(heard) < 10
    assert sum(count for _, count in heard) == 500
    assert payloads(journal) == [b"%d:" % n for n in range(500)]
    journal.close()


async def test_a_caller_that_gives_up_takes_nothing_back(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    caller = asyncio.create_task(journal.append([new(1)]))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert list(await journal.append([new(2)])) == [2]
    assert journal.pending_seqs() == [1, 2]
    journal.close()


async def test_what_the_store_has_is_forgotten_and_its_files_go(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=2000)
    for n in range(1, 101):
        await journal.append([new(n, size=100)])
    assert len(segment_files(tmp_path)) > 5
    assert journal.cut(range(1, 91)) == 90
    assert journal.cut([1, 50, 5000]) == 0
    assert journal.pending_spans() == [(91, 100)]
    assert journal.counts() == {(DAY, "webhook/main"): (100, 10)}
    journal.close()
    assert len(segment_files(tmp_path)) <= 2

    again = Journal.open(tmp_path, segment_bytes=2000)
    assert again.counts()[DAY, "webhook/main"][0] == 100
    assert again.pending_seqs()[-1] == 100
    again.cut(range(1, 101))
    again.close()
    last = Journal.open(tmp_path)
    assert (last.next_seq, last.counts()[DAY, "webhook/main"][0]) == (101, 100)
    last.close()


def test_counts_of_days_long_past_are_let_go_and_a_wrong_clock_ends_none(tmp_path: Path) -> None:
    counts = Counts({})
    for day in (*range(20_000, 20_200), 40_000, 20_200):
        counts.leave([counts.add(day, "webhook/main", pending=False)])
    save_counts(tmp_path, counts.leave([]), [])
    for kept in (counts, load_counts(tmp_path)[0]):
        days = sorted(day for day, _ in kept.all())
        assert (len(days), days[0], days[-2:]) == (60, "2025-02-23", ["2025-04-22", "2079-07-08"])


async def test_spans_go_over_files_and_cost_by_the_span(tmp_path: Path) -> None:
    """They are asked for every few seconds in the event loop, with whatever waits while Redis is away."""
    journal = Journal.open(tmp_path, segment_bytes=2_000_000)
    for n in range(100):
        await journal.append([new(n)] * 1000)
    assert len(segment_files(tmp_path)) > 2
    began = time.perf_counter()
    for _ in range(20):
        assert journal.pending_spans() == [(1, 100_000)]
    contiguous_s = time.perf_counter() - began
    journal.cut(range(2, 100_000, 2))
    spans = journal.pending_spans()
    assert (len(spans), spans[:2], spans[-1]) == (100, [(1, 1), (3, 3)], (199, 100_000))
    assert contiguous_s < 0.1, "2,000,000 entries in all took half a second one by one"
    journal.close()


async def test_spans(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    await journal.append([new(n) for n in range(20)])
    journal.cut([1, 4, 5, 9, 20])
    assert journal.pending_spans() == [(2, 3), (6, 8), (10, 19)]
    assert journal.pending_spans(limit=2) == [(2, 3), (6, 19)]
    assert journal.pending_seqs(after=6, below=12) == [7, 8, 10, 11]
    journal.mark(7, part=3, ms=5, n=1)
    assert (journal.place(7), journal.place(8)) == ((3, 5, 1), None)
    journal.forget_places()
    assert journal.place(7) is None
    journal.close()


@pytest.mark.parametrize("leaving", [0, 1, 2])
async def test_a_crash_while_files_go_counts_nothing_twice(tmp_path: Path, leaving: int) -> None:
    """At each step: nothing done; counts written; counts written and the first of two files removed."""
    journal = Journal.open(tmp_path, segment_bytes=500)
    for n in range(1, 11):
        await journal.append([new(n, size=200)])
    journal.close()
    if leaving:
        files = segment_files(tmp_path)[:2]
        gone = [entry for file in files for entry in segments.scan(file.read_bytes()).records]
        day = NOON_US // 86_400_000_000
        said = {"removing": [file.name for file in files], "counts": [[day, "webhook/main", len(gone)]]}
        (tmp_path / "counts").write_text(json.dumps(said))
        if leaving == 2:
            files[0].unlink()
    again = Journal.open(tmp_path)
    assert again.counts()[DAY, "webhook/main"][0] == 10
    assert again.next_seq == 11
    again.close()


async def test_a_torn_last_write_at_every_byte(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "j")
    await journal.append([new(n, size=20) for n in range(1, 4)])
    journal.close()
    (file,) = segment_files(tmp_path / "j")
    whole = file.read_bytes()
    last = len(segments.frame(3, NOON_US + 3, "webhook/main", b"3:" + b"x" * 20))
    for torn in range(1, last + 1):
        file.write_bytes(whole[:-torn])
        again = Journal.open(tmp_path / "j")
        assert (again.pending, again.next_seq, again.damage) == (2, 3, [])
        assert again.torn_bytes == last - torn
        again.close()
        assert file.read_bytes() == whole[:-last]
    file.write_bytes(whole[:-1])
    again = Journal.open(tmp_path / "j")
    assert list(await again.append([new(3)])) == [3]  # its seq was never answered for
    assert payloads(again)[-1] == b"3:"
    again.close()


@pytest.mark.parametrize("where", ["magic", "length", "crc", "seq", "account", "payload", "zeroes"])
async def test_damage_in_the_middle_is_told_and_the_rest_kept(tmp_path: Path, where: str) -> None:
    journal = Journal.open(tmp_path)
    await journal.append([new(n, size=50) for n in range(1, 11)])
    journal.close()
    (file,) = segment_files(tmp_path)
    data = bytearray(file.read_bytes())
    start = segments.scan(bytes(data)).records[4][0]
    spot = {"magic": 0, "length": 4, "crc": 8, "seq": 12, "account": 31, "payload": 60, "zeroes": 0}[where]
    for at in range(start + spot, start + spot + (40 if where == "zeroes" else 1)):
        data[at] = 0 if where == "zeroes" else data[at] ^ 0xFF
    file.write_bytes(data)

    again = Journal.open(tmp_path)
    assert [damage.seqs for damage in again.damage] == [(5,)]
    assert again.pending_seqs() == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert len(payloads(again)) == 9
    assert again.next_seq == 11
    assert again.counts() == {
        (DAY, "webhook/main"): (9, 9),
        (DAY, LOST): (1, 0),
    }  # the ledger misses it aloud
    assert list(await again.append([new(11)])) == [11]
    again.close()


async def test_a_damaged_file_is_kept_when_its_entries_are_done(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, segment_bytes=500)
    for n in range(1, 10):
        await journal.append([new(n, size=200)])
    journal.close()
    first = segment_files(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[40] ^= 0xFF
    first.write_bytes(data)
    again = Journal.open(tmp_path, segment_bytes=500)
    assert again.damage
    again.cut(range(1, 9))
    again.close()
    assert not first.exists()
    assert first.with_suffix(".damaged").read_bytes() == data


async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for a full disk: the same short write, then the same kind of error."""
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal.open(tmp_path)
    await journal.append([new(1, size=100)])
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
        outcomes = await asyncio.gather(
            *[journal.append([new(n, size=300)]) for n in range(2, 12)], return_exceptions=True
        )
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        with pytest.raises(Unavailable, match="cannot be written"):
            await journal.append([new(12, size=2000)])
        assert list(await journal.append([new(13)])) == [2]  # small enough for what is left
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert list(await journal.append([new(14, size=2000)])) == [3]
    journal.close()
    again = Journal.open(tmp_path)
    assert [p.split(b":")[0] for p in payloads(again)] == [b"1", b"13", b"14"]
    assert (again.torn_bytes, again.damage, again.counts()) == (0, [], {(DAY, "webhook/main"): (3, 3)})
    again.close()


async def test_a_bug_in_one_write_stops_no_other(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    with pytest.raises(Exception, match=r"argument|range|format"):
        await journal.append([New("x" * 70_000, NOON_US, b"")])
    assert list(await journal.append([new(1)])) == [1]
    journal.close()


async def test_a_renamed_folder_has_everything_pending_again(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    await journal.append([new(n) for n in range(5)])
    journal.cut([1, 2])
    old = journal.producer
    journal.rename()
    assert journal.producer != old
    assert journal.counts() == {(DAY, "webhook/main"): (5, 5)}
    journal.close()
    again = Journal.open(tmp_path)
    assert again.producer == journal.producer
    again.close()


def test_a_folder_without_its_name_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "producer").write_text("../x")
    with pytest.raises(MainstemError, match="producer's name"):
        Journal.open(tmp_path)


WRITE = """
import asyncio, sys
from pathlib import Path
from hub.journal import Journal, New

async def main():
    journal = Journal.open(Path(sys.argv[1]), segment_bytes=20_000)
    async def caller(name):
        number = 0
        while True:
            number += 1
            (seq,) = await journal.append([New("webhook/main", 1_700_000_000_000_000, b"%d-%d" % (name, number))])
            print(seq, f"{name}-{number}", flush=True)
            if seq % 7 == 0:
                journal.cut(range(seq - 40, seq - 20))
    await asyncio.gather(*[caller(name) for name in range(20)])

asyncio.run(main())
"""


def test_kill_in_the_middle_of_appends(tmp_path: Path) -> None:
    """What the process had said is there; seqs have no gap; and the counts are those of all seqs, over three kills."""
    said: dict[int, str] = {}
    for life in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(300)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.wait()
        child.stdout.close()
        for line in lines:
            if line.endswith("\n"):
                seq, text = line.split()
                assert int(seq) not in said
                said[int(seq)] = f"{life}/{text}"
    journal = Journal.open(tmp_path)
    assert journal.damage == []
    assert max(said) < journal.next_seq
    there = {
        record.seq: record.payload.decode() for record in journal.read(journal.pending_seqs(limit=1 << 30))
    }
    kept = [seq for seq in said if seq in there]
    assert len(kept) > 100
    assert all(said[seq].partition("/")[2] == there[seq] for seq in kept)
    assert sum(entries for entries, _ in journal.counts().values()) == journal.next_seq - 1
    cut = set(range(1, journal.next_seq)) - there.keys()
    assert all(seq < max(said) - 20 for seq in cut)
    journal.close()


def test_killed_right_after_the_write(tmp_path: Path) -> None:
    """Failpoint journal.after_fsync: on disk, never answered; it is there, and its seq is taken."""
    child = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path)],
        env={**os.environ, "MAINSTEM_FAIL": "journal.after_fsync"},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert (child.returncode, child.stdout) == (137, b"")
    journal = Journal.open(tmp_path)
    assert journal.pending == journal.next_seq - 1 > 0
    journal.close()
