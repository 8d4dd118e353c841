"""A provider's HTTP server on 127.0.0.1: it records what it is sent, and fails on command."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import web

from tests.servers.threaded import Threaded


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it arrived. Header names in lower case; of a repeated header the last value."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Say:
    """One answer. hang: nothing comes until `release()`. cut: the connection breaks, "before" the answer or in its
    "body". after_s: takes that long, as a slow provider does."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    cut: str = ""
    after_s: float = 0.0


Check = Callable[[Seen], Say | None]


class Provider(Threaded):
    """`with Provider() as provider: ...`; answers are taken from `queue` in order, then `default` for ever.

    check: looks at every request as strictly as the provider would; what it returns is said instead.
    """

    def __init__(
        self, *answers: Say, default: Say | None = None, check: Check | None = None, host: str = "127.0.0.1"
    ) -> None:
        super().__init__()
        self.queue: deque[Say] = deque(answers)
        self.default = default or Say()
        self.check = check
        self.seen: list[Seen] = []
        self.connections = 0
        self.url = ""
        self._host = host
        self._released = asyncio.Event()

    def answers(self, answers: Iterable[Say]) -> None:
        self.queue.extend(answers)

    def release(self) -> None:
        """Let every hanging answer go."""
        self._loop.call_soon_threadsafe(self._released.set)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers={k.lower(): v for k, v in request.headers.items()},
            body=await request.read(),
        )
        self.seen.append(seen)
        say = (self.check(seen) if self.check else None) or (
            self.queue.popleft() if self.queue else self.default
        )
        if say.after_s:
            await asyncio.sleep(say.after_s)
        if say.hang:
            await self._released.wait()
        assert request.transport is not None
        if say.cut == "before":
            request.transport.abort()
            return web.Response()
        if say.cut == "body":
            response = web.StreamResponse(status=say.status, headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(say.body)
            request.transport.close()
            return response
        return web.Response(status=say.status, body=say.body, headers=say.headers)

    async def _serve(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, self._host, 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._up.set()
        await self._stop.wait()
        self._released.set()
        await runner.cleanup()
