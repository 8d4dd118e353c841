"""The hub as people see it: Ann types on a page or sends a form, Bo claims and replies, Ann's page shows it.

Everything between them is the real thing, in one process: edge, journal, stream, router, store, outbox, connectors.
Only the far ends are doubles: a browser's tab that speaks the chat's protocol, and a company's server that checks
our signatures as strictly as its owner would. The clock moves when the story says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import redis
import redis.asyncio
from sqlalchemy import Column, func, select

from connectors import CONNECTORS, accounts, signing
from connectors.base import Wire
from connectors.edge import Edge
from connectors.http import TOTAL_S, guarded_session
from connectors.web import build_app, serve
from crm_store import configs, delivery_states, intake, ledger, media, revisions, schema, views
from crm_store.db import Store
from desk.actions import Actions
from desk.replying import ReplyResult
from hub.blobs import Blobs, Reader
from hub.configfiles import load
from hub.inlet import Inlet, ProducerReport
from hub.journal import Journal
from hub.links import Links
from hub.redis import connect_reader
from hub.stream import Reader as StreamReader
from mainstem import ports
from mainstem.pool import Pool
from router import consume
from router.rules import compile_rules
from tests.servers import free_port
from tests.servers.http import Provider, Say, Seen
from workers.changing import Changing
from workers.drain import Drain
from workers.fetching import Fetching
from workers.lane import Tuning
from workers.naming import Naming
from workers.rates import Rates

SETTLE_S = 60.0  # real seconds; a machine that is busy with much else is no failure
KEY = b"the installation's key, made for this test"
CONFIG = {
    "channels.yaml": """
brands: {main: {name: Example Ltd}}
accounts:
  webchat/main: {title: Chat on our site}
  webhook/main: {title: Forms and letters, settings: {url: "URL"}}
""",
    "queues.yaml": """
priorities: {high: 10m, normal: 0s}
queues:
  general: {title: General}
  support: {title: Support}
  billing: {title: Billing}
""",
    "agents.yaml": """
agents:
  bo: {name: Bo, queues: [general, support]}
  cleo: {name: Cleo, role: lead, queues: all}
""",
    "routing.yaml": """
rules:
  - {name: money, when: {text: [invoice, refund]}, then: {queue: billing}}
  - {name: trouble, when: {text: [broken]}, then: {queue: support, priority: high}}
default: {queue: general}
""",
}


class StoreReceipts:
    """The journal's question to the store, asked at once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def known(self, producer: str, seqs: Any) -> set[int]:
        return await asyncio.to_thread(intake.known, self.store, producer, list(seqs))

    async def report(self, report: ProducerReport) -> None:
        await asyncio.to_thread(intake.report, self.store, report)


class World:
    """One hub and the people around it. `settle` lets everything run until nothing moves."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        valkey: str,
        company: Company,
        config: Mapping[str, str] = CONFIG,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.store, self.company = store, company
        self.started = datetime.now(UTC)
        self.ahead = timedelta()
        files = dict(config)
        files["channels.yaml"] = files["channels.yaml"].replace("URL", f"{company.url}/answers")
        configs.apply(store, files, "system", lambda config: None)
        self.config = load(files)
        self.rules = compile_rules(self.config)
        self.accounts, troubles = accounts.resolve(self.config, environ or {}, KEY)
        assert not troubles
        company.secret = self.accounts["webhook/main"].secrets["signing"][0]
        self.redis = connect_reader(valkey)
        self.redis_async = redis.asyncio.Redis.from_url(valkey)
        self.blobs = Blobs(folder / "blobs")
        self.port = free_port()
        self.public_url = f"http://127.0.0.1:{self.port}"  # known before it listens: providers sign it
        self.links = Links(KEY, self.public_url, days=7)
        self.journal = Journal.open(folder / "journal")
        self.inlet = Inlet(self.journal, self.redis_async, StoreReceipts(store), clock=self.clock)
        self.reader = StreamReader(self.redis)
        self.pool = Pool("world", threads=2)
        self.patience_s = TOTAL_S  # of a call to a provider; real seconds
        self.limits = {name: connector.limits for name, connector in CONNECTORS.items()}
        self.desk = Actions(
            store=store,
            config=lambda: self.config,
            limits=self.limits,
            schemes={name: connector.urn_scheme for name, connector in CONNECTORS.items()},
            wake=lambda job: None,
            notify=lambda kind, **ids: None,
            clock=self.clock,
        )
        self.url = ""
        self.http: aiohttp.ClientSession

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def passes(self, **time: float) -> None:
        """Time goes by for the hub; nobody waits for it."""
        self.ahead += timedelta(**time)

    def edge(self) -> Edge:
        class EdgeBlobs:
            read = staticmethod(self.blobs.aread)
            aput = staticmethod(self.blobs.aput)

        return Edge(
            accounts=lambda: self.accounts,
            accept=self.inlet.accept,
            blobs=EdgeBlobs(),
            public_url=self.public_url,
            links=self.links,
            redis=self.redis_async,
            history=ports.StoreHistory(self.store, self.pool),
            live=ports.StoreLive(self.store, self.pool),
            clock=self.clock,
        )

    # ------------------------------------------------------------------------------------------------- machinery

    async def settle(self) -> bool:
        """Journal to stream, stream to store, outbox to the far ends, files from there, until nothing moves
        (bounded by time: on a busy machine a call to Redis may fail, and its retry is a matter of seconds).
        Whether anything did."""
        moved = False
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            routed = await self.route()
            sent = await self.deliver() + await self.fetch()
            waiting = list(self.journal.pending_seqs(0, self.journal.next_seq))
            known = intake.known(self.store, self.journal.producer, waiting) if waiting else set()
            if not routed and not sent and len(known) == len(waiting):
                return moved
            moved = True
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"no rest: {routed} routed, {sent} sent, {len(waiting) - len(known)} on the way"
            await asyncio.sleep(0.01)

    async def route(self) -> int:
        return await asyncio.to_thread(
            consume.once,
            self.store,
            self.reader,
            lambda: self.rules,
            lambda: self.config,
            client=self.redis,
            clock=self.clock,
        )

    def _any(self, state: Column[str], among: Iterable[str]) -> bool:
        with self.store.read() as tx:
            return tx.execute(select(state).where(state.in_(among)).limit(1)).first() is not None

    async def deliver(self) -> int:
        """One drain of the outbox at the world's time, and the changes of what went out; 0 where all is at rest."""
        if not (
            self._any(schema.deliveries.c.state, delivery_states.UNFINISHED)
            or self._any(schema.revisions.c.state, (revisions.QUEUED, revisions.SENDING))
        ):
            return 0
        async with self._wire() as wire:
            drained = await Drain(
                self.store,
                lambda: self.accounts,
                rates=Rates(None),
                wire=wire,
                owner="world",
                now=self.clock,
                tuning=Tuning(lasts_s=0.3, poll_s=0.01),
            ).run()
            changed = await Changing(
                self.store,
                lambda: self.accounts,
                rates=Rates(None),
                wire=wire,
                owner="world",
                now=self.clock,
                lasts_s=0.3,
            ).run()
        # Where its time was over first, it may have put back what it had claimed.
        return drained.tried + changed.tried + drained.more

    async def fetch(self) -> int:
        """The files that customers sent and whose bytes are at their providers, and what newcomers are called there."""
        async with self._wire() as wire:
            named = await Naming(self.store, lambda: self.accounts, wire=wire, now=self.clock).look()
            if not self._any(schema.media.c.state, media.UNFINISHED):
                return named
            done = await Fetching(
                self.store,
                lambda: self.accounts,
                wire=wire,
                blobs=self.blobs,
                owner="world",
                now=self.clock,
                poll_s=0.01,
            ).run()
        return done.tried + named

    async def catches_up(self, account: str, cursor: str | None = None) -> str | None:
        """An account that `Polls` is asked for what came in until it has no more; where that was."""
        connector: Any = CONNECTORS[account.partition("/")[0]]
        async with self._wire() as wire:
            while True:
                found = await connector.poll(self.accounts[account], cursor, wire())
                for blob in found.blobs:
                    await self.blobs.aput(blob)
                if found.events:
                    await self.inlet.accept(found.events)
                cursor = found.cursor or cursor
                if found.again_s or not found.events:
                    return cursor

    @asynccontextmanager
    async def _wire(self) -> AsyncIterator[Callable[[], Wire]]:
        """What a call to a provider may use, at the world's time."""
        async with guarded_session(allow_private=True, total_s=self.patience_s) as http:
            yield lambda: Wire(
                http=http,
                redis=self.redis_async,
                blobs=Reader(self.blobs),
                public_url=self.public_url,
                now=self.clock(),
                link=lambda file: self.links.make(file, self.clock()),
            )

    # ---------------------------------------------------------------------------------------------------- people

    @asynccontextmanager
    async def page(self, token: str = "") -> AsyncIterator[Page]:
        """A tab with our chat in it; with `token`, the same visitor's after a reload."""
        page = Page(self, token)
        async with self.http.ws_connect(
            f"{self.url}/chat/main/ws", headers={"Origin": self.public_url}
        ) as socket:
            await page.hello(socket)
            yield page

    async def form(self, **body: Any) -> None:
        """The company's website posts a form, signed."""
        status, said = await self._posts(body)
        assert status == 200, said

    async def garbles(self, **body: Any) -> None:
        """The same, and nobody can read it."""
        status, said = await self._posts(body)
        assert status == 202, (status, said)

    async def _posts(self, body: Mapping[str, Any]) -> tuple[int, str]:
        data = json.dumps(body).encode()
        stamp = int(self.clock().timestamp())
        headers = {signing.HEADER: signing.sign(self.company.secret, data, stamp)}
        async with self.http.post(f"{self.url}/in/webhook/main", data=data, headers=headers) as answer:
            return answer.status, await answer.text()

    @property
    def bo(self) -> Agent:
        return Agent(self, "bo")

    @property
    def cleo(self) -> Agent:
        return Agent(self, "cleo")

    # ----------------------------------------------------------------------------------------------- what is known

    def waiting(self) -> list[tuple[str, str]]:
        """(queue, customer's name) of every conversation that waits, first in line first."""
        c, who = schema.conversations.c, schema.customers.c
        with self.store.read() as tx:
            rows = tx.execute(
                select(c.queue, who.name)
                .join(schema.customers, who.id == c.customer_id)
                .where(c.state == "waiting")
                .order_by(c.rank_at)
            )
            return [(row.queue, row.name) for row in rows]

    def deliveries(self) -> list[str]:
        with self.store.read() as tx:
            return list(
                tx.execute(select(schema.deliveries.c.state).order_by(schema.deliveries.c.id)).scalars()
            )

    def people(self) -> list[int]:
        """The customers' ids, eldest first."""
        with self.store.read() as tx:
            return list(tx.execute(select(schema.customers.c.id).order_by(schema.customers.c.id)).scalars())

    def count(self, table: Any, *where: Any) -> int:
        with self.store.read() as tx:
            return int(tx.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

    async def ledger(self) -> ledger.LedgerRow:
        """Today's, all accounts added up, after the journal has reported."""
        await self.inlet.recover()
        await self.inlet.report()
        rows = ledger.day(self.store, self.started.date())
        assert rows
        names = ("journalled", "stored", "duplicates", "quarantined", "on_the_way", "missing")
        return ledger.LedgerRow(
            account="all", **{name: sum(getattr(row, name) for row in rows) for name in names}
        )


class Page:
    """A browser's tab: what it remembers, and what it shows. It acknowledges what it shows, as a browser does."""

    def __init__(self, world: World, token: str) -> None:
        self.world, self.token = world, token
        self.shown: list[tuple[str, str]] = []
        self._ids: set[Any] = set()
        self._lines: dict[str, int] = {}  # where a message stands in `shown`
        self._changed: dict[str, int] = {}  # which of its changes that is
        self._socket: aiohttp.ClientWebSocketResponse
        self._said = 0

    async def hello(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        await socket.send_json({"type": "hello", "token": self.token})
        await self._until("messages")

    async def _until(self, kind: str) -> dict[str, Any]:
        while True:
            frame: dict[str, Any] = await self._socket.receive_json(timeout=30)
            if frame["type"] == "welcome":
                self.token = frame["token"]
            if frame["type"] == "messages":
                await self._show(frame)
            assert frame["type"] not in ("error", "later"), frame
            if frame["type"] == kind:
                return frame

    async def _show(self, frame: dict[str, Any]) -> None:
        for item in frame["items"]:
            if self._ids & {item["id"], item.get("cid")}:
                if item.get("change", 0) > self._changed.get(item["id"], 0):
                    at, by = self._lines[item["id"]], self.shown[self._lines[item["id"]]][0]
                    self.shown[at] = (by, "(taken back)" if item.get("gone") else item["text"])
                    self._changed[item["id"]] = item["change"]
                continue
            self._lines[item["id"]] = len(self.shown)
            self._changed[item["id"]] = item.get("change", 0)
            self._ids |= {item["id"], item.get("cid", item["id"])}
            text = "(taken back)" if item.get("gone") else item["text"]
            self.shown.append(("you" if item["dir"] == "in" else item["by"], text))
            if item["dir"] == "out":
                await self._socket.send_json({"type": "receipt", "ids": [item["id"]], "status": "delivered"})

    async def types(self, text: str) -> None:
        """She types and sees her words taken; the hub has them on disk then."""
        self._said += 1
        mine = f"tab-{len(self._ids):04}-{self._said:04}"
        await self._socket.send_json({"type": "message", "id": mine, "text": text})
        await self._until("ok")
        self._ids.add(mine)
        self.shown.append(("you", text))

    async def shows(self, *lines: tuple[str, str]) -> None:
        """Wait until the page shows exactly these lines, oldest first."""
        while self.shown != list(lines):
            assert len(self.shown) <= len(lines), self.shown
            await self._until("messages")

    async def stays_so(self) -> None:
        """Nothing more is on its way: the answer to a ping has overtaken nothing."""
        before = list(self.shown)
        await self._socket.send_json({"type": "ping"})
        await self._until("pong")
        assert self.shown == before


class Agent:
    """Somebody at a desk, by what they can do there."""

    def __init__(self, world: World, key: str) -> None:
        self.world, self.key = world, key

    def takes_next(self) -> int:
        taken = self.world.desk.next(self.key)
        assert taken is not None, "nobody waits"
        return taken

    def sees(self, conversation: int) -> views.ConversationView:
        with self.world.store.read() as tx:
            return views.conversation(tx, conversation)

    def replies(self, conversation: int, text: str, **how: Any) -> ReplyResult:
        how.setdefault("idem_key", f"{conversation}:{text}")
        return self.world.desk.reply(conversation, self.key, text, **how)


class Company(Provider):
    """The server behind `webhook/main`: refuses what is not signed, keeps what it was sent by idempotency key."""

    def __init__(self) -> None:
        super().__init__(check=self._check)
        self.secret = ""
        self.received: dict[str, dict[str, Any]] = {}
        self.doubled = 0

    def _check(self, seen: Seen) -> Say | None:
        if seen.method != "POST":
            return Say(status=404)
        try:
            now = float(seen.headers[signing.HEADER.lower()].split(",")[0].removeprefix("t="))
            signing.check(seen.headers[signing.HEADER.lower()], [self.secret], seen.body, now)
        except Exception:
            return Say(status=401)
        key = seen.headers.get("idempotency-key", "")
        if not key:
            return Say(status=400)
        if self.queue:
            return self.queue.popleft()  # on command it fails, and keeps nothing
        if key in self.received:
            self.doubled += 1
            return Say(status=409)
        self.received[key] = json.loads(seen.body)
        return None

    @property
    def got(self) -> list[str]:
        """What it reads now, in the order in which it came: changed, and without what was taken back."""
        texts: dict[str, str] = {}
        for body in self.received.values():
            texts[body["delivery"]] = str(body.get("text", ""))
            if body["kind"] == "message.deleted":
                del texts[body["delivery"]]
        return list(texts.values())


@asynccontextmanager
async def world(
    folder: Path,
    store: Store,
    valkey: str,
    config: Mapping[str, str] = CONFIG,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[World]:
    """Everything started, and ended in order."""
    with Company() as company:
        made = World(folder, store, valkey, company, config, environ)
        pump = asyncio.create_task(made.inlet.run())
        try:
            async with (
                aiohttp.ClientSession() as made.http,
                serve(build_app(made.edge()), "127.0.0.1", made.port, shutdown_s=0.1) as made.url,
            ):
                yield made
        finally:  # a failed test's router would go on to claim its share of the next test's stream
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await asyncio.to_thread(made.reader.close)
            made.journal.close()
            made.pool.close()
            made.redis.close()
            await made.redis_async.aclose()
