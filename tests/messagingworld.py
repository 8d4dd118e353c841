"""The world of tests/world.py with telephones, WhatsApp, Telegram and Meta in it, each a strict local server.

Customers do what they do at their provider, which calls our edge; what we send reaches them there. Time is moved for
the hub and for the providers together, and nobody waits for it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors import CONNECTORS
from crm_store.db import Store
from crm_store.timeline import Entry
from tests.messaginglines import Line, Sms, TelegramLine, WhatsAppTwilio
from tests.metalines import InstagramLine, MessengerLine, WhatsAppLine
from tests.servers.graph import Graph
from tests.servers.telegram import Telegram
from tests.servers.twilio import Twilio
from tests.world import CONFIG, World, world

LINES: dict[str, type[Line]] = {
    line.name: line
    for line in (Sms, WhatsAppTwilio, WhatsAppLine, TelegramLine, MessengerLine, InstagramLine)
}
ALL = [name for name in LINES if name in CONNECTORS]
AGENTS = """
agents:
  bo: {name: Bo, queues: [general, support], limit: 100}
  cleo: {name: Cleo, role: lead, queues: all, limit: 100}
"""
HELD = 11  # seconds: longer than a reply can be undone


@dataclass(kw_only=True)
class MessagingWorld:
    """hub: the world behind it. lines: the channels, by their connector's name."""

    hub: World
    twilio: Twilio
    telegram: Telegram
    graph: Graph
    lines: dict[str, Line]

    async def settle(self) -> None:
        """Everything said has reached everybody, and what the providers tell of it has come in (bounded)."""
        for _ in range(20):
            await self.hub.settle()
            known = self.hub.journal.next_seq
            await self.twilio.settled()
            await self.telegram.settled()
            await self.graph.settled()
            if self.hub.journal.next_seq == known:
                return
        raise AssertionError("the providers do not come to rest")

    async def passes(self, **time: float) -> None:
        """Time goes by for the hub and the providers, and everything does what it does by then."""
        before = self.hub.ahead
        self.hub.passes(**time)
        seconds = (self.hub.ahead - before).total_seconds()
        self.twilio.passes(seconds)
        self.telegram.passes(seconds)
        await self.graph.passes(seconds)
        await self.settle()

    async def says(self, who: str, channel: str, text: str) -> str:
        """Somebody writes, and it has come in; the message's id."""
        heard = await self.lines[channel].says(who, text)
        await self.settle()
        return heard.id

    async def answers(self, conversation: int, text: str, agent: str = "bo", **how: Any) -> int:
        """An agent answers, and it has gone out (or has failed to); the delivery's id."""
        who = self.hub.cleo if agent == "cleo" else self.hub.bo
        reply = who.replies(conversation, text, **how)
        await self.passes(seconds=HELD)
        return reply.delivery_id

    def entries(self, conversation: int) -> tuple[Entry, ...]:
        """What the agent sees of it."""
        return self.hub.bo.sees(conversation).history.entries

    def texts(self, conversation: int) -> list[str]:
        return [one.text for one in self.entries(conversation)]

    def states(self) -> list[str]:
        return self.hub.deliveries()

    def events(self, conversation: int) -> list[str]:
        """The kinds of what has happened to a conversation."""
        return [one.what for one in self.hub.bo.sees(conversation).events]


def channels(lines: Sequence[Line], *, opt_outs: str = "address") -> str:
    accounts = "".join(
        f"  {line.account}: {{title: {line.name}, rate_per_s: 1000, burst: 1000, {line.yaml}}}\n"
        for line in lines
    )
    return (
        f"brands: {{main: {{name: Example Ltd, opt_outs: {opt_outs}}}}}\naccounts:\n"
        f'  webhook/main: {{title: Forms and letters, settings: {{url: "URL"}}}}\n{accounts}'
    )


@asynccontextmanager
async def messaging_world(
    folder: Path,
    store: Store,
    valkey: str,
    *names: str,
    opt_outs: str = "address",
    replies: str = "",
) -> AsyncIterator[MessagingWorld]:
    """These channels (all of them, where none is named), everything started, and ended in order.

    replies: replies.yaml, in which {TWILIO_TEMPLATE} is the ContentSid of the template "shipped".
    """
    async with Twilio() as twilio, Telegram() as telegram, Graph() as graph:
        servers: dict[type, Any] = {Twilio: twilio, Telegram: telegram, Graph: graph}
        lines = {name: _line(LINES[name], servers) for name in names or ALL}
        config = dict(CONFIG) | {
            "channels.yaml": channels(list(lines.values()), opt_outs=opt_outs),
            "agents.yaml": AGENTS,
        }
        if replies:
            shipped = twilio.template("Your order {{1}} is on its way.")
            config["replies.yaml"] = re.sub("TWILIO_TEMPLATE", shipped.sid, replies)
        environ = {name: value for line in lines.values() for name, value in line.environ.items()}
        async with world(folder, store, valkey, config, environ) as hub:
            for line in lines.values():
                line.opened(hub.public_url)
            yield MessagingWorld(hub=hub, twilio=twilio, telegram=telegram, graph=graph, lines=lines)


def _line(kind: type[Line], servers: dict[type, Any]) -> Line:
    if issubclass(kind, TelegramLine):
        return kind(servers[Telegram])
    if issubclass(kind, Sms | WhatsAppTwilio):
        return kind(servers[Twilio])
    return kind(servers[Graph])  # type: ignore[call-arg]
