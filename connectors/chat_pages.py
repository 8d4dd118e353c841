"""What a browser gets of the web chat by plain requests: the page, the script, and files both ways."""

from __future__ import annotations

import hashlib
import html
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from connectors import media, visitor, webchat
from connectors.edge import Buckets, Edge, NotTaken, bucket_key, client_address, read_body, same_place
from connectors.files import Busy, Sends
from hub import log
from hub.config import Account
from hub.errors import Forged, NotFound, Unavailable

UPLOAD_S = 120.0  # 10 MB over a phone's slow link
_log = log.get("chat")
_STATIC = Path(__file__).parent / "static"

# Pages and files of the chat, whatever they are.
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_PAGE = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {ws}; "
    "img-src 'self' data: blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}


class Pages:
    """They are read once, at the start."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._files = Buckets(edge.limits.visitor_file)
        self._address_files = Buckets(edge.limits.address_file)
        self._sends = Sends(edge.blobs)
        script = (_STATIC / "widget.js").read_bytes()
        self._assets = {
            "widget.js": (script, "text/javascript"),
            "page.css": ((_STATIC / "chat.css").read_bytes(), "text/css"),
        }
        self._page = (_STATIC / "chat.html").read_text("utf-8")

    async def page(self, request: web.Request) -> web.StreamResponse:
        account = account_of(request, self._edge)
        title = str(account.settings.get("title") or account.title)
        page = self._page.replace("{title}", html.escape(title))
        page = page.replace("{account}", html.escape(quote(account.name)))
        ws = "ws" + self._edge.public_url.removeprefix("http")
        headers = _SAFE | _PAGE
        headers["Content-Security-Policy"] = headers["Content-Security-Policy"].replace("{ws}", ws)
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def asset(self, request: web.Request) -> web.StreamResponse:
        account_of(request, self._edge)
        data, content_type = self._assets[request.path.rpartition("/")[2]]
        headers = _SAFE | {
            "Cache-Control": "public, max-age=300",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"',
        }
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        return web.Response(body=data, content_type=content_type, charset="utf-8", headers=headers)

    # ------------------------------------------------------------------------------------------------------ files

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        origin = check_origin(request, self._edge, account_of(request, self._edge))
        return web.Response(status=204, headers=_cors(origin) | {"Access-Control-Max-Age": "600"})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        account = account_of(request, self._edge)
        origin = check_origin(request, self._edge, account)
        who, secret = _holder(request, account)
        if account.settings.get("files") is False:
            return _error(403, "files are not taken here", origin)
        remote = bucket_key(client_address(request, self._edge.trusted_proxies))
        if not (self._address_files.take(remote) and self._files.take(f"{account.key} {who}")):
            return _error(429, "too many files at once; try again in a minute", origin)
        try:
            data = await read_body(request, webchat.FILE_BYTES, UPLOAD_S)
        except NotTaken as refused:
            return _error(refused.status, refused.why, origin)
        verdict = media.inspect(request.query.get("name", ""), data)
        if not data or verdict.refused:
            return _error(415, verdict.refused or "the file is empty", origin)
        try:
            sha = await self._edge.blobs.aput(data)
        except (OSError, Unavailable):
            return _error(503, "the file cannot be kept just now", origin)
        file = visitor.File(sha, verdict.name, len(data), verdict.content_type)
        said = {"file": webchat.file_ref(secret, who, file), "name": file.name, "size": file.size_bytes}
        return web.json_response(said, headers=_cors(origin))

    async def download(self, request: web.Request) -> web.StreamResponse:
        account = account_of(request, self._edge)
        origin = check_origin(request, self._edge, account, needed=False)
        who, secret = _holder(request, account)
        file = webchat.file_of(secret, who, request.match_info["ref"])
        if file is None:
            return _error(404, "there is no such file", origin)
        headers = _SAFE | {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-store",
        }
        kind = file.content_type
        try:
            return await self._sends.send(
                request,
                file.sha256,
                lambda data: web.Response(body=data, content_type=kind, headers=headers | _cors(origin)),
            )
        except Busy:
            return _error(503, "too many files are read just now; try again in a minute", origin)
        except NotFound:
            return _error(404, "there is no such file", origin)
        except (OSError, Unavailable):
            return _error(503, "the file cannot be read just now", origin)


def account_of(request: web.Request, edge: Edge) -> Account:
    """Raises HTTPNotFound."""
    account = edge.accounts().get(f"webchat/{request.match_info['account']}")
    if account is None:
        raise web.HTTPNotFound(text="There is no such chat.")
    return account


def check_origin(request: web.Request, edge: Edge, account: Account, *, needed: bool = True) -> str:
    """The page's origin, if it may hold our chat. A browser always says it where another site could be behind.

    Raises HTTPForbidden.
    """
    origin = request.headers.get("Origin", "")
    if origin and (same_place(origin, edge.public_url) or origin in account.settings.get("origins", ())):
        return origin
    if not origin and not needed:
        return ""
    _log.info("origin refused", account=account.key, origin=origin[:200])
    raise web.HTTPForbidden(text="This page's address is not among the chat's origins.")


def _holder(request: web.Request, account: Account) -> tuple[str, str]:
    try:
        return webchat.holder(request.headers.get("Authorization"), account)
    except Forged:
        raise web.HTTPUnauthorized(text="The visitor's token does not hold.") from None


def _cors(origin: str) -> dict[str, str]:
    if not origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Allow-Methods": "GET, POST",
        "Vary": "Origin",
    }


def _error(status: int, why: str, origin: str) -> web.Response:
    return web.json_response({"error": why}, status=status, headers=_cors(origin))
