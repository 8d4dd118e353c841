"""Opening hours against a wall clock: nights, holidays, and both nights on which the clock is changed.

Expected times are worked out by hand from the zone's published changes: London goes forward on 29 March 2026 at
01:00 UTC and back on 25 October 2026 at 01:00 UTC; New York forward on 8 March at 07:00 UTC."""

from datetime import UTC, date, datetime, time, timedelta

from hub.config import Calendar
from router.calendars import is_closed_day, next_open, open_now, open_seconds_between
from tests.each import each

HOUR = 3600.0
DAYS = range(7)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def calendar(
    spans: str, days: range | list[int] = DAYS, zone: str = "Europe/London", **more: object
) -> Calendar:
    hours = []
    for span in spans.split():
        start, end = span.split("-")
        hours.append((time.fromisoformat(start), time.fromisoformat(end)))
    return Calendar(key="c", timezone=zone, hours=dict.fromkeys(days, tuple(hours)), **more)  # type: ignore[arg-type]


OFFICE = calendar("09:00-17:30", range(5))
NIGHT = calendar("22:00-06:00", [4])  # Friday's
ALWAYS = calendar("00:00-00:00")


@each(
    "now, is_open",
    [
        ("2026-11-02T08:59:59", False),  # a Monday, winter time
        ("2026-11-02T09:00:00", True),
        ("2026-11-02T17:29:59", True),
        ("2026-11-02T17:30:00", False),
        ("2026-06-01T08:00:00", True),  # a Monday, summer time
        ("2026-06-01T16:30:00", False),
        ("2026-11-01T12:00:00", False),  # a Sunday
    ],
)
def test_office_hours(now: str, is_open: bool) -> None:
    assert open_now(OFFICE, utc(now)) is is_open


@each(
    "now, is_open",
    [
        ("2026-11-06T21:59:00", False),
        ("2026-11-06T22:00:00", True),
        ("2026-11-07T05:59:00", True),  # Saturday morning is still Friday's night
        ("2026-11-07T06:00:00", False),
        ("2026-11-07T22:30:00", False),
    ],
)
def test_a_night_belongs_to_the_day_it_begins_on(now: str, is_open: bool) -> None:
    assert open_now(NIGHT, utc(now)) is is_open


@each("day, hours", [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-02", 24)])
def test_the_days_the_clock_is_changed_are_23_and_25_hours_long(day: str, hours: int) -> None:
    noon = utc(f"{day}T12:00:00")
    that_day = calendar("00:00-00:00", [noon.weekday()])
    assert open_seconds_between(that_day, noon - timedelta(days=2), noon + timedelta(days=2)) == hours * HOUR


def test_a_shift_over_the_change_of_clock() -> None:
    shift = calendar("22:00-06:00")
    # 28 March 22:00 GMT to 29 March 06:00 BST, which is 05:00 UTC: seven hours.
    assert open_seconds_between(shift, utc("2026-03-28T12:00:00"), utc("2026-03-29T12:00:00")) == 7 * HOUR
    # 24 October 22:00 BST, 21:00 UTC, to 25 October 06:00 GMT: nine hours.
    assert open_seconds_between(shift, utc("2026-10-24T12:00:00"), utc("2026-10-25T12:00:00")) == 9 * HOUR
    # 01:30 comes twice on 25 October: opening then means the first, closing then the second.
    assert next_open(calendar("01:30-05:00"), utc("2026-10-25T00:00:00")) == utc("2026-10-25T00:30:00")
    assert open_now(calendar("00:10-01:30"), utc("2026-10-25T01:15:00"))
    # 02:30 does not exist in New York on 8 March: it is 03:30 there, 07:30 UTC.
    assert next_open(calendar("02:30-05:00", zone="America/New_York"), utc("2026-03-08T06:00:00")) == utc(
        "2026-03-08T07:30:00"
    )


def test_next_open() -> None:
    assert next_open(OFFICE, utc("2026-11-02T10:00:00")) == utc("2026-11-02T10:00:00")
    assert next_open(OFFICE, utc("2026-11-02T17:30:00")) == utc("2026-11-03T09:00:00")
    assert next_open(OFFICE, utc("2026-11-06T18:00:00")) == utc("2026-11-09T09:00:00")  # over the weekend
    lunch = calendar("09:00-12:00 13:00-15:00")
    assert next_open(lunch, utc("2026-11-02T12:00:00")) == utc("2026-11-02T13:00:00")
    assert next_open(Calendar(key="c", timezone="UTC", hours={}), utc("2026-11-02T08:00:00")) is None


def test_open_seconds_between() -> None:
    assert open_seconds_between(OFFICE, utc("2026-11-02T08:00:00"), utc("2026-11-02T10:00:00")) == HOUR
    assert (
        open_seconds_between(OFFICE, utc("2026-11-02T00:00:00"), utc("2026-11-09T00:00:00")) == 5 * 8.5 * HOUR
    )
    assert open_seconds_between(OFFICE, utc("2026-11-02T16:30:00"), utc("2026-11-03T09:30:00")) == 1.5 * HOUR
    assert open_seconds_between(OFFICE, utc("2026-11-02T12:00:00"), utc("2026-11-02T12:00:00")) == 0.0
    assert open_seconds_between(OFFICE, utc("2026-11-03T12:00:00"), utc("2026-11-02T12:00:00")) == 0.0
    assert open_seconds_between(ALWAYS, utc("2026-11-02T12:00:00"), utc("2026-11-04T12:00:00")) == 48 * HOUR
    # A night that runs into the next day's hours is counted once.
    both = Calendar(
        key="c", timezone="UTC", hours={0: ((time(20), time(8)),), 1: ((time(6), time(10)),)}
    )  # fmt: skip
    assert open_seconds_between(both, utc("2026-11-02T00:00:00"), utc("2026-11-04T00:00:00")) == 14 * HOUR


def test_holidays_and_days_off() -> None:
    english = calendar("09:00-17:00", holidays="GB-ENG", closed=(date(2026, 12, 24),))
    assert is_closed_day(english, date(2026, 12, 25))
    assert is_closed_day(english, date(2026, 12, 28))  # Boxing Day fell on a Saturday
    assert is_closed_day(english, date(2026, 12, 24))
    assert not is_closed_day(english, date(2026, 11, 30))  # St Andrew's Day: Scotland's
    assert is_closed_day(calendar("09:00-17:00", holidays="GB-ENG,GB-SCT"), date(2026, 11, 30))
    assert not open_now(english, utc("2026-12-25T12:00:00"))
    # Off on the 24th, holidays on the 25th and 26th; then a Sunday, then Boxing Day once more in place of Saturday's.
    assert next_open(english, utc("2026-12-23T18:00:00")) == utc("2026-12-27T09:00:00")


def test_a_night_runs_on_into_a_holiday() -> None:
    night = calendar("22:00-06:00", holidays="GB-ENG")
    assert open_now(night, utc("2026-12-25T03:00:00"))  # Christmas Eve's
    assert not open_now(night, utc("2026-12-25T23:00:00"))
