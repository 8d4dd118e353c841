"""The name and arguments of every job. A job is a wake-up: it names what to look at and carries no truth.

Enqueued by name, so that no room imports workers; a test resolves every name. rq is configured as
docs/operations.md says: JSON serializer, one queue per worker process, short result and failure times.
"""

from __future__ import annotations

from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

QUEUE_DEFAULT = "mainstem"

DELIVER = "workers.deliver.job"  # () drains every due delivery for half a minute
POST = "workers.post.job"  # () brings the desks' views up to what the store says
FETCH = "workers.fetch.job"  # () fetches media that a message only names
REMIND = "workers.remind.job"  # () wakes snoozed, expires offers, service-level notices
SWEEP = "workers.sweep.job"  # () finds rows whose wake-up was lost

ALL = (DELIVER, POST, FETCH, REMIND, SWEEP)

RESULT_TTL_S = 60  # a wake-up's result is of no use to anyone
FAILURE_TTL_S = 7 * 24 * 3600  # rq's default of a year only fills memory
TIMEOUT_S = 120  # far above the half minute that a drain lasts


def enqueue(connection: redis.Redis[bytes] | Any, name: str, *, queue: str = QUEUE_DEFAULT) -> bool:
    """Wake whoever does `name`. Called twice while one still waits, it is one job (unique job id).

    Returns False where Redis does not answer: the sweeper finds the rows all the same, so callers go on.
    """
    if name not in ALL:
        raise ValueError(f"no job {name!r} is declared in hub/jobs.py")
    try:
        Queue(queue, connection=connection, serializer=JSONSerializer).enqueue(
            name,
            job_id=name.replace(".", "-"),
            unique=True,
            result_ttl=RESULT_TTL_S,
            failure_ttl=FAILURE_TTL_S,
            job_timeout=TIMEOUT_S,
        )
    except redis.RedisError:
        return False
    return True
