"""The batch at the store's door: every entry once, whoever else is at it, and whatever is wrong with one of them."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import text

from crm_store import batch, schema
from crm_store.batch_plan import Known
from crm_store.db import Store
from hub.errors import Unavailable
from hub.model import (
    Change,
    Cursor,
    DeliveryReported,
    DeliveryStatus,
    MessageChanged,
    Unreadable,
)
from router import attach
from tests.router.way_in import NOON, WayIn, message


@pytest.fixture
def way(store: Store) -> WayIn:
    return WayIn(store)


# -------------------------------------------------------------------------------------------- duplicates


def test_the_same_entry_again_leaves_nothing(way: WayIn) -> None:
    entry = way.entry(way.ann())
    way.handler.batch([entry, entry])
    way.handler.batch([entry])
    assert (way.outcomes(), way.count(schema.interactions)) == (["stored"], 1)


def test_names_are_known_again_whatever_is_in_them(way: WayIn) -> None:
    names = [
        '"',
        "\\",
        "{",
        "}",
        ",",
        '","',
        "NULL",
        "None",
        "",
        " ",
        "\n\t",
        "'",
        "\\N",
        "é",
        "😀",
        'a"b\\c',
    ]
    said = way.ann()
    first = [
        way.entry(structs.replace(said, sender=f"webchat:{name}", event_key=f"one {name}")) for name in names
    ]
    second = [
        way.entry(structs.replace(said, sender=f"webchat:{name}", event_key=f"two {name}")) for name in names
    ]
    again = [way.entry(entry.event) for entry in first + second]
    for entries in (first, second, again):
        way.handler.batch(entries)
    assert (way.count(schema.customers), way.count(schema.conversations)) == (len(names), len(names))
    assert Counter(way.outcomes()) == {"stored": 2 * len(names), "duplicate": 2 * len(names)}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two"])
def test_the_same_event_again_is_a_duplicate_and_ends_there(way: WayIn, together: bool) -> None:
    said = way.ann()
    entries = [
        way.entry(said),
        way.entry(said),
        way.entry(structs.replace(said, sender="webchat:eve"), producer="p2", seq=1),
    ]
    for some in [entries] if together else [[entry] for entry in entries]:
        way.handler.batch(some)
    assert Counter(way.outcomes()) == {"stored": 1, "duplicate": 2}
    assert {row.interaction_id for row in way.rows(schema.intake)} == {way.one(schema.interactions).id}
    assert (way.count(schema.customers), way.conversation().version) == (1, 1)


def test_the_same_key_on_another_account_is_another_event(way: WayIn) -> None:
    way.take(way.ann(event_key="1"), way.ann(event_key="1", account="webhook/main"))
    assert way.outcomes() == ["stored", "stored"]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two"])
def test_another_text_under_the_same_key_is_put_on_record(way: WayIn, together: bool) -> None:
    first = way.ann("pay 10")
    events = [first, structs.replace(first, text="pay 10000", blob="b" * 64)]
    for some in [events] if together else [[event] for event in events]:
        way.take(*some)
    assert way.one(schema.interactions).text == "pay 10"
    conflict = way.rows(schema.conversation_events)[-1]
    assert conflict.what == "conflict"
    assert json.loads(conflict.data)["blob"] == "b" * 64


# ------------------------------------------------------------------------------------------------- races


def at_once(*works: Any) -> list[Exception]:
    """Run them in threads that start together; what they raised."""
    errors: list[Exception] = []
    gate = threading.Barrier(len(works))

    def go(work: Any) -> None:
        gate.wait()
        try:
            work()
        except Exception as error:  # shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=go, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


# ------------------------------------------------------------------------------------------------ a long batch

LONG = 2200  # more than two statements of rows, and some left over


def test_what_is_written_while_the_rest_is_planned_is_there_once(way: WayIn) -> None:
    said = [way.ann(f"{n}", sender=f"webchat:c{n % 700}") for n in range(LONG)]
    handled = way.take(*said, said[3])
    assert (handled.entries, handled.duplicates, handled.quarantined) == (LONG + 1, 1, 0)
    assert [row.text for row in way.rows(schema.interactions)] == [event.text for event in said]
    assert way.outcomes() == ["stored"] * LONG + ["duplicate"]
    assert (way.count(schema.decisions), way.count(schema.conversations)) == (LONG, 700)


@pytest.mark.parametrize("at", [LONG - 1, 1300], ids=["at the end", "while some is written"])
def test_a_long_batch_that_fails_leaves_nothing(way: WayIn, at: int) -> None:
    def reads(text: str) -> None:
        if text == str(at):
            raise ZeroDivisionError

    way.mind(reads)
    entries = [way.entry(way.ann(f"{n}", sender=f"webchat:c{n}")) for n in range(LONG)]
    with pytest.raises(ZeroDivisionError), way.store.begin() as tx:
        way.handler.accept(tx, entries)
    assert not way.count(schema.intake) + way.count(schema.interactions) + way.count(schema.identities)
    way.take(way.ann())
    assert way.outcomes() == ["stored"]


def test_a_row_that_is_refused_while_the_rest_is_planned_ends_the_batch(way: WayIn) -> None:
    way.take(taken := way.ann(event_key="taken"))
    entries = [way.entry(way.ann(f"{n}", sender=f"webchat:c{n}")) for n in range(LONG)]
    late = Known()  # as if another router had stored it after our look-up
    setting = way.handler.setting(LONG)

    def work(tx: Any) -> None:
        with batch.Early(tx) as early:
            plan = attach.plan(late, [way.entry(taken), *entries], setting, early)
        batch.write(tx, plan)

    with pytest.raises(Exception, match=r"(?i)unique"), way.store.begin() as tx:
        work(tx)
    assert way.outcomes() == ["stored"]


@pytest.mark.postgres
def test_two_routers_on_the_same_entries(postgresql_url: str) -> None:
    """A lease that went over while its holder slept: both handle everything, and it is handled once."""
    stores = [Store.open(postgresql_url), Store.open(postgresql_url)]
    ways = [WayIn(store) for store in stores]
    people = [f"webchat:{number}" for number in range(20)]
    entries = [
        ways[0].entry(message(NOON, f"{turn} {who}", sender=who, claims=(f"tel:{who[8:]}",)))
        for turn in range(6)
        for who in people
    ]
    sliced = [entries[start : start + 30] for start in range(0, len(entries), 30)]

    def route(way: WayIn, batches: list[Any]) -> None:
        for some in batches:
            way.handler.batch(some)

    # One forwards, one with its batches cut elsewhere: they meet on rows and on keys.
    others = [entries[:7], *(entries[start : start + 41] for start in range(7, len(entries), 41))]
    assert at_once(lambda: route(ways[0], sliced), lambda: route(ways[1], others)) == []
    assert ways[0].outcomes() == ["stored"] * 120
    assert ways[0].count(schema.interactions) == 120
    assert ways[0].count(schema.customers) == 20
    assert ways[0].count(schema.identities) == 40
    assert ways[0].count(schema.conversations) == 20
    assert not ways[0].slept
    assert not ways[1].slept
    for store in stores:
        store.close()


@pytest.mark.postgres
def test_two_routers_on_one_customer(postgresql_url: str) -> None:
    """Different entries of the same people, at the same time: one customer, one conversation, every message."""
    stores = [Store.open(postgresql_url), Store.open(postgresql_url)]
    ways = [WayIn(store) for store in stores]

    def route(way: WayIn, producer: str) -> None:
        for turn in range(10):
            said = [
                message(
                    NOON, f"{producer}{turn}", sender=f"webchat:{who}", event_key=f"{producer}-{turn}-{who}"
                )
                for who in range(5)
            ]
            way.handler.batch([way.entry(one, producer=producer) for one in said])

    assert at_once(lambda: route(ways[0], "a"), lambda: route(ways[1], "b")) == []
    assert ways[0].count(schema.interactions) == 100
    assert ways[0].count(schema.customers) == ways[0].count(schema.conversations) == 5
    assert {row.version for row in ways[0].rows(schema.conversations)} <= set(range(2, 21))
    assert not ways[0].slept
    for store in stores:
        store.close()


@pytest.mark.postgres
def test_a_merge_waits_for_the_batch_in_flight(postgresql_url: str) -> None:
    store = Store.open(postgresql_url)
    way = WayIn(store)
    done: list[str] = []
    started = threading.Event()

    def merge() -> None:
        started.set()
        with store.begin() as tx:
            batch.keep_out(tx)
            done.append("merge")

    thread = threading.Thread(target=merge)
    with store.begin() as tx:
        way.handler.accept(tx, [way.entry(way.ann())])
        thread.start()
        started.wait(10)
        thread.join(0.2)
        done.append("batch")
    thread.join(10)
    assert done == ["batch", "merge"]
    store.close()


# ------------------------------------------------------------------------------------------------ any order


def test_a_conversations_events_in_any_order(store: Store) -> None:
    """F17: message, edit, reaction, its own duplicate and a later message, in all 120 orders, come to the same."""
    way = WayIn(store)
    for number, order in enumerate(itertools.permutations(range(5))):
        who, key = f"webchat:{number}", f"{number}-m"
        first = message(NOON, "my invoice", sender=who, event_key=key)
        changed: dict[str, Any] = {
            "account": "webchat/main", "sender": who, "external_id": key, "received_at": NOON + timedelta(seconds=9),
        }  # fmt: skip
        events = [
            first,
            MessageChanged(event_key=f"{key}e", change=Change.EDIT, text="my refund", **changed),
            MessageChanged(event_key=f"{key}r", change=Change.REACTION, text="+1", **changed),
            first,
            message(NOON + timedelta(seconds=5), "hello?", sender=who, event_key=f"{key}2"),
        ]
        way.pass_(seconds=10)
        if number % 2:
            way.take(*(events[i] for i in order))
        else:
            for i in order:
                way.take(events[i])
    assert Counter(way.outcomes()) == {"stored": 480, "duplicate": 120}
    assert way.count(schema.interactions) == 240
    assert (
        way.count(schema.interaction_changes, schema.interaction_changes.c.interaction_id.is_not(None)) == 240
    )
    assert way.count(schema.parked_reports) == 0
    conversations = way.rows(schema.conversations)
    assert len(conversations) == 120
    assert {(row.queue, row.state, row.waiting_since, row.rank_at) for row in conversations} == {
        ("billing", "waiting", NOON, NOON)
    }


def test_reports_reach_the_deliveries_room(way: WayIn) -> None:
    way.take(
        DeliveryReported(
            account="webchat/main",
            event_key="r1",
            received_at=way.now,
            status=DeliveryStatus.DELIVERED,
            external_id="x",
        )
    )
    assert way.one(schema.parked_reports).external_id == "x"
    assert way.one(schema.intake).kind == "delivery"


# --------------------------------------------------------------------------------------- what will not go in


class Poisoned(WayIn):
    """A router that cannot handle one text; `lifted` mends it."""

    lifted = False
    failed = 0

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.mind(self.reads)

    def reads(self, said: str) -> None:
        if "POISON" in said and not self.lifted:
            self.failed += 1
            raise ValueError("no parser for this")


def test_poison_goes_to_quarantine_and_the_others_go_on(store: Store) -> None:
    way = Poisoned(store)
    handled = way.take(way.ann("one"), way.ann("POISON"), way.ann("two"))
    assert (handled.entries, handled.quarantined) == (3, 1)
    assert way.outcomes() == ["stored", "quarantined", "stored"]
    assert way.failed == 6  # once with the others, five times alone
    held = way.one(schema.quarantine)
    assert (held.kind, held.state, held.account) == ("poison", "waiting", "webchat/main")
    assert "no parser for this" in held.reason
    assert sum(way.slept) < 1
    assert way.count(schema.intake_tries) == 0
    way.handler.batch([way.entry(way.ann("three"))])
    assert [row.text for row in way.rows(schema.interactions)] == ["one", "two", "three"]


def test_what_the_database_will_not_have_is_poison_too(way: WayIn) -> None:
    bad = way.ann("hello", external_id="x" * 500, event_key="nul\x00")
    way.take(way.ann("one"), bad, way.ann("two"))
    outcomes = way.outcomes()
    # SQLite has no limits on text; what PostgreSQL refuses must not be lost
    assert outcomes[0] == outcomes[2] == "stored"
    assert way.count(schema.intake) == 3


def test_an_entry_that_kills_the_process_is_tried_five_times(way: WayIn) -> None:
    class Killed(BaseException):
        pass

    def die(said: str) -> None:
        if said == "bad":
            raise Killed

    good, bad = way.entry(way.ann("good")), way.entry(way.ann("bad"))
    way.mind(die)
    with pytest.raises(Killed):
        way.handler.batch([good, bad])
    assert way.count(schema.intake_tries) == 0  # nobody knows yet whose fault it was
    for tried in range(1, 6):
        restarted = WayIn(way.store)
        restarted.mind(die)
        with pytest.raises(Killed):
            restarted.handler.each([good, bad], suspect=True)
        assert way.one(schema.intake_tries).tries == tried
    restarted.mind(lambda _: None)
    assert restarted.handler.each([good, bad], suspect=True).quarantined == 1
    assert way.outcomes() == ["stored", "quarantined"]
    assert way.count(schema.intake_tries) == 0


def test_the_innocent_after_a_crash_leave_no_trace(way: WayIn) -> None:
    entries = [way.entry(way.ann(str(number))) for number in range(5)]
    way.handler.batch(entries[:2])
    handled = way.handler.each(entries, suspect=True)
    assert (handled.entries, handled.quarantined) == (5, 0)
    assert way.count(schema.interactions) == 5
    assert way.count(schema.intake_tries) == 0


def test_a_database_that_is_away_counts_for_nobody(way: WayIn) -> None:
    entry = way.entry(way.ann())

    def away(_: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    way.mind(away)
    for suspect in (False, True, True, True, True, True, True, True):
        with pytest.raises(Unavailable):
            way.handler.each([entry], suspect=suspect)
    way.mind(lambda _: None)
    assert way.handler.each([entry], suspect=True).quarantined == 0
    assert way.outcomes() == ["stored"]
    assert way.count(schema.intake_tries) == 0


def test_a_locked_sqlite_is_waited_for_and_then_left(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_store.db._BUSY_S", 0.02)
    store = Store.open(sqlite_url)
    way = WayIn(store)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    way.store.ids()
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="locked"):
        way.take(way.ann())
    other.execute("ROLLBACK")
    way.take(way.ann())
    assert way.outcomes() == ["stored"]
    other.close()
    store.close()


@pytest.mark.postgres
def test_a_postgresql_that_goes_away_is_found_again(postgresql_url: str) -> None:
    store = Store.open(postgresql_url)
    way = WayIn(store)
    way.take(way.ann())

    def cut(_: str) -> None:
        with store.engine.connect() as tx:
            tx.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    way.mind(cut)
    said = way.entry(way.ann("again"))
    with pytest.raises(Unavailable):
        way.handler.batch([said])
    way.mind(lambda _: None)
    way.handler.batch([said])
    assert way.outcomes() == ["stored", "stored"]
    store.close()


def test_an_account_that_is_not_configured_is_tried_until_it_may_be(way: WayIn) -> None:
    """The edge may know a new account half a second before the router does."""
    way.take(way.ann(account="webchat/new"), way.ann("one"))
    assert way.outcomes() == ["quarantined", "stored"]
    assert 0.5 < sum(way.slept) < 2
    assert "no account webchat/new" in way.one(schema.quarantine).reason


def test_unreadable_waits_with_its_bytes(way: WayIn) -> None:
    event = Unreadable(
        account="webhook/main", event_key="u1", received_at=way.now, reason="no JSON", blob="c" * 64
    )
    way.take(event, event, way.ann())
    held = way.one(schema.quarantine)
    assert (held.kind, held.blob, held.reason, held.producer, held.seq) == (
        "unreadable",
        "c" * 64,
        "no JSON",
        "p1",
        1,
    )
    assert held.entry == way.entry(event).raw
    assert way.outcomes() == ["quarantined", "duplicate", "stored"]


# --------------------------------------------------------------------------------------------------- cursors


def test_a_cursor_is_committed_with_its_batch_and_never_goes_back(way: WayIn) -> None:
    def at(value: str) -> Cursor:
        return Cursor(account="webhook/main", name="INBOX", value=value)

    old = way.entry(way.ann(), cursor=at("1"))
    way.pass_(seconds=1)
    way.handler.batch([way.entry(way.ann(), cursor=at("2")), way.entry(way.ann(), cursor=at("3"))])
    assert way.one(schema.cursors).value == "3"
    way.handler.batch([old])
    assert way.one(schema.cursors).value == "3"


def test_every_kind_of_failure_is_somebodys() -> None:
    assert batch.kind_of(sqlite3.OperationalError("database is locked")) == "met"
    assert batch.kind_of(sqlite3.IntegrityError("UNIQUE constraint failed: intake.seq")) == "met"
    assert batch.kind_of(sqlite3.OperationalError("database or disk is full")) == "away"
    assert batch.kind_of(sqlite3.IntegrityError("NOT NULL constraint failed")) == "data"
    assert batch.kind_of(KeyError("x")) == "data"
