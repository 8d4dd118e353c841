"""How often Slack is called: a channel's posts, a method's tier, and what Slack says itself."""

import pytest
import redis.asyncio

from workers.slack_rates import SlackRates


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_channel_gets_one_a_second_after_a_short_burst() -> None:
    clock = Clock()
    rates = SlackRates(monotonic=clock)
    assert [await rates.take("chat.postMessage", "C1") for _ in range(2)] == [0.0, 0.0]
    assert await rates.take("chat.postMessage", "C1") == pytest.approx(1.0, abs=0.06)
    assert await rates.take("chat.postMessage", "C2") == 0.0
    taken = 0
    for _ in range(100):
        clock.now += 0.1
        taken += await rates.take("chat.postMessage", "C1") == 0.0
    assert taken == 10


async def test_a_tier_is_counted_over_all_channels() -> None:
    clock = Clock()
    rates = SlackRates(monotonic=clock)
    taken = 0
    for number in range(600):
        clock.now += 0.1
        taken += await rates.take("chat.update", f"C{number}") == 0.0
    assert taken == pytest.approx(50 + 4, abs=1)


async def test_what_slack_says_is_obeyed_for_what_it_was_said_of() -> None:
    clock = Clock()
    rates = SlackRates(monotonic=clock)
    rates.hold("chat.postMessage", "C1", 30)
    rates.hold("chat.update", "C1", 7)
    assert await rates.take("chat.postMessage", "C1") == 30
    assert await rates.take("chat.postMessage", "C2") == 0.0
    assert await rates.take("chat.update", "C9") == 7
    clock.now += 30.01
    assert await rates.take("chat.postMessage", "C1") == 0.0


async def test_posters_share_one_rate(async_redis: redis.asyncio.Redis) -> None:
    one, two = SlackRates(async_redis), SlackRates(async_redis)
    took = [await rates.take("chat.postMessage", "C1") == 0.0 for rates in (one, two, one, two)]
    assert took == [True, True, False, False]


async def test_without_redis_each_has_its_own() -> None:
    client = redis.asyncio.Redis(host="127.0.0.1", port=1)
    rates = SlackRates(client)
    assert [await rates.take("chat.postMessage", "C1") == 0.0 for _ in range(3)] == [True, True, False]
    await client.aclose()
