"""One request of Meta's may hold up to 1,000 updates, of several accounts, with a bad one among them.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started: "Event Notifications are aggregated and sent in
a batch with a maximum of 1000 updates". What can be read is; each piece that cannot is kept by itself, in an envelope
of its own, so that it can be read again when it is understood, and has the same key in whichever batch it comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

import msgspec

from connectors import clean, fitting
from connectors.base import Parsed
from hub.config import Account
from hub.errors import Malformed
from hub.model import Event, Unreadable

# What reading a piece may raise where it is not what the pages say.
BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError, OSError)


class Gathered:
    """Events and the bytes that they name, in the order in which they came."""

    __slots__ = ("_blobs", "account", "at", "events")

    def __init__(self, account: Account, at: datetime) -> None:
        self.account, self.at = account, at
        self.events: list[Event] = []
        self._blobs: dict[bytes, str] = {}  # a thousand messages may name the whole request, of up to 3 MB

    def keep(self, body: bytes, reason: str, account: str = "") -> None:
        """One Unreadable of `body`, which `parse` can be given again. account: a sibling's key.

        Its key is that of what the bytes say: Meta may escape the same differently another time."""
        self.events.append(
            Unreadable(
                account=account or self.account.key,
                event_key=f"unreadable:{hashlib.sha256(_plain(body)).hexdigest()}",
                received_at=self.at,
                reason=clean.line(reason, 300),
                blob=self.blob(body),
                content_type="application/json",
            )
        )

    def blob(self, body: bytes) -> str:
        """Keep these bytes, once; their name."""
        if (sha := self._blobs.get(body)) is None:
            sha = self._blobs[body] = hashlib.sha256(body).hexdigest()
        return sha

    def parsed(self) -> Parsed:
        return Parsed(events=tuple(self.events), blobs=tuple(self._blobs))


def _plain(body: bytes) -> bytes:
    try:
        return msgspec.json.encode(msgspec.json.decode(body))
    except BAD:
        return body


class _Body(msgspec.Struct, gc=False):
    object: str
    entry: list[msgspec.Raw]


_decoder = msgspec.json.Decoder(_Body)


def entries(body: bytes, kind: str) -> list[bytes]:
    """The raw entries of a request about `kind` ("page"). Raises Malformed where it is none."""
    try:
        found = fitting.decode(_decoder, body)
    except BAD as error:
        raise Malformed(f"it is no notification of Meta's: {clean.line(str(error), 200)}") from None
    if found.object != kind:
        raise Malformed(f"it is about {clean.line(found.object, 60)!r}, not about {kind!r}")
    return [bytes(one) for one in found.entry]


def envelope(kind: str, entry: bytes) -> bytes:
    """A request with this one entry."""
    return b'{"object":%b,"entry":[%b]}' % (msgspec.json.encode(kind), entry)


def part(entry_id: str, name: str, pieces: Iterable[bytes], time: int | None = None) -> bytes:
    """An entry with one list: `part(id, "messaging", [piece])`, `part(id, "changes", [change])`."""
    at = b"" if time is None else b'"time":%d,' % time
    listed = b",".join(pieces)
    return b'{"id":%b,%b%b:[%b]}' % (msgspec.json.encode(entry_id), at, msgspec.json.encode(name), listed)


def owner(account: Account, own_id: str, named: str) -> str | None:
    """The key of the account that Meta calls `named`: this one, or one that shares the app with it; None: nobody's."""
    return account.key if named == own_id else account.siblings.get(named)


def nobodys(what: str, named: str) -> str:
    """The sentence for an entry of an account that nobody configured. what: "the Page", "the number"."""
    return f"It is for {what} {clean.line(named, 60)!r}, which no account of ours names."
