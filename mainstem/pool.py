"""How asynchronous code calls the synchronous store: a few threads, a bound on who waits, and a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hub.errors import Unavailable

T = TypeVar("T")

DEADLINE_S = 2.0  # a page or a recovery round that waits longer than this would rather be told


class Pool:
    """Raises Unavailable at once when `waiting` calls wait already, and after the deadline.

    A call that is past its deadline goes on in its thread until the database answers or gives up; its place is free
    again only then, so that a dead database costs `threads` threads and not more.
    """

    def __init__(
        self, name: str, *, threads: int = 4, waiting: int = 64, deadline_s: float = DEADLINE_S
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads + waiting
        self._name = name
        self.deadline_s = deadline_s

    async def __call__(self, work: Callable[[], T], deadline_s: float | None = None) -> T:
        if self._free <= 0:
            raise Unavailable(f"too many calls of {self._name} wait for the database")
        self._free -= 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._done)
        allowed = self.deadline_s if deadline_s is None else deadline_s
        try:
            return await asyncio.wait_for(asyncio.shield(future), allowed)
        except TimeoutError:
            raise Unavailable(f"the database did not answer {self._name} within {allowed:g} s") from None

    def _done(self, future: asyncio.Future[T]) -> None:
        self._free += 1
        if not future.cancelled():
            future.exception()  # nobody may be waiting for it any more

    def close(self) -> None:
        """Take no more calls; those that run are left to themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
