"""How often a method may be called. https://docs.slack.dev/apis/web-api/rate-limits

Each method in each workspace has a tier, so many calls in a minute. chat.postMessage has one message a second in each
channel, where "short bursts >1" are allowed, and some hundreds a minute in all.
"""

from __future__ import annotations

from collections import deque

from tests.servers.slack.api import Method
from tests.servers.slack.clock import Clock
from tests.servers.slack.workspace import Json

CHANNEL_PER_S, CHANNEL_BURST = 1.0, 3
WORKSPACE_POSTS = 300  # "several hundred messages per minute"
TOLERATED = {1: 5}  # tier 1: "a small amount of burst behavior is tolerated"


class _Window:
    """At most `most` calls in any minute: who keeps to the tier is never refused."""

    def __init__(self, most: int) -> None:
        self._most, self._calls = most, deque[float]()

    def wait(self, now: float) -> float:
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        return self._calls[0] + 60 - now if len(self._calls) >= self._most else 0.0

    def take(self, now: float) -> None:
        self._calls.append(now)


class _Bucket:
    """One message a second, and a few at once after a pause."""

    def __init__(self, now: float) -> None:
        self._left, self._at = float(CHANNEL_BURST), now

    def wait(self, now: float) -> float:
        self._left = min(float(CHANNEL_BURST), self._left + (now - self._at) * CHANNEL_PER_S)
        self._at = now
        return max(0.0, (1 - self._left) / CHANNEL_PER_S)

    def take(self, _now: float) -> None:
        self._left -= 1


class Rates:
    """Who asks again too early is refused again; a refused call counts for nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._channels: dict[str, _Bucket] = {}

    def wait(self, method: Method, given: Json) -> float:
        """Seconds to wait (Retry-After before it is rounded up), 0.0 if the call may go on."""
        now, rules = self._clock.now(), list[_Window | _Bucket]()
        if method.name == "chat.postMessage":
            rules.append(self._channels.setdefault(str(given.get("channel", "")), _Bucket(now)))
            rules.append(self._windows.setdefault(method.name, _Window(WORKSPACE_POSTS)))
        elif method.tier is not None:
            most = TOLERATED.get(method.tier, method.tier)
            rules.append(self._windows.setdefault(method.name, _Window(most)))
        if wait_s := max((rule.wait(now) for rule in rules), default=0.0):
            return wait_s
        for rule in rules:
            rule.take(now)
        return 0.0
