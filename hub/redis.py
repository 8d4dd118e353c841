"""Redis clients with our time-outs. Replies are bytes. Any Redis from 6.2 on, or Valkey.

redis-py 8 tries a failed command ten times by itself, some seconds long; a caller of ours would rather be told. One
try more, at once and on a new connection, is kept for a pooled connection that had died unnoticed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_S = 2.0
ANSWER_S = 5.0  # above BLOCK_MS, or an idle stream would look like a dead server
WRITER_ANSWER_S = 2.0
BLOCK_MS = 2000


def connect(url: str) -> redis.Redis:
    """A client for threads and processes of ours; nothing is connected yet."""
    return _client(url, Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)))


def connect_reader(url: str) -> redis.Redis:
    """For a reader of the stream: no try of its own. What a read delivered whose answer was lost is to be asked for; a
    second try in silence would go on behind it."""
    return _client(url, Retry(NoBackoff(), 0))


def _client(url: str, retry: Retry) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=CONNECT_S, retry=retry)


def connect_async(url: str) -> redis.asyncio.Redis:
    """The same for an event loop."""
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=CONNECT_S,
        retry=AsyncRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )


def connect_writer(url: str) -> redis.asyncio.Redis:
    """For the stream's writer: no try of its own, the journal holds what failed and the order is ours."""
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=WRITER_ANSWER_S,
        socket_connect_timeout=CONNECT_S,
        retry=AsyncRetry(NoBackoff(), 0),
        single_connection_client=False,
    )


# What a call on a connection that is gone raises. uvloop says RuntimeError where a reset was seen before the write.
GONE = (redis.RedisError, OSError, RuntimeError)


def where(client: Any) -> str:
    """The server's address without its password, for people and logs."""
    kwargs = client.connection_pool.connection_kwargs
    return str(kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}")


def stop_if_cancelled() -> None:
    """Raises CancelledError where this task was cancelled and somebody swallowed it.

    redis-py sends under asyncio.wait_for, which on Python 3.11 forgets a cancellation that meets its own success.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
