"""The poster: what the store says, on Slack. Slack is a view; everything here can be done again from the store.

One event loop. The plan (workers/slack_plan.py) finds in the store what is to be posted and writes it down; a lane for
each channel posts, one at a time and one a second; one loop redraws, because chat.update is counted over the whole
workspace. Notices wake it, and a poll finds what no notice told. Several posters may run at once.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import redis.asyncio
from sqlalchemy import Connection

from crm_store import desk_posts, desk_threads
from desk.slack.context import SlackDesk
from desk.slack.names import SURFACE
from hub import log, notices
from hub.errors import Unavailable
from workers import slack_draw, slack_ops
from workers.slack_calls import Calls, Failed, Trouble
from workers.slack_plan import Places, Planner, move
from workers.slack_put import Putter, Taken
from workers.slack_rates import POST, Rests, SlackRates
from workers.slack_standing import Standing

_log = log.get("slack")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuning:
    """Seconds, those of Slack where `SlackRates.pace` makes them shorter."""

    poll_s: float = 2.0  # how soon is seen what nobody announced
    gather_s: float = 0.05  # what is announced within this time is planned together
    leads_s: float = 5.0  # how often is looked for what the leads should be told
    probe_s: float = 30.0  # how often a channel that takes nothing, or a token that is refused, is tried
    first_s: float = 1.0  # how long a failed call is not repeated; doubled each time,
    longest_s: float = 60.0  # and never longer
    stuck_s: float = 60.0  # how long a post that failed for a reason of ours is left alone


class Poster:
    """redis: for live notices and for rates that several posters share; None: a poll, and rates of its own.

    rates: tests and benchmarks bring theirs. counts: posted, redrawn, dropped, found, failed:WHY, for metrics.
    """

    def __init__(
        self,
        desk: SlackDesk,
        places: Places,
        redis: redis.asyncio.Redis | None = None,
        *,
        owner: str | None = None,
        rates: SlackRates | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self._desk, self._places, self._redis = desk, places, redis
        self._rates = rates or SlackRates(redis)
        self._calls = Calls(desk.client, self._rates)
        self._tuning = tuning or Tuning()
        # Two posters of one process are two.
        self._owner = owner or f"{socket.gethostname()}:{os.getpid()}:{time.monotonic_ns():x}"
        self._planner = Planner(desk, places)
        self._putter = Putter(desk, self._calls, self._owner)
        self._planning = asyncio.Lock()
        self._dirty: set[int] = set()
        self._all = True  # is everything to be looked at?
        self._wake = asyncio.Event()
        self._stale: dict[int, int] = {}  # threads to redraw: how urgent
        self._to_redraw = asyncio.Event()
        self._lanes: dict[str, asyncio.Event] = {}
        t = self._tuning
        self._rests = Rests(t.first_s, t.longest_s, self._rates.pace)
        self.standing = Standing(
            desk, places, self._calls, self._planner, self._rests, t.probe_s, self._look_at_all
        )
        self._told = 0.0
        self.counts: Counter[str] = Counter()

    # ------------------------------------------------------------------------------------------------------- loops

    async def run(self) -> None:
        """Until cancelled. Raises nothing that a later look may mend."""
        await self._begin()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._plan_loop(tasks))
            tasks.create_task(self._redraw_loop())
            tasks.create_task(self._probe_loop())
            if self._redis is not None:
                tasks.create_task(self._listen(self._redis))

    async def _begin(self) -> None:
        try:
            await self.standing.begin()
        except Unavailable as error:
            _log.warning("store away", error=str(error))

    async def once(self) -> int:
        """Plan, post and redraw until nothing is left that can be done now; how much that was."""
        began = self._done()
        while True:
            before = self._done()
            self._all = True
            await self.plan()
            for place in await self._waiting():
                while await self._post_one(place):
                    pass
            while await self._redraw_one():
                pass
            if self._done() == before:
                return before - began

    def _done(self) -> int:
        return sum(self.counts[what] for what in ("posted", "redrawn", "dropped"))

    async def _listen(self, client: redis.asyncio.Redis) -> None:
        async for notice in notices.subscribe(client):
            some = notice.ids.get("conversations") or [notice.ids.get("conversation")]
            self._dirty.update(one for one in some if isinstance(one, int))
            if notice.kind in (notices.RESYNC, notices.CONFIG):
                self._all = True
            self._wake.set()

    async def _plan_loop(self, tasks: asyncio.TaskGroup) -> None:
        looked = 0.0
        while True:
            try:
                async with asyncio.timeout(self._tuning.poll_s):
                    await self._wake.wait()
                    await asyncio.sleep(self._tuning.gather_s)
            except TimeoutError:
                pass
            self._wake.clear()
            if time.monotonic() - looked >= self._tuning.poll_s:
                self._all, looked = True, time.monotonic()
            try:
                await self.plan()
                for place in await self._waiting():
                    if place not in self._lanes:
                        self._lanes[place] = asyncio.Event()
                        tasks.create_task(self._lane(place))
                    self._lanes[place].set()
            except Unavailable as error:
                self._all = True
                _log.warning("store away", error=str(error))

    async def plan(self) -> None:
        """Write down what is to be posted; raises Unavailable."""
        async with self._planning:
            among = None if self._all else self._dirty
            self._all, self._dirty = False, set()
            if among is not None and not among:
                return
            found = await self._desk.do(lambda: self._planner.plan(among))
            self._stale |= found.stale
            await self._tell_leads()
        if self._stale:
            self._to_redraw.set()

    async def _tell_leads(self) -> None:
        ops = self._places.ops()
        if ops is None or time.monotonic() - self._told < self._tuning.leads_s * self._rates.pace:
            return
        self._told, now = time.monotonic(), self._desk.clock()
        wanted = await self._desk.look(lambda tx: slack_ops.spotted(tx, self._desk, now))
        if wanted:
            await self._store(lambda tx: slack_ops.tell(tx, self._desk, ops, wanted, now))

    async def _waiting(self) -> dict[str, int]:
        return await self._desk.look(lambda tx: desk_posts.places(tx, SURFACE))

    async def _lane(self, place: str) -> None:
        """Post what waits for one channel, in order, at its rate; goes on until cancelled."""
        woken = self._lanes[place]
        while True:
            try:
                busy = await self._post_one(place)
            except Unavailable as error:
                _log.warning("store away", error=str(error))
                busy = False
                await asyncio.sleep(self._tuning.poll_s)
            if not busy:
                woken.clear()
                try:
                    async with asyncio.timeout(self._rests.left_s(place) or self._tuning.poll_s):
                        await woken.wait()
                except TimeoutError:
                    pass
                if rest_s := self._rests.left_s(place):
                    await asyncio.sleep(rest_s)

    async def _redraw_loop(self) -> None:
        while True:
            try:
                busy = await self._redraw_one()
            except Unavailable as error:
                _log.warning("store away", error=str(error))
                busy = False
                await asyncio.sleep(self._tuning.poll_s)
            if not busy:
                self._to_redraw.clear()
                if self.standing.refused:
                    await asyncio.sleep(self._tuning.poll_s)
                elif rest_s := self._rests.left_s(_REDRAW):
                    await asyncio.sleep(rest_s)
                elif not self._stale:
                    await self._to_redraw.wait()

    def _look_at_all(self) -> None:
        self._all = True
        self._wake.set()

    # ----------------------------------------------------------------------------------------------------- one step

    async def _post_one(self, place: str) -> bool:
        """Post the next thing of a channel, when its rate allows that. False: there is nothing to do there now."""
        if self.standing.refused or self._rests.left_s(place):
            return False
        now = self._desk.clock()
        if await self._desk.look(lambda tx: desk_posts.next_unposted(tx, SURFACE, place, now)) is None:
            return False
        await self._rates.wait(POST, place)
        taken = await self._putter.take(place)
        if taken is None:
            return False
        post = taken.post
        try:
            put = await self._putter.put(taken)
        except Failed as problem:
            await self._failed_post(taken, problem)
            return problem.trouble not in (Trouble.LATER, Trouble.TOKEN, Trouble.PLACE)
        except Unavailable:
            raise
        except Exception:
            # A bug of ours, or what only this post has: it holds up no other thread.
            _log.exception("not posted", post=post.id, kind=post.kind)
            self.counts["failed:bug"] += 1
            again = self._desk.clock() + timedelta(seconds=self._tuning.stuck_s)
            await self._store(lambda tx: desk_posts.give_back(tx, post.id, self._owner, again_at=again))
            return True
        self._rests.end(place)
        self.counts["posted" if put else "dropped"] += 1
        await self._look_again(post.thread_id)
        return True

    async def _redraw_one(self) -> bool:
        """Redraw the most urgent thing, when chat.update may be called. False: there is nothing to do now."""
        if self.standing.refused or self._rests.left_s(_REDRAW) or not self._stale:
            return False
        thread_id = min(self._stale, key=self._stale.__getitem__)
        if not await self._is_stale(thread_id):
            return True
        await self._rates.wait("chat.update")
        scene = await self._scene(thread_id)
        if scene is None or not scene.stale():
            self._stale.pop(thread_id, None)
            return True
        try:
            drawn = await self._putter.redraw(scene)
        except Failed as problem:
            await self._failed_redraw(thread_id, scene.thread.place, problem)
            return problem.trouble not in (Trouble.LATER, Trouble.TOKEN)
        self._rests.end(_REDRAW)
        self.counts["redrawn"] += drawn
        if not drawn or len(scene.stale()) == 1:
            self._stale.pop(thread_id, None)
            await self._look_again(thread_id)
        return True

    async def _scene(self, thread_id: int) -> slack_draw.Scene | None:
        now = self._desk.clock()
        return await self._desk.look(lambda tx: slack_draw.scene(tx, self._desk, thread_id, now))

    async def _is_stale(self, thread_id: int) -> bool:
        scene = await self._scene(thread_id)
        if scene is not None and scene.stale():
            return True
        self._stale.pop(thread_id, None)
        await self._look_again(thread_id)
        return False

    async def _look_again(self, thread_id: int) -> None:
        """Something of this thread was posted or drawn: is all of it now?"""
        if thread_id == desk_posts.NO_THREAD:
            return
        self._planner.forget(thread_id)
        thread = await self._desk.look(lambda tx: desk_threads.get(tx, thread_id))
        if thread is not None:
            self._dirty.add(thread.conversation_id)
            self._wake.set()

    # ------------------------------------------------------------------------------------------------------ trouble

    async def _failed_post(self, taken: Taken, problem: Failed) -> None:
        post = taken.post
        self.counts[f"failed:{problem.why}"] += 1
        if problem.trouble is Trouble.THREAD:
            await self._card_gone(post.thread_id)
            return
        await self._putter.give_back(post, arrived=problem.arrived)
        await self._trouble(post.place, problem)

    async def _failed_redraw(self, thread_id: int, place: str, problem: Failed) -> None:
        self.counts[f"failed:{problem.why}"] += 1
        if problem.trouble is Trouble.PLACE:
            self._stale.pop(thread_id, None)
            await self._trouble(place, problem)
        elif problem.trouble is Trouble.LATER:
            if not problem.retry_after_s:
                self._rests.begin(_REDRAW)
        elif problem.trouble is Trouble.TOKEN:
            await self._trouble(place, problem)
        else:  # it cannot be redrawn; the next change of it tries again
            self._stale.pop(thread_id, None)

    async def _trouble(self, place: str, problem: Failed) -> None:
        """What a failure means beyond the call that failed."""
        if problem.trouble is Trouble.TOKEN:
            await self.standing.refuse(problem.why)
        elif problem.trouble is Trouble.PLACE:
            await self.standing.fall_back(place, problem.why)
        elif problem.trouble is Trouble.LATER and problem.retry_after_s:
            return  # the rates hold it
        else:
            self._rests.begin(place)
            _log.warning("posting waits", place=place, why=problem.why)

    async def _card_gone(self, thread_id: int) -> None:
        """Somebody deleted the card, and nothing can be hung below it: a fresh one, with what hangs below it."""
        now = self._desk.clock()

        def work(tx: Connection) -> None:
            thread = desk_threads.get(tx, thread_id)
            if thread is not None:
                move(tx, self._desk, thread, "gone", thread.place, now)
                desk_posts.drop_all(tx, SURFACE, thread_id)
                desk_threads.settle(tx, thread_id)

        await self._store(work)
        self._look_at_all()

    async def _probe_loop(self) -> None:
        while True:
            await asyncio.sleep(self._tuning.probe_s * self._rates.pace)
            try:
                await self.standing.probe()
            except Unavailable as error:
                _log.warning("store away", error=str(error))

    async def _store(self, work: object) -> object:
        return await self._desk.do(lambda: self._desk.store.run(work))  # type: ignore[arg-type]


_REDRAW = "chat.update"  # the lane of redrawing
