"""The `web` process: the edge over the journal, and the pump that takes entries from there to the stream."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from prometheus_client import CollectorRegistry

from connectors import accounts
from connectors.edge import Edge
from connectors.web import build_app, serve
from hub import blobs as blob_stores
from hub import clock, log
from hub.blobs import BlobStore
from hub.config import Account, Calendar, Config
from hub.inlet import Inlet
from hub.journal import Journal
from hub.links import Links
from hub.redis import connect, connect_async, connect_writer
from hub.secrets import load_key
from hub.settings import Settings
from mainstem import metrics, ports, processes
from mainstem.pool import Pool

if TYPE_CHECKING:
    import threading

    from crm_store.db import Store

_log = log.get("web")


@dataclass(frozen=True)
class Known:
    """What the edge needs of the configuration in force."""

    accounts: Mapping[str, Account]
    troubles: Mapping[str, str]
    calendars: Mapping[str, Calendar] = field(default_factory=dict)


class EdgeBlobs:
    """hub.blobs.Blobs as the edge sees them."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.read = blobs.aread
        self.aput = blobs.aput


def main(settings: Settings) -> int:
    """Run until told to stop."""
    url = processes.redis_url(settings)
    stop = processes.begin(settings, "web")
    store = open_store(settings, stop)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(settings, url, store, stop))
    store.close()
    return processes.end(code)


def open_store(settings: Settings, stop: threading.Event) -> Store:
    """The store; not waited for where the configuration that was last in force is remembered.

    Customers are heard while the database is away, also by an edge that starts meanwhile. Whether the schema fits is
    looked at by those who write.
    """
    if not remembered(settings).exists():
        return processes.open_store(settings, stop, "web")
    from crm_store.db import Store

    return Store.open(settings.database)


def remembered(settings: Settings) -> Path:
    """Where the edge keeps the configuration that was last in force."""
    return settings.data / "config-in-force.json"


async def _run(settings: Settings, url: str, store: Store, stop: threading.Event) -> int:
    journal = Journal.open(settings.data / "journal")
    key = load_key(settings)

    def known(config: Config) -> Known:
        good, troubles = accounts.resolve(config, os.environ, key)
        for name, why in troubles.items():
            _log.warning("account does not work", account=name, why=why)
        return Known(good, troubles, config.calendars)

    follower = await asyncio.to_thread(processes.follow, store, known, stop, "web", remembered(settings))
    config = follower.get
    looks, receipts = Pool("store", threads=4), Pool("receipts", threads=1, waiting=4)
    redis, writer = connect_async(url), connect_writer(url)
    inlet = Inlet(journal, writer, ports.StoreReceipts(store, receipts))
    registry = CollectorRegistry()
    counters = metrics.Counters(registry)
    registry.register(
        metrics.Hub(store, connect(url), {"mainstem_journal_bytes": lambda: float(journal.size_bytes)})
    )
    pages = metrics.Pages(registry, counters, checks(settings, store, url))
    edge = Edge(
        accounts=lambda: config().accounts,
        troubles=lambda: config().troubles,
        accept=inlet.accept,
        blobs=EdgeBlobs(blob_stores.of(settings)),
        public_url=settings.public_address,
        redis=redis,
        history=ports.StoreHistory(store, looks),
        live=ports.StoreLive(store, looks),
        is_open=lambda account: _open(config(), account),
        health=pages.alive,
        ready=pages.needed,
        count=counters.edge,
        body_limit_bytes=settings.body_limit_bytes,
        trusted_proxies=settings.trusted_proxies,
        links=Links(key, settings.public_address, settings.link_days),
    )
    app = build_app(edge)
    app.router.add_get("/metrics", pages.metrics)
    pump = asyncio.create_task(inlet.run(), name="inlet")
    try:
        async with serve(app, settings.host, settings.port, shutdown_s=3.0) as address:
            _log.info("ready", url=address)
            processes.settle()
            stopped = asyncio.create_task(asyncio.to_thread(stop.wait))
            done, _ = await asyncio.wait({pump, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if pump in done:
                stop.set()
                pump.result()
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)
        journal.close()
        follower.close()
        for pool in (looks, receipts):
            pool.close()
        pages.close()
        await redis.aclose()
        await writer.aclose()
    return 0


def checks(settings: Settings, store: Store, url: str) -> list[metrics.Check]:
    """What the edge needs is its disk alone: with Redis or the database away it goes on saying yes."""
    folder = settings.data / "journal"
    client = connect(url)

    def look() -> None:
        """May we write there? (Whether the disk is full, the next append tells.)"""
        if not os.access(folder, os.W_OK):
            raise OSError(f"{folder} cannot be written")

    return [
        metrics.Check(name="journal", look=look, needed=True),
        metrics.Check(name="redis", look=client.ping, needed=False),
        metrics.Check(name="store", look=lambda: ask(store), needed=False),
    ]


def ask(store: Store) -> None:
    """Raises unless the database answers."""
    with store.read() as tx:
        tx.exec_driver_sql("SELECT 1")


def _open(known: Known, account: Account) -> bool:
    """Is the account's calendar open now? Always, where it names none."""
    from router.calendars import open_now

    name: Any = account.settings.get("calendar")
    calendar = known.calendars.get(name) if name else None
    return calendar is None or open_now(calendar, clock.system())
