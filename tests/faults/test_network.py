"""F24: the network between two parts is slow, silent, cut off, or keeps connections that nobody is behind any more."""

import asyncio

import pytest

from tests.faults.installation import Installation
from tests.faults.proxy import Proxy
from tests.servers.postgres import Postgres


@pytest.mark.slow
async def test_f24_between_everybody_and_redis(hub: Installation) -> None:
    with Proxy(hub.valkey.port) as net:
        hub.settings["REDIS_URL"] = f"redis://127.0.0.1:{net.port}/0"
        hub.start("web", "router", "worker", "clock")
        await hub.ready()
        load = asyncio.create_task(hub.load(2000, per_s=100, people=40))
        await asyncio.sleep(2)
        said = await asyncio.to_thread(hub.answer, prefix="slow")
        net.delay_s = 0.15
        await asyncio.sleep(3)
        net.delay_s = 0.0
        for _ in range(3):
            net.reset()
            await asyncio.sleep(0.5)
        said += await asyncio.to_thread(hub.answer, prefix="cut")
        net.silent = True
        await asyncio.sleep(4)
        net.silent = False  # what was sent into the silence arrives late, after it was sent again
        await asyncio.sleep(2)
        net.strand()
        done = await load
        assert len(done.accepted) == 2000, done.refused
        assert done.slowest_s < 5
        await hub.has(done.accepted)
        await hub.balanced()
        assert not hub.in_order()
        assert await hub.sent() == {"sent": len(said)}


@pytest.mark.slow
@pytest.mark.postgres
async def test_f24_between_everybody_and_postgresql(pg_hub: Installation, postgres: Postgres) -> None:
    hub = pg_hub
    with Proxy(postgres.port) as net:
        hub.settings["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{net.port}/hub"
        hub.start("web", "router", "worker", "clock")
        await hub.ready()
        load = asyncio.create_task(hub.load(2000, per_s=100, people=40))
        await asyncio.sleep(2)
        said = await asyncio.to_thread(hub.answer, prefix="slow")
        net.delay_s = 0.03
        await asyncio.sleep(3)
        net.delay_s = 0.0
        for _ in range(4):
            net.reset()  # also between a commit and its answer
            await asyncio.sleep(0.7)
        said += await asyncio.to_thread(hub.answer, prefix="cut")
        net.silent = True
        await asyncio.sleep(4)
        net.silent = False
        await asyncio.sleep(2)
        net.silent = True
        await asyncio.sleep(2)
        net.reset()
        net.silent = False
        done = await load
        assert len(done.accepted) == 2000, done.refused
        assert done.slowest_s < 5
        await hub.has(done.accepted)
        await hub.balanced()
        assert not hub.in_order()
        states = await hub.sent(120)
        assert states["sent"] + states["unknown"] == len(said), states
