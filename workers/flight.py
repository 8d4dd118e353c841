"""Tries that are under way in one loop, and the ends of those that are not noted in the store yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_TOGETHER_S = 0.01  # for others to end as well: they are noted in one transaction


class Flight(Generic[T]):
    """ended: whoever notes them takes them out. One event loop adds to it; a thread may read it meanwhile."""

    def __init__(self) -> None:
        self.ended: list[T] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.woken = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self.tasks or self.ended)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def rest(self, poll_s: float) -> None:
        """Until one ends (`woken` is set), or for so long."""
        self.woken.clear()
        if not self.ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(poll_s):
                    await self.woken.wait()
        if self.ended:
            await asyncio.sleep(_TOGETHER_S)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
