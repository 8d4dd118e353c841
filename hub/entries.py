"""What stands in the stream, as a reader gets it: Redis's answer becomes entries, or bytes nobody here can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from hub import codec, log
from hub.clock import from_us
from hub.errors import NewerVersion
from hub.model import Entry
from hub.parts import ACCEPTED, PAYLOAD, PRODUCER, SEQ

_log = log.get("stream")
_FIELDS = [PRODUCER, SEQ, ACCEPTED, PAYLOAD]

# An id and its fields: as they were taken over, or as the script gives them.
Item = tuple[bytes, dict[bytes, bytes] | list[bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unread:
    """An entry whose bytes this program cannot read. `newer`: a later version wrote them; they are sound."""

    producer: str
    seq: int
    accepted_us: int
    raw: bytes = field(repr=False)
    reason: str
    newer: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one read gave: entries in the order of their parts. Acknowledge it when it is committed.

    again: some of it was delivered before and not acknowledged; whoever had it may have died of it.
    """

    entries: tuple[Entry, ...] = ()
    unread: tuple[Unread, ...] = ()
    ids: tuple[tuple[int, tuple[bytes, ...]], ...] = ()
    again: bool = False

    def __len__(self) -> int:
        return len(self.entries) + len(self.unread)


def gather(got: Sequence[tuple[int, list[Item]]], again: bool) -> Batch:
    """Of every part its items, in order. again: see Batch."""
    entries: list[Entry] = []
    unread: list[Unread] = []
    for _, items in got:
        for _, fields in items:
            item = _entry(fields)
            if type(item) is Entry:
                entries.append(item)
            elif type(item) is Unread:
                unread.append(item)
    ids = tuple((part, tuple(at for at, _ in items)) for part, items in got)
    return Batch(entries=tuple(entries), unread=tuple(unread), ids=ids, again=again)


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    fields = iter(flat)
    return dict(zip(fields, fields, strict=True))


@lru_cache(maxsize=1024)
def _producer(name: bytes) -> str:
    """The same few all the time."""
    return name.decode()


def _entry(fields: dict[bytes, bytes] | list[bytes]) -> Entry | Unread | None:
    """None for what is no entry of ours at all: somebody else wrote to our stream."""
    try:
        if type(fields) is list and fields[::2] == _FIELDS:  # as hub/writer.py leaves it
            producer, seq = _producer(fields[1]), int(fields[3])
            accepted_us, raw = int(fields[5]), fields[7]
        else:
            fields = fields if isinstance(fields, dict) else _pairs(fields)
            producer, seq = _producer(fields[PRODUCER]), int(fields[SEQ])
            accepted_us, raw = int(fields[ACCEPTED]), fields[PAYLOAD]
    except (KeyError, ValueError):
        names = fields if isinstance(fields, dict) else fields[::2]
        _log.error("a stream entry without its fields", fields=sorted(str(name)[:60] for name in names))
        return None
    try:
        event, cursor = codec.decode(raw)
    except (NewerVersion, ValueError) as error:
        return Unread(
            producer=producer,
            seq=seq,
            accepted_us=accepted_us,
            raw=raw,
            reason=str(error),
            newer=isinstance(error, NewerVersion),
        )
    return Entry(
        producer=producer, seq=seq, accepted_at=from_us(accepted_us), event=event, cursor=cursor, raw=raw
    )
