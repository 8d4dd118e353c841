"""F16 to F23 at the edge: what comes twice, out of order, with an absurd clock, onto a full disk; a faulty config."""

import asyncio
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import func, select

from crm_store import schema
from tests.conftest import absent
from tests.faults.installation import Installation, until

ANN = {"email": "ann@example.com"}
_n = schema.interactions.c


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for what leaves it whole: web and router run."""
    with Installation(tmp_path_factory.mktemp("edge")) as hub:
        hub.start("web", "router")
        yield hub


async def test_f16_the_same_ten_times_at_once_and_again_later(edge: Installation) -> None:
    hub = edge
    await hub.ready()
    before = _outcomes(hub)
    done = await hub.load(20, times=10, people=20, prefix="ten")
    assert len(done.accepted) == 20, done.refused
    await hub.has(done.accepted)
    hub.kill("web")  # later: another process, which remembers nothing but its disk
    hub.start("web")
    await hub.ready()
    again = await hub.load(20, people=20, prefix="ten")
    assert len(again.accepted) == 20
    await hub.say({"id": "ten-0", "from": {"email": "p0@example.com"}, "text": "something else"})
    await hub.has([*done.accepted, "ten-0"])
    row = await hub.balanced()
    after = _outcomes(hub)
    assert after["stored"] - before.get("stored", 0) == 20
    assert after["duplicate"] - before.get("duplicate", 0) == 20 * 9 + 20 + 1
    assert row.missing == 0
    assert "something else" not in hub.texts()
    with hub.store.read() as tx:
        conflicts = list(
            tx.execute(
                select(schema.conversation_events.c.data).where(
                    schema.conversation_events.c.what == "conflict"
                )
            ).scalars()
        )
    assert [json.loads(data)["event_key"] for data in conflicts] == ["ten-0"]


def _outcomes(hub: Installation) -> dict[str, int]:
    with hub.store.read() as tx:
        return {
            row.outcome: row.count
            for row in tx.execute(
                select(schema.intake.c.outcome, func.count().label("count")).group_by(schema.intake.c.outcome)
            )
        }


def _story(name: str) -> list[dict[str, Any]]:
    """A conversation as it was recorded: said, put right twice, taken back."""
    return [
        {"id": f"{name}-said", "from": ANN, "text": f"{name} first"},
        {
            "id": f"{name}-edit",
            "kind": "edit",
            "from": ANN,
            "message": f"{name}-said",
            "text": "second",
            "sent_at": "2026-11-21T10:00:01Z",
        },
        {"id": f"{name}-like", "kind": "reaction", "from": ANN, "message": f"{name}-said", "text": "👍"},
        {"id": f"{name}-gone", "kind": "delete", "from": ANN, "message": f"{name}-said"},
    ]


async def test_f17_in_whatever_order_a_story_arrives_it_ends_the_same(edge: Installation) -> None:
    hub = edge
    await hub.ready()
    names = []
    for number, order in enumerate(itertools.permutations(range(4))):
        names.append(f"story{number}")
        await hub.say(*(_story(names[-1])[step] for step in order))
    await hub.taken()
    for name in names:
        with hub.store.read() as tx:
            said = tx.execute(
                select(_n.id, _n.text, _n.deleted).where(_n.external_id == f"{name}-said")
            ).one()
            changes = tx.execute(
                select(schema.interaction_changes.c.change, schema.interaction_changes.c.text).where(
                    schema.interaction_changes.c.interaction_id == said.id
                )
            ).all()
        assert (said.text, bool(said.deleted)) == (f"{name} first", True), name
        assert sorted(tuple(change) for change in changes) == [
            ("delete", ""),
            ("edit", "second"),
            ("reaction", "👍"),
        ], name


async def test_f17_reports_of_a_reply_only_move_it_forward(edge: Installation) -> None:
    """Also those that overtake our own commit: they come while the reply is still on its way."""
    hub = edge
    await hub.ready()
    steps = ("sent", "delivered", "read")
    orders = list(itertools.permutations(steps))
    people = [f"report{number}@example.com" for number in range(2 * len(orders))]
    await hub.say(
        *({"id": who, "from": {"email": who}, "text": f"about {number}"} for number, who in enumerate(people))
    )
    await hub.taken()
    said = hub.answer(prefix="reported")
    with hub.store.read() as tx:
        d = schema.deliveries.c
        mine = {
            row.text: row.id
            for row in tx.execute(
                select(d.id, _n.text).join(schema.interactions, _n.id == d.interaction_id)
            ).all()
            if row.text in said
        }
    assert len(mine) >= len(people)
    early, late = said[: len(orders)], said[len(orders) : 2 * len(orders)]

    async def tell(texts: list[str]) -> None:
        for text, order in zip(texts, orders, strict=True):
            for status in order:
                report = {"id": f"{text}-{status}", "kind": "delivery", "delivery": str(mine[text])}
                await hub.say(report | {"status": status})

    await tell(early)  # nothing was sent yet
    await hub.taken()
    hub.start("worker", "clock")
    await until(lambda: _all_gone(hub, late), 30, "the replies do not go out")
    await tell(late)
    await hub.taken()

    async def read() -> bool:
        states = hub.delivery_states()
        return all(states[text] == "read" for text in early + late)

    try:
        await until(read, 40, lambda: str(hub.delivery_states()))
    finally:
        hub.kill("worker")
        hub.kill("clock")
    assert max(hub.company.got.values()) == 1


async def _all_gone(hub: Installation, texts: list[str]) -> bool:
    states = hub.delivery_states()
    return all(states[text] == "sent" for text in texts)


ABSURD = {
    "the epoch": "1970-01-01T00:00:00Z",
    "years ahead": "2050-06-01T12:00:00Z",
    "milliseconds taken for seconds": "9999-12-31T23:59:59+14:00",
    "before everything": "0001-01-01T00:00:00-14:00",
}


async def test_f19_a_providers_absurd_clock_decides_nothing(edge: Installation) -> None:
    hub = edge
    await hub.ready()
    bodies = [
        {"id": f"clock-{number}", "from": {"email": "cy@example.com"}, "text": f"clock-{number}"}
        for number in range(2 * len(ABSURD))
    ]
    for body, when in zip(bodies[::2], ABSURD.values(), strict=True):
        body["sent_at"] = when
    async with aiohttp.ClientSession() as http:
        statuses = [await hub.post(http, body) for body in bodies]
    await hub.taken()
    kept = [f"clock-{number}" for number, status in enumerate(statuses) if status == 200]
    assert set(statuses) <= {200, 202}  # 202: a time beyond the calendar waits in quarantine, whole
    assert {"clock-0", "clock-2", *(f"clock-{n}" for n in range(1, len(bodies), 2))} <= set(kept)
    with hub.store.read() as tx:
        rows = tx.execute(
            select(_n.text, _n.at, _n.received_at).where(_n.text.startswith("clock-")).order_by(_n.at, _n.id)
        ).all()
    assert [row.text for row in rows] == kept  # as it was received
    assert all(row.at == row.received_at for row in rows)


# ----------------------------------------------------------------------------------------------- F21, a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        absent("a full disk", "mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_f21_a_full_disk_refuses_and_takes_again_when_there_is_room(
    small_disk: Path, hub: Installation
) -> None:
    hub.settings["MAINSTEM_DATA"] = str(small_disk)
    hub.start("web", "router")
    await hub.ready()
    first = await hub.load(100, prefix="a")
    assert len(first.accepted) == 100
    ballast = small_disk / "ballast"
    _fill(ballast)
    full = await hub.load(200, prefix="b")
    assert full.refused.keys() == {503}, full.refused
    _fill(ballast)
    assert (await hub.load(5, prefix="c")).refused == {503: 5}
    ballast.unlink()
    after = await hub.load(100, prefix="d")  # no restart
    assert len(after.accepted) == 100, after.refused
    accepted = first.accepted + full.accepted + after.accepted
    await hub.has(accepted)
    row = await hub.balanced()
    assert row.stored == len(accepted)  # what was refused left nothing behind
    hub.kill("web")
    hub.start("web")
    await hub.ready()
    assert "damage" not in hub.log("web")


def _fill(ballast: Path) -> None:
    """Until there is no byte left."""
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


# ------------------------------------------------------------------------------------------ F23, a bad config

MISTAKES = {
    "an unknown key": ("queues.yaml", "title: General", "titel: General", "queues.yaml:"),
    "no such queue": ("routing.yaml", "queue: general", "queue: generall", 'did you mean "general"'),
    "not YAML": ("channels.yaml", "accounts:", "accounts: [", "channels.yaml:"),
    "the wrong type": ("channels.yaml", "rate_per_s: 1000", "rate_per_s: often", "channels.yaml:"),
}


@pytest.mark.slow
async def test_f23_a_faulty_config_changes_nothing_under_load(hub: Installation) -> None:
    hub.start("web", "router")
    await hub.ready()
    load = asyncio.create_task(hub.load(600, per_s=100))
    config = hub.folder / "config"
    for name, (file, right, wrong, said) in MISTAKES.items():
        good = (config / file).read_text()
        (config / file).write_text(good.replace(right, wrong))
        code, told = await asyncio.to_thread(hub.command, "config", "apply")
        assert code != 0, name
        assert said in told, (name, told)
        assert "Traceback" not in told
        (config / file).write_text(good)
    # An account whose secret is not there is put aside, alone.
    good = (config / "channels.yaml").read_text()
    more = "  webhook/other: {title: Other, settings: {}, secrets: {signing: NOT_SET_ANYWHERE}}\n"
    (config / "channels.yaml").write_text(good.rstrip("\n") + "\n" + more)
    await asyncio.to_thread(hub.run, "config", "apply")
    done = await load
    assert len(done.accepted) == 600, done.refused
    body = {"id": "x", "from": ANN, "text": "x"}
    async with aiohttp.ClientSession() as http:

        async def put_aside() -> bool:
            return await hub.post(http, body, "webhook/other") == 503

        await until(put_aside, 10, "the account without its secret does not say that it cannot work")
    after = await hub.load(50, prefix="after")
    assert len(after.accepted) == 50
    await hub.has(done.accepted + after.accepted)
    await hub.balanced()
    assert not hub.in_order()
