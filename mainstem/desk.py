"""The `desk` process: the web desk on a port, and so an origin, of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry

from connectors import CONNECTORS
from connectors.mail.display import Displayer
from desk.actions import Actions
from desk.web import auth
from desk.web.app import WebDesk, build_app
from desk.web.context import Need
from hub import blobs as blob_stores
from hub import jobs, log, notices
from hub.config import Config
from hub.redis import connect, connect_async
from hub.settings import Settings
from mainstem import metrics, processes
from mainstem.ports import VisitorsHere
from mainstem.replay import Replay
from router.rules import RuleSet, compile_rules

if TYPE_CHECKING:
    import threading

    from crm_store.db import Store

_log = log.get("desk")


@dataclass(frozen=True)
class Known:
    """What the desk needs of the configuration in force."""

    config: Config
    rules: RuleSet


def main(settings: Settings) -> int:
    """Run until told to stop."""
    url = processes.redis_url(settings)
    stop = processes.begin(settings, "desk")
    store = processes.open_store(settings, stop, "desk", pool_size=10)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(settings, url, store, stop))
    store.close()
    return processes.end(code)


def make_actions(settings: Settings, store: Store, url: str, config: object) -> Actions:
    """The actions as every desk of this installation has them."""
    assert callable(config)
    client = connect(url)
    return Actions(
        store=store,
        config=config,
        limits={name: connector.limits for name, connector in CONNECTORS.items()},
        schemes={name: connector.urn_scheme for name, connector in CONNECTORS.items()},
        wake=partial(jobs.enqueue, client),
        notify=partial(notices.publish, client),
        undo_s=settings.undo_s,
        live=VisitorsHere(client),
    )


async def _run(settings: Settings, url: str, store: Store, stop: threading.Event) -> int:
    def known(config: Config) -> Known:
        return Known(config, compile_rules(config))

    follower = await asyncio.to_thread(processes.follow, store, known, stop, "desk")
    redis, client = connect_async(url), connect(url)
    registry = CollectorRegistry()
    counters = metrics.Counters(registry)
    registry.register(metrics.Hub(store, client))
    pages = metrics.Pages(registry, counters, ())

    def config() -> Config:
        return follower.get().config

    app = build_app(
        WebDesk(
            store=store,
            actions=make_actions(settings, store, url, config),
            config=config,
            rules=lambda: follower.get().rules,
            settings=settings,
            blobs=blob_stores.of(settings),
            redis=redis,
            replay=Replay(store, settings, config),
            letters=Displayer(),
        )
    )
    _add_metrics(app, pages)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.desk_port_or_next).start()
        bound = runner.addresses[0]
        _log.info("ready", url=f"http://{bound[0]}:{bound[1]}")
        processes.settle()
        await asyncio.to_thread(stop.wait)
    finally:
        await runner.cleanup()
        follower.close()
        pages.close()
        await redis.aclose()
        client.close()
    return 0


def _add_metrics(app: web.Application, pages: metrics.Pages) -> None:
    added = app.router.add_get("/metrics", pages.metrics)
    assert added.resource is not None
    app[auth.NEEDS]["GET", added.resource.canonical] = Need.ANYONE
