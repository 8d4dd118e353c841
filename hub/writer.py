"""From the journal to the stream, in the order of the journal, whatever Redis does meanwhile.

One script call takes many entries: it is all or nothing, it says where each now stands, and it refuses where the
streams are not those that we knew (FLUSHALL, an empty replacement): then everything still in the journal is looked
through again before anything new is sent, so that order holds. Away, full (OOM) and not writing (MISCONF) are one
thing: the entries wait in the journal, and here only the seq of the next is remembered.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

import redis
import redis.asyncio

from hub import log
from hub.errors import Unavailable
from hub.journal import Journal, New
from hub.parts import EPOCH, GROUP, KEYS, part_of_payload
from hub.redis import GONE, stop_if_cancelled

_log = log.get("stream")

BATCH = 256  # entries in one call; Redis is busy with it for about a millisecond
_BATCH_BYTES = 1024 * 1024
_PACE_S = 0.005  # between two calls under load, so that more entries share one; nobody waits for them
_CACHE_BYTES = 8 * 1024 * 1024  # of entries that wait here; beyond that they are read again from the journal
_BACK_OFF_S = (0.02, 0.1, 0.3, 1.0, 2.0)
_PATIENCE_S = (
    10.0  # for a store that does not answer, before entries are sent again unasked: doubles are harmless
)

_APPEND = b"""
local epoch = redis.call('GET', KEYS[1])
if epoch ~= ARGV[1] then return epoch or '' end
local ids = {}
for i = 3, #ARGV, 4 do
  ids[#ids + 1] = redis.call('XADD', KEYS[ARGV[i] + 2], '*',
    'p', ARGV[2], 's', ARGV[i + 1], 'a', ARGV[i + 2], 'd', ARGV[i + 3])
end
return ids
"""
# Ids in one argument for each stream, for packing an argument costs more than looking an id up.
_GONE = """
local gone = {}
for part, ids in ipairs(ARGV) do
  for id in string.gmatch(ids, '%S+') do
    if #redis.call('XRANGE', KEYS[part], id, id) == 0 then gone[#gone + 1] = part - 1 .. ':' .. id end
  end
end
return gone
"""


class _Sending(NamedTuple):
    seq: int
    new: New


Ask = Callable[[Sequence[int]], Awaitable[set[int]]]


class Writer:
    """Sends every entry of the journal once it is there. `ask`: which of these has the store? Raises Unavailable.

    `next`: the seq it will send next; below that, every entry was in the stream once.
    """

    def __init__(self, journal: Journal, client: redis.asyncio.Redis, ask: Ask) -> None:
        self.next = 1
        self.idle = False  # everything journalled was in the stream once
        self.away_since: float | None = None  # time.monotonic(), while Redis takes nothing
        self._journal, self._redis, self._ask = journal, client, ask
        self._ask_below = journal.next_seq  # what an earlier process may have sent already
        self._ready: deque[_Sending] = deque()
        self._ready_bytes = 0
        self._again: deque[int] = deque()
        self._in_hand: list[_Sending] = []
        self._wake = asyncio.Event()
        self._epoch = b""
        self._connection: Any = None
        self._asked_in_vain_since: float | None = None
        self._gone = client.register_script(_GONE)

    def push(self, first: int, entries: list[New]) -> None:
        """These were journalled just now. Kept at hand as long as there is room."""
        for seq, new in enumerate(entries, first):
            if self._ready_bytes > _CACHE_BYTES:
                break
            if not self._ready or self._ready[-1].seq == seq - 1:
                self._ready.append(_Sending(seq, new))
                self._ready_bytes += len(new.payload)
        self._wake.set()

    def send_again(self, seqs: Sequence[int]) -> None:
        """These are neither in the store nor in the stream."""
        for seq in seqs:
            self._journal.mark(seq, 0, 0, 0)  # or the next look would find them missing too
        self._again.extend(seqs)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        try:
            while True:
                stop_if_cancelled()
                try:
                    if not self._epoch:
                        await self._join()
                        stop_if_cancelled()  # before what may wait for ever
                    self._in_hand = self._in_hand or await self._take()
                    if self._in_hand:
                        started = time.monotonic()
                        await self._send(self._in_hand)
                        failures = self._well()
                        if (rest := started + _PACE_S - time.monotonic()) > 0:
                            await asyncio.sleep(rest)
                except GONE as error:
                    await self._drop()
                    self._ill(error)
                    wait = _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
                    failures += 1
                    await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries
        finally:
            await self._drop()

    async def missing(self, seqs: Sequence[int]) -> list[int]:
        """Those of `seqs` that were sent and are no longer in the stream. Raises RedisError where it is away."""
        ids: list[list[str]] = [[] for _ in KEYS]
        named: dict[str, int] = {}
        for seq in seqs:
            if (place := self._journal.place(seq)) is not None:
                part, ms, n = place
                name = f"{ms}-{n}"
                ids[part].append(name)
                named[f"{part}:{name}"] = seq
        if not named:
            return []
        gone = await self._gone(keys=KEYS, args=[" ".join(some) for some in ids])
        return sorted(named[name.decode()] for name in gone)

    # ------------------------------------------------------------------------------------------ what comes next

    async def _take(self) -> list[_Sending]:
        """The next entries in order; none after having waited for some."""
        if self._again:
            seqs = [self._again.popleft() for _ in range(min(len(self._again), BATCH))]
            return await self._from_disk(
                [seq for seq in seqs if self._journal.pending_seqs(seq - 1, seq + 1)]
            )
        if self.next < self._ask_below:
            return await self._take_old()
        while self._ready and self._ready[0].seq < self.next:
            self._ready_bytes -= len(self._ready.popleft().new.payload)
        if self._ready and self._ready[0].seq == self.next:
            return self._take_ready()
        below = self._ready[0].seq if self._ready else self._journal.next_seq
        if self.next < below:
            seqs = self._journal.pending_seqs(self.next - 1, below, BATCH)
            self.next = seqs[-1] + 1 if len(seqs) == BATCH else below
            return await self._from_disk(seqs)
        self._wake.clear()
        self.idle = True
        await self._wake.wait()
        self.idle = False
        return []

    def _take_ready(self) -> list[_Sending]:
        taken: list[_Sending] = []
        size = 0
        while self._ready and len(taken) < BATCH and size < _BATCH_BYTES:
            taken.append(self._ready.popleft())
            size += len(taken[-1].new.payload)
        self._ready_bytes -= size
        self.next = taken[-1].seq + 1
        return taken

    async def _take_old(self) -> list[_Sending]:
        """Entries that may have been sent before: those that the store has are cut, the others sent again."""
        seqs = self._journal.pending_seqs(self.next - 1, self._ask_below, BATCH)
        if seqs:
            try:
                known = await self._ask(seqs)
            except Unavailable:
                now = time.monotonic()
                self._asked_in_vain_since = self._asked_in_vain_since or now
                if now - self._asked_in_vain_since < _PATIENCE_S:
                    await asyncio.sleep(0.5)
                    return []
                known = set()
            else:
                self._asked_in_vain_since = None
            self._journal.cut(known)
            seqs = [seq for seq in seqs if seq not in known]
            self.next = max([*known, *seqs]) + 1
        else:
            self.next = self._ask_below
        return await self._from_disk(seqs)

    async def _from_disk(self, seqs: list[int]) -> list[_Sending]:
        if not seqs:
            return []
        try:
            records = await asyncio.to_thread(self._journal.read, seqs)
        except OSError as error:
            _log.error("the journal cannot be read back", error=str(error))
            self._again.extend(seqs)
            await asyncio.sleep(1.0)
            return []
        if len(records) < len(seqs):
            gone = set(seqs) - {record.seq for record in records}
            unread = [seq for seq in gone if self._journal.pending_seqs(seq - 1, seq + 1)]
            if unread:
                _log.error(
                    "journal entries cannot be read back", producer=self._journal.producer, seqs=unread
                )
        return [
            _Sending(r.seq, New(r.account, r.accepted_us, r.payload, part_of_payload(r.payload)))
            for r in records
        ]

    # -------------------------------------------------------------------------------------------- to and from Redis

    async def _join(self) -> None:
        """Make the streams where there are none, and know them again later by their epoch."""
        if await self._redis.get(EPOCH) is None:
            for name in KEYS:
                try:
                    await self._redis.xgroup_create(name, GROUP, id="0", mkstream=True)
                except redis.ResponseError as error:
                    if "BUSYGROUP" not in str(error):
                        raise
            await self._redis.set(EPOCH, secrets.token_hex(8), nx=True)
        epoch: Any = await self._redis.get(EPOCH)
        self._epoch = epoch or b""

    async def _send(self, batch: list[_Sending]) -> None:
        reply = await self._call(batch)
        if isinstance(reply, bytes):
            self._lost()
            return
        self._journal.mark_all(_places(batch, reply))
        self._in_hand = []

    def _lost(self) -> None:
        """The streams are others than those we knew: look through everything again, from the oldest on."""
        waiting = self._journal.pending
        _log.warning("the stream was lost; sending again what the store has not", entries=waiting)
        self._epoch = b""
        self._in_hand = []
        self._again.clear()
        self._journal.forget_places()
        self.next, self._ask_below = 1, self._journal.next_seq

    async def _call(self, batch: list[_Sending]) -> Any:
        """The script's reply: ids, or the epoch that is. Packed by hand: redis-py's packing costs 3 µs an argument."""
        if self._connection is None:
            pool: Any = self._redis.connection_pool
            self._connection = await pool.get_connection()
        command = _packed(self._epoch, self._journal.producer.encode(), batch)
        try:
            await self._connection.send_packed_command(command, check_health=False)
            return await self._connection.read_response()
        except redis.exceptions.NoScriptError:
            await self._connection.send_command("SCRIPT", "LOAD", _APPEND)
            await self._connection.read_response()
            return await self._call(batch)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._redis.connection_pool.release(connection)

    def _well(self) -> int:
        if self.away_since is not None:
            away_s = round(time.monotonic() - self.away_since, 1)
            _log.info(
                "the stream takes entries again", away_s=away_s, waiting=self._journal.next_seq - self.next
            )
            self.away_since = None
        return 0

    def _ill(self, error: Exception) -> None:
        if self.away_since is None:
            self.away_since = time.monotonic()
            _log.warning("the stream takes nothing; entries wait in the journal", error=str(error))


def _places(batch: list[_Sending], ids: list[bytes]) -> Iterator[tuple[int, int, int, int]]:
    for (seq, new), at in zip(batch, ids, strict=True):
        ms, _, n = at.partition(b"-")
        yield seq, new.part, int(ms), int(n)


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


_HEAD = b"".join(
    _bulk(word)
    for word in (
        b"EVALSHA",
        hashlib.sha1(_APPEND, usedforsecurity=False).hexdigest().encode(),
        b"%d" % (len(KEYS) + 1),
        EPOCH.encode(),
        *(name.encode() for name in KEYS),
    )
)
_HEAD_WORDS = len(KEYS) + 4


def _packed(epoch: bytes, producer: bytes, batch: list[_Sending]) -> bytes:
    pieces = [b"*%d\r\n" % (_HEAD_WORDS + 2 + 4 * len(batch)), _HEAD, _bulk(epoch), _bulk(producer)]
    for seq, new in batch:
        number, accepted, data = b"%d" % seq, b"%d" % new.accepted_us, new.payload
        pieces.append(
            b"$%d\r\n%d\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
            % (1 + (new.part > 9), new.part, len(number), number, len(accepted), accepted, len(data), data)
        )
    return b"".join(pieces)
