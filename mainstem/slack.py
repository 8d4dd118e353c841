"""The `slack` process: cards and threads out, what agents do in. Any number of them may run."""

from __future__ import annotations

import asyncio
import errno
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import uvloop

from connectors import CONNECTORS
from desk.slack import app as slack_app
from desk.slack import client as clients
from desk.slack import inbox, sweep
from desk.slack.context import SlackDesk
from desk.slack.directory import Directory
from hub import blobs as blob_stores
from hub import log
from hub.errors import Refused
from hub.redis import connect_async
from hub.settings import Settings
from mainstem import processes
from mainstem.desk import Known, make_actions
from mainstem.replay import Replay
from router.rules import compile_rules
from workers.post import Poster
from workers.slack_calls import Failed
from workers.slack_repair import Repaired
from workers.slack_repair import repair as draw_again

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Coroutine
    from typing import Any

    import aiohttp

    from crm_store.db import Store
    from hub.config import Config
    from router.rules import RuleSet

_log = log.get("slack")
_THREADS = 24


def main(settings: Settings) -> int:
    """Run until told to stop."""
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
        stopped = asyncio.create_task(asyncio.to_thread(stop.wait))
        directory = Directory(desk)
        try:
            app = _app(desk, directory, settings)
            await _until(stopped, directory.refresh())
            _log.info("ready", mode="socket" if settings.slack_app_token else "http")
            processes.settle()
            await _until(
                stopped,
                directory.run(),
                Poster(desk, directory, redis).run(),
                inbox.run(desk),
                sweep.run(desk),
                _serve(app, desk, settings),
            )
        finally:
            stop.set()  # the thread that waits for it
            follower.close()
            await redis.aclose()
    return 0


async def _until(stopped: asyncio.Task[bool], *parts: Coroutine[Any, Any, None]) -> None:
    """Run all of them until one ends or the process is told to stop, and end the others. Raises what a part raises."""
    tasks = {asyncio.create_task(part) for part in parts}
    try:
        done, _ = await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _app(desk: SlackDesk, directory: Directory, settings: Settings) -> slack_app.App:
    try:
        return slack_app.build(desk, directory, settings)
    except ValueError as error:  # two secrets with a comma, and one of them is empty
        raise Refused(f"MAINSTEM_SLACK_SIGNING_SECRET: {error}") from error


async def _serve(app: slack_app.App, desk: SlackDesk, settings: Settings) -> None:
    try:
        await slack_app.serve(app, desk, settings)
    except OSError as error:
        if settings.slack_app_token is not None or error.errno != errno.EADDRINUSE:
            raise
        taken = f"port {settings.slack_port_or_next} is taken by another program: set MAINSTEM_SLACK_PORT"
        raise Refused(taken) from error


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
        blobs=blob_stores.of(settings),
        desk_url=settings.desk_address,
        replay=Replay(store, settings, config),
    )


def repair(settings: Settings, *, dry: bool) -> Repaired:
    """Mark what is missing, to be drawn again. Raises Refused where Slack is not set up, or refuses the token."""
    from mainstem.commands import shared

    if settings.slack_bot_token is None:
        raise Refused("Slack is not set up: MAINSTEM_SLACK_BOT_TOKEN is not set here (docs/slack.md)")
    with shared.store() as store:
        config = shared.config(store)
        rules = compile_rules(config)

        async def work() -> Repaired:
            async with clients.session() as session:
                desk = make_desk(
                    settings, shared.redis_url(settings), store, lambda: config, lambda: rules, session
                )
                return await draw_again(desk, dry=dry)

        try:
            return asyncio.run(work())
        except Failed as error:
            said = f"Slack refuses the bot token ({error.why}): mainstem slack check says what to do"
            raise Refused(said) from error


def in_words(found: Repaired, *, dry: bool) -> str:
    """What a repair found, a line a thing."""
    missing = [
        _number(count, one, many)
        for count, one, many in (
            (found.cards, "card with its thread", "cards with their threads"),
            (found.posts, "message of a thread", "messages of threads"),
        )
        if count
    ]
    looked = f"{_number(found.threads, 'card', 'cards')} looked for"
    if not missing:
        said = f"Nothing is missing where Slack could be read: {looked}." if found.unread else ""
        said = said or f"Nothing is missing: {looked}."
    elif dry:
        said = f"Missing: {' and '.join(missing)}; {looked}."
    else:
        said = f"Marked to be posted again: {' and '.join(missing)}; {looked}."
        said += " The slack process posts them, one a second in each channel."
    lines = [f"Channel {place} could not be read: {why}" for place, why in found.unread.items()]
    return "\n".join([said, *lines])


def _number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
