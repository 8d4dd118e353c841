"""What benchmarks/accept.py measures the edge against: a bare aiohttp handler, in a process of its own."""

from __future__ import annotations

import asyncio

import uvloop
from aiohttp import web


async def bare() -> None:
    """Reads the body and answers, as the promise says, and nothing else."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application()
    app.router.add_post("/in/{connector}/{account}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(bare())
