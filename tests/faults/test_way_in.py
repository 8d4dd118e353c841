"""F1 to F9: whatever dies between the edge and the store, what was accepted is there once."""

import asyncio

import pytest

from hub import failpoints
from tests.faults.installation import Installation

WAY_IN = [name for name in failpoints.ALL if name.startswith(("journal.", "web.", "router."))]


QUICK = "router.after_commit"


@pytest.mark.parametrize(
    "place", [place if place == QUICK else pytest.param(place, marks=pytest.mark.slow) for place in WAY_IN]
)
async def test_f7_f8_a_process_dies_at_this_very_place(place: str, hub: Installation) -> None:
    victim = "router" if place.startswith("router.") else "web"
    other = "web" if victim == "router" else "router"
    hub.start(other)
    hub.start(victim, MAINSTEM_FAIL=place)
    await hub.ready()
    first = await hub.load(30, prefix="a")
    assert hub.died(victim) == 137
    hub.start(victim)
    await hub.ready()
    second = await hub.load(30, prefix="b")
    assert len(second.accepted) == 30
    await hub.has(first.accepted + second.accepted)
    row = await hub.balanced()
    assert row.quarantined == 0


async def test_f3_redis_is_emptied_under_load(hub: Installation) -> None:
    hub.start("web", "router")
    await hub.ready()
    load = asyncio.create_task(hub.load(300, per_s=300))
    for _ in range(4):
        await asyncio.sleep(0.2)
        hub.valkey.client().flushall()
    done = await load
    assert len(done.accepted) == 300, done.refused
    await hub.has(done.accepted)
    await hub.balanced()
    assert not hub.in_order()
