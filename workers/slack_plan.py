"""What is to be done on Slack, found out from the store alone: which cards are to be opened, moved on or redrawn, and
what is to hang below them. Everything that is to be posted is written down here first; nothing is sent from here.

Any number of posters plan at once: every step is a compare-and-set, so the later of two finds it done.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Connection

from crm_store import desk_changes, desk_posts, desk_threads, pauses
from crm_store.desk_changes import OVERLAP
from crm_store.desk_threads import SHOWN_STATES, Behind, Thread
from desk.slack.context import SlackDesk
from desk.slack.names import SURFACE
from hub import log
from hub.errors import Unavailable
from workers import slack_draw
from workers.slack_draw import Scene

_log = log.get("slack")

BROKEN: Final = f"{SURFACE}/"  # account_states of channels in which nothing can be posted: slack/C0123
_AT_ONCE = 50  # cards opened in one transaction
_PAGE = 500
_KEEP_S = 10.0  # how often it is kept how far the changes were read
_PLANNED_S = (
    30.0  # a thread that waits for its posts is looked at again after this, in case another poster died
)


class Places(Protocol):
    """desk/slack/directory.py: answers at once from what it knows."""

    def place_of(self, queue: str) -> str | None: ...
    def ops(self) -> str | None: ...


@dataclass(slots=True)
class Planned:
    """What a plan found: threads to redraw (with how urgent, 0 first)."""

    stale: dict[int, int] = field(default_factory=dict)


class Planner:
    """One poster's. Its methods are synchronous and belong in a thread."""

    def __init__(self, desk: SlackDesk, places: Places) -> None:
        self._desk, self._places = desk, places
        self._read: Mapping[str, int] | None = None
        self._seen: dict[int, int] = {}  # thread -> the newest change of it that was taken in
        self._kept = 0.0
        self._planned: dict[int, tuple[int, int, float]] = {}
        self._checked: object = None

    # ------------------------------------------------------------------------------------------------- the whole plan

    def plan(self, among: Collection[int] | None = None) -> Planned:
        """Look at these conversations, or at all. Raises Unavailable."""
        now, found = self._desk.clock(), Planned()
        with self._desk.store.read() as tx:
            broken = self.broken(tx, now)
        if among is None:
            self._take_changes(now)
            self._check_places(broken)
        else:
            self._touch_settled(among)
        self._stand_up(among, broken, now)
        after = 0
        while True:
            with self._desk.store.read() as tx:
                page = desk_threads.behind(tx, SURFACE, among=among, after=after, limit=_PAGE)
            for one in page:
                self._plan_one(one, found, broken)
            if len(page) < _PAGE:
                return found
            after = page[-1].thread.id

    def broken(self, tx: Connection, now: datetime) -> dict[str, datetime]:
        """The channels in which nothing can be posted, and until when that is believed."""
        paused = pauses.paused(tx, now)
        return {a.removeprefix(BROKEN): until for a, until in paused.items() if a.startswith(BROKEN)}

    def forget(self, thread_id: int) -> None:
        """Something of this thread was posted or drawn: look at it again."""
        self._planned.pop(thread_id, None)

    def _take_changes(self, now: datetime) -> None:
        """Threads of which something changed that no version tells: they are to be looked at again."""
        store = self._desk.store
        if self._read is None:
            with store.read() as tx:
                self._read = desk_changes.cursor(tx, SURFACE)
        since: Mapping[str, int] = {source: max(0, at - OVERLAP) for source, at in self._read.items()}
        while True:
            with store.read() as tx:
                found = desk_changes.changed(tx, SURFACE, since)
            fresh = {t: at for t, at in found.threads.items() if at > self._seen.get(t, 0)}
            if fresh:
                store.run(lambda tx, fresh=fresh: desk_threads.touch(tx, fresh))  # type: ignore[misc]
                self._seen |= fresh
            since = self._read = found.at
            if not found.more:
                break
        if len(self._seen) > 10_000:
            oldest = max(self._read.values(), default=0) - 2 * OVERLAP
            self._seen = {t: at for t, at in self._seen.items() if at > oldest}
        if time.monotonic() - self._kept > _KEEP_S:
            self._kept = time.monotonic()
            store.run(lambda tx: desk_changes.keep_cursor(tx, SURFACE, self._read or {}, now))

    def _touch_settled(self, among: Collection[int]) -> None:
        """Somebody spoke of these: their settled cards may be behind, too."""

        def work(tx: Connection) -> None:
            desk_threads.touch(tx, desk_threads.settled_behind(tx, SURFACE, among))

        with self._desk.store.read() as tx:
            some = desk_threads.settled_behind(tx, SURFACE, among)
        if some:
            self._desk.store.run(work)

    # --------------------------------------------------------------------------------------------------------- places

    def target(self, queue: str, broken: Collection[str]) -> tuple[bool, str | None]:
        """Where a queue's cards stand now: (is that known?, the channel; None: nowhere)."""
        configured = self._desk.config().queues.get(queue)
        if configured is None or not configured.slack:
            return True, None
        place = self._places.place_of(queue)
        if place is None or place not in broken:
            return place is not None, place
        ops = self._places.ops()
        return (True, ops) if ops is not None and ops not in broken else (False, None)

    def _check_places(self, broken: Mapping[str, datetime]) -> None:
        """Where the configuration, a channel's name or its health changed, cards that stand elsewhere move on."""
        config = self._desk.config()
        targets = {queue: self.target(queue, broken) for queue in config.queues}
        if targets == self._checked:
            return
        wrong: list[int] = []
        after = 0
        while True:
            with self._desk.store.read() as tx:
                page = desk_threads.unsettled(tx, SURFACE, after=after, limit=_PAGE)
            for one in page:
                known, place = targets.get(one.queue, (True, None))
                living = one.thread.retired_at is None and one.state in SHOWN_STATES
                if living and known and place != one.thread.place:
                    wrong.append(one.thread.id)
            if len(page) < _PAGE:
                break
            after = page[-1].thread.id
        if wrong:
            self._desk.store.run(lambda tx: desk_threads.touch(tx, wrong))
        self._checked = targets

    def _stand_up(self, among: Collection[int] | None, broken: Mapping[str, datetime], now: datetime) -> None:
        """Cards for what stands in a queue and has none."""
        targets = {queue: self.target(queue, broken) for queue in self._desk.config().queues}
        queues = [queue for queue, (_, place) in targets.items() if place is not None]
        store = self._desk.store
        while True:
            with store.read() as tx:
                found = desk_threads.unshown(tx, SURFACE, queues, among=among, limit=_PAGE)
            opened = 0
            for start in range(0, len(found), _AT_ONCE):
                some = found[start : start + _AT_ONCE]
                opened += store.run(lambda tx, some=some: self._open(tx, some, targets, now))  # type: ignore[misc]
            if len(found) < _PAGE or not opened:
                return

    def _open(
        self,
        tx: Connection,
        some: list[tuple[int, str]],
        targets: Mapping[str, tuple[bool, str | None]],
        now: datetime,
    ) -> int:
        opened = 0
        for conversation_id, queue in some:
            place = targets[queue][1]
            assert place is not None
            living = desk_threads.living(tx, SURFACE, conversation_id)
            if living is not None:  # settled: it was closed or snoozed, and is so no longer
                desk_threads.touch(tx, [living.id])
                opened += 1
            elif desk_threads.open_card(tx, self._desk.store.ids, SURFACE, conversation_id, place, now):
                opened += 1
        return opened

    # ----------------------------------------------------------------------------------------------------- one thread

    def _plan_one(self, one: Behind, found: Planned, broken: Collection[str]) -> None:
        thread = one.thread
        was = self._planned.get(thread.id)
        if was is not None and was[:2] == (thread.shown_version, one.version) and time.monotonic() < was[2]:
            return
        self._planned[thread.id] = (thread.shown_version, one.version, time.monotonic() + _PLANNED_S)
        try:
            urgency = self.reconcile(thread.id, broken)
        except Unavailable:
            raise
        except Exception:
            # One conversation that cannot be drawn holds up no other; it is tried again later.
            _log.exception("not drawn", conversation=thread.conversation_id)
            return
        if urgency is not None:
            found.stale[thread.id] = urgency

    def reconcile(self, thread_id: int, broken: Collection[str]) -> int | None:
        """Write down what a thread lacks, or move it on; how urgently it is to be redrawn, None where it is not.

        Where everything is drawn and nothing in flight, that is noted.
        """
        now, store = self._desk.clock(), self._desk.store
        with store.read() as tx:
            scene = slack_draw.scene(tx, self._desk, thread_id, now)
        if scene is None:
            return None
        thread = scene.thread
        if thread.retired_at is None and scene.state in SHOWN_STATES:
            known, target = self.target(scene.queue, broken)
            if known and (scene.anew or target != thread.place):
                store.run(lambda tx: self._move(tx, scene, target, now))
                self.forget(thread_id)
                return 0
        if thread.retired_at is not None and thread.place in broken:
            store.run(lambda tx: desk_threads.settle(tx, thread_id))
            return None
        missing = scene.missing()
        if missing:
            store.run(lambda tx: self._intend(tx, scene, now))
        stale = scene.stale()
        if stale:
            return 0 if stale[0][0].kind == desk_posts.CARD else 1
        if not missing and not scene.waiting:
            self.finished(scene)
        return None

    def finished(self, scene: Scene) -> None:
        """All of it is drawn as of this look."""
        ended = scene.thread.retired_at is not None or scene.state not in SHOWN_STATES

        def work(tx: Connection) -> None:
            if not desk_posts.unposted_in(tx, SURFACE, scene.thread.id):
                desk_threads.shown(tx, scene.thread.id, was=scene.was, version=scene.version, settled=ended)

        self._desk.store.run(work)
        self.forget(scene.thread.id)  # the next change may bear the mark of the one before

    def _intend(self, tx: Connection, scene: Scene, now: datetime) -> None:
        """Below what is there already: where another machine's clock is ahead of ours, in a moment."""
        thread = desk_threads.get(tx, scene.thread.id, lock=True)
        if thread is None or thread.retired_at is not None:
            return
        ids = self._desk.store.ids
        if ids() <= desk_posts.newest(tx, SURFACE, thread.id):
            self.forget(thread.id)
            return
        desk_posts.intend(tx, ids, thread.id, SURFACE, thread.place, scene.missing(), now)

    def _move(self, tx: Connection, scene: Scene, target: str | None, now: datetime) -> None:
        thread = scene.thread
        why = scene.anew or ("transferred" if desk_threads.moved_since(tx, thread) else "moved")
        move(tx, self._desk, thread, why, target, now)


def move(
    tx: Connection, desk: SlackDesk, thread: Thread, why: str, target: str | None, now: datetime
) -> bool:
    """The card becomes a tombstone, and where there is a `target` a new one is opened there. Twice is once."""
    if not desk_threads.retire(tx, thread.id, why, now):
        return False
    desk_posts.drop_unbegun(tx, SURFACE, thread.id)
    if target is not None:
        desk_threads.open_card(tx, desk.store.ids, SURFACE, thread.conversation_id, target, now)
    return True
