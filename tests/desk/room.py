"""A desk with something on it, for tests: a configuration, people who wrote in, agents who log in.

Everything is put there the way it comes in life: events through the router's handler, people's doings through the
desk's actions, a provider's failures through the outbox's own functions.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from sqlalchemy import func, select, update

from connectors.mail import mime
from connectors.mail.display import Displayer
from crm_store import logins
from crm_store.db import Store
from crm_store.schema import conversations, customers, deliveries, interactions
from desk.actions import Actions
from desk.web.app import build_app
from desk.web.context import WebDesk
from hub import configfiles
from hub.blobs import Blobs
from hub.clock import to_us
from hub.ids import Ids
from hub.limits import Limits
from hub.model import Attachment, Entry, MessageReceived
from hub.settings import Settings
from router.handle import Handler
from router.rules import compile_rules

START = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)

FILES = {
    "channels.yaml": """
brands:
  main: {name: Harbour & Sons}
accounts:
  webchat/main: {title: Chat on our site}
  console/main: {title: Terminal}
  webhook/main: {title: Forms and letters}
  mail/support: {title: Support mailbox, address: support@example.com, settings: {authserv_id: mx.example.com}}
""",
    "queues.yaml": """
priorities: {urgent: 1h, high: 10m, normal: 0s, low: -30m}
queues:
  general: {title: General, service: {percent: 80, within: 15m}}
  support: {title: Support, service: {percent: 80, within: 5m}}
  billing: {title: Billing, service: {percent: 80, within: 30m}}
""",
    "agents.yaml": """
agents:
  bo: {name: Bo Lindqvist, email: bo@example.com, queues: [general, support], limit: 5}
  eva: {name: Eva Marsh, queues: [billing], limit: 3}
  cleo: {name: Cleo Adeyemi, role: lead, queues: [general, billing], limit: 8}
  ada: {name: Ada Petrov, role: admin, queues: all, limit: 3}
""",
    "calendars.yaml": "calendars: {}\n",
    "replies.yaml": """
replies:
  hello: {title: Looking into it, text: "Hello, and thank you for writing. I am looking into this now."}
""",
    "routing.yaml": r"""
rules:
  - name: urgent words
    when: {text: [urgent, emergency]}
    then: {priority: high, tags: [urgent]}
    continue: true
  - name: money
    when:
      any:
        - text: {words: [invoice, refund, payment]}
        - text: {matches: '\binv-\d{4,}\b'}
    then: {queue: billing}
  - name: problems
    when: {text: [broken, error, password, "does not work", "not working"]}
    then: {queue: support}
default: {queue: general}
""",
}

LIMITS = {
    "webchat": Limits(text_chars=4000, attachments=5, attachment_bytes=10_000_000, source="test"),
    "console": Limits(text_chars=4000, attachments=0, attachment_bytes=0, source="test"),
    "webhook": Limits(text_chars=20_000, attachments=5, attachment_bytes=5_000_000, source="test"),
    "mail": Limits(text_chars=100_000, attachments=20, attachment_bytes=10_000_000, source="test"),
}
SCHEMES = {"webchat": "webchat", "console": "console", "webhook": "mailto", "mail": "mailto"}

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f64540"
    "0000000049454e44ae426082"
)


@dataclass
class Room:
    """`now` is set by hand."""

    store: Store
    folder: Path
    settings: Settings = field(default_factory=lambda: Settings(port=0, desk_port=0))
    now: datetime = START
    undo_s: float = 10.0
    redis: Any = None
    letters: Any = field(default_factory=Displayer)
    replayed: list[tuple[int, str]] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = configfiles.load(FILES)
        self.rules = compile_rules(self.config)
        self.store._slot, self.store._ids = None, Ids(3, now_ms=lambda: to_us(self.now) // 1000)
        self.seq = 0
        self.blobs = Blobs(self.folder)
        self.actions = Actions(
            self.store,
            lambda: self.config,
            LIMITS,
            self.woken.append,
            lambda *args, **kwargs: None,
            clock=lambda: self.now,
            undo_s=self.undo_s,
            schemes=SCHEMES,
        )
        self.handler = Handler(
            self.store,
            rules=lambda: self.rules,
            config=lambda: self.config,
            wish=lambda text: None,
            clock=lambda: self.now,
        )
        self.desk = WebDesk(
            store=self.store,
            actions=self.actions,
            config=lambda: self.config,
            rules=lambda: self.rules,
            settings=self.settings,
            blobs=self.blobs,
            redis=self.redis,
            replay=self._replay,
            letters=self.letters,
            now=lambda: self.now,
        )

    def _replay(self, held_id: int, by: str) -> str:
        self.replayed.append((held_id, by))
        return "read"

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def writes(
        self,
        urn: str,
        text: str,
        *,
        name: str = "",
        account: str = "webchat/main",
        files: tuple[tuple[str, str, bytes], ...] = (),
        **more: Any,
    ) -> int:
        """The customer's message, routed; its conversation's number."""
        self.seq += 1
        event = MessageReceived(
            account=account,
            event_key=f"e{self.seq}",
            received_at=self.now,
            sender=urn,
            sender_name=name,
            text=text,
            verified=True,
            attachments=tuple(
                Attachment(sha256=self.blobs.put(data), content_type=kind, size_bytes=len(data), name=called)
                for called, kind, data in files
            ),
            **more,
        )
        self.handler.batch([Entry(producer="test", seq=self.seq, accepted_at=self.now, event=event)])
        with self.store.read() as tx:
            c = conversations.c
            return int(
                tx.execute(select(c.number).order_by(c.last_at.desc(), c.id.desc()).limit(1)).scalar_one()
            )

    def mails(self, *raws: bytes) -> list[tuple[int, int]]:
        """Mails as they come to `mail/support`; of each its conversation's number, and its interaction."""
        before = self.newest_message()
        entries = []
        for raw in raws:
            parsed = mime.read(raw, self.config.accounts["mail/support"], self.now)
            for blob in parsed.blobs:
                self.blobs.put(blob)
            for event in parsed.events:
                self.seq += 1
                entries.append(Entry(producer="mail", seq=self.seq, accepted_at=self.now, event=event))
        self.handler.batch(entries)
        with self.store.read() as tx:
            query = (
                select(conversations.c.number, interactions.c.id)
                .join(conversations, conversations.c.id == interactions.c.conversation_id)
                .where(interactions.c.id > before)
                .order_by(interactions.c.id)
            )
            return [(int(row.number), int(row.id)) for row in tx.execute(query)]

    def newest_message(self) -> int:
        """Its interaction's id."""
        with self.store.read() as tx:
            return int(tx.scalar(select(func.max(interactions.c.id))) or 0)

    def id_of(self, number: int) -> int:
        with self.store.read() as tx:
            return int(
                tx.execute(select(conversations.c.id).where(conversations.c.number == number)).scalar_one()
            )

    def row(self, number: int) -> Any:
        with self.store.read() as tx:
            return tx.execute(select(conversations).where(conversations.c.number == number)).one()

    def customer_of(self, number: int) -> int:
        from crm_store import views

        with self.store.read() as tx:
            return views.card(tx, number).customer_id

    def delivery_of(self, number: int) -> Any:
        """The conversation's newest delivery."""
        with self.store.read() as tx:
            d = deliveries.c
            return tx.execute(
                select(deliveries)
                .where(d.conversation_id == self.id_of(number))
                .order_by(d.id.desc())
                .limit(1)
            ).one()

    def known_as(self, number: int, **values: Any) -> None:
        customer = self.customer_of(number)
        self.store.run(
            lambda tx: tx.execute(update(customers).where(customers.c.id == customer).values(**values))
        )

    def becomes(self, delivery: int, state: str, code: str | None = None, detail: str = "") -> None:
        """What the sender would have noted of it."""
        self.store.run(
            lambda tx: tx.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery)
                .values(state=state, code=code, detail=detail, updated_at=self.now)
            )
        )

    @asynccontextmanager
    async def browsers(self) -> Any:
        """`async with room.browsers() as browse: bo = await browse("bo")`."""
        server = TestServer(build_app(self.desk))
        await server.start_server()
        opened: list[TestClient[Any, Any]] = []

        async def browse(agent: str | None = None) -> Browser:
            client: TestClient[Any, Any] = TestClient(server)
            opened.append(client)
            browser = Browser(client)
            if agent is not None:
                token = logins.make_link(self.store, agent, self.now)
                await browser.get(f"/login/{token}")
                answer = await browser.post(f"/login/{token}")
                assert answer.status == 200, answer.status
            return browser

        try:
            yield browse
        finally:
            for client in opened:
                await client.close()
            await server.close()


class Browser:
    """A client that remembers the last page's token, as a form would carry it."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.client = client
        self.text = ""
        self.token = ""

    async def get(self, path: str, **kwargs: Any) -> Any:
        answer = await self.client.get(path, **kwargs)
        await self._read(answer)
        return answer

    async def post(self, path: str, form: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        answer = await self.client.post(path, data={"csrf": self.token, **(form or {})}, **kwargs)
        await self._read(answer)
        return answer

    async def _read(self, answer: Any) -> None:
        if answer.content_type == "text/html":
            self.text = await answer.text()
            if found := re.search(r'name="csrf" value="([^"]+)"', self.text):
                self.token = found[1]


def make(store: Store, folder: Path | None = None, **kwargs: Any) -> Room:
    return Room(store, folder or Path(tempfile.mkdtemp()), **kwargs)


Browse = Callable[..., Any]
