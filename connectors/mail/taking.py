"""Mails onto disk, whichever way they came: parsed apart, their blobs kept, their events journalled."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from connectors.base import Accepts, Keeps, Notes, Parsed
from hub.config import Account
from hub.model import Cursor, Event, Unreadable


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """One mail as it was fetched. why: it is not whole, and that is why; then `key` is its event key."""

    raw: bytes
    received_at: datetime
    why: str = ""
    key: str = ""


class Reads(Protocol):
    async def parse(self, raw: bytes, account: Account, received_at: datetime) -> Parsed: ...


class Stored(Notes, Protocol):
    """The store's answers about what came in. Both may raise Unavailable."""

    async def has(self, account: str, event_keys: Sequence[str]) -> set[str]:
        """Which of these events it has, whatever became of them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Taker:
    """Mails onto disk: parsed, their blobs kept, their events journalled. Everything in one event loop."""

    reads: Reads
    blobs: Keeps
    accept: Accepts
    stored: Stored

    async def take(
        self, account: Account, mails: Sequence[Mail], cursor: Cursor | None = None, *, again: bool = False
    ) -> list[tuple[Event, ...]]:
        """The events of each mail, all on disk. again: what the store has is not journalled anew.

        Raises Unavailable where the disk or the store refuses; nothing was accepted then.
        """
        read = await asyncio.gather(*(self._read(mail, account) for mail in mails))
        known: set[str] = set()
        if again:
            keys = [event.event_key for parsed in read for event in parsed.events]
            known = await self.stored.has(account.key, keys)
        new = [event for parsed in read for event in parsed.events if event.event_key not in known]
        blobs = {
            hashlib.sha256(blob).digest(): blob
            for parsed in read
            if any(event.event_key not in known for event in parsed.events)
            for blob in parsed.blobs
        }
        await asyncio.gather(*(self.blobs.aput(blob) for blob in blobs.values()))
        if new:
            await self.accept(new, cursor)
        return [parsed.events for parsed in read]

    async def _read(self, mail: Mail, account: Account) -> Parsed:
        if not mail.why:
            return await self.reads.parse(mail.raw, account, mail.received_at)
        event = Unreadable(
            account=account.key, event_key=mail.key, received_at=mail.received_at, reason=mail.why,
            blob=hashlib.sha256(mail.raw).hexdigest(), content_type="message/rfc822",
        )  # fmt: skip
        return Parsed(events=(event,), blobs=(mail.raw,))
