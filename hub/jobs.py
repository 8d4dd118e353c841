"""The name and arguments of every job. A job is a wake-up: it names what to look at and carries no truth.

Enqueued by name, so that no room imports workers; a test resolves every name. rq is configured as
docs/operations.md says: JSON serializer, one queue per worker process, short result and failure times.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Any

import redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

QUEUE_DEFAULT = "mainstem"

DELIVER = "workers.deliver.job"  # () drains every due delivery for half a minute
FETCH = "workers.fetch.job"  # () has every due file of customers' messages brought, and newcomers' names

ALL = (DELIVER, FETCH)

RESULT_TTL_S = 60  # a wake-up's result is of no use to anyone
FAILURE_TTL_S = 7 * 24 * 3600  # rq's default of a year only fills memory
# A failed one takes 5.5 kB, and the clock wakes again every second: a job that cannot but fail would put 3 GB in a week
# beside the stream. So the newest stay, which are all alike.
FAILURES_KEPT = 1_000
TIMEOUT_S = 120  # far above the half minute that a drain lasts

_LOOK_AT = 100  # a queue of wake-ups holds one of each name, and a few more after a race


def enqueue(connection: redis.Redis | Any, name: str, *, queue: str = QUEUE_DEFAULT) -> bool:
    """Wake whoever does `name`. Called again while one still waits, it is one job. Call it after the commit.

    Whether one waits is read from the queue's own list, where a job stands until a worker takes it and begins. One
    that stands there will begin after our commit and so see our rows; one that was taken may have looked already,
    and does not count. (rq's `unique=True` holds an id for as long as the job's hash exists: while it runs, for the
    result's minute, for a failure's week. It would swallow the wake-up of everything committed meanwhile.)
    Two callers in the same millisecond may both see none and wake twice: a spare look at the rows, and harmless.

    Returns False where Redis does not answer: the sweeper finds the rows all the same, so callers go on.
    """
    if name not in ALL:
        raise ValueError(f"no job {name!r} is declared in hub/jobs.py")
    prefix = name.replace(".", "-") + "-"
    to = Queue(queue, connection=connection, serializer=JSONSerializer)
    try:
        if any(job_id.startswith(prefix) for job_id in to.get_job_ids(0, _LOOK_AT)):
            return True
        to.enqueue(
            name,
            job_id=prefix + secrets.token_hex(6),
            result_ttl=RESULT_TTL_S,
            failure_ttl=FAILURE_TTL_S,
            job_timeout=TIMEOUT_S,
        )
    except redis.RedisError:
        return False
    return True


def forget_failures(connection: redis.Redis | Any, keep: int = FAILURES_KEPT) -> int:
    """Remove all failed jobs but the newest `keep`; how many went. Raises RedisError. Twice is harmless."""
    failed = FailedJobRegistry(QUEUE_DEFAULT, connection=connection, serializer=JSONSerializer)
    old = failed.get_job_ids(0, -keep - 1)
    for job_id in old:
        with suppress(NoSuchJobError):  # its week was over at this moment
            failed.remove(job_id, delete_job=True)
    return len(old)
