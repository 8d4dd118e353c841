"""A provider on 127.0.0.1, in the loop of the test or in a thread of its own: it fails on command and calls back.

`async with Provider() as p` in this loop; `with Provider() as p` in a thread, where `p.run(ann.says("Hi"))` does what
`await` would; `p.do(lambda: …)` for plain calls.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

T = TypeVar("T")
BEFORE: Final = ("error", "html", "deaf", "cut")  # nothing is done
AFTER: Final = ("hang", "lost", "truncated", "slow")  # it is done, and the answer suffers
HTML: Final = "<html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>"
TIMED_OUT: Final = "rt"
NO_CONNECTION: Final = "ct"


@dataclass(kw_only=True)
class Order:
    """One command of `fail`."""

    next: str
    how: str
    status: int
    code: int
    message: str
    to: str
    times: int
    retry_after: int | None
    after_s: float


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it was understood. operation: the name that `fail(next=…)` knows. to: whom it is for."""

    operation: str
    to: str
    method: str
    path: str
    params: dict[str, Any]
    headers: dict[str, str]


@dataclass(kw_only=True)
class Heard:
    """What our webhook answered. problem: "" or why there was no answer (`NO_CONNECTION`, `TIMED_OUT`)."""

    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


class Local:
    """requests: all that was asked, in order. patience_s: real seconds it waits for the answer of a webhook."""

    def __init__(self, *, port: int = 0, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self.url = ""
        self.requests: list[Asked] = []
        self.patience_s = 10.0
        self._orders: list[Order] = []
        self._offset = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()

    # --------------------------------------------------------------------------------------------- for the subclass

    async def understand(self, request: web.Request) -> Asked:
        raise NotImplementedError

    async def answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        raise NotImplementedError

    def error(self, order: Order) -> web.Response:
        """How this provider words the failure that was ordered."""
        raise NotImplementedError

    async def opened(self) -> None:
        """It listens, and `url` is known."""

    # ------------------------------------------------------------------------------------------------- start, stop

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()
        self._session = aiohttp.ClientSession(auto_decompress=False)
        self._runners: list[web.AppRunner] = []
        self.url = await self.listen(self._take, self.port)
        await self.opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        tasks = [one for one in self._tasks if not one.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        await self._session.close()

    def __enter__(self) -> Self:
        self._up, self._leave = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._live_in_thread, daemon=True)
        self._thread.start()
        assert self._up.wait(60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(60)

    def _live_in_thread(self) -> None:
        async def live() -> None:
            async with self:
                self._up.set()
                await self._leave.wait()

        asyncio.run(live())

    async def listen(
        self, handler: Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]], port: int = 0
    ) -> str:
        """One more port that takes everything; its address."""
        app = web.Application(client_max_size=128 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, self.host, port).start()
        self._runners.append(runner)
        return "http://{}:{}".format(*runner.addresses[0][:2])

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """From another thread: `work` in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def do(self, work: Callable[[], T]) -> T:
        """From another thread: a plain call in the server's loop."""

        async def done() -> T:
            return work()

        return self.run(done())

    def background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Until nothing that the provider began by itself is under way."""
        while under_way := [one for one in self._tasks if not one.done()]:
            await asyncio.gather(*under_way, return_exceptions=True)

    # -------------------------------------------------------------------------------------------------------- time

    def now(self) -> float:
        """Seconds since 1970, as the provider counts them."""
        return time.time() + self._offset

    def passes(self, seconds: float) -> None:
        """So much time goes by at once."""
        self._offset += seconds

    # ----------------------------------------------------------------------------------------------------- failing

    def fail(
        self,
        next: str = "*",  # noqa: A002
        *,
        how: str = "error",
        status: int = 0,
        code: int = 0,
        message: str = "",
        to: str = "",
        times: int = 1,
        retry_after: int | None = None,
        after_s: float = 0.0,
    ) -> None:
        """The next `times` calls (-1: all, until `mend`) of the operation `next` (or "*"), and to `to` alone, go wrong.

        how, with nothing done: "error" (the provider's JSON, of `status` and `code`), "html" (a page with `status`),
        "deaf" (no answer until `release`), "cut" (the connection is reset). With the work done: "hang" (no answer until
        `release`), "lost" (reset before the answer), "truncated" (200 and half of the JSON), "slow" (after `after_s`).
        """
        assert how in BEFORE + AFTER
        self._orders.append(
            Order(
                next=next, how=how, status=status, code=code, message=message, to=to,
                times=times if times > 0 else 1_000_000_000, retry_after=retry_after, after_s=after_s,
            )
        )  # fmt: skip

    def mend(self) -> None:
        """Forget every order, and let what hangs go."""
        self._orders.clear()
        self.release()

    def release(self) -> None:
        """What hangs goes on."""
        released, self._released = self._released, asyncio.Event()
        self._loop.call_soon_threadsafe(released.set)

    def _order(self, asked: Asked) -> Order | None:
        for order in self._orders:
            if order.next in ("*", asked.operation) and order.to in ("", asked.to) and order.times > 0:
                order.times -= 1
                return order
        return None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        asked = await self.understand(request)
        self.requests.append(asked)
        order = self._order(asked)
        if order is None:
            return await self.answer(request, asked)
        if order.how == "error":
            return self.error(order)
        if order.how == "html":
            return web.Response(status=order.status or 503, text=HTML, content_type="text/html")
        if order.how in ("deaf", "cut"):
            return await self._silent(request, wait=order.how == "deaf")
        response = await self.answer(request, asked)
        if order.how == "slow":
            await asyncio.sleep(order.after_s)
            return response
        if order.how == "truncated":
            return await _truncated(request, response)
        return await self._silent(request, wait=order.how == "hang")

    async def _silent(self, request: web.Request, *, wait: bool) -> web.Response:
        if wait:
            await self._released.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    # ------------------------------------------------------------------------------------------------ calling back

    async def call(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        headers: dict[str, str],
        wait_s: float | None = None,
    ) -> Heard:
        """One request to a webhook of ours, its address byte for byte (it is signed); redirects are not followed."""
        limits = aiohttp.ClientTimeout(total=wait_s or self.patience_s)
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=limits,
            ) as answer:
                said = await answer.read()
        except TimeoutError:
            return Heard(problem=TIMED_OUT)
        except aiohttp.ClientConnectorError:
            return Heard(problem=NO_CONNECTION)
        except aiohttp.ClientError:
            return Heard(problem=TIMED_OUT)  # the connection broke before the answer
        return Heard(
            status=answer.status, body=said, headers={k.lower(): v for k, v in answer.headers.items()}
        )


async def _truncated(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b"{}"
    response = web.StreamResponse(
        status=whole.status, headers={"Content-Type": "application/json", "Content-Length": str(len(body))}
    )
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
