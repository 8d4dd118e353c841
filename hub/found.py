"""What a journal's folder holds when it is opened: its name, its files and, from them, its counts.

A torn last write was never answered for and is cut off. Damage elsewhere is told of, and what follows it is kept.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from hub.counts import DAY_US, Counts, load_counts
from hub.errors import MainstemError
from hub.files import replace, sync_folder
from hub.segments import SUFFIX, Segment, create, scan

LOST = "?"  # the account of an entry whose record is damaged


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a file that is no record. `seqs`: the entries that stood there, where that can be told."""

    file: str
    offset: int
    size_bytes: int
    seqs: tuple[int, ...]


@dataclass(slots=True)
class Found:
    """segments: by seq, at least one; the last is written to. torn_bytes: cut off its end."""

    counts: Counts
    segments: list[Segment] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    torn_bytes: int = 0


def producer(folder: Path) -> str:
    """The folder's name for ever: 16 hex characters, made when it is first opened. Raises MainstemError."""
    path = folder / "producer"
    if not path.exists():
        replace(path, secrets.token_hex(8).encode())
    name = path.read_text("ascii").strip()
    if not (0 < len(name) <= 32 and name.isalnum()):
        raise MainstemError(
            f"{path} holds no producer's name: restore it from a copy, or the journal with it"
        )
    return name


def find(folder: Path) -> Found:
    """Every entry that is still there. Removes the files whose removal was begun; makes the first. Raises OSError."""
    counts, removing = load_counts(folder)
    found = Found(counts)
    for name in removing:
        (folder / name).unlink(missing_ok=True)
    paths = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())
    for path in paths:
        _load(found, path, last=path is paths[-1])
    if not paths:
        first = Segment(folder, 1)
        os.close(create(first.path))
        found.segments.append(first)
    sync_folder(folder)
    return found


def _load(found: Found, path: Path, *, last: bool) -> None:
    scanned = scan(path.read_bytes())
    segment = Segment(path.parent, int(path.stem))
    segment.size, segment.sealed = scanned.end, not last
    damage = {offset + size: (offset, size) for offset, size in scanned.damage}
    day = 0
    for offset, record in scanned.records:
        day = record.accepted_us // DAY_US
        lost = tuple(range(segment.last + 1, record.seq))
        if lost or offset in damage:
            found.damage.append(Damage(path.name, *damage.get(offset, (offset, 0)), lost))
            segment.damaged = True
        for _ in lost:
            segment.add_lost(found.counts.add(day, LOST, pending=False))
        if record.seq == segment.last + 1:
            segment.add(offset, found.counts.add(day, record.account))
    tail = scanned.size - scanned.end
    if tail and last:
        found.torn_bytes = tail
        with path.open("r+b") as file:
            file.truncate(scanned.end)
            os.fsync(file.fileno())
    elif tail:
        found.damage.append(Damage(path.name, scanned.end, tail, (segment.last + 1,)))
        segment.damaged = True
        segment.add_lost(found.counts.add(day, LOST, pending=False))
    found.segments.append(segment)
