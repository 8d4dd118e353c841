"""F9, F20: a router is frozen past its lease and wakes; an entry that fails, kills or cannot be read stops no other."""

import asyncio
import json
import time
from typing import Any

import pytest
from msgspec import structs

from hub import clock, codec
from hub.journal import Journal, New
from hub.leases import LEASE_S, LEASES, ROUTERS
from hub.model import Attachment, MessageReceived
from hub.parts import part_of
from tests.faults.installation import Installation, until

DATABASES = ["hub", pytest.param("pg_hub", marks=[pytest.mark.slow, pytest.mark.postgres])]
NOT_IN_A_DATABASE = 1 << 63  # a size that msgpack carries and neither database has a number for


@pytest.mark.slow
@pytest.mark.postgres
async def test_f9_a_router_sleeps_past_its_lease_and_wakes(pg_hub: Installation) -> None:
    hub = pg_hub
    hub.start("web", "router", "router:2")
    await hub.ready()
    await asyncio.sleep(2)  # both have their share
    load = asyncio.create_task(hub.load(2600, per_s=100))
    for name in ("router", "router:2"):
        await asyncio.sleep(1.0)
        hub.freeze(name)
        await asyncio.sleep(LEASE_S + 4)
        stored, frozen = len(hub.texts()), time.monotonic()
        await asyncio.sleep(1.5)
        went_on = len(hub.texts()) - stored
        hub.thaw(name)
        # The other one does the work of both, unless the sleeper holds the rows of an open transaction.
        assert went_on > 0 or "waiting" in hub.log(name), frozen
    done = await load
    assert len(done.accepted) == 2600, done.refused
    await hub.has(done.accepted)
    row = await hub.balanced()
    assert (row.stored, row.quarantined) == (2600, 0)
    assert not hub.in_order()


@pytest.mark.slow
async def test_f9_two_routers_on_sqlite_frozen_in_turns(hub: Installation) -> None:
    hub.start("web", "router", "router:2")
    await hub.ready()
    await asyncio.sleep(2)
    load = asyncio.create_task(hub.load(1800, per_s=100))
    for name in ("router", "router:2"):
        hub.freeze(name)
        await asyncio.sleep(LEASE_S + 2)
        hub.thaw(name)
        await asyncio.sleep(0.5)
    done = await load
    assert len(done.accepted) == 1800, done.refused
    await hub.has(done.accepted)
    row = await hub.balanced()
    assert (row.stored, row.quarantined) == (1800, 0)
    assert not hub.in_order()


def _message(token: str, **more: Any) -> MessageReceived:
    return MessageReceived(
        account="webhook/main",
        event_key=token,
        external_id=token,
        received_at=clock.system(),
        sender="mailto:p0@example.com",
        text=token,
        **more,
    )


def _newer(data: bytes) -> bytes:
    """The same entry, as a later version of this program would have written it."""
    later = codec.VERSION + 1
    changed = data.replace(b"\xa1v" + bytes([codec.VERSION]), b"\xa1v" + bytes([later]))
    assert changed != data
    return changed


async def _journal(hub: Installation, entries: list[tuple[MessageReceived, bytes]]) -> None:
    """Write them where the edge would have: its process is not running."""
    journal = Journal.open(hub.folder / "var" / "journal")
    now_us = clock.to_us(clock.system())
    for event, data in entries:
        await journal.append([New(event.account, now_us, data, part_of(event))])
    journal.close()


@pytest.mark.parametrize("installation", DATABASES)
async def test_f20_what_cannot_be_handled_is_set_aside_and_stops_nobody(
    installation: str, request: pytest.FixtureRequest
) -> None:
    hub: Installation = request.getfixturevalue(installation)
    huge = Attachment(
        sha256="0" * 64, content_type="text/plain", size_bytes=NOT_IN_A_DATABASE, name="huge.txt"
    )
    good = [_message(f"m-{number}") for number in range(40)]
    poison = _message("poison", attachments=(huge,))
    entries = [(event, codec.encode(event)) for event in good]
    entries[20:20] = [
        (poison, codec.encode(poison)),
        (structs.replace(good[0], event_key="later"), _newer(codec.encode(_message("later")))),
        (good[0], b"\xc1 no event of any version"),
    ]
    await _journal(hub, entries)
    hub.start("web", "router")
    await hub.ready()
    after = await hub.load(40, prefix="after")
    await hub.has([*(event.text for event in good), *after.accepted])
    row = await hub.balanced()
    assert (row.stored, row.quarantined) == (80, 3)
    assert not hub.in_order()
    assert not hub.in_order("after")
    held = json.loads(hub.run("quarantine", "list", "--json"))
    assert sorted(one["kind"] for one in held) == ["newer", "poison", "poison"]
    assert [one["reason"] for one in held if "failed 5 times alone" in one["reason"]]


@pytest.mark.slow
async def test_f20_an_entry_that_kills_every_router_is_set_aside_and_comes_back(hub: Installation) -> None:
    hub.start("web")
    await hub.ready()
    deadly = await hub.load(1, prefix="deadly")
    deaths = 0
    while True:
        hub.start("router", MAINSTEM_FAIL="router.before_commit")
        end = time.monotonic() + 30
        while hub.running["router"].poll() is None and not _held(hub):
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        if _held(hub):
            break
        assert hub.died("router") == 137
        deaths += 1
        assert deaths <= 6
        with hub.valkey.client() as client:
            client.delete(*LEASES, ROUTERS)  # as time does, six seconds later
    hub.kill("router")
    assert deaths == 6  # once in a batch, then five times alone
    hub.start("router")
    others = await hub.load(30)
    await hub.has(others.accepted)
    (held,) = _held(hub)
    hub.run("quarantine", "replay", str(held["id"]))
    await hub.has(deadly.accepted)
    row = await hub.balanced()
    assert (row.stored, row.quarantined) == (31, 0)

    async def no_more() -> bool:
        return not _held(hub)

    await until(no_more, 5, "it still waits in quarantine")


def _held(hub: Installation) -> list[dict[str, Any]]:
    from crm_store import quarantine

    return [{"id": one.id, "reason": one.reason} for one in quarantine.listed(hub.store)]
