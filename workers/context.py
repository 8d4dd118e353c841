"""What a worker process holds between its jobs, opened at the first one: store, Redis, configuration, HTTP session.

rq calls jobs without arguments, so this is the one place that keeps something per process.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import redis
import uvloop
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.retry import Retry

from connectors import CONNECTORS, accounts
from connectors.base import Wire
from connectors.http import guarded_session
from connectors.kept import FOLDER, Kept
from crm_store.configs import Follower
from crm_store.db import Store
from crm_store.delivery_states import Moved
from hub import blobs, clock, notices
from hub import redis as wires
from hub.blobs import BlobStore, Reader
from hub.config import Account, Config
from hub.links import Links
from hub.secrets import load_key
from hub.settings import Settings, load
from workers.rates import Rates

T = TypeVar("T")

# A turn of the sender waits for its tokens: better a bucket of its own than half a minute without a send.
_RATES_ANSWER_S = 0.5

stopping = threading.Event()  # this process was asked to end: jobs finish what they began, and begin nothing


@dataclass(kw_only=True)
class Context:
    """One per process. `owner` names it in leases."""

    settings: Settings
    store: Store
    redis: redis.Redis | None
    follower: Follower[Mapping[str, Account]]  # the accounts that can send now
    config: Callable[[], Config]
    rates: Rates
    files: BlobStore
    links: Links
    runner: asyncio.Runner
    owner: str
    http: aiohttp.ClientSession | None = None
    redis_async: AsyncRedis | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on this process's event loop, which keeps its connections from job to job."""
        return self.runner.run(work)

    def wire(self) -> Wire:
        """What a send may use; to be called on the event loop of `run`."""
        if self.http is None:
            self.http = session(allow_private=self.settings.allow_private_targets)
        if self.redis_async is None and self.settings.redis_url is not None:
            self.redis_async = wires.connect_async(self.settings.redis_url)
        return self.wire_of(self.http, self.redis_async)

    def wire_of(self, http: aiohttp.ClientSession, redis_async: AsyncRedis | None) -> Wire:
        """The same over connections of another event loop's."""
        return Wire(
            http=http,
            redis=redis_async,
            blobs=Reader(self.files),
            link=lambda file: self.links.make(file, clock.system()),
            public_url=self.settings.public_address,
            now=clock.system(),
            kept=Kept(self.settings.data / FOLDER),
        )

    def tell(self, moved: Sequence[Moved]) -> None:
        """One notice for all deliveries that moved together."""
        notices.publish(
            self.redis,
            notices.DELIVERY,
            deliveries=[m.delivery_id for m in moved],
            conversations=sorted({m.conversation_id for m in moved}),
        )

    def close(self) -> None:
        async def connections() -> None:
            if self.http is not None:
                await self.http.close()
            if self.redis_async is not None:
                await self.redis_async.aclose()

        self.runner.run(connections())
        self.runner.close()
        self.follower.close()
        self.store.close()


def session(*, allow_private: bool) -> aiohttp.ClientSession:
    """The sender's: its lanes bound what is in flight, and its watch ends what takes too long."""
    return guarded_session(allow_private=allow_private, connections=0, total_s=None)


_open: Context | None = None


_settings: Settings | None = None


def use(settings: Settings) -> None:
    """Open this process's from these settings, not from the environment."""
    global _settings
    _settings = settings


def get() -> Context:
    """This process's, opened at the first call. Raises NotFound while no configuration is in force."""
    global _open
    if _open is None:
        _open = opened(_settings or load())
    return _open


def close() -> None:
    global _open
    if _open is not None:
        _open.close()
        _open = None


def opened(settings: Settings) -> Context:
    """A new context; who asks for one closes it."""
    store = Store.open(settings.database)
    key = load_key(settings)
    configs: list[Config] = []

    def sendable(config: Config) -> Mapping[str, Account]:
        configs[:] = [config]
        ready, _troubles = accounts.resolve(config, os.environ, key)
        return {name: account for name, account in ready.items() if account.connector in CONNECTORS}

    try:
        follower = Follower(store, sendable)
    except BaseException:
        store.close()
        raise
    url = settings.redis_url
    quick = (
        None
        if url is None
        else redis.Redis.from_url(
            url,
            socket_timeout=_RATES_ANSWER_S,
            socket_connect_timeout=_RATES_ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )
    )
    return Context(
        settings=settings,
        store=store,
        redis=None if url is None else wires.connect(url),
        follower=follower,
        config=lambda: configs[0],
        rates=Rates(quick),
        files=blobs.of(settings),
        links=Links(key, settings.public_address, settings.link_days),
        runner=asyncio.Runner(loop_factory=uvloop.new_event_loop),
        owner=f"{socket.gethostname()}:{os.getpid()}",
    )
