"""What doctor says of Redis: that it answers, and what it keeps when it crashes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import redis

from hub.redis import connect, where
from mainstem.doctor import Finding, Level

_PART = "redis"


def examine(url: str) -> Iterator[Finding]:
    """Whether it answers, whether it is new enough, and what a crash of it costs."""
    client = connect(url)
    try:
        began = time.perf_counter()
        client.ping()
        ms = (time.perf_counter() - began) * 1000
        info: dict[str, Any] = client.info()
        yield _version(info, where(client), ms)
        yield from _keeps(info, _settings_of(client))
    except redis.RedisError as error:
        cost = "nothing is lost and everything waits: the journal keeps what comes in until Redis is back"
        yield Finding(_PART, Level.RED, f"Redis does not answer at {where(client)}: {error}", cost)
    finally:
        client.close()


def _version(info: dict[str, Any], at: str, ms: float) -> Finding:
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    name = "Valkey" if "valkey_version" in info else "Redis"
    numbers = [int(n) if n.isdigit() else 0 for n in version.split(".")[:2]]
    if name == "Redis" and numbers < [6, 2]:
        return Finding(_PART, Level.RED, f"Redis {version} is too old: 6.2 or newer is needed")
    said = f"{name} {version} at {at} answers in {ms:.1f} ms and holds {int(info.get('used_memory', 0)) / 1e6:,.0f} MB"
    return Finding(_PART, Level.GREEN, said)


def _settings_of(client: Any) -> dict[str, str] | None:
    """The four settings that matter; None where the server does not tell (some hosted ones forbid CONFIG)."""
    try:
        return {
            name: str(client.config_get(name).get(name, ""))
            for name in ("appendonly", "appendfsync", "save", "maxmemory-policy")
        }
    except redis.ResponseError:
        return None


def _keeps(info: dict[str, Any], told: dict[str, str] | None) -> Iterator[Finding]:
    if told is None:
        said = (
            "it does not tell its settings (CONFIG is forbidden): ask its owner for appendonly and noeviction"
        )
        yield Finding(_PART, Level.YELLOW, said)
        return
    if told["appendonly"] == "yes":
        lost = {"always": "nothing", "everysec": "up to a second of motion", "no": "some seconds of motion"}
        much = lost.get(told["appendfsync"], "some motion")
        cost = f"a crash costs {much}; what is lost, the journal and the store send again"
        yield Finding(
            _PART, Level.GREEN, f"it keeps an append-only file (appendfsync {told['appendfsync']})", cost
        )
    else:
        how = "snapshots now and then" if told["save"] else "nothing on disk"
        cost = (
            "a crash costs all motion since; the journal and the store send it again, which may take minutes"
        )
        yield Finding(_PART, Level.YELLOW, f"it keeps {how}: set appendonly yes", cost)
    if told["maxmemory-policy"] == "noeviction":
        yield Finding(_PART, Level.GREEN, "a full memory is an error, nothing is evicted (noeviction)")
    else:
        cost = "when memory is full it silently forgets parts of the stream, leases and jobs"
        said = f"maxmemory-policy is {told['maxmemory-policy']}: set noeviction"
        yield Finding(_PART, Level.RED, said, cost)
    for name, what in (
        ("aof_last_write_status", "append-only file"),
        ("rdb_last_bgsave_status", "last snapshot"),
    ):
        if str(info.get(name, "ok")) != "ok":
            yield Finding(_PART, Level.RED, f"its {what} could not be written ({name} is {info[name]})")
