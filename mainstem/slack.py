"""The `slack` process: cards and threads out, what agents do in. Any number of them may run."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import uvloop

from connectors import CONNECTORS
from desk.slack import app as slack_app
from desk.slack import client as clients
from desk.slack import inbox, sweep
from desk.slack.context import SlackDesk
from desk.slack.directory import Directory
from hub import log
from hub.blobs import Blobs
from hub.errors import Refused
from hub.redis import connect_async
from hub.settings import Settings
from mainstem import processes
from mainstem.desk import Known, make_actions
from mainstem.replay import Replay
from router.rules import compile_rules
from workers.post import Poster
from workers.slack_repair import Repaired
from workers.slack_repair import repair as draw_again

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    import aiohttp

    from crm_store.db import Store
    from hub.config import Config
    from router.rules import RuleSet

_log = log.get("slack")
_THREADS = 24


def main(settings: Settings) -> int:
    """Run until told to stop. Without a bot token it only says so and waits: a Procfile names every process."""
    if settings.slack_bot_token is None:
        stop = processes.begin(settings, "slack")
        _log.warning("not set up", missing="MAINSTEM_SLACK_BOT_TOKEN", see="docs/slack.md")
        stop.wait()
        return processes.end()
    url = processes.redis_url(settings)
    stop = processes.begin(settings, "slack")
    store = processes.open_store(settings, stop, "slack", pool_size=12)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_run(settings, url, store, stop))
    store.close()
    return processes.end(code)


async def _run(settings: Settings, url: str, store: Store, stop: threading.Event) -> int:
    def known(config: Config) -> Known:
        return Known(config, compile_rules(config))

    follower = await asyncio.to_thread(processes.follow, store, known, stop, "slack")
    redis = connect_async(url)
    # Presses, the poster and the inbox all ask the store from threads; Slack waits three seconds for a press.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "slack"))
    async with clients.session() as session:
        desk = make_desk(
            settings, url, store, lambda: follower.get().config, lambda: follower.get().rules, session
        )
        directory = Directory(desk)
        await directory.refresh()
        poster = Poster(desk, directory, redis)
        app = slack_app.build(desk, directory, settings)
        parts = {
            "directory": directory.run(),
            "poster": poster.run(),
            "inbox": inbox.run(desk),
            "sweep": sweep.run(desk),
            "serve": slack_app.serve(app, desk, settings),
        }
        tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
        stopped = asyncio.create_task(asyncio.to_thread(stop.wait))
        _log.info("ready", mode="socket" if settings.slack_app_token else "http")
        processes.settle()
        try:
            done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            for task in done - {stopped}:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            follower.close()
            await redis.aclose()
    return 0


def make_desk(
    settings: Settings,
    url: str,
    store: Store,
    config: Callable[[], Config],
    rules: Callable[[], RuleSet],
    session: aiohttp.ClientSession,
) -> SlackDesk:
    """The Slack desk of this installation, over the same actions as the web desk."""
    return SlackDesk(
        store=store,
        actions=make_actions(settings, store, url, config),
        config=config,
        rules=rules,
        limits={name: connector.limits for name, connector in CONNECTORS.items()},
        client=clients.make(settings, session),
        blobs=Blobs(settings.blob_folder),
        desk_url=settings.desk_address,
        replay=Replay(store, settings, config),
    )


def repair(settings: Settings, *, dry: bool) -> str:
    """Draw what is missing; in words what was. Raises Refused where Slack is not set up."""
    from mainstem.commands import shared

    if settings.slack_bot_token is None:
        raise Refused("Slack is not set up: MAINSTEM_SLACK_BOT_TOKEN is not set (docs/slack.md)")
    with shared.store() as store:
        config = shared.config(store)
        rules = compile_rules(config)

        async def work() -> str:
            async with clients.session() as session:
                desk = make_desk(
                    settings, shared.redis_url(settings), store, lambda: config, lambda: rules, session
                )
                return _words(await draw_again(desk, dry=dry), dry=dry)

        return asyncio.run(work())


def _words(found: Repaired, *, dry: bool) -> str:
    missing = f"{_number(found.cards, 'card')} and {_number(found.posts, 'message')} of threads"
    if not found.cards and not found.posts:
        said = f"Nothing is missing: {_number(found.threads, 'card')} and their threads stand as they should."
    elif dry:
        said = f"Missing: {missing}, of {_number(found.threads, 'card')} looked at."
    else:
        said = f"Marked to be posted again: {missing}. The slack process posts them, one a second in each channel."
    lines = [f"{place} could not be read: {why}" for place, why in found.unread.items()]
    return "\n".join([said, *lines])


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
