"""The clock process's steps, each at the store, on both databases."""

import importlib
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
import sqlalchemy as sa

from crm_store.db import Store
from crm_store.schema import assignments, conversation_events, conversations, parked_reports
from hub import jobs
from hub.config import Queue
from hub.model import DeliveryReported, DeliveryStatus
from tests.workers.office import START, Office
from workers import context, remind, schedule, sweep


@pytest.fixture
def office(store: Store) -> Office:
    return Office(store)


def change(office: Office, conversation: int, **values: Any) -> None:
    office.store.run(
        lambda tx: tx.execute(
            sa.update(conversations).where(conversations.c.id == conversation).values(**values)
        )
    )


def state(office: Office, conversation: int) -> tuple[str, str | None]:
    with office.store.read() as tx:
        row = tx.execute(
            sa.select(conversations.c.state, conversations.c.assignee).where(
                conversations.c.id == conversation
            )
        ).one()
        return row.state, row.assignee


def test_every_job_is_there() -> None:
    for name in jobs.ALL:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


def test_a_claim_that_is_answered_at_that_moment_stays(office: Office) -> None:
    queue = {"general": Queue(key="general", title="General", idle_s=3600.0)}
    idle = office.conversation("webhook:a")
    old = START - timedelta(hours=2)
    change(office, idle, waiting_since=old, opened_at=old)
    found: list[list[int]] = []
    looking = threading.Thread(target=lambda: found.append(remind.look(office.store, queue, START)))
    with office.store.begin() as tx:
        answer = sa.update(conversations).where(conversations.c.id == idle)
        tx.execute(answer.values(waiting_since=None, state="pending"))
        looking.start()
        looking.join(0.3)  # it looks before the answer is committed
    looking.join()
    assert (found, state(office, idle)) == ([[]], ("pending", "bo"))


def test_the_snoozed_wake_and_offers_expire_when_it_is_time(office: Office) -> None:
    snoozed, offered, later = (
        office.conversation("webhook:a"),
        office.conversation("webhook:b"),
        office.conversation("webhook:c"),
    )
    change(office, snoozed, state="snoozed", snoozed_until=START, assignee=None)
    change(office, offered, state="offered", offered_to="bo", offer_expires_at=START, assignee=None)
    change(office, later, state="snoozed", snoozed_until=START + timedelta(hours=1))
    assert sorted(remind.look(office.store, {}, START)) == sorted([snoozed, offered])
    assert [state(office, c)[0] for c in (snoozed, offered, later)] == ["waiting", "waiting", "snoozed"]
    assert remind.look(office.store, {}, START) == []


def test_a_claim_that_nobody_works_on_goes_back(office: Office) -> None:
    queue = {"general": Queue(key="general", title="General", idle_s=3600.0)}
    idle, fresh, answered = (office.conversation(f"webhook:{n}") for n in "abc")
    old, young = START - timedelta(hours=2), START - timedelta(minutes=5)
    for conversation, waiting, claimed in ((idle, old, old), (fresh, old, young), (answered, None, old)):
        change(office, conversation, waiting_since=waiting)

        def claim(tx: sa.Connection, conversation: int = conversation, claimed: Any = claimed) -> None:
            tx.execute(
                sa.insert(assignments).values(
                    id=office.store.ids(), conversation_id=conversation, agent="bo", kind="claim", at=claimed
                )
            )

        office.store.run(claim)
    assert remind.look(office.store, queue, START) == [idle]
    assert state(office, idle) == ("waiting", None)
    assert state(office, fresh) == ("open", "bo")
    with office.store.read() as tx:
        event = tx.execute(
            sa.select(conversation_events).where(conversation_events.c.conversation_id == idle)
        ).one()
    assert (event.what, event.by, event.why) == ("released", "system", "no answer in time")


def test_what_is_due_over_an_account_that_is_gone_fails_in_words(office: Office) -> None:
    gone = office.reply(account="webhook/gone")
    waits = office.reply(to="webhook:b", account="webhook/gone", state="held", code="customer_wrote")
    there = office.reply(to="webhook:c")
    look = lambda s: sweep.look(office.store, ["webhook/main"], START + timedelta(seconds=s))  # noqa: E731
    assert look(60).moved == []
    assert [m.delivery_id for m in look(1000).moved] == [gone]
    assert office.states(gone, waits, there) == ["failed", "held", "queued"]
    assert "webhook/gone" in office.row(gone).detail


def test_the_night_forgets_what_nobody_asks_for(office: Office) -> None:
    from crm_store import deliveries

    early = DeliveryReported(
        account="webhook/main",
        event_key="k",
        received_at=START,
        status=DeliveryStatus.READ,
        external_id="nobody",
    )
    office.store.run(lambda tx: deliveries.apply_reports(tx, office.store.ids, [early], START))
    assert sweep.forget(office.store, START + timedelta(days=6))["parked reports"] == 0
    assert sweep.forget(office.store, START + timedelta(days=8))["parked reports"] == 1
    with office.store.read() as tx:
        assert tx.execute(sa.select(parked_reports)).first() is None


class Held:
    """As much of a process's context as the clock needs."""

    def __init__(self, office: Office, redis: Any, owner: str) -> None:
        self.store, self.redis, self.owner = office.store, redis, owner
        self.follower = self
        self._office = office

    def get(self) -> Any:
        return self._office.accounts

    def config(self) -> Any:
        class Config:
            queues: dict[str, Queue] = {}

        return Config


def test_the_clock_wakes_the_sender_when_something_is_due_and_only_one_clock_acts(
    office: Office, redis: "redis_py.Redis"
) -> None:
    one, other = (schedule.Clock(Held(office, redis, n), now=office.clock) for n in "ab")  # type: ignore[arg-type]
    waits = lambda: redis.llen(f"rq:queue:{jobs.QUEUE_DEFAULT}")  # noqa: E731
    office.reply(state="held", in_s=10)
    one.tick()
    assert waits() == 0
    office.later(seconds=10)
    other.tick()
    assert (waits(), other.mine(), one.mine()) == (0, False, True)
    redis.delete(schedule.LEASE_KEY)  # the first clock has died
    other.tick()
    assert waits() == 1
    other.deliveries()
    assert waits() == 1


def test_a_worker_without_a_configuration_says_so(sqlite_url: str, tmp_path: Path) -> None:
    from hub.errors import NotFound
    from hub.settings import Secret, Settings

    settings = Settings(database_url=Secret(sqlite_url), data=tmp_path / "var")
    with pytest.raises(NotFound, match="config apply"):
        context.opened(settings)
