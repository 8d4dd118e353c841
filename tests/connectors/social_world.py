"""A Page and an Instagram account at the local Graph API, with somebody who has just written to each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors import CONNECTORS
from connectors.base import Connector, Parsed, Raw, Wire
from hub.config import Account
from hub.errors import SendError
from hub.model import Event, MessageReceived, Outgoing, Sent
from tests.connectors.graph_world import PUBLIC, Files, wire
from tests.connectors.samples import account
from tests.servers.graph import Graph, Instagram, Page, Visitor
from tests.servers.graph.errors import Json
from tests.servers.graph.hook import Hook

JPEG = b"\xff\xd8\xff\xe0" + b"x" * 500
DAY = timedelta(days=1)
OURS = 7093152233713664


class Place:
    """One account of ours: `meta` is what it is at Meta, `bo` who writes to it. `settings`: besides what it needs."""

    def __init__(self, graph: Graph, meta: Page | Instagram, files: Files, way: Wire, hook: Hook) -> None:
        self.graph, self.meta, self.files, self.way, self.hook = graph, meta, files, way, hook
        self.name = meta.platform
        self.connector: Connector = CONNECTORS[self.name]
        self.settings: dict[str, Any] = {}
        self.bo: Visitor = meta.visitor("Bo Lind")
        self.newest = ""

    @property
    def account(self) -> Account:
        holder = self.meta.page if isinstance(self.meta, Instagram) and self.meta.page else self.meta
        secrets: dict[str, tuple[str, ...]] = {
            "app_secret": (self.graph.app_secret,),
            "token": (holder.token,),
            "verify_token": (self.graph.verify_token,),
        }
        own = "page_id" if self.name == "messenger" else "account_id"
        settings = {own: self.meta.id, "api": self.graph.base, **self.settings}
        found = account(f"{self.name}/main", secrets, **settings)
        assert self.connector.check(found) == []
        return replace(found, siblings={self.meta.id: found.key})

    # ------------------------------------------------------------------------------------------------------- out

    def to_bo(self, text: str = "It left on Monday.", **more: Any) -> Outgoing:
        said: dict[str, Any] = {
            "delivery_id": OURS,
            "account": f"{self.name}/main",
            "to": f"{self.name}:{self.bo.id}",
            "text": text,
            "heard_at": self.now,
            "heard_id": self.newest,
        }
        return Outgoing(**{**said, **more})

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.graph.clock.now(), UTC)

    async def send(self, text: str = "It left on Monday.", **more: Any) -> Sent:
        way = replace(self.way, now=self.now)
        return await self.connector.send(self.to_bo(text, **more), self.account, way)

    async def fails(self, text: str = "It left on Monday.", **more: Any) -> SendError:
        with pytest.raises(SendError) as caught:
            await self.send(text, **more)
        assert self.meta.token not in f"{caught.value!r} {caught.value}"
        return caught.value

    @property
    def sent(self) -> list[Json]:
        return [one.body for one in self.graph.sent]

    @property
    def asked(self) -> list[str]:
        return [request.path for request in self.graph.requests]

    # -------------------------------------------------------------------------------------------------------- in

    def read(self, body: bytes) -> Parsed:
        signed = self.graph.door.signed(body)["X-Hub-Signature-256"]
        raw = Raw(
            method="POST",
            url=f"{PUBLIC}/in/{self.name}/main",
            headers={"x-hub-signature-256": [signed]},
            body=body,
            received_at=datetime.now(UTC),
        )
        self.connector.verify(raw, self.account)
        return self.connector.parse(raw, self.account)

    async def heard(self) -> list[Event]:
        """All that was delivered since the last look."""
        await self.graph.settled()
        bodies, self.hook.raw = self.hook.raw, []
        return [event for body in bodies for event in self.read(body).events]

    async def message(self) -> MessageReceived:
        (event,) = await self.heard()
        assert isinstance(event, MessageReceived)
        return event


@asynccontextmanager
async def place(name: str, **settings: Any) -> AsyncIterator[Place]:
    files = Files()
    async with Graph() as graph, wire(files) as way, Hook(graph.app_secret, graph.verify_token) as hook:
        assert await graph.subscribe(hook.url)
        page = graph.page()
        meta: Page | Instagram = page
        if name == "instagram":
            linked = settings.get("login") == "page"
            meta = graph.instagram("acme", page=page if linked else None)
            if linked:
                settings["page_id"] = page.id
        found = Place(graph, meta, files, way, hook)
        found.settings = settings
        found.newest = (await found.bo.says("Where is my parcel?")).id
        await found.heard()
        graph.requests.clear()
        yield found
