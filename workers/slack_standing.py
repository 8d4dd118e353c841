"""Whether Slack takes anything of us just now: a token that is refused, a channel that is closed to the app.

Both are written down as pauses, so that every poster knows and doctor can tell; both are tried again now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection

from crm_store import desk_threads, pauses
from crm_store.desk_posts import NOTICE, Wanted
from desk.slack.context import SlackDesk
from desk.slack.names import SURFACE
from hub import log
from workers import slack_ops
from workers.slack_calls import Calls, Failed, Trouble
from workers.slack_plan import BROKEN, Places, Planner
from workers.slack_rates import Rests

_log = log.get("slack")
T = TypeVar("T")


class Standing:
    """refused: why the token is of no use; None while it is good. changed: told when everything that waits is to be
    looked at again."""

    def __init__(
        self,
        desk: SlackDesk,
        places: Places,
        calls: Calls,
        planner: Planner,
        rests: Rests,
        probe_s: float,
        changed: Callable[[], None],
    ) -> None:
        self._desk, self._places, self._calls, self._planner = desk, places, calls, planner
        self._rests, self._probe_s, self._changed = rests, probe_s, changed
        self.refused: str | None = None

    async def begin(self) -> None:
        """Where the token was refused when somebody looked last, it is tried before anything else."""
        now = self._desk.clock()
        if SURFACE in await self._desk.look(lambda tx: pauses.paused(tx, now)):
            self.refused = "refused before"
            await self.probe()

    async def fall_back(self, place: str, why: str) -> None:
        """Nothing can be posted there: what stands there, and what comes, stands in the leads' channel instead."""
        now, ops = self._desk.clock(), self._places.ops()
        until = now + timedelta(seconds=10 * self._probe_s)
        self._rests.begin(place)

        def work(tx: Connection) -> bool:
            if f"{BROKEN}{place}" in pauses.paused(tx, now):
                pauses.extend(tx, f"{BROKEN}{place}", until, why)
                return False
            pauses.pause(tx, f"{BROKEN}{place}", until, why, now)
            desk_threads.touch_place(tx, SURFACE, place)
            if ops is not None and ops != place:
                told = [Wanted(kind=NOTICE, ref=slack_ops.place_ref(place, now))]
                slack_ops.tell(tx, self._desk, ops, told, now)
            return True

        if await self._store(work):
            _log.error("channel takes nothing", place=place, why=why, instead=ops)
        self._changed()

    async def refuse(self, why: str) -> None:
        """The token is of no use: nothing is tried, and nothing lost, until Slack takes it again."""
        if self.refused is None:
            _log.error("slack refuses the app", why=why)
        self.refused, now = why, self._desk.clock()
        until = now + timedelta(seconds=10 * self._probe_s)
        await self._store(lambda tx: pauses.pause(tx, SURFACE, until, why, now))

    async def probe(self) -> None:
        """Is the token good again, and is a channel that took nothing there again?"""
        now = self._desk.clock()
        if self.refused is not None:
            try:
                await self._calls.now("auth.test")
            except Failed as problem:
                if problem.trouble is Trouble.TOKEN:
                    await self.refuse(problem.why)
                return
            _log.info("slack takes the app again")
            self.refused = None
            await self._store(lambda tx: pauses.resume(tx, SURFACE))
            self._changed()
        broken = await self._desk.look(lambda tx: self._planner.broken(tx, now))
        for place in broken:
            await self._probe_place(place)

    async def _probe_place(self, place: str) -> None:
        now = self._desk.clock()
        try:
            told = (await self._calls.at_rate("conversations.info", place)).get("channel") or {}
        except Failed as problem:
            if problem.trouble is not Trouble.PLACE:
                return
            told = {}
        if told.get("is_archived") or not told.get("is_member"):
            until = now + timedelta(seconds=10 * self._probe_s)
            why = "is_archived" if told.get("is_archived") else "not_in_channel"
            await self._store(lambda tx: pauses.extend(tx, f"{BROKEN}{place}", until, why))
            return

        def work(tx: Connection) -> None:
            since = pauses.paused_since(tx, f"{BROKEN}{place}")
            pauses.resume(tx, f"{BROKEN}{place}")
            desk_threads.touch_place(tx, SURFACE, place, retired_since=since)

        await self._store(work)
        _log.info("channel is there again", place=place)
        self._rests.end(place)
        self._changed()

    async def _store(self, work: Callable[[Connection], T]) -> T:
        return await self._desk.do(lambda: self._desk.store.run(work))
