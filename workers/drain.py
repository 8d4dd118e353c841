"""The sender: one event loop, many sends in flight, one transaction a turn.

Each account has its own bucket, its own bounded number of sends in flight and its own claims, so one that hangs, is
slow or is paused delays no other. A drain lasts about half a minute, because rq's jobs are to be short, and enqueues
itself again if there is more; while something falls due within that time it waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors import CONNECTORS
from connectors.base import Connector, Wire
from crm_store.db import Store
from crm_store.delivery_states import Moved
from crm_store.outbox import Claimed
from hub import clock, failpoints, log
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable
from workers import sending, turn
from workers.rates import Rates, Want
from workers.sending import Pause, Result

_log = log.get("deliver")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """Seconds, and numbers of sends. `per_account` in flight at a provider of 20 ms are 1,000 a second."""

    lasts_s: float = 30.0
    per_account: int = 20
    batch_s: float = 0.02  # statuses of what finished in this time share a transaction
    poll_s: float = 0.25  # how soon a reply that nobody announced is seen by a drain that waits
    look_s: float = 2.0  # how often leases that ended and unknown deliveries are looked at
    slow_s: float = 2.0  # a send older than this is not waited for before the drain ends
    stop_s: float = 5.0  # how long a process that must end waits for sends in flight
    longest_s: float = 100.0  # below jobs.TIMEOUT_S
    ahead_s: float = 1.0  # how much of its rate an account may hold claimed
    send_s: float = sending.SEND_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Drained:
    """What a drain did. `next_due`: when there is more, None for nothing."""

    tried: int
    next_due: datetime | None


@dataclass(slots=True)
class _Lane:
    """One account's sends."""

    account: Account
    ready: deque[Claimed] = field(default_factory=deque)
    flying: dict[int, float] = field(default_factory=dict)  # delivery -> when its send began
    hungry: bool = True  # its last claim was filled, so there may be more
    token_at: float = 0.0  # no token before

    def oldest_s(self, now: float) -> float:
        return now - min(self.flying.values(), default=now)


class Drain:
    """One drain over one store. `run` may be called once."""

    def __init__(
        self,
        store: Store,
        accounts: Callable[[], Mapping[str, Account]],
        *,
        rates: Rates,
        wire: Callable[[], Wire],
        owner: str,
        connectors: Mapping[str, Connector] = CONNECTORS,
        tell: Callable[[list[Moved]], None] = lambda moved: None,
        warn: Callable[[Pause], None] = lambda pause: None,
        now: clock.Clock = clock.system,
        stopping: Callable[[], bool] = lambda: False,
        tuning: Tuning | None = None,
    ) -> None:
        self._store, self._accounts, self._rates, self._wire = store, accounts, rates, wire
        self._connectors, self._tell, self._warn, self._now = connectors, tell, warn, now
        self._stopping = stopping
        self._tuning = tuning or Tuning()
        self._owner = f"{owner}:{time.monotonic_ns():x}"
        self._limits = {name: connector.limits for name, connector in connectors.items()}
        self._lanes: dict[str, _Lane] = {}
        self._results: list[Result] = []
        self._hopeless: list[tuple[int, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._began = self._looked = 0.0
        self._polled = -math.inf
        self._closing = False
        self._stopped_at: float | None = None
        self._tried = 0
        self._next_due: datetime | None = None
        self._asked_next = False  # is that from the last turn?

    # ------------------------------------------------------------------------------------------------ the loop

    async def run(self) -> Drained:
        """Send what is due, and what falls due meanwhile, until the time is over or nothing is left."""
        self._began = time.monotonic()
        failures = 0
        with ThreadPoolExecutor(1, thread_name_prefix="outbox") as pool:
            try:
                while True:
                    self._follow()
                    ask = self._ask()
                    try:
                        loop = asyncio.get_running_loop()
                        told = await loop.run_in_executor(
                            pool, turn.take, self._store, self._rates, self._limits, ask
                        )
                    except Unavailable as error:
                        # What ended stays in memory until the store is back, or our leases tell others.
                        failures += 1
                        if failures == 1:
                            _log.warning("store away", error=str(error))
                        if self._closing and failures > 3:
                            break
                        await asyncio.sleep(min(0.1 * 2**failures, 5.0))
                        continue
                    failures = 0
                    self._hear(ask, told)
                    if self._done():
                        break
                    await self._rest()
            finally:
                await self._abandon(pool)
        return Drained(tried=self._tried, next_due=self._next_due)

    def _follow(self) -> None:
        """The accounts as configured now, and whether it is time to end."""
        accounts = self._accounts()
        for key, account in accounts.items():
            lane = self._lanes.setdefault(key, _Lane(account))
            lane.account = account
        for key in [k for k, lane in self._lanes.items() if k not in accounts and not lane.flying]:
            if not self._lanes[key].ready:
                del self._lanes[key]
        now = time.monotonic()
        if self._stopped_at is None and self._stopping():
            self._stopped_at = now
        self._closing = self._stopped_at is not None or now - self._began >= self._tuning.lasts_s

    def _ask(self) -> turn.Ask:
        t, now = self._tuning, time.monotonic()
        poll = now - self._polled >= t.poll_s
        wants: dict[str, Want] = {}
        rooms: dict[str, int] = {}
        back: list[int] = []
        for key, lane in self._lanes.items():
            if not self._may_start(lane, now):
                back += [delivery.id for delivery in lane.ready]
                lane.ready.clear()
                continue
            account = lane.account
            free = min(len(lane.ready), t.per_account - len(lane.flying))
            if free > 0 and now >= lane.token_at:
                wants[key] = Want(account.rate_per_s, account.burst, free)
            else:
                free = 0
            ahead = max(1, min(t.per_account, math.ceil(account.rate_per_s * t.ahead_s)))
            room = ahead - (len(lane.ready) - free)
            if room > 0 and (lane.hungry or poll):
                rooms[key] = room
        look = now - self._looked >= t.look_s and not self._closing
        idle = not (self._tasks or self._results or wants)
        if poll:
            self._polled = now
        if look:
            self._looked = now
        return turn.Ask(
            owner=self._owner,
            now=self._now(),
            results=tuple(self._results),
            ready={key: tuple(self._lanes[key].ready) for key in wants},
            wants=wants,
            rooms=rooms,
            give_back=tuple(back),
            hopeless=tuple(self._hopeless),
            look=look,
            accounts=tuple(sorted(self._lanes)) if idle else None,
        )

    def _may_start(self, lane: _Lane, now: float) -> bool:
        """Not when ending, and towards the end not where a send hangs: it alone would keep the drain from ending."""
        if lane.account.key not in self._accounts():
            return False
        if not self._closing:
            return True
        if self._stopped_at is not None:
            return False
        waited_for = any(other.oldest_s(now) > self._tuning.slow_s for other in self._lanes.values())
        over = now - self._began >= self._tuning.longest_s
        return waited_for and not over and lane.oldest_s(now) <= self._tuning.slow_s

    def _hear(self, ask: turn.Ask, told: turn.Told) -> None:
        """Take in what the store said: forget what is noted, start what is marked, keep what is claimed."""
        del self._results[: len(ask.results)]
        del self._hopeless[: len(ask.hopeless)]
        now = time.monotonic()
        for account, grant in told.grants.items():
            self._lanes[account].token_at = now + grant.wait_s if grant.wait_s else 0.0
        if told.claimed:
            failpoints.here("deliver.after_claim")
        if told.begun:
            failpoints.here("deliver.before_send")
        for delivery in told.begun:
            self._start(delivery, now)
        left = told.gone | {delivery.id for delivery in told.begun}
        for key in ask.wants:
            lane = self._lanes[key]
            if key in told.paused:
                lane.token_at = now + (told.paused[key] - ask.now).total_seconds()
            lane.ready = deque(delivery for delivery in lane.ready if delivery.id not in left)
        claimed: dict[str, int] = defaultdict(int)
        for delivery in told.claimed:
            self._lanes[delivery.account].ready.append(delivery)
            claimed[delivery.account] += 1
        for key, room in ask.rooms.items():
            self._lanes[key].hungry = claimed[key] >= room
        for delivery in told.looks:
            self._spawn(self._look(delivery))
        self._asked_next = ask.accounts is not None
        if self._asked_next:
            self._next_due = told.next_due
        for result in ask.results:
            if result.pause is not None and result.pause.to_urn is None:
                _log.warning("account rests", account=result.pause.account, why=result.pause.why)
                if result.pause.tells:
                    self._warn(result.pause)
        if told.moved:
            self._tell(told.moved)

    def _done(self) -> bool:
        """Nothing in hand, and nothing will fall due in the time that is left; or the time is over for good."""
        now = time.monotonic()
        if self._stopped_at is not None and now - self._stopped_at > self._tuning.stop_s:
            return True
        if now - self._began > self._tuning.longest_s:
            return True
        if self._tasks or self._results or self._hopeless or any(lane.ready for lane in self._lanes.values()):
            return False
        if self._closing:
            return True
        if not self._asked_next or any(lane.hungry for lane in self._lanes.values()):
            return False
        left_s = self._tuning.lasts_s - (now - self._began)
        return self._next_due is None or self._next_due > self._now() + timedelta(seconds=left_s)

    async def _rest(self) -> None:
        """Until something ended (and a moment more, for others to end as well), falls due or may go by its rate."""
        t, now = self._tuning, time.monotonic()
        waits = [t.poll_s]
        for lane in self._lanes.values():
            if lane.ready and len(lane.flying) < t.per_account:
                waits.append(lane.token_at - now)
            elif lane.hungry and not lane.ready:
                waits.append(0.0)
        if not self._tasks and not self._asked_next:
            waits.append(0.0)
        elif self._next_due is not None and not self._tasks:
            waits.append((self._next_due - self._now()).total_seconds())
        self._woken.clear()
        if not self._results:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(min(waits), 0.001)):
                    await self._woken.wait()
        if self._results and not self._closing:
            await asyncio.sleep(t.batch_s)

    # ----------------------------------------------------------------------------------------------- the sends

    def _start(self, delivery: Claimed, now: float) -> None:
        self._lanes[delivery.account].flying[delivery.id] = now
        self._tried += 1
        self._spawn(self._send(delivery))

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, delivery: Claimed) -> None:
        lane = self._lanes[delivery.account]
        connector = self._connectors[lane.account.connector]
        try:
            result = await sending.attempt(
                connector, delivery, lane.account, self._wire(), self._now, send_s=self._tuning.send_s
            )
        except asyncio.CancelledError:
            left = SendError(SendCode.UNKNOWN, "the sender had to end before an answer came")
            result = sending.judge(delivery, left, delivery.attempts + 1, self._now())
        failpoints.here("deliver.after_send")
        del lane.flying[delivery.id]
        self._results.append(result)
        self._woken.set()

    async def _look(self, delivery: Claimed) -> None:
        account = self._accounts().get(delivery.account)
        if account is None:
            return
        connector = self._connectors[account.connector]
        found = await sending.look(connector, delivery, account, self._wire(), self._now)
        if isinstance(found, str):
            self._hopeless.append((delivery.id, found))
        elif found is not None:
            self._results.append(Result(outcome=found))
        self._woken.set()

    async def _abandon(self, pool: ThreadPoolExecutor) -> None:
        """End what is still in flight as unknown, and note it; what cannot be noted, the leases tell."""
        if not self._tasks and not self._results:
            return
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ask = turn.Ask(owner=self._owner, now=self._now(), results=tuple(self._results))
        loop = asyncio.get_running_loop()
        with contextlib.suppress(Unavailable):
            told = await loop.run_in_executor(pool, turn.take, self._store, self._rates, self._limits, ask)
            self._tell(told.moved)
