"""A provider of messages: a local HTTP server that notes what it is sent and fails on command."""

import asyncio
import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Got:
    """One request: its path, what it carried, and when it came (seconds of time.monotonic)."""

    path: str
    delivery: str
    body: dict[str, Any]
    at: float
    key: str | None


def answers(status: int, body: str = "", **headers: str) -> Behaviour:
    """Answer so; header names with underscores for dashes."""

    async def behave(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=body, headers=named)

    return behave


def hangs(s: float = 3600.0) -> Behaviour:
    """Take the request and say nothing for so long."""

    async def behave(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(s)
        return web.json_response({"id": "late"})

    return behave


def resets() -> Behaviour:
    """Take the request and drop the connection."""

    async def behave(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return behave


def breaks_off(body: bytes = b'{"id": "a') -> Behaviour:
    """Answer 200, begin a body and drop the connection in the middle of it."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body) + 100)})
        await response.prepare(request)
        await response.write(body)
        await asyncio.sleep(0.02)
        assert request.transport is not None
        request.transport.abort()
        return response

    return behave


@dataclass
class Provider:
    """POST /anything: notes it and answers {"id": …}, or behaves as told for that path, once each and then for good.

    GET /find?delivery=…: 200 if it came (and was not refused), else 404.
    """

    takes_s: float = 0.0
    next_for: dict[str, deque[Behaviour]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Behaviour] = field(default_factory=dict)
    got: list[Got] = field(default_factory=list)
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/find", self._find)
        app.router.add_post("/{path:.*}", self._post)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def times(self) -> Counter[str]:
        """How often each delivery came."""
        return Counter(got.delivery for got in self.got)

    async def _post(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        body = json.loads(await request.read())
        self.got.append(
            Got(
                path, body.get("delivery", ""), body, time.monotonic(), request.headers.get("Idempotency-Key")
            )
        )
        if self.next_for[path]:
            return await self.next_for[path].popleft()(request)
        if path in self.always:
            return await self.always[path](request)
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        return web.json_response({"id": f"ext-{body.get('delivery', '')}"})

    async def _find(self, request: web.Request) -> web.StreamResponse:
        delivery = request.query["delivery"]
        if any(got.delivery == delivery for got in self.got):
            return web.json_response({"id": f"ext-{delivery}"})
        return web.Response(status=404)
