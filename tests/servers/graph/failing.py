"""Failing on command."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

HOWS = ("", "hang", "cut", "truncated", "html")
PAGE = "<html><head><title>Sorry, something went wrong.</title></head><body>Sorry, something went wrong.</body></html>"


@dataclass(kw_only=True)
class Failure:
    """What happens instead of an answer; `times` so often. See `Graph.fail`."""

    code: int | None
    subcode: int | None
    status: int | None
    details: str
    how: str
    accepted: bool
    at: str
    account: str
    to: str
    times: int
    retry_after: int | None
    regain_minutes: int
    after_s: float

    def meets(self, at: str, account: str, to: str) -> bool:
        return (
            self.times > 0 and self.at in ("*", at) and self.account in ("", account) and self.to in ("", to)
        )


async def broken(
    request: web.Request, failure: Failure, good: bytes, released: asyncio.Event
) -> web.StreamResponse:
    """The answer of one that is not a plain error. good: the body that would have been said."""
    assert request.transport is not None
    if failure.how == "hang":
        await released.wait()
        request.transport.abort()
        return web.Response()
    if failure.how == "cut":
        request.transport.abort()
        return web.Response()
    if failure.how == "truncated":
        answer = web.StreamResponse(
            status=200, headers={"Content-Type": "application/json", "Content-Length": str(len(good))}
        )
        await answer.prepare(request)
        await answer.write(good[: len(good) // 2])
        request.transport.close()
        return answer
    return web.Response(status=failure.status or 502, text=PAGE, content_type="text/html")
