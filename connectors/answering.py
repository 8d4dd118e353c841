"""What the edge says back: a connector's answer in one piece, or why a request was not taken."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

from connectors.base import Answer


class Reply(web.Response):
    """A response that does not tell which server made it."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class Told(web.StreamResponse):
    """A connector's answer, written in one piece: half of what aiohttp's own response costs is finding out its headers.

    For HTTP/1.1 with the connection kept, as providers speak; everything else goes through Reply.
    """

    _reason = ""
    _keep_alive = True

    def __init__(self, answer: Answer) -> None:
        # Not the base's: its headers, its reason and its cookies are asked for by nobody, and cost 2 µs.
        self._status = answer.status
        self._answer = answer

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self._payload_writer is not None:
            return self._payload_writer
        self._payload_writer = writer = request.writer
        answer = self._answer
        whole = b"%b%d\r\nDate: %b\r\n\r\n%b" % (
            _head(answer.status, answer.content_type),
            len(answer.body),
            _date(int(time.time())),
            answer.body,
        )
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("nobody is there any more")
        transport.write(whole)
        writer.output_size += len(whole)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        self._eof_sent = True


@lru_cache(maxsize=1)
def _date(_second: int) -> bytes:
    return rfc822_formatted_time().encode()


@lru_cache(maxsize=64)
def _head(status: int, content_type: str) -> bytes:
    reason = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: ".encode()


def told(answer: Answer, request: web.BaseRequest) -> web.StreamResponse:
    if request.keep_alive and request.version == HttpVersion11 and not answer.headers:
        return Told(answer)
    reply = Reply(body=answer.body, status=answer.status, content_type=answer.content_type)
    if answer.headers:
        reply.headers.update(answer.headers)
    return reply


def refusal(
    status: int, why: str, headers: Mapping[str, str] | None = None, *, close: bool = False
) -> web.StreamResponse:
    """`status` may be 200 where a provider must not be told no."""
    reply = Reply(
        body=json.dumps({"error": why}).encode(),
        status=status,
        content_type="application/json",
        headers=headers,
    )
    if close:
        reply.force_close()
    return reply
