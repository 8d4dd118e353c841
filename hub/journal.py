"""The journal: what the edge has said yes to, on this machine's disk, until the store says that it has it.

Group commit: while one write is on its way to the disk, the next callers gather; all of them are one write, made
durable by O_DSYNC (a write and fdatasync in one call: the thread needs Python's lock once instead of twice), and
resume together. One thread does every write. Seqs grow without a gap, over restarts and full disks too: an entry gets
its seq when it is written, and a write that failed is cut off again before the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import secrets
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hub import failpoints
from hub.counts import DAY_US, Left, save_counts
from hub.errors import Unavailable
from hub.files import InUse, lock, replace, sync_folder
from hub.found import LOST, Damage, find, producer
from hub.segments import Record, Segment, create, frame

SEGMENT_BYTES = 16 * 1024 * 1024  # scanned in 0.1 s when opened
LINGER_S = 0.005  # between the starts of two writes under load, so that more callers share one
_ROLL_BYTES, _ROLL_S = 1024 * 1024, 60.0  # a file whose entries are all cut is left and removed from then on
__all__ = ["LOST", "Damage", "InUse", "Journal", "New"]


class New(NamedTuple):
    """What is to be journalled. `part`, of the stream, is for the listener and does not go to disk."""

    account: str
    accepted_us: int
    payload: bytes
    part: int = 0


Listener = Callable[[int, list[New]], None]


class _Write(NamedTuple):
    """One caller's entries, waiting."""

    entries: Sequence[New]
    done: asyncio.Future[range]


class _Written(NamedTuple):
    first: int
    segment: Segment
    offsets: list[int]


class Journal:
    """One folder, one process. Use it from one event loop; `read` may be called from any thread.

    `producer` names the folder for ever; (producer, seq) names an entry. `listener` hears of every write, in order,
    before its callers do. `counts` are entries by (day, account) since the folder was made.
    """

    def __init__(self, folder: Path, *, segment_bytes: int, linger_s: float) -> None:
        self.folder = folder
        self.listener: Listener | None = None
        self._segment_bytes, self._linger_s = segment_bytes, linger_s
        self._waiting: list[_Write] = []
        self._timer: asyncio.Handle | None = None
        self._writing = False
        self._closed = False
        self._started_at = 0.0
        self._rolled_at = time.monotonic()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._leaving: list[Segment] = []
        self._lock = lock(folder)
        try:
            self.producer = producer(folder)
            found = find(folder)
            self._active = found.segments[-1]
            self._file = os.open(self._active.path, os.O_WRONLY | os.O_APPEND | os.O_DSYNC)
        except BaseException:
            os.close(self._lock)
            raise
        self._segments, self._counts = found.segments, found.counts
        self.damage, self.torn_bytes = found.damage, found.torn_bytes
        self._write_seq = self._active.last + 1
        self._torn = False
        self._thread = threading.Thread(target=self._serve, name="journal", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, linger_s: float = LINGER_S) -> Journal:
        """Open the journal in `folder`, made if need be, and find every entry that is still in it.

        A torn last write was never answered for and is cut off. Damage elsewhere is in `damage`, and what follows it
        is kept. Raises InUse while another process has it open, Unavailable where the disk refuses.
        """
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                sync_folder(folder.parent)
            return cls(folder, segment_bytes=segment_bytes, linger_s=linger_s)
        except OSError as error:
            raise Unavailable(f"the journal in {folder} cannot be opened: {error.strerror}") from error

    # ---------------------------------------------------------------------------------------------- for callers

    async def append(self, entries: Sequence[New]) -> range:
        """Write `entries`, all or none, and return their seqs once they would survive a power cut.

        Raises Unavailable where the disk is full or refuses; the next call may succeed. A caller that is cancelled
        meanwhile does not take its entries back.
        """
        if self._closed:
            raise Unavailable("the journal is closed")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[range] = loop.create_future()
        self._waiting.append(_Write(entries, done))
        if not self._writing and self._timer is None:
            self._gather(loop)
        return await done

    @property
    def next_seq(self) -> int:
        """The seq of the next entry: every one below was journalled."""
        return self._segments[-1].last + 1

    @property
    def pending(self) -> int:
        """How many entries are still in the journal."""
        return sum(segment.waiting for segment in self._segments)

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def pending_seqs(self, after: int = 0, below: int | None = None, limit: int = 1024) -> list[int]:
        """Up to `limit` seqs still in the journal, above `after` and below `below`, ascending."""
        stop = self.next_seq if below is None else below
        found: list[int] = []
        start = max(bisect_right(self._segments, after + 1, key=lambda segment: segment.first) - 1, 0)
        for segment in self._segments[start:]:
            if segment.first >= stop or len(found) >= limit:
                break
            if segment.waiting:
                found += segment.pending(after, stop, limit - len(found))
        return found

    def pending_spans(self, limit: int = 100) -> list[tuple[int, int]]:
        """The seqs still in the journal as (first, last) spans; beyond `limit` spans the last one covers the rest."""
        spans: list[tuple[int, int]] = []
        for segment in self._segments:
            for first, last in segment.spans() if segment.waiting else ():
                if spans and spans[-1][1] == first - 1:
                    spans[-1] = (spans[-1][0], last)
                elif len(spans) < limit:
                    spans.append((first, last))
                else:
                    newest = next(s.newest for s in reversed(self._segments) if s.waiting)
                    return [*spans[:-1], (spans[-1][0], newest)]
        return spans

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(day, account) -> (entries ever journalled, of which still pending). Days are UTC, `2026-11-22`."""
        return self._counts.all()

    def read(self, seqs: Sequence[int]) -> list[Record]:
        """Those entries, read again from disk, ascending; cut and damaged ones are left out. Blocks."""
        segments = list(self._segments)
        firsts = [segment.first for segment in segments]
        by_segment: dict[int, list[int]] = {}
        for seq in sorted(seqs):
            at = bisect_right(firsts, seq) - 1
            if at >= 0 and seq <= segments[at].last:
                by_segment.setdefault(at, []).append(seq)
        return [record for at, some in by_segment.items() for record in segments[at].read(some)]

    def cut(self, seqs: Iterable[int]) -> int:
        """The store has these: forget them. Those unknown or cut before are passed over. How many were cut."""
        count = 0
        touched: set[int] = set()
        for seq in seqs:
            segment = self._segment(seq)
            if segment is not None and segment.cut(seq):
                self._counts.cut(segment.buckets[seq - segment.first])
                touched.add(segment.first)
                count += 1
        if touched:
            self._tidy()
        return count

    def mark(self, seq: int, part: int, ms: int, n: int) -> None:
        """It stands in the stream at `ms-n` of `part`. Kept in memory only."""
        if (segment := self._segment(seq)) is not None:
            segment.mark(seq, part, ms, n)

    def mark_all(self, places: Iterable[tuple[int, int, int, int]]) -> None:
        """The same for many (seq, part, ms, n), most of which follow each other."""
        segment: Segment | None = None
        for seq, part, ms, n in places:
            if segment is None or not segment.first <= seq <= segment.last:
                segment = self._segment(seq)
            if segment is not None:
                segment.mark(seq, part, ms, n)

    def place(self, seq: int) -> tuple[int, int, int] | None:
        """(part, ms, n) of an entry that was appended to the stream by this process."""
        segment = self._segment(seq)
        return None if segment is None else segment.place(seq)

    def forget_places(self) -> None:
        """The stream lost what it had: no entry has a place any more."""
        for segment in self._segments:
            segment.forget_places()

    def rename(self) -> None:
        """Give the folder a new producer's name, under which all that is in it is pending and counts anew.

        For a folder that is older than what came out of it: its seqs may name other entries already. Blocks.
        """
        name = secrets.token_hex(8)
        replace(self.folder / "producer", name.encode())
        (self.folder / "counts").unlink(missing_ok=True)
        self.producer = name
        for segment in self._segments:
            segment.reopen()
        self._counts.restart(
            (segment.buckets[seq - segment.first], segment.is_pending(seq))
            for segment in self._segments
            for seq in range(segment.first, segment.last + 1)
        )

    def close(self) -> None:
        """Finish the write that is on its way, refuse those that wait, let the folder go. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._work.put(None)
        self._thread.join()
        self._settle(self._waiting, Unavailable("the journal is closed"))
        self._waiting = []
        os.close(self._file)
        os.close(self._lock)

    # ------------------------------------------------------------------------------- in the event loop's thread

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write at the end of this turn of the loop, or, right after another write, a little later."""
        wait = self._started_at + self._linger_s - loop.time()
        turn = self._turn
        self._timer = loop.call_later(wait, turn, loop) if wait > 0 else loop.call_soon(turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        batch, self._waiting = self._waiting, []
        self._writing = True
        self._started_at = loop.time()
        self._work.put(lambda: self._commit(loop, batch))

    def _after(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Write], written: _Written | Exception
    ) -> None:
        self._writing = False
        if isinstance(written, Exception):
            self._settle(batch, written)
        else:
            if written.segment is not self._segments[-1]:
                self._segments.append(written.segment)
            entries = [entry for write in batch for entry in write.entries]
            add = self._counts.add
            buckets = [add(entry.accepted_us // DAY_US, entry.account) for entry in entries]
            written.segment.extend(written.offsets, buckets)
            if self.listener is not None:
                self.listener(written.first, entries)
            first = written.first
            for write in batch:
                following = first + len(write.entries)
                if not write.done.done():
                    write.done.set_result(range(first, following))
                first = following
        if self._waiting and self._timer is None and not self._closed:
            self._gather(loop)

    @staticmethod
    def _settle(batch: list[_Write], error: Exception) -> None:
        for write in batch:
            if not write.done.done():
                with contextlib.suppress(RuntimeError):  # its loop is gone, and so is whoever waited
                    write.done.set_exception(type(error)(*error.args))

    def _segment(self, seq: int) -> Segment | None:
        at = bisect_right(self._segments, seq, key=lambda segment: segment.first) - 1
        if at < 0 or seq > self._segments[at].last:
            return None
        return self._segments[at]

    def _tidy(self) -> None:
        """Have files removed whose entries are all cut, and leave the current one when it is worth it."""
        active = self._segments[-1]
        if not active.waiting and active.last >= active.first and not self._writing and not self._waiting:
            old = time.monotonic() - self._rolled_at > _ROLL_S
            if active.size >= _ROLL_BYTES or old or active.sealed:
                active.sealed = True  # the next write goes to a new file
        gone = [segment for segment in self._segments[:-1] if segment.sealed and not segment.waiting]
        if not gone:
            return
        self._segments = [segment for segment in self._segments if segment not in gone]
        left = self._counts.leave(bucket for segment in gone for bucket in segment.buckets)
        self._work.put(lambda: self._remove(gone, left))

    # --------------------------------------------------------------------------------- in the journal's own thread

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            job()

    def _commit(self, loop: asyncio.AbstractEventLoop, batch: list[_Write]) -> None:
        try:
            written: _Written | Exception = self._write(batch)
        except OSError as error:
            written = Unavailable(f"the journal cannot be written: {error.strerror}")
        except Exception as error:  # ours to mend, and the callers' to hear of: this thread serves the next
            written = error
        with contextlib.suppress(RuntimeError):  # the loop was closed while we wrote
            loop.call_soon_threadsafe(self._after, loop, batch, written)

    def _write(self, batch: list[_Write]) -> _Written:
        self._mend()
        if self._active.size >= self._segment_bytes or self._active.sealed:
            self._roll()
        segment = self._active
        first = seq = self._write_seq
        offsets, frames, offset = [], [], segment.size
        for write in batch:
            for entry in write.entries:
                record = frame(seq, entry.accepted_us, entry.account, entry.payload)
                offsets.append(offset)
                frames.append(record)
                offset += len(record)
                seq += 1
        self._torn = True
        left = memoryview(b"".join(frames))
        while left:
            left = left[os.write(self._file, left) :]
        self._torn = False
        failpoints.here("journal.after_fsync")
        segment.size, self._write_seq = offset, seq
        return _Written(first, segment, offsets)

    def _mend(self) -> None:
        """Cut off what a failed write left. Raises OSError as long as the disk does not let us."""
        if self._torn:
            os.ftruncate(self._file, self._active.size)
            os.fsync(self._file)
            self._torn = False

    def _roll(self) -> None:
        """Go on in a new file. Its name is durable before anything is written to it."""
        following = Segment(self.folder, self._write_seq)
        file = create(following.path)
        try:
            sync_folder(self.folder)
        except OSError:
            os.close(file)
            raise
        os.close(self._file)
        self._active.sealed = True
        self._active, self._file = following, file
        self._rolled_at = time.monotonic()

    def _remove(self, gone: list[Segment], left: Left) -> None:
        """Their counts are on disk, with their names, before they go: a crash between counts none twice."""
        self._leaving += gone
        try:
            save_counts(self.folder, left, [segment.path.name for segment in self._leaving])
            for segment in self._leaving:
                if segment.damaged and segment.path.exists():
                    segment.path.replace(segment.path.with_suffix(".damaged"))
                segment.path.unlink(missing_ok=True)
            sync_folder(self.folder)
        except OSError:
            return  # tried again with the next
        self._leaving = []
