"""F6, F21: the database is frozen, killed, locked or full; the edge answers, the backlog drains in order."""

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.faults.installation import Installation
from tests.servers.postgres import Postgres

ALL = ("web", "router", "worker", "clock")


async def _stand_by(hub: Installation) -> dict[str, float]:
    """Everything runs and has handled something; the CPU time that each took so far."""
    hub.start(*ALL)
    await hub.ready()
    first = await hub.load(100, prefix="a")
    await hub.has(first.accepted)
    return {name: hub.busy_s(name) for name in ALL}


async def _came_through(hub: Installation, load: "asyncio.Task[object]", count: int) -> None:
    done = await load
    assert len(done.accepted) == count, done.refused  # type: ignore[attr-defined]
    assert done.slowest_s < 5  # type: ignore[attr-defined]
    await hub.has(done.accepted, 90)  # type: ignore[attr-defined]
    await hub.balanced()
    assert not hub.in_order()


@pytest.mark.slow
@pytest.mark.postgres
async def test_f6_postgresql_is_frozen(pg_hub: Installation, postgres: Postgres) -> None:
    hub = pg_hub
    busy = await _stand_by(hub)
    said = await asyncio.to_thread(hub.answer)
    threads = {name: hub.threads(name) for name in ALL}
    postgres.freeze()
    load = asyncio.create_task(hub.load(1200, per_s=100))
    await asyncio.sleep(12.5)
    grown = {name: hub.threads(name) - had for name, had in threads.items()}
    spent = {name: hub.busy_s(name) - had for name, had in busy.items() if name != "web"}
    postgres.thaw()
    await _came_through(hub, load, 1200)
    assert max(grown.values()) <= 8, grown
    assert max(spent.values()) < 6, spent  # nobody turns round and round
    assert await hub.sent() == {"sent": len(said)}


@pytest.mark.slow
@pytest.mark.postgres
async def test_f6_postgresql_is_killed_and_started_again(pg_hub: Installation, postgres: Postgres) -> None:
    hub = pg_hub
    await _stand_by(hub)
    said = await asyncio.to_thread(hub.answer)
    load = asyncio.create_task(hub.load(1600, per_s=160))
    for away_s in (0.3, 2.0, 1.0):
        await asyncio.sleep(1.0)
        await asyncio.to_thread(postgres.kill)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(postgres.start)
    await _came_through(hub, load, 1600)
    states = await hub.sent(120)
    assert states["sent"] + states["unknown"] == len(said)


@pytest.mark.slow
@pytest.mark.postgres
async def test_f6_an_edge_that_starts_while_postgresql_is_away_hears_customers(
    pg_hub: Installation, postgres: Postgres
) -> None:
    hub = pg_hub
    await _stand_by(hub)
    hub.stop("web")
    await asyncio.to_thread(postgres.kill)
    hub.start("web")
    await hub.ready()
    done = await hub.load(50)
    assert len(done.accepted) == 50, done.refused
    await asyncio.to_thread(postgres.start)
    await hub.has(done.accepted, 90)
    await hub.balanced()


@pytest.mark.slow
async def test_f6_sqlite_is_locked_by_somebody_else(hub: Installation) -> None:
    busy = await _stand_by(hub)
    said = await asyncio.to_thread(hub.answer)
    other = sqlite3.connect(hub.folder / "var" / "mainstem.db", timeout=10, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    load = asyncio.create_task(hub.load(1500, per_s=100))
    await asyncio.sleep(15.5)
    spent = {name: hub.busy_s(name) - had for name, had in busy.items() if name != "web"}
    other.execute("ROLLBACK")
    other.close()
    await _came_through(hub, load, 1500)
    assert max(spent.values()) < 8, spent
    assert await hub.sent() == {"sent": len(said)}


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[Installation]:
    """SQLite in a file system of eight megabytes; the journal has room elsewhere."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        absent("a full disk", "mounting a small file system needs root")
    try:
        with Installation(tmp_path, f"sqlite:///{place / 'mainstem.db'}") as installation:
            yield installation
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
async def test_f21_the_stores_disk_is_full_for_a_while(small_store: Installation, tmp_path: Path) -> None:
    hub = small_store
    hub.start("web", "router")
    await hub.ready()
    first = await hub.load(50, prefix="a")
    await hub.has(first.accepted)
    ballast = tmp_path / "small" / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    load = asyncio.create_task(hub.load(1000, per_s=200))
    await asyncio.sleep(6)
    assert "full" in hub.log("router")
    ballast.unlink()
    await _came_through(hub, load, 1000)
    row = await hub.balanced()
    assert row.quarantined == 0  # the disk is nobody's fault
