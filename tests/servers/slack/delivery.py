"""How Slack brings events and clicks to the app: Socket Mode, or signed HTTP requests.

https://docs.slack.dev/apis/events-api, https://docs.slack.dev/apis/events-api/using-socket-mode,
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from tests.servers.slack.clock import Clock
from tests.servers.slack.workspace import Json

ACK_S = 3.0  # for events, interactions and commands alike
RETRIES_S = (0.0, 60.0, 300.0)  # "nearly immediately", after 1 minute, after 5 minutes
CONNECTIONS = 10  # of one app in Socket Mode
WARNING_S = 10.0  # from "warning" to "refresh_requested"


@dataclass(eq=False)
class Delivery:
    """One event or interaction on its way. tries: what became of each: "ok" or Slack's retry reason."""

    kind: str  # events_api, interactive, slash_commands
    payload: Json
    first: asyncio.Future[bool]
    tries: list[str] = field(default_factory=list)
    answer: Any = None

    @property
    def acked(self) -> bool:
        return "ok" in self.tries


@dataclass(eq=False)
class Connection:
    """One WebSocket of the app's. deaf: it stays open and Slack's messages no longer reach anybody."""

    socket: web.WebSocketResponse
    number: int
    waiting: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    received: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        return not self.socket.closed


class Door:
    """url: HTTP mode's address; None: Socket Mode. lost: events that nobody was there to take."""

    def __init__(self, clock: Clock, app_id: str, secret: Callable[[], str]) -> None:
        self.url: str | None = None
        self.clock = clock
        self.connections: list[Connection] = []
        self.deliveries: list[Delivery] = []
        self.lost: list[Json] = []
        self.signed_at: Callable[[], float] = time.time
        self._app_id = app_id
        self._secret = secret
        self._tickets: set[str] = set()
        self._count = itertools.count(1)
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    # ----------------------------------------------------------------------------------------------- Socket Mode

    def ticket(self) -> str:
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return ticket

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """A connection: `hello`, then envelopes; what comes back are acknowledgements. A ticket is good for one."""
        ticket = request.query.get("ticket", "")
        if self._closed or ticket not in self._tickets:
            return web.Response(status=404, text="no such ticket")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(timeout=0.05)
        await socket.prepare(request)
        if sum(one.alive for one in self.connections) >= CONNECTIONS:
            await socket.send_json(
                {"type": "disconnect", "reason": "too_many_websockets", "debug_info": _HOST}
            )
            await socket.close()
            return socket
        connection = Connection(socket, next(self._count))
        self.connections.append(connection)
        await socket.send_json(
            {
                "type": "hello",
                "num_connections": len(self.connections),
                "debug_info": {**_HOST, "build_number": 10, "approximate_connection_time": 18060},
                "connection_info": {"app_id": self._app_id},
            }
        )
        try:
            async for message in socket:
                if message.type == web.WSMsgType.TEXT:
                    _acknowledge(connection, message.data)
        finally:
            self.connections.remove(connection)
            for waiting in connection.waiting.values():
                waiting.cancel()
        return socket

    async def refresh(self, connection: Connection | None = None, *, warning: bool = True) -> None:
        """Slack replaces a connection (the eldest): "warning", ten seconds later "refresh_requested" and the end."""
        one = connection or self.connections[0]
        if warning:
            await one.socket.send_json({"type": "disconnect", "reason": "warning", "debug_info": _HOST})
            await self.clock.sleep(WARNING_S)
        if one.alive:
            with suppress(ConnectionError):
                await one.socket.send_json(
                    {"type": "disconnect", "reason": "refresh_requested", "debug_info": _HOST}
                )
            await one.socket.close()

    async def drop(self) -> None:
        """Every connection breaks without a word."""
        for one in list(self.connections):
            assert one.socket._req is not None
            if (transport := one.socket._req.transport) is not None:
                transport.abort()

    # ------------------------------------------------------------------------------------------------- both ways

    def send(self, kind: str, payload: Json, tries: Sequence[str] = ()) -> Delivery:
        """Begin to deliver; `first` tells whether the first attempt was acknowledged. Events are tried three times
        more, interactions never."""
        delivery = Delivery(kind, payload, asyncio.get_running_loop().create_future(), list(tries))
        if self.url is None and not any(one.alive for one in self.connections):
            self.lost.append(payload)
            delivery.tries.append("no_connection")
            delivery.first.set_result(False)
            return delivery
        self.deliveries.append(delivery)
        task = asyncio.get_running_loop().create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return delivery

    async def settled(self) -> None:
        """Until every first attempt has ended."""
        while unsettled := [one.first for one in self.deliveries if not one.first.done()]:
            await asyncio.wait(unsettled)

    async def _deliver(self, delivery: Delivery) -> None:
        failed: set[int] = set()
        waits = (0.0, *RETRIES_S) if delivery.kind == "events_api" else (0.0,)
        try:
            for attempt, wait_s in list(enumerate(waits))[len(delivery.tries) :]:
                await self.clock.sleep(wait_s)
                result = await (
                    self._post(delivery, attempt)
                    if self.url is not None
                    else self._envelope(delivery, attempt, failed)
                )
                delivery.tries.append(result)
                if not delivery.first.done():
                    delivery.first.set_result(result == "ok")
                if result in ("ok", "no_retry"):
                    return
            self.lost.append(delivery.payload)
        finally:
            if not delivery.first.done():
                delivery.first.cancel()

    async def _envelope(self, delivery: Delivery, attempt: int, failed: set[int]) -> str:
        """Any live connection may get it; a retry goes to one that has not failed it."""
        alive = [one for one in self.connections if one.alive and one.number not in failed]
        if not alive:
            return "no_connection"
        one = alive[next(self._turn) % len(alive)]
        envelope: Json = {
            "envelope_id": str(uuid.uuid4()),
            "payload": delivery.payload,
            "type": delivery.kind,
            "accepts_response_payload": delivery.kind != "events_api",
        }
        if delivery.kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": delivery.tries[-1] if attempt else ""}
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        one.waiting[envelope["envelope_id"]] = answer
        try:
            await one.socket.send_json(envelope)
        except ConnectionError:
            failed.add(one.number)
            return "connection_failed"
        if not await self.clock.answered(answer, ACK_S):
            failed.add(one.number)
            return "timeout"
        if answer.cancelled():
            failed.add(one.number)
            return "connection_failed"
        delivery.answer = answer.result().get("payload")
        return "ok"

    async def _post(self, delivery: Delivery, attempt: int) -> str:
        assert self.url is not None
        if delivery.kind == "events_api":
            body, content = json.dumps(delivery.payload).encode(), "application/json"
        else:
            form = (
                {"payload": json.dumps(delivery.payload)}
                if delivery.kind == "interactive"
                else delivery.payload
            )
            body, content = urlencode(form).encode(), "application/x-www-form-urlencoded"
        headers = self.signed(body) | {"Content-Type": content, "User-Agent": "Slackbot 1.0"}
        if attempt:
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": delivery.tries[-1]}
        if self._session is None:
            self._session = aiohttp.ClientSession()
        call = asyncio.ensure_future(self._call(self._session, body, headers, delivery))
        if not await self.clock.answered(call, ACK_S):
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            return "http_timeout"
        return call.result()

    async def _call(
        self, session: aiohttp.ClientSession, body: bytes, headers: dict[str, str], delivery: Delivery
    ) -> str:
        assert self.url is not None
        try:
            async with session.post(self.url, data=body, headers=headers, allow_redirects=False) as answer:
                said = await answer.read()
        except aiohttp.ClientError:
            return "connection_failed"
        if not (200 <= answer.status < 300 if delivery.kind == "events_api" else answer.status == 200):
            return "no_retry" if answer.headers.get("X-Slack-No-Retry") == "1" else "http_error"
        if said:
            is_json = answer.content_type == "application/json"
            delivery.answer = json.loads(said) if is_json else {"text": said.decode()}
        return "ok"

    async def verifies(self, url: str, token: str) -> bool:
        """https://docs.slack.dev/reference/events/url_verification"""
        challenge = uuid.uuid4().hex
        body = json.dumps({"token": token, "challenge": challenge, "type": "url_verification"}).encode()
        headers = self.signed(body) | {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            said = await answer.text()
        if answer.content_type == "application/json":
            said = json.loads(said).get("challenge", "")
        return answer.status == 200 and said == challenge

    def signed(self, body: bytes) -> dict[str, str]:
        """The headers that prove a request to be Slack's."""
        stamp = str(int(self.signed_at()))
        mac = hmac.new(self._secret().encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac.hexdigest()}"}

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._closed = True
        await self.drop()
        if self._session is not None:
            await self._session.close()


_HOST = {"host": "applink-local"}


def _acknowledge(connection: Connection, text: str) -> None:
    said = json.loads(text)
    connection.received.append(said.get("envelope_id", ""))
    waiting = connection.waiting.pop(said.get("envelope_id", ""), None)
    if waiting is not None and not waiting.done():
        waiting.set_result(said)
