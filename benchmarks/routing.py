"""Routers as processes of their own, against a real Valkey and a real database, for route and growth."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import accumulate
from typing import Any

import redis

from benchmarks import workload
from benchmarks.common import LedgerBroken
from crm_store import intake, ledger
from crm_store.db import Store
from hub.clock import to_us
from hub.inlet import ProducerReport
from hub.model import Entry
from hub.parts import GROUP, KEYS, PARTS, part_of
from hub.redis import connect_reader
from hub.stream import Reader
from router import consent
from router.consume import Router
from router.handle import Handler

_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE_S = 120.0


def fill(client: redis.Redis, entries: Sequence[Entry]) -> None:
    """Into the stream, as hub/writer.py leaves it."""
    for start in range(0, len(entries), 1000):
        with client.pipeline(transaction=False) as pipe:
            for entry in entries[start : start + 1000]:
                pipe.xadd(
                    KEYS[part_of(entry.event)],
                    {"p": entry.producer, "s": entry.seq, "a": to_us(entry.accepted_at), "d": entry.raw},
                )
            pipe.execute()


@dataclass(frozen=True)
class Job:
    """What a router process is told. `now`: its clock stands, so that every run is the same."""

    database: str
    redis: str
    share: int
    now: datetime


def _process(job: Job, ready: Any, go: Any, done: Any, totals: Sequence[int]) -> None:
    client = connect_reader(job.redis)
    store = Store.open(job.database)
    reader = Reader(client)
    config, rules = workload.config(), workload.rules()
    handler = Handler(
        store, rules=lambda: rules, config=lambda: config, wish=consent.wish, clock=lambda: job.now
    )
    router = Router(handler, reader, client, lambda _: None)
    _ = store.ids
    while len(reader.parts) != job.share:
        reader.read(1)
    for total in totals:
        ready.release()
        go.acquire()
        while done.value < total:
            count = router.once()
            with done.get_lock():
                done.value += count
    reader.close()
    store.close()


def route(
    database: str, redis_url: str, entries: Sequence[Entry], *, first: Sequence[Entry] = (), routers: int = 1
) -> float:
    """Seconds from the first read to the last commit, by so many routers; the stream was full before.

    What the same processes route `first` is not counted: a process's first look at a page costs more than the next.
    """
    loads = [first, entries] if first else [entries]
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    for name in KEYS:
        client.xgroup_create(name, GROUP, id="0", mkstream=True)
    ready, go, done = _SPAWN.Semaphore(0), _SPAWN.Semaphore(0), _SPAWN.Value("q", 0)
    job = Job(database=database, redis=redis_url, share=PARTS // routers, now=entries[-1].accepted_at)
    totals = list(accumulate(map(len, loads)))
    processes = [
        _SPAWN.Process(target=_process, args=(job, ready, go, done, totals), daemon=True)
        for _ in range(routers)
    ]
    seconds = 0.0
    try:
        for process in processes:
            process.start()
        for load, total in zip(loads, totals, strict=True):
            for _ in processes:
                if not ready.acquire(timeout=_PATIENCE_S):
                    raise RuntimeError("the routers did not share out the parts, or are not done")
            fill(client, load)
            started = time.perf_counter()
            for _ in processes:
                go.release()
            _until(total, done, processes)
            seconds = time.perf_counter() - started
        for process in processes:
            process.join(30)
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
        client.close()
    return seconds


def _until(total: int, done: Any, processes: Sequence[Any]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while done.value < total:
        if not any(process.is_alive() for process in processes):
            raise RuntimeError("the routers ended early")
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {done.value} of {total} were routed")
        threading.Event().wait(0.002)


def check_ledger(store: Store, entries: Sequence[Entry]) -> None:
    """Every entry is in exactly one place. Raises LedgerBroken."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for entry in entries:
        day = (entry.accepted_at.date().isoformat(), entry.event.account)
        counts[day] = (counts.get(day, (0, 0))[0] + 1, 0)
    last = entries[-1]
    intake.report(
        store,
        ProducerReport(
            producer=last.producer,
            host="bench",
            last_seq=last.seq,
            reported_at=last.accepted_at,
            counts=counts,
        ),
    )
    rows = [row for day in {day for day, _ in counts} for row in ledger.day(store, date.fromisoformat(day))]
    stored = sum(row.stored for row in rows)
    if stored != len(entries) or any(row.missing or row.on_the_way or row.quarantined for row in rows):
        raise LedgerBroken(f"{len(entries)} were journalled, and the ledger says {rows}")
    if found := ledger.gaps(store):
        raise LedgerBroken(f"entries are nowhere: {found}")
