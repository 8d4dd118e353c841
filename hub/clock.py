"""The time, as something that is passed in: tests set it, processes use the system's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT_US = 1 << 52  # until 2112 seconds as a float are exact to the microsecond, and twice as fast
_MICROSECOND = timedelta(microseconds=1)


def system() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def to_us(at: datetime) -> int:
    """Microseconds since 1970-01-01 UTC; the form in which the store and the stream keep time."""
    return (at - EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of `us` microseconds since 1970."""
    if 0 <= us < _EXACT_US:
        return datetime.fromtimestamp(us / 1_000_000, UTC)
    return EPOCH + timedelta(microseconds=us)
