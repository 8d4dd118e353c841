"""The stream as operators see it: how far behind it is, and what comes by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from hub import codec
from hub.errors import NewerVersion
from hub.leases import LEASES
from hub.model import Event
from hub.parts import GROUP, KEYS, PARTS, key, payload
from hub.redis import BLOCK_MS


@dataclass(frozen=True, kw_only=True, slots=True)
class Lag:
    """One part: `length` entries, `lag` not yet delivered, `pending` delivered and not done; the oldest's age."""

    length: int = 0
    lag: int = 0
    pending: int = 0
    oldest_s: float = 0.0
    holder: str | None = None


def lag(client: redis.Redis) -> dict[int, Lag]:
    """How far the routers are behind, by part. Raises RedisError."""
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.mget(LEASES)
        for name in KEYS:
            pipe.xlen(name)
            pipe.xinfo_groups(name)
        replies = pipe.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception) and "no such key" not in str(reply):
            raise reply
    now_ms, holders = replies[0][0] * 1000 + replies[0][1] // 1000, replies[1]
    found = {}
    for part in range(PARTS):
        length, groups = replies[2 + 2 * part], replies[3 + 2 * part]
        group = None if isinstance(groups, Exception) else next(iter(groups), None)
        found[part] = _lag(client, part, length, group, now_ms, holders[part])
    return found


def _lag(client: redis.Redis, part: int, length: int, group: Any, now_ms: int, holder: bytes | None) -> Lag:
    named = holder.decode() if holder else None
    if not length or group is None:
        return Lag(length=length, lag=length, holder=named)
    pending = int(group["pending"])
    after = bytes(group["last-delivered-id"])
    oldest: bytes | None = None
    if pending:
        summary: Any = client.xpending(key(part), GROUP)
        oldest = summary["min"]
    else:
        following: Any = client.xrange(key(part), min=b"(" + after, count=1)
        oldest = following[0][0] if following else None
    behind = group.get("lag")  # Redis 7; before, what is not pending and still there stands for it
    if behind is None:
        behind = 0 if oldest is None else max(length - pending, 0)
    age_s = max(now_ms - int(oldest.partition(b"-")[0]), 0) / 1000 if oldest else 0.0
    return Lag(length=length, lag=int(behind), pending=pending, oldest_s=age_s, holder=named)


def tail(
    client: redis.Redis, *, from_start: bool = False, block_ms: int = 1000
) -> Iterator[tuple[int, str, Event | Exception] | None]:
    """The stream as it comes in: (part, id, event), beside the routers and taking nothing from them, for ever.

    An entry that cannot be read gives its NewerVersion or ValueError. None after each wait without any, so that a
    caller can look at something else. Raises RedisError.
    """
    after: dict[Any, Any] = dict.fromkeys(KEYS, "0")
    if not from_start:  # "$" would pass over what comes between two calls
        with client.pipeline(transaction=False) as pipe:
            for name in KEYS:
                pipe.xrevrange(name, count=1)
            after = {
                name: (last[0][0] if last else "0") for name, last in zip(KEYS, pipe.execute(), strict=True)
            }
    while True:
        replies: Any = client.xread(after, count=200, block=min(block_ms, BLOCK_MS))
        if not replies:
            yield None
            continue
        for name, items in replies:
            part = KEYS.index(name.decode())
            for at, fields in items:
                after[KEYS[part]] = at
                try:
                    yield part, at.decode(), codec.decode(payload(fields))[0]
                except (NewerVersion, ValueError) as error:
                    yield part, at.decode(), error
