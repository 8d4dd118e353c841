"""Slack's time: real, or faster (`scale`), or moved on by a test (`passes`). No rule of the server sleeps otherwise."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

_NOW: Final = time.perf_counter  # stands still under no clock that a test may set


class Clock:
    """Seconds since the start, as Slack's rules count them.

    scale: how many real seconds one of Slack's seconds takes: 0.1 makes the three seconds of an acknowledgement 0.3.
    What waits already goes on in the old measure.
    """

    def __init__(self) -> None:
        self._scale = 1.0
        self._began, self._before = _NOW(), 0.0
        self._offset = 0.0
        self._moved: set[asyncio.Future[None]] = set()

    @property
    def scale(self) -> float:
        return self._scale

    @scale.setter
    def scale(self, scale: float) -> None:
        real = _NOW()
        self._before += (real - self._began) / self._scale
        self._began, self._scale = real, scale

    def now(self) -> float:
        return self._before + (_NOW() - self._began) / self._scale + self._offset

    @property
    def offset(self) -> float:
        """By how much tests have moved it on."""
        return self._offset

    async def passes(self, seconds: float) -> None:
        """`seconds` go by at once, and whatever was due in them has begun when this returns."""
        self._offset += seconds
        moved, self._moved = self._moved, set()
        for waiting in moved:
            if not waiting.done():
                waiting.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            await self._wait(asyncio.get_running_loop().create_future(), left * self.scale)

    async def answered(self, answer: asyncio.Future[Any], within: float) -> bool:
        """Whether `answer` came in time; it is left alone, not cancelled."""
        until = self.now() + within
        while not answer.done() and (left := until - self.now()) > 0:
            await self._wait(answer, left * self.scale)
        return answer.done()

    async def _wait(self, other: asyncio.Future[Any], real_seconds: float) -> None:
        moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved.add(moved)
        try:
            await asyncio.wait({other, moved}, timeout=real_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._moved.discard(moved)
            moved.cancel()
