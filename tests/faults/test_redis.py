"""F1 to F5: Redis is killed, loses its file's end, is emptied, full or frozen; what was accepted is there once."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.installation import Installation


@pytest.fixture(params=["everysec", "always"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path, appendfsync=request.param) as installation:
        yield installation


@pytest.mark.slow
async def test_f1_redis_is_killed_again_and_again_under_load(either: Installation) -> None:
    hub = either
    hub.start("web", "router", "worker", "clock")
    await hub.ready()
    load = asyncio.create_task(hub.load(2000, per_s=200, people=40))
    said: list[str] = []
    for number in range(5):
        await asyncio.sleep(random.uniform(0.8, 1.6))
        said += await asyncio.to_thread(hub.answer, prefix=f"re{number}")
        await asyncio.to_thread(hub.valkey.kill)
        await asyncio.sleep(random.uniform(0.1, 0.6))
        await asyncio.to_thread(hub.valkey.start)
    done = await load
    assert len(done.accepted) == 2000, done.refused
    await hub.has(done.accepted)
    await hub.balanced()
    assert not hub.in_order()
    assert len(said) >= 40
    assert await hub.sent() == {"sent": len(said)}


@pytest.mark.slow
async def test_f2_the_end_of_redis_s_file_is_lost(hub: Installation) -> None:
    hub.start("web", "router")
    await hub.ready()
    first = await hub.load(200, per_s=400, prefix="a")
    await hub.has(first.accepted)
    hub.freeze("router")  # what comes now stands in the stream, and nowhere else but in the journal
    second = await hub.load(200, per_s=400, prefix="b")
    await asyncio.sleep(1.0)
    stood = hub.in_stream()
    hub.valkey.kill()
    (file,) = hub.valkey.folder.glob("appendonlydir/*.incr.aof")
    with file.open("r+b") as incr:
        incr.truncate(
            file.stat().st_size - 20_000
        )  # in the middle of a command, some dozens of entries before the end
    hub.valkey.start()
    assert hub.in_stream() < stood
    hub.thaw("router")
    third = await hub.load(100, per_s=400, prefix="c")
    await hub.has(first.accepted + second.accepted + third.accepted)
    assert len(first.accepted + second.accepted + third.accepted) == 500
    await hub.balanced()


@pytest.mark.slow
async def test_f4_redis_is_full_and_has_room_again(hub: Installation) -> None:
    hub.start("web", "router")
    await hub.ready()
    first = await hub.load(100, prefix="a")
    with hub.valkey.client() as client:
        client.config_set("maxmemory", "1mb")  # it needs more than that empty
        load = asyncio.create_task(hub.load(800, per_s=200, prefix="m"))
        await asyncio.sleep(2.5)
        assert "takes nothing" in hub.log("web")
        client.config_set("maxmemory", 0)
    done = await load
    assert (len(first.accepted), len(done.accepted)) == (100, 800), done.refused
    assert done.slowest_s < 5
    await hub.has(first.accepted + done.accepted)
    await hub.balanced()
    assert not hub.in_order()


@pytest.mark.slow
async def test_f5_redis_is_frozen(hub: Installation) -> None:
    hub.start("web", "router", "worker", "clock")
    await hub.ready()
    first = await hub.load(100, prefix="a")
    await hub.has(first.accepted)
    threads = {name: hub.threads(name) for name in hub.running}
    busy = {name: hub.busy_s(name) for name in hub.running}
    hub.valkey.freeze()
    load = asyncio.create_task(hub.load(1200, per_s=100, people=40))
    await asyncio.sleep(4)
    said = await asyncio.to_thread(hub.answer)  # desk and worker need no Redis to send what is due
    await asyncio.sleep(8)
    done = await load
    grown = {name: hub.threads(name) - had for name, had in threads.items()}
    spent = {name: hub.busy_s(name) - had for name, had in busy.items() if name != "web"}
    hub.valkey.thaw()
    assert len(done.accepted) == 1200, done.refused
    assert done.slowest_s < 5  # the edge answers from its journal
    assert max(grown.values()) <= 8, grown  # nobody gathers threads in front of a dead server
    assert max(spent.values()) < 6, spent  # nor turns round and round
    await hub.has(done.accepted)
    await hub.balanced()
    assert not hub.in_order()
    assert len(said) == 20
    assert await hub.sent() == {"sent": 20}
