import csv
import io
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest

from crm_store import reports
from tests.each import each
from tests.store.people import CONFIG, START, Office


@pytest.fixture
def office(store: Any) -> Office:
    return Office(store)


def test_service_level_counts_answered_in_time_late_and_overdue(office: Office) -> None:
    """sales answers within 60 s. Answered after 30 s, after 90 s, never, and one that may still be in time."""
    act = office.actions()
    talks = {}
    for name in ("quick", "slow", "never"):
        office.customer(name, f"webchat:{name}")
        talks[name], _ = office.writes(f"webchat:{name}", "hi")
    for name in ("quick", "slow"):
        act.claim(talks[name], "bo")
    office.later(seconds=30)
    act.reply(talks["quick"], "bo", "hello", idem_key="k", then="close")
    office.later(seconds=60)
    act.reply(talks["slow"], "bo", "hello", idem_key="k")
    office.customer("fresh", "webchat:fresh")
    office.writes("webchat:fresh", "hi")
    with office.store.read() as tx:
        [sales] = reports.queues(tx, CONFIG, START, office.now + timedelta(hours=1), office.now)
        assert reports.queues(tx, CONFIG, START - timedelta(days=1), START, office.now) == []
    assert sales == reports.QueueReport(
        queue="sales",
        opened=4,
        closed=1,
        answered=2,
        answered_in_time=1,
        late=2,
        service_level=1 / 3,
        mean_answer_s=60.0,
        longest_answer_s=90.0,
    )


def test_nothing_to_judge_is_no_service_level(office: Office) -> None:
    office.customer("Ann", "webchat:ann")
    office.writes("webchat:ann", "hi", queue="gone")
    with office.store.read() as tx:
        [row] = reports.queues(tx, CONFIG, START, START + timedelta(hours=1), office.now)
    assert (row.queue, row.opened, row.service_level, row.mean_answer_s) == ("gone", 1, None, None)


def test_volumes_are_per_day_account_and_queue(office: Office) -> None:
    act = office.actions()
    office.customer("Ann", "webchat:ann", "mailto:ann@example.com")
    talk, _ = office.writes("webchat:ann", "hi")
    act.claim(talk, "bo")
    act.reply(talk, "bo", "hello", idem_key="k")
    act.note(talk, "bo", "nice")
    office.now = START.replace(hour=23, minute=59, second=59)
    office.writes("mailto:ann@example.com", "hi", account="mail/main", conversation=talk)
    office.later(seconds=1)
    office.writes("mailto:ann@example.com", "hi", account="mail/main", conversation=talk)
    with office.store.read() as tx:
        rows = reports.volumes(tx, START, START + timedelta(days=3))
    assert [(r.day, r.account, r.queue, r.received, r.sent, r.notes) for r in rows] == [
        (date(2027, 3, 1), "mail/main", "sales", 1, 0, 0),
        (date(2027, 3, 1), "webchat/main", "sales", 1, 1, 1),
        (date(2027, 3, 2), "mail/main", "sales", 1, 0, 0),
    ]


def test_occupancy_is_the_share_of_the_time_here_with_a_conversation(office: Office) -> None:
    """Bo is here from 9 to 11 (away from 10:00 to 10:30); has conversations 9:15 to 9:45, two at once for a while, and
    one that lasts into the break, 9:50 to 10:10."""
    act = office.actions()
    talks = []
    for number in range(3):
        office.customer(str(number), f"webchat:{number}")
        talks.append(office.writes(f"webchat:{number}", "hi")[0])

    def at(minutes: int) -> None:
        office.now = START + timedelta(minutes=minutes)

    act.set_presence("bo", "available", START + timedelta(hours=8))
    for minutes, what, talk in (
        (15, act.claim, 0),
        (20, act.claim, 1),
        (30, act.close, 0),
        (45, act.close, 1),
        (50, act.claim, 2),
    ):
        at(minutes)
        what(talks[talk], "bo")
    at(60)
    act.set_presence("bo", "away", START + timedelta(minutes=90))
    at(70)
    act.close(talks[2], "bo")
    at(120)
    with office.store.read() as tx:
        bo, cy, _ = reports.agents(tx, CONFIG, START, START + timedelta(hours=24), office.now)
    assert (bo.claimed, bo.here_s, bo.handling_s) == (3, 90 * 60, 40 * 60)
    assert bo.occupancy == pytest.approx(40 / 90)
    assert (cy.claimed, cy.here_s, cy.occupancy) == (0, 0.0, None)


@dataclass(frozen=True)
class Row:
    name: str
    count: float
    at: object = None


@each(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://evil","x")', "=cmd|' /C calc'!A0"],
)
def test_no_cell_is_a_formula(name: str) -> None:
    [_, row] = list(csv.reader(io.StringIO(reports.to_csv([Row(name, -2.5)]), newline="")))
    assert row == [f"'{name}", "-2.5", ""]
    [heading, row] = list(csv.reader(io.StringIO(reports.to_csv([1], {name: lambda _: name}), newline="")))
    assert heading == row == [f"'{name}"]


def test_plain_cells_stay_as_they_are() -> None:
    [heading, row] = list(csv.reader(io.StringIO(reports.to_csv([Row('a "b", c\nd', 1, START)]), newline="")))
    assert heading == ["name", "count", "at"]
    assert row == ['a "b", c\nd', "1", "2027-03-01T09:00:00+00:00"]
    assert reports.to_csv([]) == ""
