"""How many sends an account may have in flight: what its rate needs, and no more than helps."""

import pytest

from hub.config import Account
from workers.lane import Lane, Tuning

T = Tuning()


def lane(per_s: float) -> Lane:
    account = Account(
        key="webhook/a", connector="webhook", name="a", brand="acme", title="a", rate_per_s=per_s, burst=10
    )
    return Lane(account, T.per_account)


def after(of: Lane, send_s: float, seconds: float, *, begins: float = 1000.0) -> int:
    """Its slots after so many seconds of sends that take so long, and a turn each."""
    now = begins
    while now <= begins + seconds:
        of.took(send_s, now)
        of.resize(T)
        now += 0.05
    return of.slots


@pytest.mark.parametrize(
    "per_s, send_s, slots",
    [(1.0, 0.02, 4), (300.0, 0.02, 9), (80.0, 0.2, 24), (1.0, 1.9, 4), (1000.0, 1.0, 50)],
)
def test_it_has_what_its_rate_needs_and_half_as_much_again(per_s: float, send_s: float, slots: int) -> None:
    assert after(lane(per_s), send_s, 3.0) == slots


def test_a_provider_that_gets_slower_gets_more_and_a_quicker_one_less() -> None:
    of = lane(100.0)
    assert after(of, 0.02, 3.0, begins=1000.0) == 4
    assert after(of, 0.2, 12.0, begins=1004.0) == 30
    assert after(of, 0.02, 0.1, begins=1020.0) == 4


def test_sends_that_wait_in_our_own_queue_ask_for_no_longer_one() -> None:
    of = lane(300.0)
    for n in range(1000):
        of.took(0.02 if n % 50 == 0 else 0.09, 1000.0 + n / 300)
        of.resize(T)
    assert of.slots == 9


def test_the_first_sends_open_connections_and_say_little() -> None:
    of = lane(300.0)
    of.took(0.15, 1000.0)
    of.resize(T)
    assert of.slots == T.per_account + 2
    of.took(0.02, 1000.1)
    of.resize(T)
    assert of.slots == 8
    of.resize(T)
    assert of.slots == 9
