"""What every process type begins and ends with, and the three that have no pages: router, worker, clock.

A process starts whether or not the database or Redis are there yet: it says once what it waits for. SIGTERM and
SIGINT end it in order; a second one at once.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

from hub import log
from hub.errors import MainstemError, Unavailable
from hub.settings import Settings
from mainstem import lifeline

if TYPE_CHECKING:
    from pathlib import Path

    from crm_store.configs import Follower
    from crm_store.db import Store
    from hub.config import Config

T = TypeVar("T")

_FIRST_LOOK_S, _LAST_LOOK_S = 0.1, 2.0


def begin(settings: Settings, name: str) -> threading.Event:
    """Logs, signals, the lifeline to a supervisor. The event is set once this process shall end."""
    log.configure(settings)
    lifeline.watch()
    stop = threading.Event()

    def asked(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    log.get(name).debug("started", pid=os.getpid())
    return stop


def settle() -> None:
    """Everything is imported and open: what starting up used is given back, what stays is not looked at again.

    From here on cycles are looked for after 20,000 new containers, not 700: a hundred requests in flight are no litter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:  # glibc; 5 to 10 MB
        trim(0)


def idle(settings: Settings, name: str, **why: str) -> int:
    """A process that has nothing to do here: it says why and waits to be stopped."""
    stop = begin(settings, name)
    log.get(name).warning("not set up", **why)
    settle()
    stop.wait()
    return end()


def end(code: int = 0) -> int:
    """The end of a process whose work is finished: threads that hang in a dead database do not keep it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def redis_url(settings: Settings) -> str:
    """`REDIS_URL`, or the server that an `up` over the same data keeps. Raises Unavailable with what to set."""
    from mainstem.commands.shared import redis_url as found

    return found(settings)


def open_store(settings: Settings, stop: threading.Event, name: str, *, pool_size: int = 5) -> Store:
    """The store, as soon as it answers with a schema that this code can work with.

    Raises WrongSchema at once (waiting does not cure it), Unavailable when told to stop first.
    """
    from crm_store.db import Store
    from crm_store.migrate import WrongSchema, check

    def look() -> None:
        check(settings.database)

    _until(look, stop, name, "the database", never=WrongSchema)
    return Store.open(settings.database, pool_size=pool_size)


def follow(
    store: Store,
    build: Callable[[Config], T],
    stop: threading.Event,
    name: str,
    remember: Path | None = None,
) -> Follower[T]:
    """The configuration in force, as `build` makes it; waits until one is applied. remember: see Follower."""
    from crm_store.configs import Follower

    made: list[Follower[T]] = []
    _until(lambda: made.append(Follower(store, build, remember=remember)), stop, name, "a configuration")
    return made[0]


def _until(
    look: Callable[[], object],
    stop: threading.Event,
    name: str,
    what: str,
    never: type[Exception] | tuple[type[Exception], ...] = (),
) -> None:
    pause, said = _FIRST_LOOK_S, False
    while True:
        try:
            look()
            return
        except never:
            raise
        except Exception as error:
            if not _waits(error):
                raise
            if not said and pause > 1.0:
                said = True
                log.get(name).warning("waiting", for_=what, why=str(error))
        if stop.wait(pause):
            raise Unavailable(f"told to stop while waiting for {what}")
        pause = min(pause * 2, _LAST_LOOK_S)


def _waits(error: Exception) -> bool:
    from sqlalchemy.exc import OperationalError

    return isinstance(error, MainstemError | OperationalError)


# --------------------------------------------------------------------------------------------------- process types


def router(settings: Settings) -> int:
    """The `router` process: until told to stop."""
    url = redis_url(settings)
    stop = begin(settings, "router")
    from hub import jobs
    from hub.redis import connect, connect_reader
    from hub.stream import Reader
    from router import consume
    from router.rules import compile_rules

    store = open_store(settings, stop, "router")
    rules = follow(store, compile_rules, stop, "router")
    config = follow(store, _same, stop, "router")
    redis, reading = connect(url), connect_reader(url)
    settle()

    def wake(job: str) -> None:
        jobs.enqueue(redis, job)

    try:
        consume.run(store, redis, rules.get, config.get, wake, stop, Reader(reading))
    finally:
        rules.close()
        config.close()
        store.close()
        redis.close()
        reading.close()
    return end()


def _same(config: Config) -> Config:
    return config


def worker(settings: Settings) -> int:
    """The `worker` process (rq); its own signals, for rq ends its jobs warmly."""
    settings = _with_redis(settings)
    log.configure(settings)
    lifeline.watch()
    from workers import run

    settle()
    run.worker(settings, threading.Event())
    return end()


def clock(settings: Settings) -> int:
    """The `clock` process."""
    _with_redis(settings)
    stop = begin(settings, "clock")
    from workers import schedule

    settle()
    schedule.run(stop)
    return end()


def _with_redis(settings: Settings) -> Settings:
    """The same settings with the embedded server's address where REDIS_URL is not set; for children too."""
    url = redis_url(settings)
    os.environ["REDIS_URL"] = url
    return replace(settings, redis_url=url)
