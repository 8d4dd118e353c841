"""/metrics and readiness: figures from the truth, and a plain word where the truth is away."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry, generate_latest

from crm_store.db import Store
from hub.errors import Unavailable
from hub.redis import connect
from mainstem import metrics
from mainstem.pool import Pool


@pytest.fixture
def pool() -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(**how: Any) -> Pool:
        made.append(Pool("test", **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


def figures(store: Store, url: str) -> str:
    registry = CollectorRegistry()
    client = connect(url)
    try:
        registry.register(metrics.Hub(store, client, {"mainstem_journal_bytes": lambda: 17.0}))
        return generate_latest(registry).decode()
    finally:
        client.close()


def test_an_empty_hub(store: Store, valkey: str) -> None:
    told = figures(store, valkey)
    for line in (
        'mainstem_source_up{source="store"} 1.0',
        'mainstem_source_up{source="redis"} 1.0',
        'mainstem_stream_lag{part="15"} 0.0',
        "mainstem_stream_parts_unheld 16.0",
        "mainstem_journal_bytes 17.0",
        "mainstem_delivery_overdue_seconds 0.0",
    ):
        assert line in told
    for name in metrics.GAUGES:
        assert f"# TYPE {name} gauge" in told


def test_what_is_away_is_told_and_the_rest_is_there(sqlite_url: str, valkey: str) -> None:
    store = Store.open(sqlite_url)
    told = figures(store, "redis://127.0.0.1:1/0")
    assert 'mainstem_source_up{source="redis"} 0.0' in told
    assert 'mainstem_source_up{source="store"} 1.0' in told
    store.close()
    nowhere = Store.open("sqlite:////nowhere/at/all.db")
    told = figures(nowhere, valkey)
    assert 'mainstem_source_up{source="store"} 0.0' in told
    assert 'mainstem_source_up{source="redis"} 1.0' in told
    nowhere.close()


@pytest.mark.parametrize(
    "remote, headers, near",
    [
        ("127.0.0.1", {}, True),
        ("10.1.2.3", {}, True),
        ("::1", {}, True),
        ("8.8.8.8", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "8.8.8.8"}, False),
        ("127.0.0.1", {"Forwarded": "for=8.8.8.8"}, False),
        ("", {}, False),
    ],
)
def test_who_may_see_the_figures(remote: str, headers: dict[str, str], near: bool) -> None:
    request = make_mocked_request("GET", "/metrics", headers=headers).clone(remote=remote)
    assert metrics._is_near(request) is near


async def test_a_check_that_hangs_is_a_sentence_and_costs_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CHECK_S", 0.05)
    hang = threading.Event()
    pages = metrics.Pages(
        CollectorRegistry(),
        metrics.Counters(CollectorRegistry()),
        [
            metrics.Check(name="store", look=hang.wait, needed=True),
            metrics.Check(name="journal", look=lambda: None, needed=True),
        ],
    )
    try:
        told = await pages.needed()
        assert told["journal"] == ""
        assert "did not answer" in told["store"]
        before = threading.active_count()
        for _ in range(5):
            await pages.all()
        assert threading.active_count() == before
    finally:
        hang.set()
        pages.close()


async def test_a_scrape_is_refused_to_strangers() -> None:
    pages = metrics.Pages(CollectorRegistry(), metrics.Counters(CollectorRegistry()), ())
    request = make_mocked_request("GET", "/metrics", headers={"X-Forwarded-For": "8.8.8.8"})
    with pytest.raises(web.HTTPNotFound):
        await pages.metrics(request)
    pages.close()


# ------------------------------------------------------------------------------------------------------- the pool


async def test_the_pool_gives_results_and_errors(pool: Callable[..., Pool]) -> None:
    call = pool()
    assert await call(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        await call(lambda: 1 // 0)


async def test_a_dead_database_costs_threads_once_and_then_a_sentence_at_once(
    pool: Callable[..., Pool],
) -> None:
    call = pool(threads=1, waiting=1, deadline_s=0.05)
    hang = threading.Event()
    with pytest.raises(Unavailable, match=r"within 0\.05 s"):
        await call(hang.wait)
    with pytest.raises(Unavailable, match="within"):
        await call(hang.wait)
    with pytest.raises(Unavailable, match="too many calls"):  # which is said at once: it never waits
        await call(lambda: None)
    hang.set()
    for _ in range(2000):
        try:
            await call(lambda: None)
            break
        except Unavailable:
            await asyncio.sleep(0.01)
    else:
        raise AssertionError("its places are not free again")
