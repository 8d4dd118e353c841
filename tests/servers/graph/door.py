"""Webhooks: how Meta signs them, batches them, repeats them and gives up.

developers.facebook.com/docs/graph-api/webhooks/getting-started: X-Hub-Signature-256 is "sha256=" and the
HMAC-SHA256 of the payload under the app's secret, "using an escaped unicode version of the payload, with lowercase
hex digits"; the Messenger Platform's page adds that "/" is escaped to "\\/", "<" to "\\u003C", "%" to "\\u0025" and
"@" to "\\u0040". The bytes on the wire are that version, so the raw body is what one verifies. Up to 1,000 updates
stand in one request; a failed one is retried at once, "then a few more times with decreasing frequency over the
next 36 hours", WhatsApp's up to 7 days. The times between are not documented; RETRIES_S is our reading.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.servers.graph.errors import Json
from tests.servers.graph.model import Clock

BATCH = 1_000
RETRIES_S = (0, 60, 300, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400)
LATER_S = (172_800, 259_200, 345_600, 432_000, 518_400)
GIVES_UP_S = {"whatsapp_business_account": 7 * 86_400, "page": 36 * 3_600, "instagram": 36 * 3_600}
_ESCAPES = (("/", "\\/"), ("<", "\\u003C"), ("%", "\\u0025"), ("@", "\\u0040"))


def wire(payload: Any) -> bytes:
    """The bytes that Meta signs and sends."""
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=True)
    for plain, escaped in _ESCAPES:
        text = text.replace(plain, escaped)
    return text.encode("ascii")


@dataclass(kw_only=True)
class Delivery:
    """One request of Meta's to the app. answers: the HTTP status of each attempt, 0 where none came."""

    object: str
    url: str
    body: bytes
    headers: dict[str, str]
    at: float
    answers: list[int] = field(default_factory=list)
    lost: bool = False

    @property
    def ok(self) -> bool:
        return 200 in self.answers

    @property
    def payload(self) -> Json:
        value: Json = json.loads(self.body)
        return value


@dataclass(kw_only=True)
class Told:
    """One thing that happened. id: its wamid or mid, "" where it has none; entry: the webhook's entry; delivery: set
    once it has been delivered, None while it is held or where nobody listens."""

    id: str
    object: str
    account: str
    entry: Json
    delivery: Delivery | None = None

    @property
    def ok(self) -> bool:
        return self.delivery is not None and self.delivery.ok


class Door:
    """callbacks: the URL for an object ("page"), or for one account by its id, which wins. held: what waits for
    `release`. timeout_s: Messenger's 20 s; real ones."""

    def __init__(self, clock: Clock, secret: Callable[[], str]) -> None:
        self._clock, self._secret = clock, secret
        self.callbacks: dict[str, str] = {}
        self.deliveries: list[Delivery] = []
        self.held: list[Told] = []
        self.holding = False
        self.doubled = False
        self.timeout_s = 20.0
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # ------------------------------------------------------------------------------------------------------ sending

    def url(self, kind: str, account: str) -> str:
        return self.callbacks.get(account) or self.callbacks.get(kind, "")

    async def tell(self, told: Told) -> Told:
        """Deliver by itself, or keep for `release`."""
        if self.holding:
            self.held.append(told)
        else:
            await self._group([told])
        return told

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin in the background; `settled` waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def release(
        self, *, shuffled: int | None = None, batched: bool = False, doubled: bool = False
    ) -> list[Delivery]:
        """Deliver what is held, in order, or (shuffled: a seed) in another; batched: as few requests as Meta's 1,000
        updates allow, else one each; doubled: every request twice."""
        self.holding, held, self.held = False, self.held, []
        if shuffled is not None:
            random.Random(shuffled).shuffle(held)
        groups = (
            [held[at : at + BATCH] for at in range(0, len(held), BATCH)]
            if batched
            else [[one] for one in held]
        )
        before = len(self.deliveries)
        for group in groups:
            await self._group(group)
            if doubled:
                await self._group(group)
        return self.deliveries[before:]

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[list[Told]]:
        """Whatever happens within goes out in one request at its end, each in an entry of its own."""
        self.holding = True
        yield self.held
        await self.release(batched=True)

    async def post(self, kind: str, url: str, entries: list[Any], *, secret: str | None = None) -> Delivery:
        """One request with these entries as they are, poison and all. secret: another than the app's."""
        body = wire({"object": kind, "entry": entries})
        delivery = Delivery(
            object=kind, url=url, body=body, headers=self.signed(body, secret), at=self._clock.now()
        )
        self.deliveries.append(delivery)
        await self.attempt(delivery)
        if not delivery.ok:
            await self.attempt(delivery)  # "retry immediately"
        return delivery

    async def _group(self, group: list[Told]) -> None:
        """Of one object and one URL each, as few requests as that needs."""
        targets: dict[tuple[str, str], list[Told]] = {}
        for told in group:
            if url := self.url(told.object, told.account):
                targets.setdefault((told.object, url), []).append(told)
        for (kind, url), together in targets.items():
            for _ in range(2 if self.doubled else 1):
                delivery = await self.post(kind, url, [told.entry for told in together])
                for told in together:
                    told.delivery = delivery

    # ------------------------------------------------------------------------------------------------------ retries

    async def redeliver(self, delivery: Delivery | None = None, times: int = 1) -> list[int]:
        """The very same request again, the last one where none is named; what was answered."""
        again = delivery or self.deliveries[-1]
        return [await self.attempt(again) for _ in range(times)]

    async def retry(self) -> None:
        """What Meta's schedule owes by now: each delivery not acknowledged, if its next time has come."""
        now = self._clock.now()
        for delivery in [one for one in self.deliveries if not one.ok and not one.lost]:
            times = RETRIES_S + (LATER_S if delivery.object == "whatsapp_business_account" else ())
            due = len([wait for wait in times if delivery.at + wait <= now]) + 1
            while len(delivery.answers) < due and not delivery.ok:
                await self.attempt(delivery)
            delivery.lost = not delivery.ok and now - delivery.at >= GIVES_UP_S[delivery.object]

    @property
    def lost(self) -> list[Delivery]:
        """Given up: no 200 in 36 hours, or WhatsApp's 7 days."""
        return [one for one in self.deliveries if one.lost]

    async def attempt(self, delivery: Delivery) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.timeout_s), connector=aiohttp.TCPConnector(limit=0)
            )
        try:
            async with self._session.post(
                delivery.url, data=delivery.body, headers=delivery.headers, allow_redirects=False
            ) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        delivery.answers.append(status)
        return status

    # ------------------------------------------------------------------------------------------------- proof, access

    def signed(self, body: bytes, secret: str | None = None) -> dict[str, str]:
        key = (self._secret() if secret is None else secret).encode()
        return {
            "Content-Type": "application/json",
            "User-Agent": "Webhooks/1.0 (https://fb.me/webhooks)",
            "X-Hub-Signature": "sha1=" + hmac.new(key, body, hashlib.sha1).hexdigest(),
            "X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest(),
        }

    async def verifies(self, url: str, token: str) -> bool:
        """The handshake: GET with hub.mode, hub.challenge, hub.verify_token; the answer is the challenge and no
        more."""
        challenge = str(secrets.randbelow(10**10))
        query = urlencode({"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token})
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{url}{'&' if '?' in url else '?'}{query}", allow_redirects=False) as answer,
        ):
            return answer.status == 200 and await answer.text() == challenge

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
