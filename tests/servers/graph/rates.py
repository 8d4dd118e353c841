"""How often one may send, and the headers that say how much of it is used up.

WhatsApp: .../whatsapp/throughput (80 a second for each number) and "pair rate limits" (one message in 6 s to one
user, bursts of up to 45). Messenger, Instagram: .../messenger-platform/overview/rate-limiting (300 calls a second,
10 with audio or video, 750 private replies an hour). Headers: docs/graph-api/overview/rate-limiting.
"""

from __future__ import annotations

import json

from tests.servers.graph.model import Clock

PAIR_EVERY_S, PAIR_BURST = 6.0, 45
NUMBER_PER_S = 80
SOCIAL_PER_S, SOCIAL_MEDIA_PER_S = 300, 10
PRIVATE_PER_S, PRIVATE_BURST = 750 / 3_600, 750


class Rates:
    """kept: whether they are kept to at all. usage: per cent, said in every answer's headers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[tuple[str, ...], tuple[float, float]] = {}
        self.kept = False
        self.usage = 1

    def take(self, key: tuple[str, ...], per_s: float, burst: float) -> bool:
        """Whether one more goes; what is refused counts for nothing."""
        if not self.kept:
            return True
        now = self._clock.now()
        left, at = self._left.get(key, (burst, now))
        left = min(burst, left + (now - at) * per_s)
        if left < 1:
            self._left[key] = (left, now)
            return False
        self._left[key] = (left - 1, now)
        return True

    def headers(self, account: str, platform: str, regain_minutes: int = 0) -> dict[str, str]:
        used = {"call_count": self.usage, "total_cputime": self.usage, "total_time": self.usage}
        case = {"type": platform, **used, "estimated_time_to_regain_access": regain_minutes}
        headers = {"X-App-Usage": json.dumps(used)}
        if account:
            headers["X-Business-Use-Case-Usage"] = json.dumps({account: [case]})
        return headers
