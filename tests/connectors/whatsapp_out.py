"""Our number at a local Graph API that checks what Meta checks, for the tests of what goes out on WhatsApp."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectors.base import Wire
from connectors.whatsapp import CONNECTOR
from hub.config import Account
from hub.errors import SendError
from hub.model import Outgoing, Sent
from tests.connectors.graph_world import Files, at, wire
from tests.servers.graph import Graph, Number


class Shop:
    """Our number at Meta, and Ann, who has just written to it."""

    def __init__(self, graph: Graph, number: Number, files: Files, way: Wire) -> None:
        self.graph, self.number, self.files, self.way = graph, number, files, way
        self.ann = number.customer("Ann", "16505551234")

    def account(self, **more: Any) -> Account:
        return at(self.graph, self.number, **more)

    async def send(self, said: Outgoing, **more: Any) -> Sent:
        return await CONNECTOR.send(said, self.account(**more), self.way)

    async def fails(self, said: Outgoing, **more: Any) -> SendError:
        with pytest.raises(SendError) as caught:
            await self.send(said, **more)
        return caught.value

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [one.body for one in self.graph.sent]


@asynccontextmanager
async def opened() -> AsyncIterator[Shop]:
    files = Files()
    async with Graph() as graph, wire(files) as way:
        shop = Shop(graph, graph.number(), files, way)
        await shop.ann.says("Where is my parcel?")
        yield shop
