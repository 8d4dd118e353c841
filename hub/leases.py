"""Which router reads which part: leases in Redis, shared out evenly among the routers that live.

The lease gives order; safety never hangs on it (UNIQUE keys in the store do that). A router that was frozen past its
lease finds out by its own clock before it reads again, and the read itself asks Redis in the same script.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis

from hub.parts import PARTS

LEASE_S = 6.0  # how long a dead router's parts wait; renewed every two seconds
ROUTERS = "ms:routers"  # sorted set: name -> when it was last heard of, ms of Redis's clock


def lease_key(part: int) -> str:
    return f"ms:lease:{part}"


LEASES = tuple(lease_key(part) for part in range(PARTS))

# KEYS: the registry, then leases. ARGV: our name, the lease in ms, our mark. -> routers alive, then for each lease: is
# it ours?
_TEND = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], ms, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms - ARGV[2])
local said = {redis.call('ZCARD', KEYS[1])}
for i = 2, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[3] then
    redis.call('PEXPIRE', KEYS[i], ARGV[2])
    said[i] = 1
  else
    said[i] = 0
  end
end
return said
"""
# KEYS: leases. ARGV: our mark.
_RELEASE = """
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
end
"""


class Leases:
    """The parts of one router, renewed by a thread of its own while a batch runs.

    `held` is what we may still read: a part leaves it as soon as its lease may have ended. `mark` is what our leases
    say; `fence` changes it.
    """

    def __init__(self, client: redis.Redis, name: str, lease_s: float = LEASE_S) -> None:
        self._redis, self.name, self.lease_s = client, name, lease_s
        self.mark, self._marks = name, itertools.count(1)
        self._tend_script: Any = client.register_script(_TEND)
        self._release_script: Any = client.register_script(_RELEASE)
        self._until: dict[int, float] = {}
        self._alive = 1
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to renew; a daemon, so that a dead router keeps nothing."""
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
        self._thread.start()

    @property
    def held(self) -> frozenset[int]:
        now = time.monotonic()
        with self._lock:
            return frozenset(part for part, until in self._until.items() if until > now)

    @property
    def fair(self) -> int:
        """How many parts one router should have."""
        return -(-PARTS // max(self._alive, 1))

    def tend(self) -> None:
        """Say that we live, renew what we hold, learn how many we are. Raises RedisError."""
        with self._lock:
            parts, mark = list(self._until), self.mark
        until = time.monotonic() + self.lease_s
        keys = (ROUTERS, *(lease_key(part) for part in parts))
        alive, *ours = self._tend_script(keys=keys, args=(self.name, int(self.lease_s * 1000), mark))
        with self._lock:
            self._alive = alive
            if mark != self.mark:
                return  # said of leases that are let go
            for part, is_ours in zip(parts, ours, strict=True):
                if not is_ours:
                    self._until.pop(part, None)
                elif part in self._until:  # or it was let go meanwhile
                    self._until[part] = until

    def take(self) -> None:
        """Take free parts up to our share. Raises RedisError; those taken by then are held."""
        held = self.held
        taken = 0
        for part in range(PARTS):
            if len(held) + taken >= self.fair:
                break
            if part in held:
                continue
            until = time.monotonic() + self.lease_s
            if self._redis.set(lease_key(part), self.mark, nx=True, px=int(self.lease_s * 1000)):
                with self._lock:
                    self._until[part] = until
                taken += 1

    def release(self, parts: Iterable[int]) -> None:
        """Let go of these. Raises RedisError; they end by themselves then."""
        parts = list(parts)
        with self._lock:
            for part in parts:
                self._until.pop(part, None)
        if parts:
            self._release_script(keys=[lease_key(part) for part in parts], args=(self.mark,))

    def fence(self) -> None:
        """Let everything go, and take it by another mark from now on. Raises RedisError; then call it again.

        What the network held back of our scripts finds no lease of ours any more, whenever it is carried out.
        """
        self.release(range(PARTS))
        with self._lock:
            self.mark = f"{self.name}/{next(self._marks)}"

    def close(self) -> None:
        """Stop renewing, let everything go and leave the registry, if Redis answers."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.release(range(PARTS))
            self._redis.zrem(ROUTERS, self.name)
        except (redis.RedisError, OSError):
            return

    def _keep(self) -> None:
        while not self._stop.wait(self.lease_s / 3):
            try:
                self.tend()
            except (redis.RedisError, OSError):
                continue  # what cannot be renewed leaves `held` by itself
