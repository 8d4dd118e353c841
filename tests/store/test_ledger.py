"""The ledger's arithmetic, the producers' questions, and quarantine's replay button."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from crm_store import intake, ledger, quarantine, schema
from crm_store.db import Store
from crm_store.quarantine import Held
from hub.codec import decode
from hub.errors import NotFound, Refused
from hub.inlet import ProducerReport
from hub.model import Cursor, Entry, Event, Unreadable
from router.handle import Bad
from tests.router.way_in import NOON, WayIn
from tests.store.test_batch import Poisoned, at_once

DAY = NOON.date().isoformat()


@pytest.fixture
def way(store: Store) -> WayIn:
    return WayIn(store)


def report(last_seq: int, entries: int, on_the_way: int, **more: Any) -> ProducerReport:
    values: dict[str, Any] = {
        "producer": "p1", "host": "edge", "last_seq": last_seq, "reported_at": NOON,
        "counts": {(DAY, "webchat/main"): (entries, on_the_way)},
    }  # fmt: skip
    return ProducerReport(**(values | more))


def row(store: Store) -> tuple[int, ...]:
    (found,) = ledger.day(store, NOON.date())
    return (
        found.journalled, found.stored, found.duplicates, found.quarantined, found.on_the_way, found.missing,
    )  # fmt: skip


def test_what_the_store_knows_of_a_producers_entries(way: WayIn) -> None:
    way.handler.batch([way.entry(way.ann(), seq=seq) for seq in (3, 4, 5, 9)])
    assert intake.known(way.store, "p1", [1, 2, 3, 4, 5, 6, 9]) == {3, 4, 5, 9}
    assert intake.known(way.store, "p1", range(3, 6)) == {3, 4, 5}
    assert intake.known(way.store, "p2", [3]) == set()
    assert intake.known(way.store, "p1", []) == set()
    assert intake.known(way.store, "p1", range(1, 2500)) == {3, 4, 5, 9}


def test_a_day_adds_up(way: WayIn) -> None:
    twice = way.ann()
    way.take(twice, twice, way.ann())
    way.take(Unreadable(account="webchat/main", event_key="u", received_at=NOON, reason="?", blob="c" * 64))
    intake.report(way.store, report(4, 4, 0))
    assert row(way.store) == (4, 2, 1, 1, 0, 0)
    intake.report(way.store, report(7, 7, 3, pending=[(5, 7)]))
    assert row(way.store) == (7, 2, 1, 1, 3, 0)
    way.take(way.ann(), way.ann())  # what came in since the report is no longer on the way
    assert row(way.store) == (7, 4, 1, 1, 1, 0)
    assert ledger.gaps(way.store) == []
    intake.report(way.store, report(9, 9, 1, pending=[(9, 9)], reported_at=NOON + timedelta(seconds=3)))
    assert row(way.store) == (9, 4, 1, 1, 1, 2)
    assert [(gap.first, gap.last) for gap in ledger.gaps(way.store)] == [(7, 8)]


def test_an_older_report_changes_nothing(way: WayIn) -> None:
    intake.report(way.store, report(7, 7, 7))
    intake.report(way.store, report(3, 3, 3, reported_at=NOON - timedelta(seconds=3)))
    assert way.one(schema.producers).last_seq == 7
    assert row(way.store)[0] == 7


def test_another_day_and_what_no_report_spoke_of(way: WayIn) -> None:
    way.take(way.ann())
    assert row(way.store) == (1, 1, 0, 0, 0, 0)
    assert ledger.day(way.store, NOON.date() - timedelta(days=1)) == []


def test_gaps_at_either_end_and_in_the_middle(way: WayIn) -> None:
    way.handler.batch([way.entry(way.ann(), seq=seq) for seq in (3, 4, 8)])
    intake.report(way.store, report(12, 12, 1, pending=[(6, 6), (12, 12)]))
    assert [(gap.first, gap.last) for gap in ledger.gaps(way.store)] == [(1, 2), (5, 5), (7, 7), (9, 11)]


# ------------------------------------------------------------------------------------------------- quarantine


def reparse(held: Held) -> Sequence[tuple[Event, Cursor | None]]:
    assert held.entry is not None
    return [decode(held.entry)]


def test_poison_is_replayed_once_the_router_is_mended(store: Store) -> None:
    way = Poisoned(store)
    way.take(way.ann("POISON"))
    way.lifted = True
    intake.report(store, report(1, 1, 0))
    assert row(store) == (1, 0, 0, 1, 0, 0)
    held = quarantine.listed(store)[0]
    arguments: dict[str, Any] = {"reparse": reparse, "now": way.now}
    assert quarantine.replay(store, held.id, "agent:bo", way.handler.accept, **arguments) == 1
    assert way.one(schema.interactions).text == "POISON"
    assert row(store) == (1, 1, 0, 0, 0, 0)
    with pytest.raises(Refused, match="agent:bo"):
        quarantine.replay(store, held.id, "agent:cy", way.handler.accept, **arguments)
    assert quarantine.count(store) == 0
    assert quarantine.show(store, held.id).state == "replayed"


def test_a_replay_that_fails_again_leaves_it_waiting(store: Store) -> None:
    way = Poisoned(store)
    way.take(way.ann("POISON"))
    held = quarantine.listed(store)[0]
    with pytest.raises(ValueError, match="no parser"):
        quarantine.replay(store, held.id, "agent:bo", way.handler.accept, reparse=reparse, now=way.now)
    assert quarantine.show(store, held.id).state == "waiting"
    assert way.outcomes() == ["quarantined"]


def test_two_clicks_at_once_are_one_replay(store: Store) -> None:
    way = Poisoned(store)
    way.take(way.ann("POISON"))
    way.lifted = True
    held = quarantine.listed(store)[0]

    def click() -> None:
        quarantine.replay(store, held.id, "agent:bo", way.handler.accept, reparse=reparse, now=way.now)

    (error,) = at_once(click, click)
    assert isinstance(error, Refused)
    assert way.count(schema.interactions) == 1


def test_an_unreadable_request_may_hold_several_events(way: WayIn) -> None:
    way.take(Unreadable(account="webchat/main", event_key="u", received_at=NOON, reason="?", blob="c" * 64))
    intake.report(way.store, report(1, 1, 0))
    held = quarantine.listed(way.store)[0]
    events = [(way.ann("one"), None), (way.ann("two"), None)]
    count = quarantine.replay(
        way.store, held.id, "agent:bo", way.handler.accept, reparse=lambda _: events, now=way.now
    )
    assert count == 2
    assert [said.text for said in way.rows(schema.interactions)] == ["one", "two"]
    assert row(way.store) == (1, 1, 0, 0, 0, 0)


def test_one_with_nothing_in_it_is_done_with(way: WayIn) -> None:
    way.take(Unreadable(account="webchat/main", event_key="u", received_at=NOON, reason="?", blob="c" * 64))
    held = quarantine.listed(way.store)[0]
    never: list[Sequence[Entry]] = []

    def accept(_: Connection, entries: Sequence[Entry]) -> None:
        never.append(entries)

    assert quarantine.replay(way.store, held.id, "agent:bo", accept, reparse=lambda _: [], now=way.now) == 0
    assert (quarantine.count(way.store), never, way.outcomes()) == (0, [], ["quarantined"])


def test_a_newer_versions_entry_is_set_aside_with_what_it_shows(way: WayIn) -> None:
    import msgspec

    raw = msgspec.msgpack.encode(
        {"v": 2, "kind": "hologram", "event": {"account": "webchat/main", "event_key": "h\x001", "depth": 3}}
    )
    with pytest.raises(Exception, match="newer") as newer:
        decode(raw)
    bad = Bad(producer="p1", seq=1, accepted_at=NOON, raw=raw, error=newer.value)
    way.handler.bad(bad)
    way.handler.bad(bad)
    held = way.one(schema.quarantine)
    assert (held.kind, held.account, held.entry) == ("newer", "webchat/main", raw)
    assert way.one(schema.intake).outcome == "quarantined"
    way.handler.bad(Bad(producer="p1", seq=2, accepted_at=NOON, raw=b"rubbish", error=ValueError("no event")))
    assert [h.kind for h in quarantine.listed(way.store)] == ["poison", "newer"]


def test_dropping_and_naming_what_is_not_there(way: WayIn) -> None:
    way.take(Unreadable(account="webchat/main", event_key="u", received_at=NOON, reason="?", blob="c" * 64))
    held = quarantine.listed(way.store)[0]
    quarantine.drop(way.store, held.id, "agent:bo", way.now)
    with pytest.raises(Refused):
        quarantine.drop(way.store, held.id, "agent:bo", way.now)
    assert quarantine.listed(way.store) == []
    assert quarantine.listed(way.store, state=None)[0].by == "agent:bo"
    with pytest.raises(NotFound):
        quarantine.show(way.store, 1)


def test_what_nobody_could_read_is_not_missed_by_the_account_that_it_came_over(way: WayIn) -> None:
    way.take(way.ann())
    rubbish = Bad(producer="p1", seq=2, accepted_at=NOON, raw=b"\xc1", error=ValueError("no event"))
    way.handler.bad(rubbish)
    assert [(one.account, one.quarantined) for one in ledger.day(way.store, NOON.date())] == [
        ("webchat/main", 0),
        ("", 1),
    ]
    intake.report(way.store, report(2, 2, 0))
    assert row(way.store) == (2, 1, 0, 1, 0, 0)
    intake.report(way.store, report(3, 3, 0, reported_at=NOON + timedelta(seconds=3)))
    assert row(way.store) == (3, 1, 0, 1, 0, 1)  # and a real loss is still one
