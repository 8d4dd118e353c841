"""How often a method may be called. https://docs.slack.dev/apis/web-api/rate-limits

Per method and workspace, in tiers of so many a minute with bursts; chat.postMessage about one a second in each channel,
"with burst limits for short-lived periods", and some hundreds a minute over the workspace.
"""

from __future__ import annotations

from tests.servers.slack.api import Method
from tests.servers.slack.clock import Clock
from tests.servers.slack.workspace import Json

CHANNEL_BURST = 3
WORKSPACE_POSTS = 300  # "several hundred messages per minute"
TIER_BURST_S = 6.0  # a tier's allowance of so many seconds may come at once


class _Bucket:
    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self.per_s, self.burst, self.left, self.at = per_s, burst, burst, now

    def wait(self, now: float) -> float:
        """0.0 and one taken, or the seconds until there is one."""
        self.left = min(self.burst, self.left + (now - self.at) * self.per_s)
        self.at = now
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) / self.per_s


class Rates:
    """A call that is refused costs nothing but is told how long to wait; who asks again too early is refused again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def wait(self, method: Method, given: Json) -> float:
        """Seconds to wait (Retry-After before it is rounded up), 0.0 if the call may go on."""
        if method.name == "chat.postMessage":
            where = str(given.get("channel", ""))
            if wait_s := self._bucket(method.name, where, 1.0, CHANNEL_BURST):
                return wait_s
            return self._bucket(method.name, "", WORKSPACE_POSTS / 60, WORKSPACE_POSTS / 10)
        if method.tier is None:
            return 0.0
        return self._bucket(method.name, "", method.tier / 60, max(1.0, method.tier / 60 * TIER_BURST_S))

    def _bucket(self, name: str, where: str, per_s: float, burst: float) -> float:
        now = self._clock.now()
        bucket = self._buckets.setdefault((name, where), _Bucket(per_s, burst, now))
        return bucket.wait(now)
