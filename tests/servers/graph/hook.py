"""An app's end of the webhooks, for trying the server: it checks the signature and keeps what came."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import deque
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.servers.graph.errors import Json


class Hook:
    """`async with Hook(app_secret, verify_token) as hook`: url, got (payloads), raw (bodies), answers (statuses to give
    first; 200 then), forged (how many bore a wrong signature, which get 403)."""

    def __init__(self, secret: str, token: str) -> None:
        self._secret, self._token = secret, token
        self.url = ""
        self.got: list[Json] = []
        self.raw: list[bytes] = []
        self.answers: deque[int] = deque()
        self.forged = 0

    @property
    def entries(self) -> list[Json]:
        return [entry for payload in self.got for entry in payload["entry"]]

    async def _take(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            query = request.query
            if (query["hub.mode"], query["hub.verify_token"]) != ("subscribe", self._token):
                return web.Response(status=403)
            return web.Response(text=query["hub.challenge"])
        body = await request.read()
        mac = "sha256=" + hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(mac, request.headers["X-Hub-Signature-256"]):
            self.forged += 1
            return web.Response(status=403)
        self.raw.append(body)
        if self.answers:
            return web.Response(status=self.answers.popleft())
        self.got.append(json.loads(body))
        return web.Response()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_route("*", "/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}/hook".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
