"""The world of tests/world.py with Slack in it: Bo and Cleo answer from a local Slack, through the real bolt and sdk.

Slack's door is a real WebSocket; the poster, the inbox and the sweep are the process's own, called until nothing moves
instead of running by the clock.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from crm_store.db import Store
from desk.slack import app as slack_app
from desk.slack import names, press
from desk.slack.context import SlackDesk
from desk.slack.directory import Directory
from desk.slack.inbox import Inbox
from desk.slack.sweep import Sweep
from tests.servers.slack import Person, Slack
from tests.world import CONFIG, World, world
from workers import remind
from workers.post import Poster, Tuning
from workers.slack_rates import SlackRates

QUEUES = """
priorities: {high: 10m, normal: 0s}
slack: {ops: "#hub-ops"}
queues:
  general: {title: General, slack: "#general-desk"}
  support: {title: Support, slack: "#support-desk", idle: 30m}
  billing: {title: Billing, slack: "#billing-desk", slack_direct: true}
"""
REPLIES = """
replies:
  hello: {title: Hello, text: "Hello, I am looking into this."}
  refund: {title: Refund is on its way, queues: [billing], text: "Your refund has been sent."}
"""


@dataclass
class SlackWorld:
    """hub: the world behind it. bo answers general, support and billing; cleo leads; dot is linked to nobody.

    replayed: who had something of the quarantine replayed.
    """

    hub: World
    slack: Slack
    desk: SlackDesk
    directory: Directory
    poster: Poster
    inbox: Inbox
    sweep: Sweep
    bo: Person
    cleo: Person
    dot: Person
    support: str
    billing: str
    general: str
    ops: str
    replayed: list[str]
    app: slack_app.App

    async def settle(self) -> None:
        """Everything said has reached everybody, as far as Slack and the providers take it (bounded)."""
        for turn in range(20):
            moved = await self.hub.settle()
            await self.slack.settled()
            if not (await self.inbox.once() or moved) and turn:
                return  # the poster ends when it has nothing more to say
            await self.poster.once()
        raise AssertionError("Slack does not come to rest")

    async def until(self, condition: Callable[[], object]) -> None:
        """What failed is tried again, until that holds."""
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)
                await self.settle()

    async def passes(self, **time: float) -> None:
        """Time goes by, and everything does what it does by then."""
        self.hub.passes(**time)
        await self.settle()

    async def wakes(self) -> None:
        """What is due wakes: snoozed conversations, offers and claims that ran out."""
        await asyncio.to_thread(remind.look, self.hub.store, self.hub.config.queues, self.hub.clock())

    # ------------------------------------------------------------------------------------------------ what is seen

    def cards(self, place: str) -> list[dict[str, Any]]:
        """The bot's messages of a channel, eldest first."""
        return [one for one in self.slack.messages(place) if one.get("user") == self.slack.bot_user_id]

    def card(self, place: str) -> dict[str, Any]:
        """The newest card of a channel."""
        found = self.cards(place)
        assert found, "no card"
        return found[-1]

    def thread(self, place: str, card: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return list(self.slack.messages(place, thread=str((card or self.card(place))["ts"])))

    def button(self, post: dict[str, Any], action_id: str) -> bool:
        """Does this message offer that?"""
        return any(one.get("action_id") == action_id for one in _elements(post))

    def offering(self, place: str, action_id: str) -> dict[str, Any]:
        """The newest message below the newest card that offers this."""
        found = [one for one in self.thread(place) if self.button(one, action_id)]
        assert found, f"nothing offers {action_id}"
        return found[-1]

    def offered(self, place: str, action_id: str) -> bool:
        """Does anything below the newest card offer this?"""
        return any(self.button(one, action_id) for one in self.thread(place))

    def line(self, place: str, text: str) -> str:
        """What the newest message below the newest card that holds `text` says."""
        found = [said for one in self.thread(place) if text in (said := self.words(one))]
        assert found, f"no message says {text!r}"
        return found[-1]

    def words(self, post: Any) -> str:
        """Every text that a person reads in a message, a view or blocks."""
        return " ".join(_texts(post.get("blocks", post) if isinstance(post, dict) else post))

    def way(self, who: Person, account: str) -> str:
        """The value of the choice by that account in the channel menu of somebody's open reply."""
        options = [one for menu in _elements(who.views[-1].blocks) for one in menu.get("options", ())]
        return next(str(one["value"]) for one in options if str(one["value"]).startswith(f"{account}|"))

    def conversation(self) -> int:
        """The newest one's id."""
        from sqlalchemy import func, select

        from crm_store import schema

        with self.hub.store.read() as tx:
            return int(tx.execute(select(func.max(schema.conversations.c.id))).scalar_one())

    def state(self, conversation: int | None = None) -> str:
        return str(self.hub.bo.sees(conversation or self.conversation()).card.state)

    # ----------------------------------------------------------------------------------------------- what people do

    async def writes(self, text: str = "The kettle is broken", who: str = "Ann") -> None:
        """A form of somebody's, whose answers go out as signed POSTs."""
        sender = {"email": f"{who.lower()}@example.com", "name": who}
        await self.hub.form(id=f"{who}-{text[:30]}", **{"from": sender}, text=text)
        await self.settle()

    async def claimed(self, text: str = "The kettle is broken") -> str:
        """The ts of the card of a form of Ann's, which Bo has claimed."""
        await self.writes(text)
        await self.clicks(self.bo, self.support, names.CLAIM)
        return str(self.card(self.support)["ts"])

    async def types(self, who: Person, text: str, place: str | None = None, **more: Any) -> str:
        """In the thread of the newest card; the ts."""
        place = place or self.support
        ts = await who.types(place, text, thread=str(self.card(place)["ts"]), **more)
        await self.settle()
        return ts

    async def opens_home(self, who: Person, says: str) -> str:
        """What their Home says, once it says that."""
        await who.opens_home()
        await self.slack.until(lambda: says in self.words(who.home))
        return self.words(who.home)

    async def reacts(self, who: Person, ts: str, place: str | None = None) -> None:
        """With the outbox."""
        await who.reacts(place or self.support, ts, names.SEND_REACTION)
        await self.settle()

    async def clicks(
        self, who: Person, place: str, action_id: str, post: dict[str, Any] | None = None
    ) -> None:
        """Press a button of a message; the newest card's where none is given. Options of a menu count as buttons."""
        shown = post or self.card(place)
        ts = str(shown["ts"])
        if self.button(shown, action_id):
            await who.clicks(place, ts, action_id)
        else:
            await who.clicks(place, ts, names.MORE, f"{action_id}:{self.conversation()}")
        await self.settle()

    async def replies(self, who: Person, place: str, text: str, **more: Any) -> None:
        """Through the modal."""
        await self.clicks(who, place, names.REPLY)
        answer = await who.submits({names.TEXT: text, **more})
        assert answer is None, answer
        await self.settle()


def leaves(post: Any) -> list[dict[str, Any]]:
    """The pieces of rich text in a message."""
    found: list[dict[str, Any]] = []
    if isinstance(post, dict):
        found = [post] if post.get("type") == "text" else []
    for value in post.values() if isinstance(post, dict) else post if isinstance(post, list) else ():
        found += leaves(value)
    return found


def _elements(post: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if isinstance(post, dict):
        if "action_id" in post:
            found.append(post)
        for value in post.values():
            found += _elements(value)
    elif isinstance(post, list):
        for value in post:
            found += _elements(value)
    return found


def _texts(node: Any) -> list[str]:
    if isinstance(node, str):
        return []
    if isinstance(node, list):
        return [text for one in node for text in _texts(one)]
    if not isinstance(node, dict):
        return []
    own = [node["text"]] if isinstance(node.get("text"), str) else []
    return own + [text for key, one in node.items() if key != "metadata" for text in _texts(one)]


@asynccontextmanager
async def slack_world(
    folder: Path,
    store: Store,
    valkey: str,
    *,
    called: str = "Bo",
    more: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[SlackWorld]:
    """Everything started, and ended in order. called: Bo's name in the configuration. more: further configuration, by
    file; environ: the secrets that it names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slack_app, "ACK_S", 25.0)
        patch.setattr(press, "FIRST_S", 25.0)  # nobody fills in a modal that still says "One moment …"
        async with _slack_world(folder, store, valkey, called, more or {}, environ) as made:
            yield made


@asynccontextmanager
async def _slack_world(
    folder: Path,
    store: Store,
    valkey: str,
    called: str,
    more: Mapping[str, str],
    environ: Mapping[str, str] | None,
) -> AsyncIterator[SlackWorld]:
    async with Slack.start() as slack, aiohttp.ClientSession() as session:
        # Its three seconds for an answer are thirty: here nobody is late but the machine.
        slack.clock.scale = 10.0
        bo, cleo, dot = slack.user("Bo"), slack.user("Cleo"), slack.user("Dot")
        places = {
            name: slack.channel(name, members=(bo, cleo, dot))
            for name in ("support-desk", "billing-desk", "general-desk", "hub-ops")
        }
        agents = (
            f"agents:\n  bo: {{name: {json.dumps(called)}, queues: [general, support, billing], slack: {bo.id}}}\n"
            f"  cleo: {{name: Cleo, role: lead, queues: all, slack: {cleo.id}}}\n"
        )
        files = {**CONFIG, "queues.yaml": QUEUES, "replies.yaml": REPLIES, "agents.yaml": agents, **more}
        async with world(folder, store, valkey, files, environ) as hub:
            replayed: list[str] = []
            desk = _desk(hub, slack, session, replayed)
            directory = Directory(desk)
            await directory.refresh()
            app = slack_app.make(desk, slack.signing_secret, heard=slack_app.heard(desk, directory))
            async with _served(app, desk, slack):
                yield SlackWorld(
                    hub=hub,
                    slack=slack,
                    desk=desk,
                    directory=directory,
                    # A second of Slack's is a millisecond: nobody waits for its rates here.
                    poster=Poster(
                        desk, directory, rates=SlackRates(None, pace=0.001), tuning=Tuning(leads_s=0.0)
                    ),
                    inbox=Inbox(desk),
                    sweep=Sweep(desk),
                    bo=bo,
                    cleo=cleo,
                    dot=dot,
                    support=places["support-desk"],
                    billing=places["billing-desk"],
                    general=places["general-desk"],
                    ops=places["hub-ops"],
                    replayed=replayed,
                    app=app,
                )


def _desk(hub: World, slack: Slack, session: aiohttp.ClientSession, replayed: list[str]) -> SlackDesk:
    """replayed: by whom what was held was replayed."""

    def replay(_held: int, by: str) -> str:
        replayed.append(by)
        return "stored"

    return SlackDesk(
        store=hub.store,
        actions=hub.desk,
        config=lambda: hub.config,
        rules=lambda: hub.rules,
        limits=hub.limits,
        client=AsyncWebClient(
            token=slack.bot_token, base_url=slack.api, session=session, timeout=30, retry_handlers=[]
        ),
        blobs=hub.blobs,
        desk_url="http://desk.test",
        replay=replay,
        clock=hub.clock,
    )


@asynccontextmanager
async def _served(app: slack_app.App, desk: SlackDesk, slack: Slack) -> AsyncIterator[None]:
    """While the hub hears of what happens in Slack."""
    serving = asyncio.ensure_future(slack_app.serve_socket(app, desk, slack.app_token))
    try:
        await slack.connected()
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
