"""Files behind links that end (hub/links.py): for providers who fetch what a message carries, and for customers.

Whoever has no link that holds learns nothing: what is forged, what has ended and what is gone are the same 404.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from connectors.edge import Buckets, Edge, bucket_key, client_address
from hub import links, log, showing
from hub.errors import NotFound, Unavailable

AT_ONCE = 4  # files being read and checked
MOST = 64  # answers on their way, each with a file in memory
READ_S = 120.0  # of waiting for those and for the disk or the bucket
SEND_S = 300.0  # a slow reader has so long
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "cross-origin",  # chats show these pictures
}
_log = log.get("edge")


class Files:
    """The route. Limited by address like all else: links that do not hold count as bad requests."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._requests = Buckets(edge.limits.file)
        self._bad = Buckets(edge.limits.bad)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._sending = 0

    async def get(self, request: web.Request) -> web.StreamResponse:
        edge = self._edge
        counted_by = bucket_key(client_address(request, edge.trusted_proxies))
        if self._bad.spent(counted_by) or not self._requests.take(counted_by):
            edge.count("limited", "")
            return _no(429, "Too many requests; come again later.", {"Retry-After": "10"})
        asked = request.match_info
        linked = edge.links and edge.links.read(asked["token"], asked["name"], edge.clock())
        if not linked:
            self._bad.take(counted_by)
            edge.count("unknown", "")
            return _gone()
        if self._sending >= MOST:
            return _no(503, "Too many files are read just now; come again later.", {"Retry-After": "10"})
        self._sending += 1
        try:
            async with asyncio.timeout(READ_S):
                async with self._room:
                    data = await edge.blobs.read(linked.sha256)
        except NotFound:
            return _gone()
        except (Unavailable, OSError) as error:
            _log.error("file not there", why=str(error) or type(error).__name__)
            return _no(503, "The file cannot be read now; come again later.", {"Retry-After": "30"})
        else:
            return await self._send(request, linked, data)
        finally:
            self._sending -= 1

    async def _send(self, request: web.Request, linked: links.Linked, data: bytes) -> web.StreamResponse:
        shown = showing.shown_as(data[: showing.HEAD_BYTES], linked.content_type)
        headers = {
            **_HEADERS,
            "Content-Type": shown or showing.OCTETS,
            "Content-Disposition": showing.disposition("inline" if shown else "attachment", linked.name),
            "Content-Security-Policy": (showing.LOCKED_PDF if shown == "application/pdf" else showing.LOCKED),
            "Cache-Control": "private, max-age=300",
            "Accept-Ranges": "bytes",
        }
        try:
            part = showing.part(request.headers.get("Range"), len(data))
        except ValueError:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
        if part is not None:
            first, behind = part
            headers["Content-Range"] = f"bytes {first}-{behind - 1}/{len(data)}"
            data = data[first:behind]
        response = web.Response(status=200 if part is None else 206, body=data, headers=headers)
        try:
            async with asyncio.timeout(SEND_S):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if (
                request.transport is not None
            ):  # or what they did not read would stay in memory as long as they like
                request.transport.abort()
        except ConnectionError:
            pass  # they have seen enough, as players of films often have
        return response


def _gone() -> web.Response:
    return _no(404, "There is no such file, or the link has ended.", {})


def _no(status: int, words: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status, text=words + "\n", headers={**_HEADERS, "Cache-Control": "no-store", **headers}
    )


def add(app: web.Application, edge: Edge) -> None:
    """Its one route; there is no listing."""
    app.router.add_get(links.PATH + "/{token:[^/]{1,400}}/{name:[^/]{1,400}}", Files(edge).get)
