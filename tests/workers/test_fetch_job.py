"""The job that fetches: a thread beside the sender that looks when it is woken and ends when nothing is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from connectors import CONNECTORS
from crm_store import configs, media
from crm_store.db import Store
from hub import clock, jobs, notices
from hub.model import Media
from hub.settings import load
from tests.servers.http import Provider, Say
from tests.waiting import until
from tests.workers.test_fetch import PNG, Darkroom
from tests.workers.test_processes import files
from workers import context, fetch, schedule
from workers.fetch import Beside
from workers.naming import Naming


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(default=Say(body=PNG)) as server:
        yield server


@pytest.fixture
def room(sqlite_url: str, provider: Provider, tmp_path: Path) -> Iterator[Darkroom]:
    store = Store.open(sqlite_url)
    made = Darkroom(store, provider, tmp_path / "var" / "blobs")
    made.office.now = clock.system()
    configs.apply(store, files(provider.url), "test")
    yield made
    store.close()


@pytest.fixture
def held(
    room: Darkroom, sqlite_url: str, valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[context.Context]:
    environ = {
        "DATABASE_URL": sqlite_url,
        "REDIS_URL": valkey,
        "MAINSTEM_DATA": str(tmp_path / "var"),
        "MAINSTEM_SECRET_KEY": "k" * 40,
        "MAINSTEM_ALLOW_PRIVATE_TARGETS": "1",
    }
    opened = context.opened(load(environ))
    account = opened.follower.get().get("webhook/main")
    assert account is not None
    gallery: Any = room.gallery
    monkeypatch.setitem(CONNECTORS, "webhook", gallery)
    yield opened
    opened.close()


@pytest.fixture
def beside() -> Iterator[Beside]:
    made = Beside()
    yield made
    made.close()


def fetchers() -> int:
    return sum(thread.name == "fetch" for thread in threading.enumerate())


def test_a_wake_up_brings_what_is_due_and_the_thread_ends(
    room: Darkroom, held: context.Context, beside: Beside, redis: redis_py.Redis
) -> None:
    with redis.pubsub(ignore_subscribe_messages=True) as heard:  # type: ignore[no-untyped-call]
        heard.subscribe(notices.CHANNEL)
        message = room.said(*[Media(ref=f"{n}", kind="image") for n in range(5)])
        for _ in range(3):
            beside.wake(held)
        until(lambda: len(room.entry(message).attachments) == 5)
        until(lambda: not fetchers())
        assert len(room.provider.seen) == 5
        told: Any = None
        end = time.monotonic() + 60
        while not told and time.monotonic() < end:
            told = heard.get_message(timeout=0.1)
        assert b'"kind":"conversation"' in told["data"]
    later = room.said(Media(ref="later", kind="image"))
    beside.wake(held)
    until(lambda: room.row(later).state == "done")


def test_beside_a_sender_files_need_no_wake_up(room: Darkroom, held: context.Context, beside: Beside) -> None:
    with beside.sending(held):
        time.sleep(0.1)
        message = room.said(Media(ref="one", kind="image"))
        until(lambda: room.row(message).state == "done")
        assert fetchers() == 1
    until(lambda: not fetchers())


def test_newcomers_are_asked_about_beside_it(
    held: context.Context, beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[None] = []

    class Looked(Naming):
        async def look(self) -> int:
            looks.append(None)
            return await super().look()

    monkeypatch.setattr(fetch, "Naming", Looked)
    beside.wake(held)
    until(lambda: looks and not fetchers())
    beside.wake(held)
    until(lambda: len(looks) == 2 and not fetchers())


def test_a_process_that_must_end_lets_go_at_once(
    room: Darkroom, held: context.Context, beside: Beside
) -> None:
    room.provider.default = Say(hang=True)
    message = room.said(Media(ref="one", kind="image"))
    beside.wake(held)
    until(lambda: room.provider.seen)
    began = time.monotonic()
    beside.close()
    assert time.monotonic() - began < 10
    assert not fetchers()
    assert room.row(message).state == "fetching", "its lease tells others"


def test_the_clock_wakes_for_what_was_lost(
    room: Darkroom, held: context.Context, redis: redis_py.Redis
) -> None:
    ticking = schedule.Clock(held)
    ticking.deliveries()
    assert not _waiting(redis)
    room.said(Media(ref="one"), account="webhook/gone")
    ticking.deliveries()
    assert not _waiting(redis), "nobody can fetch that"
    room.said(Media(ref="one"))
    ticking.deliveries()
    assert _waiting(redis)
    with held.store.read() as tx:
        assert media.standing(tx)[0] == 2


def _waiting(redis: redis_py.Redis) -> bool:
    prefix = jobs.FETCH.replace(".", "-").encode()
    names: Any = redis.lrange(f"rq:queue:{jobs.QUEUE_DEFAULT}", 0, -1)
    return any(name.startswith(prefix) for name in names)
