"""Waiting for what another task, thread or process brings about, however busy the machine is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_EVERY_S = 0.01


def until(true: Callable[[], object], within_s: float = 60.0) -> None:
    """Look again and again. Stands still meanwhile: in asyncio, `eventually`."""
    for _ in range(int(within_s / _EVERY_S)):  # counted: a test may have set the clock
        if true():
            return
        time.sleep(_EVERY_S)
    raise AssertionError(f"it did not come about within {within_s} s")


async def eventually(true: Callable[[], object], within_s: float = 60.0) -> None:
    """The same beside other tasks."""
    for _ in range(int(within_s / _EVERY_S)):
        if true():
            return
        await asyncio.sleep(_EVERY_S)
    raise AssertionError(f"it did not come about within {within_s} s")
