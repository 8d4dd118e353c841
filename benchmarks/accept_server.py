"""The two processes that benchmarks/accept.py loads: the edge as it runs, and a bare aiohttp handler beside it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiohttp import web

from connectors.edge import Edge, Limit, Limits
from connectors.web import build_app, serve
from hub.blobs import Blobs
from hub.config import Account
from hub.inlet import Inlet, ProducerReport
from hub.journal import Journal
from hub.redis import connect_async, connect_writer

SECRET = "benchmark-secret"
ACCOUNT = Account(
    key="webhook/bench",
    connector="webhook",
    name="bench",
    brand="main",
    title="Benchmark",
    secrets={"signing": (SECRET,)},
)


PLENTY = Limit(per_s=100_000, burst=1_000_000)  # counted as ever; one address sends all of it here


class NoStore:
    """Nothing is known, so the journal keeps all of it and the run can count it."""

    async def known(self, producer: str, seqs: Sequence[int]) -> set[int]:
        return set()

    async def report(self, report: ProducerReport) -> None:
        return None


class EdgeBlobs:
    def __init__(self, blobs: Blobs) -> None:
        self.read = blobs.aread
        self.aput = blobs.aput


async def edge(folder: Path, redis_url: str) -> None:
    journal = Journal.open(folder / "journal")
    inlet = Inlet(journal, connect_writer(redis_url), NoStore())
    known = {ACCOUNT.key: ACCOUNT}
    app = build_app(
        Edge(
            accounts=lambda: known,
            accept=inlet.accept,
            blobs=EdgeBlobs(Blobs(folder / "blobs")),
            public_url="http://127.0.0.1",
            redis=connect_async(redis_url),
            limits=Limits(request=PLENTY, account=PLENTY),
        )
    )
    pump = asyncio.create_task(inlet.run())
    async with serve(app, "127.0.0.1", 0) as url:
        print(url, flush=True)
        await pump


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
    work = bare() if sys.argv[1] == "bare" else edge(Path(sys.argv[2]), sys.argv[3])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
