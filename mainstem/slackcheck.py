"""What Slack says of our tokens, scopes, channels and agents, in words for whoever sets it up. Looks only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from hub.clock import system
from hub.config import Config
from hub.settings import Settings
from mainstem.doctor import Finding, Level

if TYPE_CHECKING:
    from slack_sdk.web.async_client import AsyncWebClient

    from crm_store.db import Store

_PART = "slack"
_LATE_S = 60.0
_COST = "cards wait in the store until Slack takes them; agents answer from the web desk meanwhile"


def backlog(store: Store) -> Iterator[Finding]:
    """What waits in the store for Slack, and what of Slack's words waits for us."""
    from crm_store import desk_inbox, desk_posts

    with store.read() as tx:
        inbox, posts = desk_inbox.backlog(tx, _PART), desk_posts.places(tx, _PART)
    waiting = sum(posts.values())
    if waiting:
        yield Finding(_PART, Level.GREEN, f"{waiting:,} posts wait for Slack's rate", _COST)
    late = inbox.oldest is not None and system() - inbox.oldest > timedelta(seconds=_LATE_S)
    if late or inbox.troubled:
        said = f"{inbox.waiting:,} things that agents did wait, {inbox.troubled:,} of them after a failure"
        yield Finding(_PART, Level.YELLOW, f"{said}: does `mainstem slack run` run?")
    if inbox.given_up:
        said = f"{inbox.given_up:,} things that agents did could never be worked off; they are kept"
        yield Finding(_PART, Level.YELLOW, said)


def examine(settings: Settings, config: Config) -> Iterator[Finding]:
    """Every finding, in the order of docs/slack.md. Never raises for what Slack says or does not say."""
    if settings.slack_bot_token is None:
        yield Finding(_PART, Level.GREEN, "not set up (MAINSTEM_SLACK_BOT_TOKEN): agents use the web desk")
        return
    yield from asyncio.run(_examine(settings, config))


async def _examine(settings: Settings, config: Config) -> list[Finding]:
    from slack_sdk.errors import SlackApiError

    from desk.slack import client as clients

    found: list[Finding] = []
    async with clients.session() as session:
        client = clients.make(settings, session)
        try:
            found += await _tokens(settings, client)
            found += await _channels(config, client)
            found += await _agents(config, client)
        except SlackApiError as error:
            said = f"{error.response.get('error')}"
            found.append(Finding(_PART, Level.RED, f"Slack refuses the bot token: {said}", _COST))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            found.append(Finding(_PART, Level.RED, f"Slack does not answer: {error}", _COST))
    return found


async def _tokens(settings: Settings, client: AsyncWebClient) -> list[Finding]:
    from desk.slack.manifest import SCOPES

    me = await client.auth_test()
    found = [Finding(_PART, Level.GREEN, f"the bot token is {me['user']}'s in {me['team']}", _COST)]
    given = {scope.strip() for scope in _header(me.headers, "x-oauth-scopes").split(",")}
    if missing := [scope for scope in SCOPES if scope not in given]:
        said = (
            f"missing scopes: {', '.join(missing)}. Paste the manifest (mainstem slack manifest), reinstall"
        )
        found.append(Finding(_PART, Level.RED, said))
    found.append(await _way_in(settings, client))
    return found


def _header(headers: dict[str, Any], name: str) -> str:
    return next((str(value) for key, value in headers.items() if key.lower() == name), "")


async def _way_in(settings: Settings, client: AsyncWebClient) -> Finding:
    from slack_sdk.errors import SlackApiError

    if settings.slack_app_token is None:
        if settings.slack_signing_secret is None:
            said = (
                "neither MAINSTEM_SLACK_APP_TOKEN (Socket Mode) nor MAINSTEM_SLACK_SIGNING_SECRET (HTTP mode) is"
                " set: cards appear, but nothing that agents do comes in"
            )
            return Finding(_PART, Level.RED, said)
        return Finding(_PART, Level.GREEN, f"HTTP mode on port {settings.slack_port_or_next}")
    try:
        await client.apps_connections_open(app_token=settings.slack_app_token.get_secret_value())
    except SlackApiError as error:
        why = error.response.get("error")
        return Finding(
            _PART, Level.RED, f"Slack refuses the app token ({why}): it needs the scope connections:write"
        )
    return Finding(_PART, Level.GREEN, "Socket Mode: the app token opens connections")


async def _channels(config: Config, client: AsyncWebClient) -> list[Finding]:
    from desk.slack.directory import list_channels

    known = {channel.id: channel for channel in await list_channels(client)}
    by_name = {channel.name: channel for channel in sorted(known.values(), key=lambda c: not c.archived)}
    wanted = [(f"queue {key}", queue.slack) for key, queue in config.queues.items() if queue.slack]
    found: list[Finding] = []
    if not wanted:
        found.append(
            Finding(_PART, Level.YELLOW, "no queue has a channel: add `slack:` to config/queues.yaml")
        )
    if config.slack_ops:
        wanted.append(("ops", config.slack_ops))
    else:
        said = "failures have no channel: add `slack: {ops: ...}` to config/queues.yaml"
        found.append(Finding(_PART, Level.YELLOW, said))
    good = []
    for whose, name in wanted:
        channel = known.get(name) or by_name.get(name.removeprefix("#"))
        if channel is None:
            said = f"{whose}: there is no channel {name}; if it is private, /invite @Mainstem there"
            found.append(Finding(_PART, Level.RED, said))
        elif channel.archived:
            found.append(Finding(_PART, Level.RED, f"{whose}: #{channel.name} is archived"))
        elif not channel.member and channel.private:
            found.append(
                Finding(_PART, Level.RED, f"{whose}: not in #{channel.name}: /invite @Mainstem there")
            )
        elif channel.shared:
            said = (
                f"{whose}: #{channel.name} is shared with another company, which reads what customers write"
            )
            found.append(Finding(_PART, Level.YELLOW, said))
        else:
            good.append(f"#{channel.name}")
    if good:
        found.append(Finding(_PART, Level.GREEN, f"channels: {', '.join(dict.fromkeys(good))}"))
    return found


async def _agents(config: Config, client: AsyncWebClient) -> list[Finding]:
    from slack_sdk.errors import SlackApiError

    from desk.slack.gate import why_not

    found: list[Finding] = []
    linked = {agent.key: agent.slack for agent in config.agents.values() if agent.slack}
    me = await client.auth_test()
    own = frozenset(str(me[name]) for name in ("team_id", "enterprise_id") if me.get(name))
    good = []
    for key, user_id in linked.items():
        try:
            user = (await client.users_info(user=user_id))["user"]
        except SlackApiError as error:
            said = f"agent {key}: Slack knows no member {user_id} ({error.response.get('error')})"
            found.append(Finding(_PART, Level.RED, said))
            continue
        if why := why_not(user, own):
            found.append(Finding(_PART, Level.RED, f"agent {key} cannot act: {why}"))
        else:
            good.append(key)
    if good:
        found.append(Finding(_PART, Level.GREEN, f"agents who can act: {', '.join(good)}"))
    elif not linked:
        said = "no agent is linked: add `slack: U…` to config/agents.yaml"
        found.append(Finding(_PART, Level.YELLOW, said))
    doubled = sorted({user for user in linked.values() if list(linked.values()).count(user) > 1})
    if doubled:
        found.append(Finding(_PART, Level.RED, f"linked to more than one agent: {', '.join(doubled)}"))
    return found
