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
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors import CONNECTORS
from connectors.base import Connector, Wire
from crm_store.db import Store
from crm_store.delivery_states import QUEUED, Moved
from crm_store.outbox import Claimed
from crm_store.outcomes import Outcome
from hub import clock, failpoints, log
from hub.clock import from_us
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable
from workers import sending, turn
from workers.lane import Lane, Tuning
from workers.rates import Rates, Want
from workers.sending import Pause, Result

_log = log.get("deliver")


@dataclass(frozen=True, kw_only=True, slots=True)
class Drained:
    """What a drain did. more: its time was over before its work was. next_due: None where nothing waits."""

    tried: int
    more: bool
    next_due: datetime | None


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
        self._lanes: dict[str, Lane] = {}
        self._results: list[Result] = []
        self._hopeless: list[tuple[int, str]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: set[int] = set()
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
        watch = asyncio.create_task(self._watch())
        with ThreadPoolExecutor(1, thread_name_prefix="outbox") as pool:
            try:
                while True:
                    self._follow()
                    ask, asked_at = self._ask(), time.monotonic()
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
                    self._hear(ask, told, asked_at)
                    if self._done():
                        break
                    await self._rest()
            finally:
                watch.cancel()
                await self._abandon(pool)
        return Drained(tried=self._tried, more=self._closing, next_due=self._next_due)

    def _follow(self) -> None:
        """The accounts as configured now, and whether it is time to end."""
        accounts = self._accounts()
        for key, account in accounts.items():
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = Lane(account, self._tuning.per_account)
            lane.account = account
            lane.resize(self._tuning)
        for key in [
            k for k, lane in self._lanes.items() if k not in accounts and not lane.flying and not lane.marked
        ]:
            if not self._lanes[key].ready:
                del self._lanes[key]
        now = time.monotonic()
        if self._stopped_at is None and self._stopping():
            self._stopped_at = now
        self._closing = self._stopped_at is not None or now - self._began >= self._tuning.lasts_s

    def _ask(self) -> turn.Ask:
        t, now, wall = self._tuning, time.monotonic(), self._now()
        idle = not (self._tasks or self._results or any(lane.ready for lane in self._lanes.values()))
        poll = idle or now - self._polled >= t.poll_s
        wants: dict[str, Want] = {}
        ready: dict[str, list[Claimed]] = {}
        rooms: dict[str, int] = {}
        back: list[int] = []
        for key, lane in self._lanes.items():
            slow = lane.oldest_s(now) > t.slow_s
            if lane.marked and (slow or not self._may_start(lane, now)):
                self._unmark(lane, wall)
            if not self._may_start(lane, now):
                back += [delivery.id for delivery in lane.ready]
                lane.ready.clear()
                continue
            account = lane.account
            due = lane.due(wall)
            free = min(len(due), lane.room(t, slow=slow))
            if free > 0 and now >= lane.token_at:
                wants[key] = Want(account.rate_per_s, account.burst, free)
                ready[key] = due
            else:
                free = 0
            ahead = max(1, min(2 * lane.slots, math.ceil(account.rate_per_s * t.ahead_s)))
            room = ahead - (len(lane.ready) - free)
            if room > 0 and (lane.hungry or poll):
                rooms[key] = room
        look = now - self._looked >= t.look_s and not self._closing
        if poll:
            self._polled = now
        if look:
            self._looked = now
        return turn.Ask(
            owner=self._owner,
            now=wall,
            results=tuple(self._results),
            ready=ready,
            wants=wants,
            rooms=rooms,
            give_back=tuple(back),
            hopeless=tuple(self._hopeless),
            look=look,
            accounts=tuple(sorted(self._lanes)) if idle else None,
        )

    def _may_start(self, lane: Lane, now: float) -> bool:
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

    def _hear(self, ask: turn.Ask, told: turn.Told, asked_at: float) -> None:
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
            lane = self._lanes[delivery.account]
            lane.marked.append((asked_at, delivery))
            self._fill(lane, now)
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
        # What is due and was not claimed is another's, or waits for one that an agent must settle: not for us.
        wall = self._now()
        ends = wall + timedelta(seconds=self._tuning.lasts_s - (now - self._began))
        return self._next_due is None or not wall < self._next_due <= ends

    async def _rest(self) -> None:
        """Until something ended (and a moment more, for others to end as well), falls due or may go by its rate."""
        t, now = self._tuning, time.monotonic()
        wall = self._now()
        waits = [t.poll_s]
        for lane in self._lanes.values():
            if lane.ready and len(lane.flying) + len(lane.marked) < lane.slots:
                first = from_us(min(delivery.due_us for delivery in lane.ready))
                waits.append(max(lane.token_at - now, (first - wall).total_seconds()))
            elif lane.hungry and not lane.ready:
                waits.append(0.0)
        ready = any(lane.ready or lane.marked for lane in self._lanes.values())
        if not (self._tasks or ready or self._asked_next):
            waits.append(0.0)
        elif self._next_due is not None and not self._tasks:
            early_s = (self._next_due - wall - turn.AHEAD).total_seconds()
            if early_s > 0:  # what is nearer and was not claimed is not ours to claim yet
                waits.append(early_s)
        self._woken.clear()
        if not self._results:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(min(waits), 0.001)):
                    await self._woken.wait()
        if self._results and not self._closing:
            await asyncio.sleep(t.batch_s)

    # ----------------------------------------------------------------------------------------------- the sends

    def _fill(self, lane: Lane, now: float) -> None:
        """Start what is marked, as far as there are slots."""
        while delivery := self._next(lane, now):
            self._spawn(self._send(delivery, lane))

    def _next(self, lane: Lane, now: float) -> Claimed | None:
        """Take a slot for the next that is marked, if both are there. One whose lease would not outlast its send is
        put back: a process that was frozen does not know what others made of it meanwhile."""
        while lane.marked and len(lane.flying) < lane.slots:
            marked_at, delivery = lane.marked.popleft()
            if now - marked_at > turn.LEASE_S - self._tuning.send_s:
                self._put_back(delivery, self._now())
                continue
            lane.flying[delivery.id] = now, None
            self._tried += 1
            return delivery
        return None

    async def _watch(self) -> None:
        """End sends that take too long: one look at all of them instead of a time-out for each, which cost 10 µs.
        A little early, because their leases count on `send_s`."""
        every_s = min(1.0, self._tuning.send_s / 20)
        while True:
            await asyncio.sleep(every_s)
            latest = time.monotonic() - self._tuning.send_s + every_s
            for lane in self._lanes.values():
                for delivery_id, (began, task) in lane.flying.items():
                    if began > latest:
                        break
                    if task is not None and delivery_id not in self._late:
                        self._late.add(delivery_id)
                        task.cancel()

    def _unmark(self, lane: Lane, now: datetime) -> None:
        """Put back what was marked and not begun: that it did not go out is certain."""
        for _, delivery in lane.marked:
            self._put_back(delivery, now)
        lane.marked.clear()

    def _put_back(self, delivery: Claimed, now: datetime) -> None:
        outcome = Outcome(delivery=delivery, state=QUEUED, at=now, due_at=delivery.due_at, counted=False)
        self._results.append(Result(outcome=outcome))

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, first: Claimed, lane: Lane) -> None:
        """The work of one slot: send, and then what is marked next, until nothing is."""
        delivery: Claimed | None = first
        task = asyncio.current_task()
        assert task is not None
        while delivery is not None:
            connector = self._connectors[lane.account.connector]
            lane.flying[delivery.id] = time.monotonic(), task
            try:
                result = await sending.attempt(connector, delivery, lane.account, self._wire(), self._now)
            except asyncio.CancelledError:
                why = "the sender had to end before an answer came"  # nothing is marked any more, so this ends too
                if delivery.id in self._late:
                    why = f"no answer within {self._tuning.send_s:g} s"
                    task.uncancel()
                doubt = SendError(SendCode.UNKNOWN, why)
                result = sending.judge(delivery, doubt, delivery.attempts + 1, self._now())
            failpoints.here("deliver.after_send")
            now = time.monotonic()
            self._late.discard(delivery.id)
            took_s = now - lane.flying.pop(delivery.id)[0]
            if took_s < self._tuning.slow_s:
                lane.took(took_s, now)
            self._results.append(result)
            self._woken.set()
            delivery = self._next(lane, now)

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
        for lane in self._lanes.values():
            self._unmark(lane, self._now())
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
