"""The desk as one aiohttp application, on its own port and so its own origin."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler as AnyHandler
from sqlalchemy import Connection, text

from desk.web import (
    auth,
    conversation,
    files,
    lists,
    live,
    mail,
    mending,
    oversight,
    people,
    raw,
    render,
    why,
)
from desk.web.context import DESK, FRAMED, REQUEST_ID, Need, Route, WebDesk
from hub import log
from hub.errors import Conflict, MainstemError, NotFound, Refused, Unavailable

__all__ = ["WebDesk", "build_app"]

BODY_LIMIT = 32 * 1024 * 1024  # a reply with its files; each channel's own limits are checked after that

CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"

STATUS: dict[type[MainstemError], int] = {NotFound: 404, Conflict: 409, Refused: 403, Unavailable: 503}
WORDS = {
    403: "You may not do that.",
    404: "There is no such page.",
    405: "That cannot be done this way.",
    413: "That is too big: 32 MB is the most that one form may carry.",
    500: "Something broke here. It was written down.",
}

_log = log.get("desk.web")


async def healthz(request: web.Request) -> web.Response:
    """This process answers."""
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.Response:
    """And it reaches the store."""

    def look(tx: Connection) -> None:
        tx.execute(text("SELECT 1"))

    try:
        await request.app[DESK].read(look)
    except MainstemError as error:
        return web.Response(status=503, text=f"{error}\n")
    return web.Response(text="ok\n")


ROUTES: tuple[Route, ...] = (
    *auth.ROUTES,
    *lists.ROUTES,
    *conversation.ROUTES,
    *mending.ROUTES,
    *why.ROUTES,
    *people.ROUTES,
    *oversight.ROUTES,
    *files.ROUTES,
    *mail.ROUTES,
    *raw.ROUTES,
    *live.ROUTES,
    Route("GET", "/static/{hash}/{name}", render.static, Need.ANYONE),
    Route("GET", "/healthz", healthz, Need.ANYONE),
    Route("GET", "/readyz", readyz, Need.ANYONE),
)


@web.middleware
async def frame(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
    """Around everything: a request id, one line in the log, every error as a sentence."""
    request[REQUEST_ID] = secrets.token_hex(6)
    began = time.perf_counter()
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _http_error(request, error)
    except MainstemError as error:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
        response = _sentence(request, status, str(error))
    except Exception:  # the one broad catch: a person sees a page, the log has it all
        _log.exception("broken", request=request[REQUEST_ID], route=_route(request))
        response = _sentence(request, 500, WORDS[500])
    if response.status >= 400:
        # The route, never the path: a path may hold a log-in token.
        _log.info(
            "refused",
            request=request[REQUEST_ID],
            status=response.status,
            route=_route(request),
            ms=round((time.perf_counter() - began) * 1000),
        )
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else '?'}"


def _http_error(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    if error.status < 400:
        return web.Response(status=error.status, headers={"Location": error.headers["Location"]})
    own = error.text or ""
    words = own if own and own != f"{error.status}: {error.reason}" else WORDS.get(error.status, error.reason)
    response = _sentence(request, error.status, words)
    for name in ("Allow", "Retry-After"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


def _sentence(request: web.Request, status: int, words: str) -> web.Response:
    with contextlib.suppress(Exception):  # a page that says what is wrong must not itself go wrong
        return render.html(request, "sentence.html", status, words_said=words, request_id=request[REQUEST_ID])
    return web.Response(status=status, text=f"{words}\n({request[REQUEST_ID]})\n")


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    if request.get(FRAMED):
        response.headers.setdefault("Content-Security-Policy", f"{CSP}; frame-src 'self'")
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["X-Request-Id"] = request.get(REQUEST_ID, "-")
    if auth.secure(request.app[DESK]):
        response.headers["Strict-Transport-Security"] = HSTS
    response.headers["Server"] = "mainstem"


async def _background(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[live.LIVE].run(), name="desk-live")
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    app[DESK].call.close()
    app[DESK].login_call.close()


async def _shutdown(app: web.Application) -> None:
    app[live.LIVE].close()


def build_app(desk: WebDesk) -> web.Application:
    """The desk, ready to be served. The store, Redis and blobs stay the caller's to close.

    Serve it without an access log (paths hold log-in tokens), for example with
    `web.AppRunner(app, access_log=None, shutdown_timeout=5)`.
    """
    app = web.Application(middlewares=[frame, auth.guard], client_max_size=BODY_LIMIT)
    app[DESK] = desk
    app[live.LIVE] = live.Live(desk)
    app[auth.TRIES] = auth.Tries()
    needs: dict[tuple[str, str], Need] = {}
    for route in ROUTES:
        added = app.router.add_route(route.method, route.path, route.handler)
        if route.method == "GET" and route.path != "/live":
            app.router.add_route("HEAD", route.path, route.handler)
        assert added.resource is not None
        needs[route.method, added.resource.canonical] = route.need
    app[auth.NEEDS] = needs
    app.on_response_prepare.append(_headers)
    app.on_shutdown.append(_shutdown)
    app.cleanup_ctx.append(_background)
    return app
