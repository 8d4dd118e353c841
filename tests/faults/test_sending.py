"""F10, F19, F27, F29: senders die, sleep, restart without end or live in another hour; no reply goes out twice.

What F10 means for a single delivery, with and without a provider that can be asked, stands in
tests/workers/test_processes.py; here Bo answers in a whole installation.
"""

import asyncio
import json
import random
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from crm_store import schema
from hub import failpoints
from tests.conftest import absent
from tests.faults.installation import Installation, until
from tests.servers.http import Say

WAY_OUT = [name for name in failpoints.ALL if name.startswith("deliver.")]
CHANGES = [name for name in failpoints.ALL if name.startswith("change.")]
ALL = ("web", "router", "worker", "clock")


async def _waiting(hub: Installation, people: int, prefix: str, folk: str | None = None) -> None:
    """So many people have written, and nobody has answered."""
    done = await hub.load(people, per_s=400, people=people, prefix=prefix, folk=folk or prefix)
    assert len(done.accepted) == people
    await hub.has(done.accepted)


@pytest.mark.slow
async def test_f10_workers_die_at_every_place_and_a_provider_hangs_resets_and_breaks_off(
    hub: Installation,
) -> None:
    hub.start("web", "router", "clock")
    await hub.ready()
    said: list[str] = []
    for place in WAY_OUT:
        await _waiting(hub, 15, place)
        said += hub.answer(prefix=place)
        hub.start("worker", MAINSTEM_FAIL=place)
        assert hub.died("worker") == 137
    await _waiting(hub, 15, "last")
    hub.company.answers(
        [Say(hang=True), Say(cut="before"), Say(cut="body"), Say(status=503), Say(status=429)]
    )
    said += hub.answer(prefix="last")
    began = time.monotonic()
    hub.start("worker")
    states = await hub.sent(120)
    hub.company.release()
    assert len(said) == 60
    assert time.monotonic() - began < 75  # a minute, and a little for two slow cores
    # Whose fate is in doubt is told to an agent: what dead workers had marked, and the three without an answer.
    assert 3 <= states["unknown"] <= 3 + 2 * 15
    assert states["sent"] + states["unknown"] == 60, states
    assert len(hub.company.seen) <= 60 + 2  # two were refused and came again; nothing in doubt did


@pytest.mark.slow
async def test_f10_workers_die_while_they_change_what_went_out(hub: Installation) -> None:
    """Nothing is sent again; a change may be made again, and the customer reads the newest words."""
    hub.start("web", "router", "clock", "worker")
    await hub.ready()
    await _waiting(hub, 6, "first")
    said = hub.answer(prefix="first")
    assert await hub.sent() == {"sent": 6}
    hub.stop("worker")
    with hub.store.read() as tx:
        deliveries = list(
            tx.execute(select(schema.deliveries.c.id).order_by(schema.deliveries.c.id)).scalars()
        )
    for turn, place in enumerate(CHANGES):
        for delivery in deliveries[turn :: len(CHANGES)]:
            hub.desk.revise(delivery, "bo", f"changed {delivery}", "e1")
        hub.start("worker", MAINSTEM_FAIL=place)
        assert hub.died("worker") == 137
    for delivery in deliveries[:2]:
        hub.desk.withdraw(delivery, "bo")
    hub.start("worker")

    async def done() -> bool:
        with hub.store.read() as tx:
            r = schema.revisions.c
            return set(tx.execute(select(r.state)).scalars()) <= {"done", "dropped"}

    await until(done, 90)
    reads: dict[str, tuple[int, str]] = {}
    first = []
    for seen in hub.company.seen:
        body = json.loads(seen.body)
        if body["kind"] == "message":
            first.append(body["text"])
        number = body.get("change", 0)
        assert number >= reads.get(body["delivery"], (0, ""))[0], "in their order"
        reads[body["delivery"]] = (number, body.get("text", "gone"))
    assert sorted(first) == sorted(said), "no reply went out again"
    wanted = [*["gone"] * 2, *(f"changed {delivery}" for delivery in deliveries[2:])]
    assert [reads[str(delivery)][1] for delivery in deliveries] == wanted


@pytest.mark.slow
async def test_f29_workers_are_killed_at_random_and_redis_is_emptied(hub: Installation) -> None:
    hub.company.default = Say(after_s=0.05)
    hub.start("web", "router", "clock", "worker", "worker:2")
    await hub.ready()
    said: list[str] = []
    last = 0.0
    for number in range(8):
        await _waiting(hub, 25, f"w{number}")
        said += await asyncio.to_thread(hub.answer, prefix=f"re{number}")
        await asyncio.sleep(random.uniform(0.2, 1.2))
        name = random.choice(("worker", "worker:2"))
        hub.kill(name)
        last = time.monotonic()
        if number % 2:
            hub.valkey.client().flushall()
        hub.start(name)
    assert len(said) == 200
    states = await hub.sent(120)
    assert time.monotonic() - last < 70, states  # within a minute, and a little for two slow cores
    assert states["sent"] + states["unknown"] == 200, states
    assert states["sent"] >= 100


@pytest.mark.slow
async def test_f27_everything_restarts_every_two_seconds_under_load(hub: Installation) -> None:
    hub.start(*ALL)
    await hub.ready()
    load = asyncio.create_task(hub.load(2400, per_s=80, people=40, insist=True))
    said: list[str] = []
    for number in range(15):
        await asyncio.sleep(2.0)
        said += await asyncio.to_thread(hub.answer, prefix=f"re{number}")
        for name in ALL:
            (hub.kill if random.random() < 0.7 else hub.stop)(name)
        hub.start(*ALL)
    done = await load
    assert len(done.accepted) == 2400
    await hub.has(done.accepted, 90)
    await hub.balanced()
    assert not hub.in_order()
    states = await hub.sent(120)
    assert states["sent"] + states["unknown"] == len(said) >= 40, states
    # Nobody hammers the provider when everything comes back.
    assert len(hub.company.seen) <= len(said)


FAKETIME = [
    path for name in ("lib", "lib64") for path in Path("/usr", name).glob("**/faketime/libfaketimeMT.so.1")
]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["+1h", "-1h"])
async def test_f19_a_router_and_a_worker_live_in_another_hour(by: str, hub: Installation) -> None:
    """The edge does not: it would refuse whatever is signed at another time."""
    if not FAKETIME:
        absent(
            "processes that have another time", "no libfaketime was found (Debian: apt-get install faketime)"
        )
    shifted = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    hub.company.default = Say(after_s=0.2)
    hub.start("web", "clock", "router", "worker")
    hub.start("worker:2", **shifted)
    await hub.ready()
    await _waiting(hub, 40, "a", "p")
    said = hub.answer(prefix="a")
    conversations = [int(text.removeprefix("a-")) for text in said]

    def answer_again(prefix: str) -> None:
        for conversation in conversations:
            said.append(f"{prefix}-{conversation}")
            hub.desk.reply(conversation, "bo", said[-1], idem_key=said[-1])

    hub.stop("router")
    hub.start("router", **shifted)  # the same parts, in another hour
    await _waiting(hub, 40, "b", "p")
    answer_again("b")
    hub.stop("router")
    hub.start("router")
    await _waiting(hub, 40, "c", "p")
    answer_again("c")
    assert len(said) == 120
    assert await hub.sent(120) == {"sent": 120}
    # Each person wrote a, b and c: so they stand in the desk's timeline, whatever the routers' clocks said.
    by_person: dict[int, list[str]] = {}
    for identity, text in hub.timeline():
        by_person.setdefault(identity, []).append(text[0])
    assert set(map(tuple, by_person.values())) == {("a", "b", "c")}
