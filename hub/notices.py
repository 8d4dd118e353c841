"""Live notices over Redis pub/sub: "look at conversation 42 again". They carry ids and no truth; any may be lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
import redis.asyncio

from hub.redis import GONE, stop_if_cancelled

CHANNEL = "ms:notices"

CONVERSATION = "conversation"
QUEUE = "queue"
DELIVERY = "delivery"
PRESENCE = "presence"
CONFIG = "config"
QUARANTINE = "quarantine"
RESYNC = "resync"  # only ever from `subscribe`: the connection was away, so look at everything again

KINDS = (CONVERSATION, QUEUE, DELIVERY, PRESENCE, CONFIG, QUARANTINE)

_BACK_OFF_S = (0.1, 0.5, 1.0, 2.0)
_POLL_S = 2.0  # below the client's answer time-out


@dataclass(frozen=True, slots=True)
class Notice:
    """`ids`: what to look at, by name (`conversation`, `queue`, `agent`, …)."""

    kind: str
    ids: Mapping[str, Any] = field(default_factory=dict)


def publish(client: redis.Redis | None, kind: str, **ids: int | str | list[int] | list[str] | None) -> None:
    """Tell every process that listens. Never raises: without Redis, viewers see the change at their next look."""
    if client is None:
        return
    with contextlib.suppress(redis.RedisError, OSError):
        client.publish(CHANNEL, json.dumps({"kind": kind, **ids}, separators=(",", ":")))


async def subscribe(client: redis.asyncio.Redis) -> AsyncIterator[Notice]:
    """Every notice from now on, until the caller stops. Redis away: waits for it, then says RESYNC once.

    The first notice comes when something happens; what is not a notice of ours is passed over.
    """
    failures = 0
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(CHANNEL)
                if failures:
                    failures = 0
                    yield Notice(RESYNC)
                while True:
                    stop_if_cancelled()
                    message = await pubsub.get_message(timeout=_POLL_S)
                    if message is not None and (notice := _read(message.get("data"))) is not None:
                        yield notice
        except GONE:
            await asyncio.sleep(_BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)])
            failures += 1


def _read(data: Any) -> Notice | None:
    try:
        said = json.loads(data)
    except (TypeError, ValueError):
        return None
    if not isinstance(said, dict) or said.get("kind") not in KINDS:
        return None
    return Notice(said.pop("kind"), said)
