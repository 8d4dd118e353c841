"""The aiohttp edge: what comes in over HTTP is verified, parsed, put on disk, and only then answered.

`serve` starts it as it should run; `build_app` is the application alone. Requests to /in/ take a short way of their
own past aiohttp's router: at several thousand a second every layer counts (benchmarks/accept.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDictProxy

from connectors import CONNECTORS, chat, files
from connectors.answering import refusal, told
from connectors.base import Connector, Parsed, Raw
from connectors.edge import Buckets, Edge, NotTaken, bucket_key, client_address, read_body, read_whole
from hub import links, log
from hub.config import Account
from hub.errors import Forged, Malformed, Unavailable
from hub.model import Unreadable

EDGE: web.AppKey[Edge] = web.AppKey("edge", Edge)
KEEPALIVE_S = (
    75.0  # longer than a reverse proxy keeps its side (nginx: 60), or it sends into a closed connection
)
LINGER_S = 2.0  # how long the rest of a refused body is read away, so that the refusal can be read

_log = log.get("edge")


class Inbox:
    """The way in: /in/{connector}/{account}."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._requests = Buckets(edge.limits.request)
        self._bad = Buckets(edge.limits.bad)
        self._accounts = Buckets(edge.limits.account)

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        edge = self._edge
        path = request.raw_path
        if not path.startswith("/"):  # the absolute form, which only proxies need (RFC 9112, 3.2.2)
            path = request.rel_url.raw_path_qs
        remote = client_address(request, edge.trusted_proxies)
        counted_by = bucket_key(remote)
        if self._bad.spent(counted_by) or not self._requests.take(counted_by):
            edge.count("limited", "")
            return refusal(429, "too many requests; come again later", {"Retry-After": "10"})
        connector, account, key = self._addressee(path)
        if connector is None:
            edge.count("unknown", "")
            return refusal(404, "there is no such channel")
        if account is None:
            return self._no_account(connector, key, counted_by, request)
        if request.method not in connector.methods:
            return refusal(405, "this address takes no such request", {"Allow": ", ".join(connector.methods)})
        try:
            body = read_whole(request, edge.body_limit_bytes)
            if body is None:
                body = await read_body(request, edge.body_limit_bytes, edge.body_s)
        except NotTaken as refused:
            edge.count("too_large" if refused.status == 413 else "slow", key)
            return refusal(refused.status, refused.why, close=True)
        raw = Raw(
            method=request.method,
            url=edge.public_url + path,
            headers=_Headers(request.headers),
            body=body,
            received_at=edge.clock(),
            remote=remote,
        )
        try:
            connector.verify(raw, account)
        except Forged as forged:
            self._bad.take(counted_by)
            edge.count("forged", key)
            _log.info("forged", account=key, why=str(forged))
            return refusal(connector.bad_signature, str(forged))
        if not self._accounts.take(key):
            edge.count("limited", key)
            return told(connector.unavailable, request)
        return await self._keep(connector, account, raw, request)

    async def _keep(
        self, connector: Connector, account: Account, raw: Raw, request: web.BaseRequest
    ) -> web.StreamResponse:
        edge = self._edge
        outcome = "accepted"
        try:
            parsed = connector.parse(raw, account)
        except Exception as error:  # a parser's bug must not cost a customer's message
            if not isinstance(error, Malformed):
                _log.exception("parser failed", account=account.key)
            reason = str(error) if isinstance(error, Malformed) else f"our fault: {type(error).__name__}"
            parsed, outcome = unreadable(raw, account, reason), "unreadable"
        try:
            for blob in parsed.blobs:
                await edge.blobs.aput(blob)
            if parsed.events:
                await edge.accept(parsed.events)
        except (Unavailable, OSError) as error:
            edge.count("unavailable", account.key)
            _log.error("not kept", account=account.key, why=str(error) or type(error).__name__)
            return told(connector.unavailable, request)
        edge.count(outcome, account.key)
        return told(connector.answer(raw, account, parsed), request)

    def _addressee(self, path: str) -> tuple[Connector | None, Account | None, str]:
        """(connector, account, account's key) of /in/{connector}/{account}; anything after is the connector's own."""
        name, key = _named(path.partition("?")[0])
        if not key:
            return None, None, ""
        return CONNECTORS.get(name), self._edge.accounts().get(key), key

    def _no_account(
        self, connector: Connector, key: str, counted_by: str, request: web.BaseRequest
    ) -> web.StreamResponse:
        if key in self._edge.troubles():
            # It is ours but cannot work just now: whoever sends keeps it and comes again.
            self._edge.count("unavailable", key)
            return told(connector.unavailable, request)
        self._bad.take(counted_by)
        self._edge.count("unknown", "")
        _log.warning("unknown account", connector=connector.name)
        return refusal(connector.unknown_account, "there is no such account")


@lru_cache(maxsize=1024)
def _named(path: str) -> tuple[str, str]:
    """(connector's name, account's key) in a path; empty where it is not ours. The same few all the time."""
    parts = path.split("/")
    if len(parts) < 4 or parts[1] != "in":
        return "", ""
    return parts[2], f"{parts[2]}/{unquote(parts[3]) if '%' in parts[3] else parts[3]}"


def unreadable(raw: Raw, account: Account, reason: str) -> Parsed:
    """What is kept of a verified request that no parser understands. The same bytes give the same event key."""
    sha = hashlib.sha256(raw.body).hexdigest()
    event = Unreadable(
        account=account.key,
        event_key=f"unreadable:{sha}",
        received_at=raw.received_at,
        reason=reason,
        blob=sha,
        content_type=(raw.header("content-type") or "application/octet-stream")[:120],
    )
    return Parsed(events=(event,), blobs=(raw.body,))


class _Headers(Mapping[str, Sequence[str]]):
    """Raw's view of a request's headers: lower-case names, every value of a repeated one. Built only where read."""

    __slots__ = ("_given",)

    def __init__(self, given: CIMultiDictProxy[str]) -> None:
        self._given = given

    def __getitem__(self, name: str) -> Sequence[str]:
        return self._given.getall(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self._given.getall(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name in self._given))

    def __len__(self) -> int:
        return len({name.lower() for name in self._given})


# ------------------------------------------------------------------------------------------------ the application


INBOX: web.AppKey[Inbox] = web.AppKey("inbox", Inbox)


def build_app(edge: Edge) -> web.Application:
    """The edge as an application: /in/…, the chat's pages, /healthz, /readyz. More routes may be added to it."""
    app = web.Application(client_max_size=edge.body_limit_bytes)
    inbox = Inbox(edge)
    app[EDGE] = edge
    app[INBOX] = inbox
    app.router.add_route("*", "/in/{connector}/{account}", inbox.take)
    app.router.add_route("*", "/in/{connector}/{account}/{rest:.*}", inbox.take)
    app.router.add_get("/healthz", _looks(edge.health))
    app.router.add_get("/readyz", _looks(edge.ready))
    chat.add(app, edge)
    files.add(app, edge)
    app.on_response_prepare.append(_no_server_name)
    return app


def _looks(look: Any) -> Any:
    async def handler(request: web.Request) -> web.StreamResponse:
        parts = await look()
        well = not any(parts.values())
        body = json.dumps({"ok": well, "parts": {k: v or "ok" for k, v in parts.items()}})
        return web.Response(text=body, status=200 if well else 503, content_type="application/json")

    return handler


async def _no_server_name(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)


# ------------------------------------------------------------------------------------------------ how it is served


class _Connection(web.RequestHandler):
    """One connection; closed when no request has come after `header_s`. Errors are told without their inside."""

    __slots__ = ("_header_s",)

    def __init__(self, manager: web.Server, *, header_s: float, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._header_s = header_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._loop.call_later(self._header_s, self._first_request_due)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called for every body that was read, held up or not: the parser is then asked for what it does not have."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    def _first_request_due(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise exc  # who asked has gone, a page that is closed for one: aiohttp lets go of it
        if status >= 500:
            # Behind a link to a file its address is all that it takes to have the file.
            path = links.PATH if request.path.startswith(links.PATH) else request.path
            _log.error("request failed", path=path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had already begun")
        why = "the request is not HTTP as we read it" if status < 500 else "something went wrong here"
        return refusal(status, why, close=True)


class _Server(web.Server):
    """Takes /in/ past the router, and makes connections of our own kind."""

    def __init__(self, app: web.Application, *, header_s: float, **kwargs: Any) -> None:
        inbox = app[INBOX]
        through_router = app._handle

        def handle(request: web.BaseRequest) -> Coroutine[Any, Any, web.StreamResponse]:
            if request.raw_path.startswith("/in/") and "Expect" not in request.headers:
                return inbox.take(request)
            return through_router(cast(web.Request, request))

        super().__init__(handle, request_factory=app._make_request, **kwargs)
        self._header_s = header_s

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, header_s=self._header_s, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's AppRunner over the edge's own server: no access log, bodies as they were sent."""

    def __init__(self, app: web.Application, **kwargs: Any) -> None:
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            **kwargs,
        )

    async def _make_server(self) -> web.Server:
        loop = asyncio.get_running_loop()
        self.app._set_loop(loop)
        self.app.on_startup.freeze()
        await self.app.startup()
        self.app.freeze()
        kwargs = {k: v for k, v in self._kwargs.items() if k != "access_log_class"}
        return _Server(self.app, header_s=self.app[EDGE].header_s, loop=loop, **kwargs)


@asynccontextmanager
async def serve(
    app: web.Application, host: str, port: int, *, sock: socket.socket | None = None, shutdown_s: float = 10.0
) -> AsyncIterator[str]:
    """Serve `app` while the block runs; yields the address it listens on. Port 0 takes a free one."""
    runner = Runner(app, shutdown_timeout=shutdown_s)
    await runner.setup()
    try:
        site: web.BaseSite = (
            web.SockSite(runner, sock) if sock else web.TCPSite(runner, host, port, backlog=2048)
        )
        await site.start()
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()
