"""How often each account may send: a token bucket an account, one for all worker processes of the installation.

The bucket stands in Redis, as the time at which it will be full again (the generic cell rate algorithm: one number a
bucket, nothing to refill), and is asked once a turn for every account that has something to send. Without Redis each
process goes on with buckets of its own: for the rest of its drain it may then be as quick as all were together, which
a provider answers with 429 and we obey. Redis's own clock counts, so that machines need not agree on the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import redis

PREFIX = "ms:rate:"
AWAY_S = 5.0  # how long Redis is not asked again after it did not answer
# A sender that wakes a little late may make up for it, so that the mean stays the configured one; never by a whole
# token, so that a bucket of one still never gives two at once.
_SLACK_S = 0.05
_SLACK_SHARE = 0.9
# A turn of the sender takes some hundredths of a second; a burst below what the rate allows in that time would be a
# second, lower limit.
_LEAST_BURST_S = 0.1

SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local out = {}
for i, key in ipairs(KEYS) do
  local interval, tau, want = tonumber(ARGV[i * 3 - 2]), tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3])
  local full = math.max(tonumber(redis.call('GET', key) or '0'), now)
  full = math.min(full, now + tau + interval)
  local granted = math.max(0, math.min(want, math.floor((now + tau - full) / interval) + 1))
  full = full + granted * interval
  if granted > 0 then
    redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
  end
  out[i * 2 - 1] = granted
  out[i * 2] = math.max(0, math.ceil(full - tau - now))
end
return out
"""


@dataclass(frozen=True, slots=True)
class Want:
    """`count` sends of an account that may send `per_s` a second, `burst` of them at once after a rest."""

    per_s: float
    burst: int
    count: int

    @property
    def interval_us(self) -> float:
        return 1_000_000 / self.per_s

    @property
    def tau_us(self) -> float:
        """How far ahead of its even pace the bucket may be."""
        burst = max(self.burst, math.ceil(self.per_s * _LEAST_BURST_S), 1)
        slack = min(_SLACK_SHARE * self.interval_us, _SLACK_S * 1_000_000)
        return (burst - 1) * self.interval_us + slack


@dataclass(frozen=True, slots=True)
class Grant:
    """`count` may go now; the next one in `wait_s`."""

    count: int
    wait_s: float


class Rates:
    """The buckets, through `client` (short time-outs: a turn of the sender waits for it) or in this process alone."""

    def __init__(
        self, client: redis.Redis | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = client
        self._script: Any = None if client is None else client.register_script(SCRIPT)
        self._monotonic = monotonic
        self._away_until = 0.0
        self._full: dict[str, float] = {}

    def take(self, wants: Mapping[str, Want]) -> dict[str, Grant]:
        """Tokens for these accounts, as many as there are."""
        wants = {account: want for account, want in wants.items() if want.count > 0}
        if not wants:
            return {}
        if self._script is not None and self._monotonic() >= self._away_until:
            try:
                return self._shared(wants)
            except (redis.RedisError, OSError):
                self._away_until = self._monotonic() + AWAY_S
        return {account: self._own(account, want) for account, want in wants.items()}

    def _shared(self, wants: Mapping[str, Want]) -> dict[str, Grant]:
        told = self._script(
            keys=[PREFIX + account for account in wants],
            args=[word for want in wants.values() for word in (want.interval_us, want.tau_us, want.count)],
        )
        pairs = zip(told[::2], told[1::2], strict=True)
        return {
            account: Grant(int(count), int(wait_us) / 1_000_000)
            for account, (count, wait_us) in zip(wants, pairs, strict=True)
        }

    def _own(self, account: str, want: Want) -> Grant:
        now = self._monotonic() * 1_000_000
        tau, interval = want.tau_us, want.interval_us
        full = min(max(self._full.get(account, 0.0), now), now + tau + interval)
        count = max(0, min(want.count, math.floor((now + tau - full) / interval) + 1))
        full += count * interval
        self._full[account] = full
        return Grant(count, max(0.0, full - tau - now) / 1_000_000)
