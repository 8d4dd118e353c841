"""The buckets: the rate is kept, over processes too, and without Redis."""

import itertools

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.valkey import Valkey
from workers.rates import Rates, Want


class Time:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.mark.parametrize("per_s, burst", [(1.0, 1), (3.0, 1), (10.0, 10), (80.0, 10), (450.0, 50)])
def test_the_rate_is_kept_within_a_hundredth(per_s: float, burst: int) -> None:
    """A sender that comes at uneven moments, some of them late, over a minute."""
    now = Time()
    rates = Rates(None, monotonic=now)
    late = itertools.cycle([0.011, 0.002, 0.037, 0.02, 0.049, 0.005])
    total, began = 0, now.s
    while now.s - began < 60:
        grant = rates.take({"a/b": Want(per_s, burst, 100)})["a/b"]
        total += grant.count
        now.s += max(grant.wait_s, 0.0) + next(late) * min(1.0, 10 / per_s)
    expected = per_s * 60
    assert total - max(burst, per_s * 0.1, 1) <= expected * 1.01
    assert total >= expected * 0.99 - 1


def test_a_bucket_of_one_never_gives_two(redis: redis_py.Redis) -> None:
    for rates in (Rates(redis), Rates(None)):
        assert rates.take({"a/b": Want(1.0, 1, 50)})["a/b"].count == 1
        grant = rates.take({"a/b": Want(1.0, 1, 50)})["a/b"]
        assert grant.count == 0
        assert 0.8 < grant.wait_s <= 1.0


def test_processes_share_one_bucket(redis: redis_py.Redis) -> None:
    one, other = Rates(redis), Rates(redis)
    wants = {"a/b": Want(2.0, 10, 7), "a/c": Want(2.0, 10, 7)}
    first, second = one.take(wants), other.take(wants)
    assert [g.count for g in first.values()] == [7, 7]
    assert [g.count for g in second.values()] == [3, 3]


def test_redis_away_is_no_reason_to_stop() -> None:
    now = Time()
    with Valkey() as server:
        client = redis_py.Redis(unix_socket_path=str(server.socket), retry=Retry(NoBackoff(), 0))
        rates = Rates(client, monotonic=now)
        assert rates.take({"a/b": Want(1.0, 5, 3)})["a/b"].count == 3
        server.kill()
        assert rates.take({"a/b": Want(1.0, 5, 9)})["a/b"].count == 5
        server.start()
        now.s += 6
        assert rates.take({"a/b": Want(1.0, 5, 9)})["a/b"].count >= 1
        client.close()
