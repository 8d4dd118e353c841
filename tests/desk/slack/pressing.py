"""A room whose agents work in Slack: a store with customers in it, the local Slack, our app on its socket.

Cards and receipts are put up by hand, drawn as the store says at that moment: who draws them is tested elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import insert

from crm_store import timeline
from crm_store.db import Store
from crm_store.schema import desk_threads
from desk.slack import app as slack_app
from desk.slack import cards, look, names
from desk.slack.context import SlackDesk
from desk.slack.directory import Directory
from desk.slack.thread import receipt
from hub import configfiles
from hub.limits import Limits
from router.rules import compile_rules
from tests.desk import room as rooms
from tests.desk.room import Room
from tests.servers.slack import Person, Slack

LIMITS = {
    **rooms.LIMITS,
    "sms": Limits(text_chars=1600, attachments=0, attachment_bytes=0, source="test"),
    "mail": Limits(text_chars=100_000, attachments=5, attachment_bytes=1_000_000, source="test"),
}
SCHEMES = {**rooms.SCHEMES, "sms": "tel", "mail": "mailto"}
ANN = "webchat:ann0123456789"
ANN_TEL = "tel:+15551230001"

AGENTS = """
agents:
  bo: {{name: Bo Lindqvist, queues: [general, support], limit: 5, slack: {bo}}}
  eva: {{name: Eva Marsh, queues: [general, billing], limit: 3, slack: {eva}}}
  cleo: {{name: Cleo Adeyemi, role: lead, queues: [general], limit: 8, slack: {cleo}}}
"""
CHANNELS = """
brands:
  main: {name: Harbour & Sons}
accounts:
  webchat/main: {title: Chat on our site}
  sms/main: {title: Our number}
  mail/main: {title: Post}
"""
QUEUES = """
slack: {ops: "#hub-ops"}
priorities: {urgent: 1h, high: 10m, normal: 0s, low: -30m}
queues:
  general: {title: General, slack: "#general", service: {percent: 80, within: 15m}}
  support: {title: Support, slack: "#support", service: {percent: 80, within: 5m}}
  billing: {title: Billing, slack: "#billing", service: {percent: 80, within: 30m}}
"""
REPLIES = """
replies:
  hello: {title: Looking into it, text: "Hello, I am looking into this now."}
  refund: {title: Refund is on its way, queues: [billing], text: "Your refund has been sent."}
  more: {title: Need more details, text: "What did you do, what happened, what did you expect?"}
"""


class Pressing:
    """channel: #general's id. bo and eva are agents of it, cleo is a lead, guest and stranger are neither."""

    def __init__(self, room: Room, slack: Slack, desk: SlackDesk) -> None:
        self.room, self.slack, self.desk = room, slack, desk
        self.app: Any = None
        self.channel = self.ops = ""
        self.bo: Person
        self.eva: Person
        self.cleo: Person

    @property
    def actions(self) -> Any:
        return self.room.actions

    # ------------------------------------------------------------------------------------------ what stands in Slack

    def conversation(self, text: str = "hello", urn: str = ANN, name: str = "Ann Weber", **more: Any) -> int:
        """The id of what a customer's message opened or continued."""
        self.room.later(seconds=1)
        return self.room.id_of(self.room.writes(urn, text, name=name, **more))

    async def card(self, conversation: int) -> str:
        """Put its card up in #general as it is drawn now; its ts."""
        post = await self.desk.look(lambda tx: cards.card(self._shown(tx, conversation), self.room.now))
        ts = await self._post(post)
        row = {
            "id": self.room.store.ids(), "conversation_id": conversation, "surface": names.SURFACE,
            "place": self.channel, "thread": ts, "at": self.room.now,
        }  # fmt: skip
        self.room.store.run(lambda tx: tx.execute(insert(desk_threads).values(**row)))
        return ts

    async def card_again(self, conversation: int) -> str:
        """The card as it is now, as a further message."""
        post = await self.desk.look(lambda tx: cards.card(self._shown(tx, conversation), self.room.now))
        return await self._post(post)

    async def receipt(self, delivery: int, thread: str) -> str:
        """Put the receipt of a reply up below a card."""

        def drawn(tx: Any) -> Any:
            from desk.slack.receipts import written_in

            entry = written_in(tx, delivery).entry
            [fresh] = timeline.entries(tx, [entry.id])
            return receipt(fresh, self.desk.config(), self.room.now)

        return await self._post(await self.desk.look(drawn), thread)

    def _shown(self, tx: Any, conversation: int) -> Any:
        config, rules, url = self.desk.config(), self.desk.rules(), self.desk.desk_url
        return look.card(
            tx, config, rules, conversation, self.room.now, desk_url=url, limits=self.desk.limits
        )

    async def _post(self, post: Any, thread: str | None = None) -> str:
        answer = await self.desk.client.chat_postMessage(
            channel=self.channel, text=post.text, blocks=list(post.blocks), thread_ts=thread
        )
        return str(answer["ts"])

    # ------------------------------------------------------------------------------------------------ what it came to

    def row(self, conversation: int) -> Any:
        from sqlalchemy import select

        from crm_store.schema import conversations

        with self.room.store.read() as tx:
            return tx.execute(select(conversations).where(conversations.c.id == conversation)).one()

    def replies(self, conversation: int) -> list[Any]:
        """Outbound entries in order, each with its delivery."""
        from crm_store import views

        with self.room.store.read() as tx:
            entries = views.conversation(tx, conversation).history.entries
        return [one for one in entries if one.direction == "out"]

    def events(self, conversation: int) -> list[str]:
        from crm_store import views

        with self.room.store.read() as tx:
            return [one.what for one in views.happenings(tx, conversation)]

    async def settles(self) -> None:
        """What listeners do after they acknowledged (redrawing a modal) has been done."""
        await until_idle()


async def until_idle() -> None:
    """No listener of bolt's is running any more."""
    for _ in range(2000):
        busy = [
            task
            for task in asyncio.all_tasks()
            if "run_ack_function" in repr(task) or "listener" in repr(task)
        ]
        if not busy:
            return
        await asyncio.wait(busy, timeout=5)
    raise AssertionError("a listener goes on and on")


def shown(blocks: Any) -> str:
    """Every text that stands in blocks, a view or a message, for `in`."""
    found: list[str] = []

    def walk(one: Any) -> None:
        if isinstance(one, dict):
            found.extend(str(value) for key, value in one.items() if key == "text" and isinstance(value, str))
            for value in one.values():
                walk(value)
        elif isinstance(one, list | tuple):
            for value in one:
                walk(value)

    walk(blocks)
    return "\n".join(found)


@asynccontextmanager
async def pressing(url: str, folder: Path) -> AsyncIterator[Pressing]:
    store = Store.open(url)
    async with Slack.start() as slack, aiohttp.ClientSession() as session:
        bo, eva, cleo = slack.user("Bo"), slack.user("Eva"), slack.user("Cleo")
        room = Room(store, folder)
        files = {
            **rooms.FILES, "channels.yaml": CHANNELS, "queues.yaml": QUEUES, "replies.yaml": REPLIES,
            "agents.yaml": AGENTS.format(bo=bo.id, eva=eva.id, cleo=cleo.id),
        }  # fmt: skip
        room.config = configfiles.load(files)
        room.rules = compile_rules(room.config)
        room.actions._limits, room.actions._schemes = LIMITS, SCHEMES
        client = AsyncWebClient(token=slack.bot_token, base_url=slack.api, session=session, timeout=60)
        client.retry_handlers.clear()
        desk = SlackDesk(
            store=store,
            actions=room.actions,
            config=lambda: room.config,
            rules=lambda: room.rules,
            limits=LIMITS,
            client=client,
            blobs=room.blobs,
            desk_url="https://desk.example",
            replay=room._replay,
            clock=lambda: room.now,
        )
        world = Pressing(room, slack, desk)
        world.bo, world.eva, world.cleo = bo, eva, cleo
        world.channel, world.ops = slack.channel("general"), slack.channel("hub-ops")
        for name in ("support", "billing"):
            slack.channel(name)
        slack.channels[world.channel].members += [person.id for person in (bo, eva, cleo)]
        world.app = slack_app.make(desk, heard=slack_app.heard(desk, Directory(desk)))
        serving = asyncio.create_task(slack_app.serve_socket(world.app, desk, slack.app_token))
        await slack.connected()
        try:
            yield world
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
            store.close()
