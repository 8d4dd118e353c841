"""The worker process: rq's SimpleWorker on one queue, and a sender of its own while Redis is away.

SimpleWorker, because a job here is a drain of half a minute: a fork for each would open the store, the configuration
and every provider's connections anew, and its isolation would protect a list of ids. Its heartbeat covers a job's
whole time-out. One queue a process: with two, rq loses jobs when a worker is killed (measured: 2 to 19 of 1,500; none
with one). Maintenance runs only between two look-ups, so an idle worker wakes every half minute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pkgutil import resolve_name
from types import FrameType

import redis
from rq import SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from hub import jobs, log
from hub import redis as wires
from hub.errors import MainstemError
from hub.settings import Settings
from workers import context, deliver, fetch

_log = log.get("worker")

WORKER_TTL_S = 45  # an idle worker looks up every 30 s
MAINTENANCE_S = 30
_AWAY_S = 2.0


class _Job(Job):
    """A job that runs what hub/jobs.py declares and nothing else: rq itself imports and calls whatever name stands in
    Redis, so that who could write there could run any function of any library (os.system has a name too)."""

    @property
    def func(self) -> Callable[[], None]:
        if self.func_name not in jobs.ALL or self.instance is not None:
            raise ValueError("this is no job of ours, so it is not run")
        return resolve_name(self.func_name)  # type: ignore[no-any-return]

    success_callback = failure_callback = stopped_callback = property(lambda self: None)  # names, too


class _Worker(SimpleWorker):
    """Tells a running drain that the process must end."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        context.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def worker(settings: Settings, stop: threading.Event, *, queue: str = jobs.QUEUE_DEFAULT) -> None:
    """Do jobs until SIGTERM or SIGINT, or until `stop` is set between two of them. Ends within seconds.

    Must run in the main thread. What was in flight and gave no answer in that time is noted as unknown.
    """
    if settings.redis_url is None:
        raise MainstemError("A worker needs Redis: set REDIS_URL.")
    context.use(settings)
    try:
        _wait_for_work(stop)
        while not (stop.is_set() or context.stopping.is_set()):
            connection = wires.connect(settings.redis_url)
            try:
                connection.ping()
                _worker(connection, queue).work(logging_level="WARNING")
            except (redis.RedisError, OSError) as error:
                _log.warning("redis away", error=str(error))
            finally:
                connection.close()
            if not context.stopping.is_set():
                _without_redis()
                stop.wait(_AWAY_S)
    finally:
        fetch.beside.close()
        context.close()


def _wait_for_work(stop: threading.Event) -> None:
    """Until the store answers and a configuration is in force: a job could do nothing but fail before."""
    said = False
    while not stop.is_set():
        try:
            context.get()
        except MainstemError as error:
            if not said:
                _log.warning("waiting", why=str(error))
                said = True
            stop.wait(_AWAY_S)
        else:
            return


def _worker(connection: redis.Redis, queue: str) -> _Worker:
    return _Worker(
        [queue],
        connection=connection,
        serializer=JSONSerializer,
        job_class=_Job,
        worker_ttl=WORKER_TTL_S,
        maintenance_interval=MAINTENANCE_S,
    )


def _without_redis() -> None:
    """Nobody can wake us, and the replies are in the store all the same."""
    try:
        deliver.job()
    except MainstemError as error:
        _log.warning("store away", error=str(error))
