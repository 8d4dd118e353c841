"""Opening hours as arithmetic. Times in and out are aware; spans are local to the calendar's zone, whatever DST does.

A span belongs to the day on which it begins: the night shift of an open Friday runs on into a Saturday that is a
holiday. Where the clock goes back, a time that comes twice is the first one where a span begins and the second where
it ends; where it goes forward, a time that is skipped is as far from the change as it would have been.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hub import daysoff
from hub.config import Calendar

HORIZON_DAYS = 400  # beyond a year nothing new comes: a calendar that has not opened by then never does
_DAY = timedelta(days=1)


def is_closed_day(calendar: Calendar, day: date) -> bool:
    """A holiday or a listed day off."""
    if day in calendar.closed:
        return True
    codes = calendar.holidays.split(",") if calendar.holidays else ()
    return any(day in daysoff.days(code, day.year) for code in codes)


def _spans(calendar: Calendar, day: date) -> Iterator[tuple[datetime, datetime]]:
    """The spans that begin on the local `day`, in UTC."""
    if is_closed_day(calendar, day):
        return
    zone = ZoneInfo(calendar.timezone)
    for start, end in calendar.hours.get(day.weekday(), ()):
        last = day if end > start else day + _DAY  # over midnight; 00:00 to 00:00 is the whole day
        opens = datetime.combine(day, start, zone).astimezone(UTC)
        yield opens, datetime.combine(last, end, zone).replace(fold=1).astimezone(UTC)


def _days(calendar: Calendar, first: datetime, last: datetime) -> Iterator[date]:
    """Every local day whose spans may reach into [first, last]: from the day before on."""
    zone = ZoneInfo(calendar.timezone)
    day, end = first.astimezone(zone).date() - _DAY, last.astimezone(zone).date()
    while day <= end:
        yield day
        day += _DAY


def open_now(calendar: Calendar, now: datetime) -> bool:
    return any(
        start <= now < end for day in _days(calendar, now, now) for start, end in _spans(calendar, day)
    )


def next_open(calendar: Calendar, now: datetime) -> datetime | None:
    """`now` where it is open, else the next opening (UTC); None where it never opens again."""
    for day in _days(calendar, now, now + HORIZON_DAYS * _DAY):
        for start, end in _spans(calendar, day):
            if now < end:
                return max(now, start)
    return None


def open_seconds_between(calendar: Calendar, start: datetime, end: datetime) -> float:
    """How much of [start, end) is open, in seconds; 0 where end is not after start."""
    spans = sorted(span for day in _days(calendar, start, end) for span in _spans(calendar, day))
    total, done = 0.0, start
    for opens, closes in spans:  # a night's span may overlap the next morning's: `done` counts it once
        begin, stop = max(opens, done), min(closes, end)
        if stop > begin:
            total += (stop - begin).total_seconds()
            done = stop
    return total
