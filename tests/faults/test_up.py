"""`mainstem up` killed, and its configuration saved badly while it runs."""

from collections.abc import Iterator

import pytest

from tests.mainstem.running import Hub, gone, running
from tests.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running() as started:
        yield started


def test_killed_it_leaves_nobody_and_the_next_start_goes_on(hub: Hub) -> None:
    hub.ready()
    hub.mainstem("say", "are you there?")
    family = hub.family()
    hub.process.kill()
    hub.process.wait()
    assert gone(family, 10.0) == []
    again = Hub(hub.folder)
    try:
        assert "Mainstem is ready" in again.ready()
        assert again.mainstem("ledger").returncode == 0
        assert "nothing is missing" in again.mainstem("ledger").stdout.lower()
    finally:
        again.close()


def test_a_bad_save_changes_nothing_and_a_good_one_is_in_force(hub: Hub) -> None:
    hub.ready()
    file = hub.folder / "config" / "routing.yaml"
    good = file.read_text()
    file.write_text(good.replace("queue: billing", "queue: bilingual"))
    until(lambda: 'no queue "bilingual"; did you mean "billing"?' in hub.told.read_text())
    file.write_text(good.replace("name: money", "name: coins"))
    until(lambda: "is in force; every process follows" in hub.told.read_text())
    assert "name: coins" in hub.mainstem("config", "show", "routing.yaml").stdout
