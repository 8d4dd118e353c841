"""The clock process: wakes the sender when something falls due, reminds, sweeps, and forgets at night.

One acts at a time, by a lease in Redis; while Redis is away each one acts, which is harmless: every step is
compare-and-set, and a wake-up too many is a look too many.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import redis

from crm_store import media, outbox, revision_work
from hub import clock, jobs, log
from hub.errors import MainstemError
from hub.settings import Settings, load
from workers import context, remind, sweep

_log = log.get("clock")

TICK_S = 1.0
LEASE_KEY = "ms:clock"
LEASE_MS = 5000  # a clock that died is replaced after five ticks
NIGHT_HOUR = 3  # UTC
_AWAY_S = 5.0

# Take the lease, or keep it: in one step, so that a lease that ended meanwhile is not taken from its new holder.
_TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


@dataclass
class _Step:
    """Something done every so often; `due` is on the monotonic clock, so that a clock set back delays nothing."""

    name: str
    every_s: float
    work: Callable[[], None]
    due: float = 0.0


class Clock:
    """The steps over one process's things. `tick` does what is due; `run` ticks until told to stop."""

    def __init__(self, held: context.Context, *, now: clock.Clock = clock.system) -> None:
        self._held, self._now = held, now
        self._night = now().date() if now().hour >= NIGHT_HOUR else now().date() - timedelta(days=1)
        self._steps = [
            _Step("deliveries", TICK_S, self.deliveries),
            _Step("reminders", 5.0, lambda: remind.run(held)),
            _Step("sweep", 15.0, lambda: sweep.run(held)),
            _Step("failed jobs", 60.0, self.failures),
            _Step("night", 60.0, self.night),
        ]
        self._failing: set[str] = set()

    def mine(self) -> bool:
        """Is it this process that acts?"""
        if self._held.redis is None:
            return True
        try:
            return bool(self._held.redis.eval(_TAKE, 1, LEASE_KEY, self._held.owner, LEASE_MS))
        except (redis.RedisError, OSError):
            return True

    def tick(self) -> None:
        """Do what is due. A step that fails says so once and is tried again at its next time."""
        if not self.mine():
            return
        for step in self._steps:
            now = time.monotonic()
            if step.due > now:
                continue
            step.due = now + step.every_s
            try:
                step.work()
            except (MainstemError, redis.RedisError, OSError) as error:
                if step.name not in self._failing:
                    _log.warning("step failed", step=step.name, error=str(error))
                self._failing.add(step.name)
            except Exception:
                _log.exception("step broke", step=step.name)
            else:
                self._failing.discard(step.name)

    def deliveries(self) -> None:
        """Wake who sends and who fetches for what is due now: the undo time of a reply has passed, a file may be tried
        again, or a wake-up was lost."""
        now, accounts = self._now(), sorted(self._held.follower.get())
        with self._held.store.read() as tx:
            due = outbox.next_due(tx, accounts, now)
            changes = revision_work.next_due(tx, accounts, now)
            files = media.next_due(tx, accounts)
        if files is not None and files <= now and self._held.redis is not None:
            jobs.enqueue(self._held.redis, jobs.FETCH)
        if any(at is not None and at <= now for at in (due, changes)) and self._held.redis is not None:
            jobs.enqueue(self._held.redis, jobs.DELIVER)

    def failures(self) -> None:
        """Leave of the jobs that failed only the newest."""
        if self._held.redis is not None:
            jobs.forget_failures(self._held.redis)

    def night(self) -> None:
        """Forget what is old, once after three in the morning."""
        now = self._now()
        if now.hour >= NIGHT_HOUR and now.date() != self._night:
            sweep.forget(self._held.store, now)
            self._night = now.date()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            began = time.monotonic()
            self.tick()
            stop.wait(max(0.05, TICK_S - (time.monotonic() - began)))


def run(stop: threading.Event, settings: Settings | None = None) -> None:
    """The clock process until `stop`: waits for the store, and for a configuration, as long as that takes."""
    settings = settings or load()
    said = False
    while not stop.is_set():
        try:
            held = context.opened(settings)
        except MainstemError as error:
            if not said:
                _log.warning("waiting", why=str(error))
                said = True
            stop.wait(_AWAY_S)
            continue
        try:
            Clock(held).run(stop)
        finally:
            held.close()
