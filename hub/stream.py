"""The stream, as routers and operators read it. The way in is hub/writer.py, behind hub/inlet.py."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import redis

from hub import log
from hub.entries import Batch, Item, Unread, gather
from hub.errors import Unavailable
from hub.leases import LEASE_S, Leases, lease_key
from hub.parts import GROUP, PARTS, key, part_of, payload
from hub.redis import BLOCK_MS
from hub.watch import Lag, lag, tail

__all__ = ["GROUP", "PARTS", "Batch", "Lag", "Reader", "Unread", "key", "lag", "part_of", "payload", "tail"]

_log = log.get("stream")

BATCH = 256
_BALANCE_S = 1.0  # between looks at who has which part, and trims
_CLAIM = 512  # pending entries taken over in one call

# KEYS: streams, then their leases. ARGV: group, our name, how many entries, our leases' mark.
# -> for every stream with something new: its place in KEYS, and the entries. One whose lease is not ours is passed
# over here, in the same moment: nobody can have taken it between our look and our read.
_READ = """
local left = tonumber(ARGV[3])
local out = {}
local n = #KEYS / 2
for i = 1, n do
  if left <= 0 then break end
  if redis.call('GET', KEYS[n + i]) == ARGV[4] then
    local args = {'GROUP', ARGV[1], ARGV[2], 'COUNT', left, 'STREAMS', KEYS[i], '>'}
    local got = redis.pcall('XREADGROUP', unpack(args))
    if got and got.err and string.find(got.err, 'NOGROUP') then
      if redis.call('EXISTS', KEYS[i]) == 1 then
        redis.call('XGROUP', 'CREATE', KEYS[i], ARGV[1], '0')
        got = redis.call('XREADGROUP', unpack(args))
      else
        got = false
      end
    elseif got and got.err then
      return got
    end
    if got and got[1] then
      out[#out + 1] = {i - 1, got[1][2]}
      left = left - #got[1][2]
    end
  end
end
return out
"""
# KEYS: a stream. ARGV: group. Removes what lies below everything that is not acknowledged or not delivered; nothing
# where somebody else's group reads too.
_TRIM = """
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err or #groups ~= 1 then return 0 end
local info = {}
for i = 1, #groups[1], 2 do info[groups[1][i]] = groups[1][i + 1] end
if info['name'] ~= ARGV[1] then return 0 end
local below
if info['pending'] > 0 then
  below = redis.call('XPENDING', KEYS[1], ARGV[1])[2]
else
  local ms, n = string.match(info['last-delivered-id'], '(%d+)-(%d+)')
  below = ms .. '-' .. string.format('%d', n + 1)
end
return redis.call('XTRIM', KEYS[1], 'MINID', below)
"""


class Reader:
    """One router's view of the stream. One thread calls it; leases are renewed behind its back.

    The order within a part is kept: what was delivered to whoever held it before comes first, then what is new.
    Every entry comes at least once; how often says nothing (a router that dies with a batch in hand delivers it
    again), so tries are counted in the store and not here.

    client: one that tries nothing twice by itself (hub.redis.connect_reader). Raises ValueError for another.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        name: str | None = None,
        lease_s: float = LEASE_S,
        block_ms: int = BLOCK_MS,
    ) -> None:
        if (retry := client.get_retry()) is not None and retry.get_retries():
            raise ValueError("this client reads again in silence, behind what a broken read delivered")
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._redis, self._block_ms = client, min(block_ms, BLOCK_MS)
        self.leases = Leases(client, self.name, lease_s)
        self._read_script: Any = client.register_script(_READ)
        self._trim_script: Any = client.register_script(_TRIM)
        self._inherited: dict[int, deque[Item]] = {}
        self._seen: dict[int, bytes] = {}
        self._in_hand: Counter[int] = Counter()
        self._to_ack: dict[int, list[bytes]] = {}
        self._balanced_at = float("-inf")
        self._turn = 0
        self._ahead: Future[Batch] | None = None
        self._beside = ThreadPoolExecutor(1, "read-ahead")
        self._resting = threading.Event()
        self._unsure = False  # did a read break off?
        self.leases.start()

    @property
    def parts(self) -> frozenset[int]:
        """The parts that are ours at this moment."""
        return self.leases.held

    def read(self, count: int = BATCH, *, wait: bool = True) -> Batch:
        """The next entries of our parts, at most `count`; an empty batch after waiting up to two seconds.

        Raises Unavailable where Redis does not answer.
        """
        try:
            if self._ahead is not None:
                ahead, self._ahead = self._ahead, None
                self._resting.set()
                batch = self._in_hands(ahead.result())
                if batch.ids:
                    return batch
            self._send_acks()
            if self._unsure:
                self._begin_anew()
            if self._balance_due():
                self._balance()
            got, again = self._read(count)
            if not got and wait:
                self._wait()
                got, again = self._read(count)
            return self._in_hands(gather(got, again))
        except (redis.RedisError, OSError) as error:
            self._unsure = True
            raise Unavailable(f"the stream does not answer: {error}") from error

    def read_ahead(self, count: int, before: Callable[[], None]) -> None:
        """Begin the next read while the caller handles what it has: the next `read` gives what comes of it.

        First `before` is called, in the same thread. Redis's work and its way, 12 µs an entry, thus fall into the
        caller's. Decoding (5 µs) would only take the interpreter from it: it waits for `rest`.
        """
        self._resting.clear()
        self._ahead = self._beside.submit(self._read_beside, count, before)

    def _read_beside(self, count: int, before: Callable[[], None]) -> Batch:
        before()
        got, again = self._read(count)
        self._resting.wait()
        return gather(got, again)

    def rest(self) -> None:
        """The caller is about to wait for something else: now is the time to decode."""
        self._resting.set()

    @property
    def can_read_ahead(self) -> bool:
        """Not where a look at the leases is due: parts are given back only while nothing of theirs is in hand."""
        return self._ahead is None and not self._balance_due()

    @property
    def ahead(self) -> bool:
        """Has something been read already that `read` did not give yet?"""
        return self._ahead is not None

    def ack(self, batch: Batch) -> None:
        """The store has all of `batch`. Never raises: what Redis does not take now, it is told at the next read."""
        for part, ids in batch.ids:
            self._to_ack.setdefault(part, []).extend(ids)
            self._in_hand[part] -= len(ids)
        try:
            self._send_acks()
        except (redis.RedisError, OSError) as error:
            _log.warning("acknowledging later", error=str(error), entries=len(batch))

    def give_up(self, batch: Batch) -> None:
        """We shall not commit `batch`: have its entries come again, here or elsewhere. For a router that goes on."""
        for part, ids in batch.ids:
            self._in_hand[part] -= len(ids)
        self._let_go([part for part, _ in batch.ids])
        self._balanced_at = float("-inf")

    def close(self) -> None:
        """Let every part go, so that others need not wait for the leases to end."""
        self._resting.set()
        self._beside.shutdown()
        try:
            self._send_acks()
        except (redis.RedisError, OSError):
            pass  # delivered again, to no harm
        self.leases.close()

    # ------------------------------------------------------------------------------------------- who has what

    def _balance(self) -> None:
        """Our share of parts: take free ones, give back what is too much, and trim what is done."""
        self.leases.tend()
        held = self.leases.held
        self._forget(part for part in list(self._inherited) if part not in held)
        surplus = len(held) - self.leases.fair
        if surplus > 0:
            idle = [part for part in sorted(held, reverse=True) if self._in_hand[part] <= 0]
            self._let_go(idle[:surplus])
        self.leases.take()
        # What an earlier look took before Redis went away in its middle is held, too, and read by nobody else.
        for part in sorted(self.leases.held - self._inherited.keys()):
            self._inherit(part)
        for part in self.leases.held:
            self._trim_script(keys=(key(part),), args=(GROUP,))
        self._balanced_at = time.monotonic()

    def _let_go(self, parts: Sequence[int]) -> None:
        self._forget(parts)
        try:
            self.leases.release(parts)
        except (redis.RedisError, OSError):
            return  # the leases end by themselves

    def _forget(self, parts: Any) -> None:
        for part in parts:
            self._inherited.pop(part, None)
            self._seen.pop(part, None)
            self._in_hand.pop(part, None)

    def _begin_anew(self) -> None:
        """What a read that broke off delivers, now or once the network lets it through, never reaches us, and would be
        pending in our name for ever: first nothing more is delivered to it, then all is inherited by the next look."""
        self._forget(list(self._inherited))
        self.leases.fence()
        self._balanced_at = float("-inf")
        self._unsure = False

    def _inherit(self, part: int) -> None:
        """Take over what was delivered to others, or to ourselves before, and not acknowledged."""
        pending: deque[Item] = deque()
        start: bytes | str = "0-0"
        try:
            while True:
                reply: Any = self._redis.xautoclaim(key(part), GROUP, self.name, 0, start, count=_CLAIM)
                start = reply[0]
                # Redis 6.2 gives a place for an entry that is gone; there is nothing in it to handle.
                pending.extend((at, fields) for at, fields in reply[1] if at is not None and fields)
                if start == b"0-0":
                    break
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        self._inherited[part] = pending
        self._seen[part] = self._last_delivered(part)
        if pending:
            _log.info("taking over", part=part, entries=len(pending))

    def _last_delivered(self, part: int) -> bytes:
        try:
            groups: Any = self._redis.xinfo_groups(key(part))
        except redis.ResponseError:
            return b"0-0"
        return next(
            (bytes(g["last-delivered-id"]) for g in groups if g["name"] in (GROUP, GROUP.encode())), b"0-0"
        )

    # ------------------------------------------------------------------------------------------------ reading

    def _order(self) -> list[int]:
        """Our parts, beginning with another one each time, so that a busy part starves none."""
        held = sorted(self.leases.held & self._inherited.keys())
        self._turn += 1
        at = self._turn % len(held) if held else 0
        return held[at:] + held[:at]

    def _read(self, count: int) -> tuple[list[tuple[int, list[Item]]], bool]:
        got: list[tuple[int, list[Item]]] = []
        fresh: list[int] = []
        left = count
        again = False
        for part in self._order():
            waiting = self._inherited[part]
            if not waiting:
                fresh.append(part)
            elif left > 0:
                items = [waiting.popleft() for _ in range(min(left, len(waiting)))]
                left -= len(items)
                got.append((part, items))
                again = True
        if fresh and left > 0:
            keys = [key(part) for part in fresh] + [lease_key(part) for part in fresh]
            for at, items in self._read_script(keys=keys, args=(GROUP, self.name, left, self.leases.mark)):
                self._seen[fresh[at]] = items[-1][0]
                got.append((fresh[at], items))
        return got, again

    def _wait(self) -> None:
        """Until something new stands in one of our parts, or for the block time."""
        held = self.leases.held & self._inherited.keys()
        if not held:
            time.sleep(min(0.2, self._block_ms / 1000))
            self._balanced_at = float("-inf")  # somebody's lease may have ended
            return
        until_look = self._balanced_at + _BALANCE_S - time.monotonic()
        block = max(1, min(self._block_ms, int(until_look * 1000)))
        self._redis.xread({key(part): self._seen[part] for part in held}, count=1, block=block)

    def _in_hands(self, batch: Batch) -> Batch:
        for part, ids in batch.ids:
            self._in_hand[part] += len(ids)
        return batch

    def _balance_due(self) -> bool:
        return time.monotonic() - self._balanced_at >= _BALANCE_S

    def _send_acks(self) -> None:
        if not self._to_ack:
            return
        with self._redis.pipeline(transaction=False) as pipe:
            for part, ids in self._to_ack.items():
                pipe.xack(key(part), GROUP, *ids)
            pipe.execute()
        self._to_ack = {}
