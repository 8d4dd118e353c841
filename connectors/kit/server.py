"""A provider that fails on command: one loopback server, one behaviour at a time. Raw sockets, so that it may lie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CAP = 32 * 1024 * 1024  # what an endless answer has at most
MOST_READ = 16 * 1024 * 1024  # more of it than this, beyond what the sockets hold, was read by somebody


@dataclass(frozen=True, kw_only=True)
class Act:
    """What the server does with a request. Of `answer`, only `bytes_of_it` are sent where that is given.

    reads: the request is read first. hangs: nothing is answered, and the connection stays. endless: the answer's body
    goes on until somebody hangs up.
    """

    answer: bytes = b""
    reads: bool = True
    hangs: bool = False
    endless: bool = False


@dataclass
class Provider:
    """url: where it listens. requests: what it was sent: request line, and head with body."""

    url: str
    act: Act = field(default_factory=Act)
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    endless_bytes: int = 0
    answering: Callable[[str], Act] | None = None


def answer(status: int, body: bytes, content_type: str = "application/json", **headers: str) -> bytes:
    """A whole HTTP/1.1 answer. `Retry_After` is the header Retry-After."""
    given = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status} As told\r\n{head}\r\n".encode() + body


@asynccontextmanager
async def serve() -> AsyncIterator[Provider]:
    provider = Provider("")
    held: set[asyncio.StreamWriter] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.add(writer)
        try:
            await _take(provider, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            held.discard(writer)
            writer.transport.abort() if not provider.act.answer else writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
        for writer in held:
            writer.transport.abort()
        await asyncio.sleep(0)
        await server.wait_closed()


async def _take(provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    act = provider.act
    if not act.reads:
        provider.requests.append(("?", b""))
        return
    head = await reader.readuntil(b"\r\n\r\n")
    line = head.partition(b"\r\n")[0].decode("latin-1")
    provider.requests.append((line, head + await _body(reader, head)))
    if provider.answering is not None:
        act = provider.answering(line)
    if act.hangs:
        await reader.read()  # until they give up
        return
    writer.write(act.answer)
    await writer.drain()
    if act.endless:
        while provider.endless_bytes < CAP:
            writer.write(b" " * 65_536)
            await writer.drain()
            provider.endless_bytes += 65_536


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body
    return await reader.readexactly(int(headers.get(b"content-length", b"0")))


async def nobody() -> str:
    """An address at which certainly nobody listens: a port that was just given and given back."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    return url
