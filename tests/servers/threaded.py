"""A small server with an event loop in a thread of its own, so that asynchronous and plain tests, and other processes,
may call it alike."""

import asyncio
import threading
from types import TracebackType
from typing import Self


class Threaded:
    """`with` starts it and returns once `_serve` has set `_up`; leaving sets `_stop`, and waits for `_serve` to end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    async def _serve(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
