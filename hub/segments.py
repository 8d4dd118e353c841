"""The journal's files: records one after the other, found again after a torn write or a damaged block.

A record is a header (magic, length of the rest, CRC-32 over the length and the rest) and the rest: seq, time of
acceptance in µs, account, payload. The magic lets a scan go on behind damage; the CRC decides what is a record.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_MAGIC = b"\xf5MJ\x01"
_HEADER = struct.Struct("<4sII")
_REST = struct.Struct("<QQH")
_MAX_BYTES = 256 * 1024 * 1024  # of one record; a greater length is damage
_NOWHERE = 0xFFFFFFFF
SUFFIX = ".seg"


@dataclass(frozen=True, slots=True)
class Record:
    """One journalled event. accepted_us: microseconds since 1970."""

    seq: int
    accepted_us: int
    account: str
    payload: bytes


def frame(seq: int, accepted_us: int, account: str, payload: bytes) -> bytes:
    """The record's bytes."""
    name = account.encode()
    rest = _REST.pack(seq, accepted_us, len(name)) + name + payload
    return _HEADER.pack(_MAGIC, len(rest), zlib.crc32(rest, len(rest))) + rest


def parse(data: bytes, offset: int = 0) -> tuple[Record, int] | None:
    """The record at `offset` and where it ends; None where there is no whole and sound one."""
    start = offset + _HEADER.size
    if start > len(data):
        return None
    magic, length, crc = _HEADER.unpack_from(data, offset)
    if magic != _MAGIC or not _REST.size <= length <= _MAX_BYTES or start + length > len(data):
        return None
    rest = data[start : start + length]
    if zlib.crc32(rest, length) != crc:
        return None
    seq, accepted_us, name_length = _REST.unpack_from(rest)
    name = rest[_REST.size : _REST.size + name_length]
    return Record(seq, accepted_us, name.decode(), rest[_REST.size + name_length :]), start + length


def create(path: Path) -> int:
    """An empty file to append to, each write of which is durable when it returns: its descriptor. Its name is not."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_DSYNC, 0o600)


@dataclass(slots=True)
class Scan:
    """What a file holds. `records`: (offset, record without its payload). `damage`: (offset, bytes) between records.

    `end`: behind the last sound record; what follows there is a torn write.
    """

    records: list[tuple[int, Record]] = field(default_factory=list)
    damage: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0
    size: int = 0


def scan(data: bytes) -> Scan:
    """Every sound record, in order of the file, damage or not."""
    found = Scan(size=len(data))
    offset = 0
    while offset < len(data):
        parsed = parse(data, offset)
        if parsed is None:
            offset = data.find(_MAGIC, offset + 1)
            if offset < 0:
                break
            continue
        if offset > found.end:
            found.damage.append((found.end, offset - found.end))
        record, found.end = parsed
        found.records.append((offset, Record(record.seq, record.accepted_us, record.account, b"")))
        offset = found.end
    return found


class Segment:
    """One file and the index of its entries: 26 bytes each, however large they are.

    The index belongs to the event loop's thread; the file is written by the journal's thread alone.
    `first` is the seq of its first entry and its name. Entry `i` has seq `first + i`, with no gap: a damaged one
    has a place and no offset.
    """

    def __init__(self, folder: Path, first: int) -> None:
        self.path = folder / f"{first:020d}{SUFFIX}"
        self.first = first
        self.sealed = False
        self.damaged = False
        self.size = 0
        self.waiting = 0
        self.buckets = array("I")
        self._offsets = array("I")
        self._done = bytearray()
        self._part = array("B")
        self._ms = array("Q")
        self._n = array("Q")

    @property
    def last(self) -> int:
        """The seq of its newest entry; `first - 1` where it has none."""
        return self.first + len(self._offsets) - 1

    def add(self, offset: int, bucket: int) -> None:
        self.extend((offset,), (bucket,))

    def extend(self, offsets: Sequence[int], buckets: Sequence[int]) -> None:
        """Entries, one after the other."""
        count = len(offsets)
        self._offsets.extend(offsets)
        self.buckets.extend(buckets)
        self._done.extend(bytes(count))
        self._part.frombytes(bytes(count))
        self._ms.frombytes(bytes(8 * count))
        self._n.frombytes(bytes(8 * count))
        self.waiting += count

    def add_lost(self, bucket: int) -> None:
        """The place of a damaged entry, which cannot be sent again."""
        self.add(_NOWHERE, bucket)
        self.cut(self.last)

    def cut(self, seq: int) -> bool:
        """The store has it. False if that was known already."""
        index = seq - self.first
        if self._done[index]:
            return False
        self._done[index] = 1
        self.waiting -= 1
        return True

    def is_pending(self, seq: int) -> bool:
        return not self._done[seq - self.first]

    def reopen(self) -> None:
        """As if nothing had been cut or sent; damaged entries stay lost."""
        self._done = bytearray(int(offset == _NOWHERE) for offset in self._offsets)
        self.waiting = self._done.count(0)
        self.forget_places()

    def pending(self, after: int, below: int, limit: int) -> list[int]:
        """Up to `limit` seqs not yet cut, above `after` and below `below`, ascending."""
        found: list[int] = []
        index = max(after + 1 - self.first, 0)
        stop = min(below - self.first, len(self._done))
        while index < stop and len(found) < limit and (index := self._done.find(0, index, stop)) >= 0:
            found.append(self.first + index)
            index += 1
        return found

    def spans(self) -> Iterator[tuple[int, int]]:
        """The runs of seqs not yet cut, as (first, last). Costs by the run, not by the entry: it is asked in the event
        loop, with a million entries waiting too."""
        begin = self._done.find(0)
        while begin >= 0:
            end = self._done.find(1, begin)
            if end < 0:
                end = len(self._done)
            yield self.first + begin, self.first + end - 1
            begin = self._done.find(0, end)

    @property
    def newest(self) -> int:
        """The newest seq not yet cut; there must be one."""
        return self.first + self._done.rfind(0)

    def mark(self, seq: int, part: int, ms: int, n: int) -> None:
        index = seq - self.first
        self._part[index], self._ms[index], self._n[index] = part, ms, n

    def place(self, seq: int) -> tuple[int, int, int] | None:
        index = seq - self.first
        return (self._part[index], self._ms[index], self._n[index]) if self._ms[index] else None

    def forget_places(self) -> None:
        self._ms = array("Q", bytes(8 * len(self._ms)))

    def read(self, seqs: Iterable[int]) -> list[Record]:
        """Those entries from disk, in the order given; a damaged one is left out. Any thread may call it.

        Nothing where the file was removed meanwhile: all its entries were cut then.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            found = []
            for seq in seqs:
                offset = self._offsets[seq - self.first]
                if offset == _NOWHERE:
                    continue
                _, length, _ = _HEADER.unpack(os.pread(descriptor, _HEADER.size, offset))
                parsed = parse(os.pread(descriptor, _HEADER.size + length, offset))
                if parsed is not None and parsed[0].seq == seq:
                    found.append(parsed[0])
            return found
        finally:
            os.close(descriptor)
