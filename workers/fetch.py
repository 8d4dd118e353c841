"""The job that fetches customers' files, and their names: a thread beside the sender, with an event loop of its own.

A file of 100 MB over a slow line takes a minute, and an rq worker does one job at a time: within a job it would keep
replies waiting. So the job only sees to it that the thread runs, and so does the sender; the thread ends when nothing
is left to fetch and no sender is at work.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import uvloop

from crm_store.media import Ended
from hub import log, notices
from hub import redis as wires
from workers import context
from workers.fetching import POLL_S, Fetching
from workers.naming import Naming

_log = log.get("fetch")
_NAMES_EVERY = 10  # POLL_S each: how soon a newcomer whom nobody announced is asked about beside a sender
_END_S = 5.0  # how long a process that must end waits for the thread; the leases tell others


class Beside:
    """The thread of one process. `wake` makes sure that it looks at the store once more from now on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False  # somebody asked for a look that has not begun
        self._senders = 0
        self._stop = threading.Event()

    def wake(self, held: context.Context) -> None:
        with self._lock:
            self._again = True
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, args=(held,), name="fetch", daemon=True)
                self._thread.start()

    @contextlib.contextmanager
    def sending(self, held: context.Context) -> Iterator[None]:
        """Look for files as long as this lasts, too: no job of theirs is done meanwhile."""
        self._senders += 1
        try:
            self.wake(held)
            yield
        finally:
            self._senders -= 1

    def close(self) -> None:
        """End within seconds; what was in flight is fetched anew by whoever finds its lease ended."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(_END_S)
        self._stop.clear()

    def _stopping(self) -> bool:
        return self._stop.is_set() or context.stopping.is_set()

    def _run(self, held: context.Context) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                while True:
                    with self._lock:
                        self._again = False
                    runner.run(self._fetch(held))
                    with self._lock:
                        if not self._again or self._stopping():
                            self._thread = None
                            return
        except BaseException:
            self._thread = None
            _log.exception("fetching broke")

    async def _fetch(self, held: context.Context) -> None:
        redis = wires.connect_async(held.settings.redis_url) if held.settings.redis_url else None
        http = context.session(allow_private=held.settings.allow_private_targets)
        with_it: dict[str, Any] = {
            "wire": lambda: held.wire_of(http, redis),
            "stopping": self._stopping,
        }
        files = Fetching(
            held.store,
            held.follower.get,
            blobs=held.files,
            owner=held.owner,
            tell=lambda ended: tell(held, ended),
            **with_it,
        )
        names = Naming(
            held.store,
            held.follower.get,
            tell=lambda shown: notices.publish(held.redis, notices.CONVERSATION, conversation=shown),
            **with_it,
        )
        naming = asyncio.create_task(self._name(names))
        try:
            await files.run(lambda: self._senders > 0)
            while not (naming.done() or self._stopping()):
                await asyncio.wait((naming,), timeout=POLL_S)
        finally:
            naming.cancel()
            await http.close()
            if redis is not None:
                await redis.aclose()

    async def _name(self, names: Naming) -> None:
        """Once, and as long as others are at work."""
        while True:
            await names.look()
            for _ in range(_NAMES_EVERY):
                if not self._senders or self._stopping():
                    return
                await asyncio.sleep(POLL_S)


beside = Beside()


def tell(held: context.Context, ended: list[Ended]) -> None:
    """One notice for all conversations that look different now: every desk draws them anew."""
    conversations = sorted({one.due.conversation_id for one in ended})
    notices.publish(held.redis, notices.CONVERSATION, conversation=conversations)


def job() -> None:
    """rq calls this."""
    beside.wake(context.get())
