"""Quiet hours: when an account sends nothing that nobody asked for. An answer is never held back by them.

47 CFR 64.1200(c)(1) leaves 8 am to 9 pm, by the clock of who is called; the account says which clock that is. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hub.config import Quiet

ANSWER = timedelta(days=1)  # what they wrote so long ago asks for an answer, at any hour


def asked(last: datetime | None, now: datetime) -> bool:
    """Did the customer write lately? last: when they did, on whatever channel."""
    return last is not None and now - last <= ANSWER


def until(quiet: Quiet | None, now: datetime) -> datetime | None:
    """When the quiet hours end in which `now` lies; None outside of them."""
    if quiet is None:
        return None
    local = now.astimezone(ZoneInfo(quiet.timezone))
    clock, over_midnight = local.time(), quiet.to <= quiet.start
    if over_midnight:
        inside = clock >= quiet.start or clock < quiet.to
    else:
        inside = quiet.start <= clock < quiet.to
    if not inside:
        return None
    day = local.date() + timedelta(days=1 if over_midnight and clock >= quiet.start else 0)
    return datetime.combine(day, quiet.to, ZoneInfo(quiet.timezone)).astimezone(UTC)
