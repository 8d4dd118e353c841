"""What Slack says of our tokens, scopes, channels and agents, in words for whoever sets it up. Looks only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp

from hub.clock import system
from hub.config import Config, Role
from hub.errors import ConfigError
from hub.settings import Settings
from mainstem.doctor import Finding, Level

if TYPE_CHECKING:
    from slack_sdk.errors import SlackApiError
    from slack_sdk.web.async_client import AsyncWebClient

    from crm_store.db import Store

T = TypeVar("T")

_PART = "slack"
_LATE_S = 60.0
_PATIENCE_S = 30.0  # a Retry-After beyond that is said, not waited for
_COST = "cards wait in the store until Slack takes them; agents answer from the web desk meanwhile"

# What Slack answers -> what to do. https://docs.slack.dev/reference/methods/auth.test
_TOKEN_CURES: Mapping[str, str] = {
    "invalid_auth": "no workspace knows it; copy it again from OAuth & Permissions",
    "token_revoked": "it was revoked; install the app again and copy the new one",
    "token_expired": "it has expired; install the app again and copy the new one",
    "account_inactive": "the app was removed from the workspace; install it again",
    "team_access_not_granted": "the organisation has not let the app into this workspace",
}


# ------------------------------------------------------------------------------------------------ who asks for what


def whole(settings: Settings) -> list[Finding]:
    """`mainstem slack check`: of the folder as it is saved, so that it can be asked before anything is started; of what
    is in force where there is no good folder. Raises Unavailable and ConfigError where there is neither."""
    from mainstem.commands import shared
    from mainstem.prepare import in_force

    path = shared.sqlite_path(settings)
    if path is not None and not path.exists() and settings.config.is_dir():
        config, found = _subject(settings, None)
        return [*found, *examine(settings, config)]
    with shared.store() as store:
        config, found = _subject(settings, in_force(store))
        return [*found, *examine(settings, config), *backlog(store)]


def _subject(settings: Settings, current: Config | None) -> tuple[Config, list[Finding]]:
    from hub.configfiles import load, read_folder
    from mainstem.prepare import checks

    try:
        saved = load(read_folder(settings.config), str(settings.config), checks())
    except ConfigError:
        if current is None:
            raise
        if not settings.config.is_dir():
            return current, []
        said = f"{settings.config} is faulty (mainstem config check): looked at is what was applied before"
        return current, [Finding(_PART, Level.YELLOW, said)]
    if current is not None and current.hash == saved.hash:
        return saved, []
    said = f"{settings.config} is not in force yet: start `mainstem up`, or `mainstem config apply`"
    return saved, [Finding(_PART, Level.YELLOW, said)]


def backlog(store: Store) -> Iterator[Finding]:
    """What waits in the store for Slack, and what of Slack's words waits for us."""
    from crm_store import desk_inbox, desk_posts

    with store.read() as tx:
        inbox, posts = desk_inbox.backlog(tx, _PART), desk_posts.places(tx, _PART)
        given_up = desk_inbox.given_up(tx, _PART)
    waiting = sum(posts.values())
    if waiting:
        yield Finding(_PART, Level.GREEN, f"{_number(waiting, 'post')} for Slack to take", _COST)
    late = inbox.oldest is not None and system() - inbox.oldest > timedelta(seconds=_LATE_S)
    if late or inbox.troubled:
        said = f"{inbox.waiting:,} things that agents did wait, {inbox.troubled:,} of them after a failure"
        yield Finding(_PART, Level.YELLOW, f"{said}: does `mainstem slack run` run?")
    if given_up:
        said = f"{given_up:,} things that agents did could never be worked off; they are kept"
        cure = "mend why (the log says it), then `mainstem slack retry`"
        yield Finding(_PART, Level.YELLOW, f"{said}: {cure}")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what} waits" if count == 1 else f"{count:,} {what}s wait"


def examine(settings: Settings, config: Config) -> Iterator[Finding]:
    """Every finding, in the order of docs/slack.md. Never raises for what Slack says or does not say."""
    if settings.slack_bot_token is not None:
        yield from asyncio.run(_examine(settings, config))
    elif (
        settings.slack_app_token
        or settings.slack_signing_secret
        or any(queue.slack for queue in config.queues.values())
    ):
        said = "MAINSTEM_SLACK_BOT_TOKEN is not set here: agents use the web desk alone"
        yield Finding(_PART, Level.YELLOW, said)
    else:
        yield Finding(_PART, Level.GREEN, "not set up (docs/slack.md): agents use the web desk")


async def _examine(settings: Settings, config: Config) -> list[Finding]:
    from desk.slack import client as clients

    async with clients.session() as session:
        client = clients.make(settings, session)
        me: Any = None

        async def tokens() -> list[Finding]:
            nonlocal me
            me = await _ask(client.auth_test)
            return [*_scopes(me), await _way_in(settings, client, me)]

        found = await _part("the bot token", tokens())
        if me is not None:  # without it every further answer is the same refusal
            found += await _part("channels", _channels(config, client))
            found += await _part("agents", _agents(config, client, me))
    return found


async def _part(what: str, work: Awaitable[list[Finding]]) -> list[Finding]:
    """What one look found; a refusal or a silence is a finding, and the other looks go on."""
    from slack_sdk.errors import SlackApiError

    try:
        return await work
    except SlackApiError as error:
        return [Finding(_PART, Level.RED, _refused(what, error))]
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return [Finding(_PART, Level.RED, f"Slack does not answer about {what}: {_silence(error)}")]


def _silence(error: Exception) -> str:
    """What the network said, without the libraries' own words around it."""
    cause = getattr(error, "os_error", error)  # aiohttp's errors hold the system's
    if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
        return os.strerror(cause.errno).lower()
    return getattr(cause, "strerror", None) or str(cause) or "it took too long"


def _refused(what: str, error: SlackApiError) -> str:
    code = _code(error)
    if code in _TOKEN_CURES:
        return f"Slack refuses the bot token ({code}): {_TOKEN_CURES[code]}"
    if code == "missing_scope":
        return f"{what} cannot be looked at without the missing scope"
    if code == "ratelimited":
        return f"Slack asks for a pause before it tells about {what}: ask again in a minute"
    return f"Slack does not tell about {what}: {code}"


def _code(error: SlackApiError) -> str:
    """Slack's word; the HTTP status where a proxy or a Slack in trouble answered with something else."""
    return str(error.response.get("error") or f"HTTP {error.response.status_code}")


async def _ask(call: Callable[[], Awaitable[T]]) -> T:
    """`call`, once more where Slack only asks for a short pause. Raises what it raises."""
    from slack_sdk.errors import SlackApiError

    try:
        return await call()
    except SlackApiError as error:
        pause = float(error.response.headers.get("Retry-After", _PATIENCE_S))
        if _code(error) != "ratelimited" or pause >= _PATIENCE_S:
            raise
        await asyncio.sleep(pause)
        return await call()


# --------------------------------------------------------------------------------------------- tokens and scopes


def _scopes(me: Any) -> Iterator[Finding]:
    from desk.slack.manifest import SCOPES

    yield Finding(_PART, Level.GREEN, f"the bot token is that of @{me['user']} in {me['team']}", _COST)
    told = next((value for key, value in me.headers.items() if key.lower() == "x-oauth-scopes"), None)
    if told is None:  # a proxy ate the header
        return
    given = {scope.strip() for scope in str(told).split(",")}
    if missing := [scope for scope in SCOPES if scope not in given]:
        said = (
            f"missing scopes: {', '.join(missing)}. Paste `mainstem slack manifest` into the app's App Manifest,"
            " then reinstall it (Install App)"
        )
        yield Finding(_PART, Level.RED, said)


async def _way_in(settings: Settings, client: AsyncWebClient, me: Mapping[str, Any]) -> Finding:
    from slack_sdk.errors import SlackApiError

    if settings.slack_app_token is None:
        if settings.slack_signing_secret is None:
            said = (
                "neither MAINSTEM_SLACK_APP_TOKEN (Socket Mode) nor MAINSTEM_SLACK_SIGNING_SECRET (HTTP mode) is"
                " set: the slack process does not start"
            )
            return Finding(_PART, Level.RED, said)
        said = f"HTTP mode: Slack's requests to /slack/events must reach port {settings.slack_port_or_next}"
        return Finding(_PART, Level.GREEN, said)
    token = settings.slack_app_token.get_secret_value()
    try:
        await _ask(lambda: client.apps_connections_open(app_token=token))
    except SlackApiError as error:
        if _code(error) == "ratelimited":
            return Finding(_PART, Level.YELLOW, "the app token was checked just now: ask again in a minute")
        said = (
            f"Slack refuses the app token ({_code(error)}): is Socket Mode on, and is it an app-level token with the"
            " scope connections:write (Basic Information, App-Level Tokens)?"
        )
        return Finding(_PART, Level.RED, said)
    if (bots := await _app_of(client, me)) and (ours := token.split("-")[2:3]) and ours[0] != bots:
        said = f"the app token is of another app ({ours[0]}) than the bot token ({bots}): nothing agents do comes in"
        return Finding(_PART, Level.RED, said)
    return Finding(_PART, Level.GREEN, "Socket Mode: the app token opens connections")


async def _app_of(client: AsyncWebClient, me: Mapping[str, Any]) -> str:
    """The app whose bot this is; '' where Slack does not say. An app token (xapp-1-A…-…) names its own."""
    from slack_sdk.errors import SlackApiError

    try:
        said = await client.bots_info(bot=str(me.get("bot_id") or ""))
    except SlackApiError:
        return ""
    return str((said.get("bot") or {}).get("app_id") or "")


# ------------------------------------------------------------------------------------------------------- channels


async def _channels(config: Config, client: AsyncWebClient) -> list[Finding]:
    from desk.slack.directory import list_channels

    known = {channel.id: channel for channel in await _ask(lambda: list_channels(client))}
    by_name = {channel.name: channel for channel in sorted(known.values(), key=lambda c: not c.archived)}
    wanted = [(f"queue {key}", queue.slack) for key, queue in config.queues.items() if queue.slack]
    if config.slack_ops:
        wanted.append(("ops", config.slack_ops))
    found: list[Finding] = []
    good = []
    for whose, name in wanted:
        channel = known.get(name) or by_name.get(name.removeprefix("#"))
        if channel is None:
            said = (
                f"{whose}: there is no channel {name}; make it, or if it is private: /invite @Mainstem there"
            )
            found.append(Finding(_PART, Level.RED, said))
            continue
        if channel.archived:
            found.append(Finding(_PART, Level.RED, f"{whose}: #{channel.name} is archived"))
            continue
        if channel.shared:
            said = f"{whose}: another company is in #{channel.name} and reads what customers write"
            found.append(Finding(_PART, Level.YELLOW, said))
        good.append(f"#{channel.name}")
    if good:
        found.append(Finding(_PART, Level.GREEN, f"channels: {', '.join(dict.fromkeys(good))}"))
    return [*found, *_without(config)]


def _without(config: Config) -> Iterator[Finding]:
    alone = [key for key, queue in config.queues.items() if not queue.slack]
    if len(alone) == len(config.queues):
        said = 'no queue has a channel: add `slack: "#its-channel"` to config/queues.yaml'
        yield Finding(_PART, Level.YELLOW, said)
    elif alone:
        yield Finding(_PART, Level.GREEN, f"on the web desk alone, for want of a channel: {', '.join(alone)}")
    if not config.slack_ops:
        said = 'failures have no channel: add `slack: {ops: "#hub-ops"}` at the end of config/queues.yaml'
        yield Finding(_PART, Level.YELLOW, said)


# --------------------------------------------------------------------------------------------------------- agents


async def _agents(config: Config, client: AsyncWebClient, me: Mapping[str, Any]) -> list[Finding]:
    linked = {agent.key: agent.slack for agent in config.agents.values() if agent.slack}
    own = frozenset(str(me[name]) for name in ("team_id", "enterprise_id") if me.get(name))
    found: list[Finding] = []
    good: list[str] = []
    for key, user_id in linked.items():
        why = await _agent(client, key, user_id, own)
        if why:
            found.append(Finding(_PART, Level.RED, why))
        else:
            good.append(key)
    if good:
        found.append(Finding(_PART, Level.GREEN, f"agents who can act: {', '.join(good)}"))
    elif not linked:
        said = "no agent is linked: add `slack: U…` (their member id) to config/agents.yaml"
        found.append(Finding(_PART, Level.YELLOW, said))
    return [*found, *_unattended(config, good)]


async def _agent(client: AsyncWebClient, key: str, user_id: str, own: frozenset[str]) -> str:
    """Why this agent cannot act; '' where they can. Raises SlackApiError where Slack would not say of anybody."""
    from slack_sdk.errors import SlackApiError

    from desk.slack.gate import why_not

    where = "in their Slack profile: ⋮, Copy member ID"
    try:
        said = await _ask(lambda: client.users_info(user=user_id))
    except SlackApiError as error:
        if _code(error) not in ("user_not_found", "user_not_visible"):
            raise
        return f"agent {key}: nobody in this workspace has the member id {user_id}; it is {where}"
    why = why_not(said["user"], own)
    return f"agent {key} cannot act; whoever is {user_id} reads: “{why}”" if why else ""


def _unattended(config: Config, good: Iterable[str]) -> Iterator[Finding]:
    """Queues whose cards nobody could claim. Leads and admins act in every queue."""
    agents = [config.agents[key] for key in good]
    if not agents or any(agent.role is not Role.AGENT for agent in agents):
        return
    attended = {queue for agent in agents for queue in agent.queues}
    left = [key for key, queue in config.queues.items() if queue.slack and key not in attended]
    if left:
        yield Finding(_PART, Level.YELLOW, f"nobody who can act on Slack works in: {', '.join(left)}")
