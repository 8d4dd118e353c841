"""Live pages: told within a moment through Redis, within seconds without it; bounded; gone when the process goes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crm_store.db import Store
from desk.web import live
from hub import notices
from tests.desk.room import Browser, Room, make


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.05)
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.3)


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    return make(store, tmp_path / "blobs")


@asynccontextmanager
async def listening(browser: Browser, drawn: str = "") -> AsyncIterator[Any]:
    """An async function that gives the next topics."""
    answer = await browser.client.get("/live", params={"drawn": drawn} if drawn else {})
    assert answer.status == 200
    assert answer.content_type == "text/event-stream"

    async def following() -> list[str]:
        while True:
            line = await asyncio.wait_for(answer.content.readline(), 60)
            if not line:
                raise EOFError
            if line.startswith(b"data: "):
                return list(json.loads(line[6:]))

    assert await following() == ["hello"]
    yield following
    answer.close()


async def test_a_page_hears_of_a_message_without_redis(room: Room) -> None:
    number = room.writes("webchat:ann", "broken")
    async with room.browsers() as browse:
        bo = await browse("bo")
        async with listening(bo) as following:
            # What came just before the page was listening: it may have been drawn without it.
            assert f"conversation:{room.id_of(number)}" in await following()
            room.later(seconds=1)
            room.writes("webchat:ann", "hello?")
            assert f"conversation:{room.id_of(number)}" in await following()
            room.actions.claim(room.id_of(number), "bo")
            assert f"conversation:{room.id_of(number)}" in await following()
            sent = room.actions.reply(room.id_of(number), "bo", "Hi", idem_key="a")
            told: list[str] = []
            while f"delivery:{room.id_of(number)}" not in told:
                told += await following()
            room.actions.set_presence("bo", "away")
            while "presence" not in told:
                told += await following()
            assert sent.new


async def test_what_was_told_after_a_page_was_drawn_is_told_again_when_it_listens(room: Room) -> None:
    number = room.writes("webchat:ann", "broken")
    topic = f"conversation:{room.id_of(number)}"
    async with room.browsers() as browse:
        bo, cleo = await browse("bo"), await browse("cleo")
        async with listening(bo) as following:
            assert topic in await following()
            drawn = room.now.isoformat()
            room.later(seconds=30)
            room.writes("webchat:ann", "hello?")
            assert topic in await following()  # told, and cleo's page, drawn before it, listens only now
            async with listening(cleo, drawn) as late:
                assert topic in await late()
            room.later(seconds=30)
            async with listening(cleo, room.now.isoformat()) as later, listening(cleo, "yesterday") as odd:
                other = room.id_of(room.writes("webchat:eve", "Are you open?"))
                assert await later() == await odd() == [f"conversation:{other}"]


async def test_a_notice_through_redis_comes_at_once(
    sqlite_url: str, tmp_path: Path, async_redis: Any, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_S", 60.0)
    store = Store.open(sqlite_url)
    room = make(store, tmp_path, redis=async_redis)
    async with room.browsers() as browse:
        bo = await browse("bo")
        async with listening(bo) as following:
            while redis.publish(notices.CHANNEL, b"rubbish") == 0:
                await asyncio.sleep(0.01)
            began = time.perf_counter()
            notices.publish(redis, notices.CONVERSATION, conversation=42)
            assert await following() == ["conversation:42"]
            assert time.perf_counter() - began < 30, "the store is looked at once a minute"
            notices.publish(redis, notices.CONVERSATION, conversation=[7, 8])
            assert await following() == ["conversation:7", "conversation:8"]
            notices.publish(redis, notices.QUEUE, queue="support")
            assert await following() == ["queue"]
    store.close()


async def test_log_out_ends_the_stream(room: Room) -> None:
    async with room.browsers() as browse:
        bo = await browse("bo")
        async with listening(bo) as following:
            await bo.get("/")
            await bo.post("/logout")
            assert await following() == ["bye"]
            with pytest.raises(EOFError):
                await following()


async def test_streams_are_bounded_and_those_of_browsers_that_left_make_room(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LISTENERS_EACH", 3)
    monkeypatch.setattr(live, "HEARTBEAT_S", 30.0)
    store = Store.open(sqlite_url)
    room = make(store, tmp_path)
    async with room.browsers() as browse:
        bo, cleo = await browse("bo"), await browse("cleo")
        open_ = [await bo.client.get("/live") for _ in range(3)]
        refused = await bo.client.get("/live")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
        assert (await cleo.client.get("/live")).status == 200, "one agent's pages are not another's"
        open_[0].close()
        while (again := await bo.client.get("/live")).status == 503:  # the server has yet to hear of it
            await asyncio.sleep(0.01)
        assert again.status == 200
    store.close()


async def test_a_slow_browser_is_told_everything_in_one_word() -> None:
    listener = live.Listener("bo", lambda: False)
    for number in range(1000):
        listener.tell({f"conversation:{number}"})
    assert listener.pending == {live.EVERYTHING} or len(listener.pending) <= 50
    assert listener.woken.is_set()


async def test_the_process_stops_quickly_with_pages_open(sqlite_url: str, tmp_path: Path) -> None:
    store = Store.open(sqlite_url)
    room = make(store, tmp_path)
    began = 0.0
    async with room.browsers() as browse:
        bo = await browse("bo")
        answers = [await bo.client.get("/live") for _ in range(5)]
        app = bo.client.server.app  # type: ignore[attr-defined]
        assert len(app[live.LIVE].listeners) == 5
        began = time.perf_counter()
    assert time.perf_counter() - began < 30
    assert len(answers) == 5
    store.close()
