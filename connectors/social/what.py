"""What every reader is given, and the names and times that they share. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors import clean
from connectors.graph.batch import Gathered
from connectors.social.model import Way
from hub import urn
from hub.config import Account
from hub.model import DeliveryReported, DeliveryStatus, Event

_NAME_CHARS = 300  # of an id of Meta's; the longest known, Instagram's mids, have some 200
_SECONDS = 100_000_000_000  # what is less counts seconds, not milliseconds, until the year 5138


class What:
    """Whose events they are, and where they go. own: what Meta calls the account; time: of the whole entry."""

    __slots__ = ("_found", "account", "gathered", "key", "own", "piece", "standby", "time", "way")

    def __init__(
        self,
        way: Way,
        account: Account,
        key: str,
        own: str,
        gathered: Gathered,
        piece: bytes,
        time: int,
        *,
        standby: bool = False,
    ) -> None:
        self.way, self.account, self.key, self.own, self.gathered = way, account, key, own, gathered
        self.piece, self.time, self.standby = piece, time, standby
        self._found: list[Event] = []

    @property
    def at(self) -> datetime:
        return self.gathered.at

    def say(self, event: Event) -> None:
        self._found.append(event)

    def keep(self) -> str:
        """The piece itself, as a request that can be read again; its name."""
        return self.gathered.blob(self.piece)

    def reported(self, status: DeliveryStatus, mid: str, stamp: int, delivery: int | None = None) -> None:
        """How far one message of ours came. delivery: our id of it, where Meta says that back."""
        self.say(
            DeliveryReported(
                account=self.key,
                event_key=f"{mid}:{status.value}",
                received_at=self.at,
                status=status,
                external_id=mid,
                delivery_id=delivery,
                reported_at=moment(stamp),
            )
        )

    def done(self) -> None:
        """All of it could be read: now it counts."""
        self.gathered.events += self._found

    def urn(self, person: str) -> str:
        return urn.normalise(f"{self.way.name}:{person}")


def name(value: str | None) -> str:
    """An id of Meta's. Raises ValueError where it can be none, so that what bears it is kept unread."""
    text = value or ""
    if not 0 < len(text) <= _NAME_CHARS or not text.isprintable() or " " in text:
        raise ValueError(f"{clean.line(text, 60)!r} is no id")
    return text


def moment(stamp: int) -> datetime | None:
    """Milliseconds, or seconds; None for none. Raises ValueError, OverflowError or OSError beyond all calendars."""
    if not stamp:
        return None
    return datetime.fromtimestamp(stamp if abs(stamp) < _SECONDS else stamp / 1000, UTC)
