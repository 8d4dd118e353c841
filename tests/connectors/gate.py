"""A whole edge for a test: real sockets, a real journal, real blobs, a real Valkey; and what came in through it."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio

from connectors import signing
from connectors.base import PastMessage
from connectors.edge import Edge
from connectors.web import build_app, serve
from hub.blobs import Blobs
from hub.codec import decode
from hub.config import Account
from hub.inlet import Inlet, ProducerReport
from hub.journal import Journal
from hub.model import Event, MessageReceived, Outgoing
from tests.connectors.samples import account

SECRET = "gate-webhook-secret"
ACCOUNTS = {
    a.key: a
    for a in (
        account("webhook/demo", {"signing": (SECRET,)}),
        account("webhook/other", {"signing": ("gate-other-secret",)}),
        account("console/terminal", {"token": ("gate-console-token",)}),
        account("webchat/main", {"visitors": ("gate-visitors",)}, origins=["https://shop.example"]),
    )
}


class NoStore:
    """A store that has nothing yet, so that everything stays in the journal, where a test reads it."""

    async def known(self, producer: str, seqs: Sequence[int]) -> set[int]:
        return set()

    async def report(self, report: ProducerReport) -> None:
        return None


class Past:
    """What the store remembers; a test writes here what a router would have."""

    def __init__(self) -> None:
        self.rows: list[PastMessage] = []
        self.away = False
        self.asked: list[int] = []

    async def since(self, account: str, urn: str, after: int, limit: int = 200) -> list[PastMessage]:
        if self.away:
            raise TimeoutError
        self.asked.append(after)
        return sorted((r for r in self.rows if r.seq > after), key=lambda r: r.seq)[:limit]


@dataclass
class Gate:
    url: str
    edge: Edge
    journal: Journal
    blobs: Blobs
    redis: "redis.asyncio.Redis"
    past: Past
    http: aiohttp.ClientSession
    accounts: dict[str, Account]
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def kept(self) -> list[Event]:
        """Every event in the journal, in order, read back from the disk."""
        seqs = self.journal.pending_seqs(0, self.journal.next_seq)
        return [decode(record.payload)[0] for record in self.journal.read(seqs)]

    def texts(self) -> list[str]:
        return [e.text for e in self.kept() if isinstance(e, MessageReceived)]

    async def post(
        self, body: bytes, key: str = "webhook/demo", secret: str = SECRET, **headers: str
    ) -> tuple[int, Any]:
        signed = {signing.HEADER: signing.sign(secret, body, int(datetime.now(UTC).timestamp()))}
        async with self.http.post(f"{self.url}/in/{key}", data=body, headers={**signed, **headers}) as got:
            return got.status, await got.json(content_type=None)


@asynccontextmanager
async def gate(
    folder: Path, valkey: str, *, accounts: Mapping[str, Account] = ACCOUNTS, port: int = 0, **settings: Any
) -> AsyncIterator[Gate]:
    client = redis.asyncio.Redis.from_url(valkey)
    journal = Journal.open(folder / "journal")
    inlet = Inlet(journal, client, NoStore())
    past = Past()
    blobs = Blobs(folder / "blobs")
    counts: Counter[tuple[str, str]] = Counter()
    known = dict(accounts)

    class EdgeBlobs:
        read = staticmethod(blobs.aread)
        aput = staticmethod(blobs.aput)

    def count(what: str, key: str) -> None:
        counts[what, key] += 1

    edge = Edge(
        **{
            "accounts": lambda: known,
            "accept": inlet.accept,
            "blobs": EdgeBlobs(),
            "public_url": "http://127.0.0.1",
            "redis": client,
            "history": past,
            "count": count,
            **settings,
        }
    )
    async with (
        aiohttp.ClientSession() as http,
        serve(build_app(edge), "127.0.0.1", port, shutdown_s=0.1) as url,
    ):
        yield Gate(url, edge, journal, blobs, client, past, http, known, counts)
    journal.close()
    await client.aclose()


def reply(
    visitor: str,
    seq: int,
    text: str,
    key: str = "webchat/main",
    written_at: datetime | None = None,
    **more: Any,
) -> Outgoing:
    """What a worker is asked to send."""
    scheme = key.partition("/")[0]
    return Outgoing(
        delivery_id=seq + 1,
        account=key,
        to=f"{scheme}:{visitor}",
        text=text,
        interaction_id=seq,
        created_at=written_at or datetime.now(UTC),
        author_name="Bo",
        **more,
    )


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
