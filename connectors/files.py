"""Files behind links that end (hub/links.py): for providers who fetch what a message carries, and for customers.

Whoever has no link that holds learns nothing: what is forged, what has ended and what is gone are the same 404.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from connectors.base import BlobReader
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


class Busy(Exception):
    """As many files are on their way as may be."""


class Sends:
    """Files on their way to readers, each of them in memory: MOST at once, and a slow reader has SEND_S."""

    def __init__(self, blobs: BlobReader) -> None:
        self._blobs = blobs
        self._room = asyncio.Semaphore(AT_ONCE)
        self.under_way = 0

    async def send(
        self, request: web.Request, sha256: str, answer: Callable[[bytes], web.Response]
    ) -> web.StreamResponse:
        """What `answer` makes of the file. Raises Busy, NotFound, Unavailable or OSError before anything has left."""
        if self.under_way >= MOST:
            raise Busy
        self.under_way += 1
        try:
            async with asyncio.timeout(READ_S):
                async with self._room:
                    data = await self._blobs.read(sha256)
            return await self._out(request, answer(data))
        finally:
            self.under_way -= 1

    @staticmethod
    async def _out(request: web.Request, response: web.Response) -> web.StreamResponse:
        try:
            async with asyncio.timeout(SEND_S):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:  # what they did not read would stay in memory as long as they like
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # they have seen enough, as players of films often have
        return response


class Files:
    """The route. Limited by address like all else: links that do not hold count as bad requests."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self.sends = Sends(edge.blobs)
        self._requests = Buckets(edge.limits.file)
        self._bad = Buckets(edge.limits.bad)

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
        try:
            return await self.sends.send(request, linked.sha256, lambda data: _answer(request, linked, data))
        except Busy:
            return _no(503, "Too many files are read just now; come again later.", {"Retry-After": "10"})
        except NotFound:
            return _gone()
        except (Unavailable, OSError) as error:
            _log.error("file not there", why=str(error) or type(error).__name__)
            return _no(503, "The file cannot be read now; come again later.", {"Retry-After": "30"})


def _answer(request: web.Request, linked: links.Linked, data: bytes) -> web.Response:
    shown = showing.shown_as(data[: showing.HEAD_BYTES], linked.content_type)
    headers = {
        **_HEADERS,
        "Content-Type": shown or showing.OCTETS,
        "Content-Disposition": showing.disposition("inline" if shown else "attachment", linked.name),
        "Content-Security-Policy": (showing.LOCKED_PDF if shown == "application/pdf" else showing.LOCKED),
        "Cache-Control": "private, max-age=300",
        "Accept-Ranges": "bytes",
    }
    status, more, body = showing.asked(request.headers.get("Range"), data)
    return web.Response(status=status, body=body, headers=headers | more)


def _gone() -> web.Response:
    return _no(404, "There is no such file, or the link has ended.", {})


def _no(status: int, words: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status, text=words + "\n", headers={**_HEADERS, "Cache-Control": "no-store", **headers}
    )


def add(app: web.Application, edge: Edge) -> None:
    """Its one route; there is no listing."""
    app.router.add_get(links.PATH + "/{token:[^/]{1,400}}/{name:[^/]{1,400}}", Files(edge).get)
