"""One account's part of a drain: what it holds, what is in flight, and how much may be."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from crm_store.outbox import Claimed
from hub.clock import to_us
from hub.config import Account
from workers.sending import SEND_S

_WINDOW_S = 5.0
_GROWS_BY = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """Seconds, and numbers of sends.

    per_account: how many an account may always have in flight. One whose rate is high or whose provider is far gets
    as many as its rate needs at the time its sends take (Little's law), times `headroom`, up to `most`: more would go
    out no sooner, only wait in the provider's queue instead of ours, and be in doubt if we died.
    marked: how many more of it are marked as `sending` ahead, so that a slot that falls free waits for no commit: what
    its rate lets go in `marked_s`, the time of about two turns. A crash makes those unknown too, so they are few, at
    most two a slot, and none where sends are slow.
    """

    lasts_s: float = 30.0
    per_account: int = 4
    headroom: float = 1.5
    most: int = 50
    marked: int = 20
    marked_s: float = 0.06
    batch_s: float = 0.01  # statuses of what finished in this time share a transaction
    poll_s: float = 0.25  # how soon a reply that nobody announced is seen by a drain that waits
    look_s: float = 2.0  # how often leases that ended and unknown deliveries are looked at
    slow_s: float = 2.0  # a send older than this is not waited for before the drain ends
    stop_s: float = 5.0  # how long a process that must end waits for sends in flight
    longest_s: float = 100.0  # below jobs.TIMEOUT_S
    ahead_s: float = 1.0  # how much of its rate an account may hold claimed
    send_s: float = SEND_S


@dataclass(slots=True)
class Lane:
    """One account's sends. slots: how many may be in flight at once."""

    account: Account
    slots: int
    ready: deque[Claimed] = field(default_factory=deque)
    marked: deque[tuple[float, Claimed]] = field(
        default_factory=deque
    )  # `sending` since then, without a slot
    flying: dict[int, tuple[float, asyncio.Task[None] | None]] = field(
        default_factory=dict
    )  # delivery -> when its send began, and who is at it; the oldest first
    quickest_s: float = math.inf  # of the sends since then
    before_s: float = math.inf  # and of those in the five seconds before
    since: float = 0.0
    hungry: bool = True  # its last claim was filled, so there may be more
    token_at: float = 0.0  # no token before

    def due(self, now: datetime) -> list[Claimed]:
        """Those whose time has come, replies first."""
        now_us = to_us(now)
        return sorted((d for d in self.ready if d.due_us <= now_us), key=lambda d: (d.bulk, d.due_us, d.id))

    def took(self, send_s: float, now: float) -> None:
        """Note how long a send took. The quickest of the last five to ten seconds counts: a mean would count what waits
        in our own queue and the provider's, and ask for a longer one. One that gets slower is seen after that time."""
        if now - self.since < _WINDOW_S:
            self.quickest_s = min(self.quickest_s, send_s)
        else:
            self.before_s, self.quickest_s, self.since = self.quickest_s, send_s, now

    def resize(self, t: Tuning) -> None:
        """As many slots as its rate needs at the time its sends take. They become more little by little, turn by turn,
        because the first sends open connections as well and say too little of those that follow."""
        takes_s = min(self.quickest_s, self.before_s)
        needs = self.account.rate_per_s * takes_s * t.headroom if takes_s < math.inf else 0.0
        self.slots = max(t.per_account, min(t.most, math.ceil(needs), self.slots + _GROWS_BY))

    def room(self, t: Tuning, *, slow: bool) -> int:
        """How many may be marked as `sending` now, beside those that are."""
        ahead = 0 if slow else min(t.marked, 2 * self.slots, math.ceil(self.account.rate_per_s * t.marked_s))
        return self.slots + ahead - len(self.flying) - len(self.marked)

    def oldest_s(self, now: float) -> float:
        for began, _ in self.flying.values():
            return now - began
        return 0.0
