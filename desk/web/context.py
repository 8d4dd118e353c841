"""What every handler of the desk is given, and how it reaches the store: a bounded pool of threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol, TypeVar

from aiohttp import web

from crm_store.db import Store
from crm_store.logins import Session
from desk.actions import Actions
from hub import clock
from hub.blobs import BlobStore
from hub.config import Agent, Config, Role
from hub.errors import Unavailable
from hub.settings import Settings
from router.rules import RuleSet

T = TypeVar("T")

WORKERS = 8
WAITING = 64  # beyond these the desk says that it is busy, instead of growing a queue nobody sees the end of
DEADLINE_S = 8.0


class Pool:
    """Threads for the store. More than `waiting` calls at once, or one that takes too long, raise Unavailable."""

    def __init__(self, name: str, workers: int = WORKERS, waiting: int = WAITING) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._free = workers + waiting

    async def __call__(self, work: Callable[..., T], *args: Any, deadline_s: float = DEADLINE_S) -> T:
        if self._free <= 0:
            raise Unavailable("The desk is very busy. Try again in a moment.")
        self._free -= 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), deadline_s)
        except TimeoutError:
            raise Unavailable("The store took too long. It may have been done: look again.") from None

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._free += 1
        if not future.cancelled():
            future.exception()  # nobody may be waiting for it any more

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Letter(Protocol):
    """A mail's HTML as it may be shown. html: sanitised, what may stand in a body; empty where there is nothing to
    show, and `why` says why. left_out: how many pictures on other machines are not in it."""

    @property
    def html(self) -> str: ...
    @property
    def left_out(self) -> int: ...
    @property
    def why(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class WebDesk:
    """What the desk is built from.

    rules: the compiled rules of the configuration in force, to explain decisions with. redis: an asyncio client for
    live notices; None: pages follow the store alone, a few seconds behind. replay: gives one quarantined entry (its
    id, who asks) to the router again, once; None: this desk has no such button. letters: a raw mail, and whether with
    pictures on other machines, as HTML to be shown; None: this desk shows texts alone.
    """

    store: Store
    actions: Actions
    config: Callable[[], Config]
    rules: Callable[[], RuleSet]
    settings: Settings
    blobs: BlobStore
    redis: Any = None
    replay: Callable[[int, str], str] | None = None
    letters: Callable[[bytes, bool], Awaitable[Letter]] | None = None
    now: clock.Clock = clock.system
    call: Pool = field(default_factory=lambda: Pool("desk"))
    # Passwords cost 60 ms of a core each: a flood of guesses waits for its own two threads, not for the desk's.
    login_call: Pool = field(default_factory=lambda: Pool("desk-login", workers=2, waiting=16))

    async def read(self, view: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`view(tx, *args)` on one moment of the store."""

        def work() -> T:
            with self.store.read() as tx:
                return view(tx, *args, **kwargs)

        return await self.call(work)

    async def do(self, action: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """A synchronous call that opens its own transaction."""
        return await self.call(lambda: action(*args, **kwargs))


class Need(IntEnum):
    """Who may use a route. A route names one, or the desk does not start."""

    ANYONE = 0
    AGENT = 1
    LEAD = 2
    ADMIN = 3


RANK = {Role.AGENT: Need.AGENT, Role.LEAD: Need.LEAD, Role.ADMIN: Need.ADMIN}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    handler: Handler
    need: Need


DESK = web.AppKey("desk", WebDesk)
SESSION = web.RequestKey("session", Session)
TOKEN = web.RequestKey("token", str)
AGENT = web.RequestKey("agent", Agent)
FRAMED = web.RequestKey("framed", bool)  # the page holds a frame of this desk's own
REQUEST_ID = web.RequestKey("request_id", str)
