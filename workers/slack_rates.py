"""How often Slack may be called: per method for the whole workspace, and one post a second in each channel.

https://docs.slack.dev/apis/web-api/rate-limits. The buckets stand in Redis, one for all posters (workers/rates.py);
without Redis each keeps its own, and what is too much Slack answers with Retry-After, which is obeyed per method and,
for chat.postMessage, per channel.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
import redis.asyncio

from hub.redis import GONE
from workers.rates import AWAY_S, PREFIX, SCRIPT, Grant, Rates, Want

POST = "chat.postMessage"
# Calls a second, and how many at once after a rest. A tier's burst is nowhere documented: kept to a few seconds' worth.
_CHANNEL = (1.0, 2)  # "one message per second per channel, with short bursts"; longer ones may not be shown
_WORKSPACE = (5.0, 10)  # "several hundred messages per minute" over the workspace
_TIERS = {2: (20 / 60, 2), 3: (50 / 60, 4), 4: (100 / 60, 8)}
_METHODS: Mapping[str, int] = {
    "chat.update": 3,
    "chat.delete": 3,
    "conversations.history": 3,
    "conversations.replies": 3,
    "conversations.info": 3,
    "files.getUploadURLExternal": 4,
    "files.completeUploadExternal": 4,
}


class SlackRates:
    """pace: how many real seconds one of Slack's takes; 1 but for a benchmark against a server that runs faster."""

    def __init__(
        self,
        client: redis.asyncio.Redis | None = None,
        *,
        pace: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = pace
        self._script: Any = None if client is None else client.register_script(SCRIPT)
        self._own = Rates(None, monotonic=monotonic)
        self._monotonic = monotonic
        self._away_until = 0.0
        self._held: dict[str, float] = {}

    async def take(self, method: str, channel: str = "") -> float:
        """0.0, and the call may be made now; else the seconds until it is worth asking again."""
        keys = _keys(method, channel)
        now = self._monotonic()
        held = max((self._held.get(key, 0.0) for key, _ in keys), default=0.0) - now
        if held > 0:
            return held
        for key, (per_s, burst) in keys:
            grant = await self._grant(key, Want(per_s / self.pace, burst, 1))
            if not grant.count:
                return max(grant.wait_s, 0.005)
        return 0.0

    async def wait(self, method: str, channel: str = "") -> None:
        """Until the call may be made."""
        while left := await self.take(method, channel):  # noqa: ASYNC110 - nobody tells when a token is there
            await asyncio.sleep(left)

    def hold(self, method: str, channel: str, retry_after_s: float) -> None:
        """Slack said Retry-After (in its own seconds)."""
        key = _keys(method, channel)[0][0]
        until = self._monotonic() + retry_after_s * self.pace
        self._held[key] = max(self._held.get(key, 0.0), until)

    async def _grant(self, key: str, want: Want) -> Grant:
        if self._script is not None and self._monotonic() >= self._away_until:
            try:
                count, wait_us = await self._script(
                    keys=[PREFIX + key],
                    args=[math.ceil(want.interval_us), math.ceil(want.tau_us), want.count],
                )
                return Grant(int(count), int(wait_us) / 1_000_000)
            except GONE:
                self._away_until = self._monotonic() + AWAY_S
        return self._own.take({key: want})[key]


def _keys(method: str, channel: str) -> list[tuple[str, tuple[float, int]]]:
    """The buckets of a call; the first is the one that Retry-After is about."""
    if method == POST:
        return [(f"slack:{method}:{channel}", _CHANNEL), (f"slack:{method}", _WORKSPACE)]
    return [(f"slack:{method}", _TIERS[_METHODS.get(method, 2)])]


class Rests:
    """Who is left alone for a while after a failure: `first_s`, doubled each time, never longer than `longest_s`."""

    def __init__(self, first_s: float, longest_s: float, pace: float) -> None:
        self._first_s, self._longest_s, self._pace = first_s, longest_s, pace
        self._until: dict[str, tuple[float, float]] = {}

    def begin(self, who: str) -> None:
        last_s = self._until.get(who, (0.0, 0.0))[1]
        rest_s = min(max(self._first_s, 2 * last_s), self._longest_s)
        self._until[who] = (time.monotonic() + rest_s * self._pace, rest_s)

    def left_s(self, who: str) -> float:
        return max(0.0, self._until.get(who, (0.0, 0.0))[0] - time.monotonic())

    def end(self, who: str) -> None:
        """It went well: the next failure is a first one."""
        self._until.pop(who, None)
