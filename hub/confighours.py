"""One entry of calendars.yaml -> Calendar: time zone, hours of the week, holidays, days closed."""

from __future__ import annotations

import itertools
import re
from datetime import time
from functools import lru_cache
from zoneinfo import available_timezones

from hub import daysoff
from hub.config import Calendar, Quiet
from hub.yamlfile import Scalar, Section, clip, near

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_KEY = re.compile(rf"({'|'.join(_DAYS)})(?:-({'|'.join(_DAYS)}))?")
_SPAN = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|(24):(00))")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_HOLIDAYS = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,5})?")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=256)
def _holiday_fault(code: str) -> str | None:
    country, _, part = code.partition("-")
    if country not in (known := daysoff.countries()):
        return f'no holidays are known for "{clip(code)}"{near(country, known)}'
    if part and part not in (known := daysoff.parts(country)):
        return f'{country} has no part "{clip(part)}"{near(part, known)}'
    return None


def quiet(section: Section) -> Quiet | None:
    """`quiet: {from: "21:00", to: "08:00", timezone: Europe/Berlin}` of an account."""
    below = section.section("quiet")
    if below is None:
        return None
    zone = below.text("timezone")
    if below.need("timezone") and zone not in _zones():
        below.fault("timezone", f'no time zone "{clip(zone)}"{near(zone, _zones())}')
    found = Quiet(start=_clock(below, "from"), to=_clock(below, "to"), timezone=zone)
    if found.start == found.to:
        below.fault("to", f"{below.what}: quiet hours that begin when they end would never end")
    below.done()
    return found


def _clock(below: Section, key: str) -> time:
    below.need(key)
    match = _CLOCK.fullmatch(below.text(key))
    if match is None:
        below.fault(key, f"{below.what}: {key} must be a time of day such as 21:00")
    return time(int(match[1]), int(match[2])) if match else time(1 if key == "to" else 0)


def calendar(key: str, section: Section) -> Calendar:
    zone = section.text("timezone", "UTC")
    section.need("timezone")
    if zone not in _zones():
        section.fault("timezone", f'no time zone "{clip(zone)}"{near(zone, _zones())}')
    codes = section.words("holidays", limit=12)
    for code in codes:
        fault = "" if _HOLIDAYS.fullmatch(code) else f'"{clip(code)}" is no code like GB, DE-BY or US-CA'
        if fault := fault or _holiday_fault(code) or "":
            section.fault("holidays", f"{section.what}: {fault}")
    section.need("hours")
    calendar = Calendar(
        key=key,
        timezone=zone,
        hours=_hours(section),
        holidays=",".join(codes) or None,
        closed=section.days("closed"),
        line=section.line,
    )
    section.done()
    return calendar


def _hours(section: Section) -> dict[int, tuple[tuple[time, time], ...]]:
    below = section.section("hours")
    hours: dict[int, tuple[tuple[time, time], ...]] = {}
    for key in below.node.entries if below else ():
        assert below is not None
        match = _DAY_KEY.fullmatch(key.lower())
        if not match:
            below.fault(key, f'{below.what}: "{clip(key)}" is no day; write mon, tue, … or mon-fri')
            continue
        first = _DAYS.index(match[1])
        last = _DAYS.index(match[2]) if match[2] else first
        spans = _spans(below, key)
        for offset in range((last - first) % 7 + 1):
            day = (first + offset) % 7
            if day in hours:
                below.fault(key, f"{below.what}: {_DAYS[day]} is given twice")
            hours[day] = spans
    return {day: spans for day, spans in hours.items() if spans}


def _spans(below: Section, key: str) -> tuple[tuple[time, time], ...]:
    spans = []
    for node in below.items(key, "times such as 09:00-17:30"):
        text = node.text.strip() if isinstance(node, Scalar) else ""
        if text == "closed":
            continue
        if text == "all day":
            text = "00:00-24:00"
        match = _SPAN.fullmatch(text)
        start = time(int(match[1]), int(match[2])) if match else time()
        end = time(int(match[3]), int(match[4])) if match and match[3] else time()
        if not match or (start == end and not match[5]):
            below.reader.fault(
                node.line, f'{below.what}: {key} must be times such as 09:00-17:30, "all day" or "closed"'
            )
            continue
        spans.append((start, end))
    spans.sort()
    for (_, end), (start, _) in itertools.pairwise(spans):
        if end == time() or end > start:
            below.fault(key, f"{below.what}: the times of {key} overlap")
    return tuple(spans)
