"""App Home: published anew after every press in it, with one sentence of what the press came to."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable
from datetime import timedelta

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection, select

from crm_store import presence, views
from crm_store.schema import desk_threads
from desk import words
from desk.rights import rights
from desk.slack import conversation, gate, home, look, modals, names
from desk.slack.blocks import View
from desk.slack.context import SlackDesk
from desk.slack.look import AtHome
from desk.slack.press import Press, paragraph, sentence
from hub import log
from hub.errors import MainstemError, Refused

_LINKS = 300
_SLACK_S = 1.0  # links are worth no missed acknowledgement
_log = log.get("slack")

_t = desk_threads.c


async def publish(desk: SlackDesk, user: str, team: str | None = None, *, notice: str = "") -> None:
    """Draw the Home of this Slack user; for somebody who is no agent, the sentence that says why not.

    team: of the user, where Slack said it. Nothing is raised: a Home that cannot be drawn is drawn at the next look.
    """
    try:
        agent = await gate.agent_of(desk, user, team)
        view = await drawn(desk, agent, notice)
    except MainstemError as error:
        view = {"type": "home", "blocks": [paragraph(sentence(error))]}
    try:
        await desk.client.views_publish(user_id=user, view=view)
    except (SlackApiError, aiohttp.ClientError, TimeoutError) as error:
        _log.warning("home_not_published", error=str(error)[:200])


async def drawn(desk: SlackDesk, agent: str, notice: str = "") -> View:
    """An agent's Home as the store has it now. Raises NotFound, Unavailable."""
    config, now = desk.config(), desk.clock()

    def read(tx: Connection) -> tuple[AtHome, dict[int, tuple[str, str]]]:
        found = look.home(tx, config, agent, now)
        shown = [card.conversation_id for card in found.mine]
        return found, places(tx, [*shown, *(send.conversation_id for send in found.failed)])

    found, cards = await desk.look(read)
    links = await links_to(desk, cards)
    return home.view(found, config, now, links=links, desk_url=desk.desk_url, notice=notice)


def places(tx: Connection, conversations: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Conversation -> (channel, ts) of its living card."""
    wanted = sorted(set(conversations))[:_LINKS]
    query = select(_t.conversation_id, _t.place, _t.thread).where(
        _t.surface == names.SURFACE,
        _t.conversation_id.in_(wanted),
        _t.retired_at.is_(None),
        _t.thread.is_not(None),
    )
    return {row.conversation_id: (row.place, row.thread) for row in tx.execute(query)}


_workspaces: weakref.WeakKeyDictionary[AsyncWebClient, str] = weakref.WeakKeyDictionary()


async def links_to(desk: SlackDesk, cards: dict[int, tuple[str, str]]) -> dict[int, str]:
    """Conversation -> the address of its card, as Slack's own "Copy link" has it; none where Slack does not answer."""
    if not cards:
        return {}
    base = _workspaces.get(desk.client)
    if base is None:
        try:
            async with asyncio.timeout(_SLACK_S):
                base = str((await desk.client.auth_test())["url"])
        except (SlackApiError, aiohttp.ClientError, TimeoutError, KeyError):
            return {}
        _workspaces[desk.client] = base
    return {
        key: f"{base.rstrip('/')}/archives/{place}/p{ts.replace('.', '')}"
        for key, (place, ts) in cards.items()
    }


# ------------------------------------------------------------------------------------------------------ what is pressed


async def _again(press: Press, notice: str = "") -> None:
    await press.ack()
    if press.in_home:
        await publish(press.desk, press.user, notice=notice)


async def next_one(press: Press) -> None:
    """The longest waiting becomes the agent's, and opens."""
    taken = await press.do(press.desk.actions.next, press.agent.key)
    if taken is None:
        await _again(press, words.DONE["empty"])
        return
    card = await press.look(lambda tx: views.card(tx, taken))
    await press.show(lambda: conversation.history_view(press.desk, press.agent, taken))
    await _again(press, f"#{card.number} is yours.")


async def status(press: Press) -> None:
    """A status was chosen, for as long as the other menu says; or a time, for the status that holds now."""
    says = modals.values(press.view)
    minutes = str(says.get(names.HOME_UNTIL) or "0")
    if minutes not in home.UNTIL:
        raise Refused("Choose one of the offered times.")
    now = press.desk.clock()
    status = str(says.get(names.HOME_STATUS) or "")
    if press.action == names.HOME_UNTIL:  # the menu beside it may be older than what was said by /hub
        status = (await press.look(lambda tx: presence.of(tx, press.agent.key, now))).status
    until = now + timedelta(minutes=int(minutes)) if minutes != "0" else None
    await press.do(press.desk.actions.set_presence, press.agent.key, status, until)
    await _again(press)


async def open_one(press: Press) -> None:
    """A conversation out of a list."""
    await press.show(lambda: conversation.history_view(press.desk, press.agent, press.id))


async def replay(press: Press) -> None:
    """What was in quarantine goes to the router once more; of two leads who press, one reads that it was done."""
    rights(press.desk.config(), press.agent.key).lead()
    became = await press.do(press.desk.replay, press.id, press.by)
    await _again(press, f"It was given to the router again: {became}.")


async def refresh(press: Press) -> None:
    await _again(press)
