"""Two numbers of ours behind one app at the local Graph API, and an app's end of its webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from connectors.base import Parsed, Raw, Wire
from connectors.whatsapp import CONNECTOR
from hub.config import Account
from hub.model import Event, MessageReceived
from tests.connectors.graph_world import PUBLIC, at, wire
from tests.servers.graph import Graph, Number
from tests.servers.graph.hook import Hook


class Shop:
    """Two numbers of ours behind one app; what Meta delivers is read as its first account would."""

    def __init__(self, graph: Graph, number: Number, second: Number, hook: Hook, way: Wire) -> None:
        self.graph, self.number, self.second, self.hook, self.way = graph, number, second, hook, way
        siblings = {number.id: "whatsapp/main", second.id: "whatsapp/second"}
        self.account: Account = replace(at(graph, number), siblings=siblings)

    def raw(self, body: bytes, **headers: str) -> Raw:
        signed = {"x-hub-signature-256": self.graph.door.signed(body)["X-Hub-Signature-256"], **headers}
        return Raw(
            method="POST",
            url=f"{PUBLIC}/in/whatsapp/main",
            headers={name: [value] for name, value in signed.items()},
            body=body,
            received_at=datetime.now(UTC),
        )

    def read(self, body: bytes) -> Parsed:
        raw = self.raw(body)
        CONNECTOR.verify(raw, self.account)
        return CONNECTOR.parse(raw, self.account)

    def heard(self) -> list[Event]:
        """All that was delivered since the last look."""
        bodies, self.hook.raw = self.hook.raw, []
        return [event for body in bodies for event in self.read(body).events]

    def messages(self) -> list[MessageReceived]:
        return [event for event in self.heard() if isinstance(event, MessageReceived)]


@asynccontextmanager
async def opened() -> AsyncIterator[Shop]:
    async with Graph() as graph, wire() as way, Hook(graph.app_secret, graph.verify_token) as hook:
        assert await graph.subscribe(hook.url)
        number, second = graph.number(), graph.number("+1 555-078-3882")
        yield Shop(graph, number, second, hook, way)
