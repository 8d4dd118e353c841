"""Waiting for what another task, thread or process brings about, however busy the machine is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_EVERY_S = 0.02
_TRIES = 3000  # a minute; counted, for a test may have set the clock


def until(true: Callable[[], object], otherwise: str = "it does not come about") -> None:
    """Look again and again, at most for a minute. Stands still meanwhile: in asyncio, `eventually`."""
    for _ in range(_TRIES):
        if true():
            return
        time.sleep(_EVERY_S)
    raise AssertionError(otherwise)


async def eventually(true: Callable[[], object], otherwise: str = "it does not come about") -> None:
    """The same beside other tasks."""
    for _ in range(_TRIES):
        if true():
            return
        await asyncio.sleep(_EVERY_S)
    raise AssertionError(otherwise)
