"""A hub of the smallest kind around a mailbox's thread: what it accepted, what the store would say of it."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from connectors.base import Health, Parsed
from connectors.mail import mime
from connectors.mail.pull import Mailbox
from connectors.mail.taking import Taker
from hub.config import Account
from hub.errors import Unavailable
from hub.model import Cursor, Event, MessageReceived, Unreadable


def mail(
    number: int | str, *, subject: str = "", message_id: bool = True, size: int = 0, body: str = ""
) -> bytes:
    """A mail of Ann's, as a server keeps it."""
    lines = [
        f"From: Ann <ann{number}@example.org>",
        "To: support@example.com",
        f"Subject: {subject or f'mail {number}'}",
        "Date: Sat, 21 Nov 2026 10:00:00 +0000",
        *([f"Message-ID: <{number}@example.org>"] if message_id else []),
        "",
        body or f"words {number}",
    ]
    raw = "\r\n".join(lines).encode() + b"\r\n"
    return raw + (b"x" * 70 + b"\r\n") * (max(0, size - len(raw)) // 72)


class Reads:
    """The parser, in this process: these mails are ours."""

    async def parse(self, raw: bytes, account: Account, received_at: datetime) -> Parsed:
        return mime.read(raw, account, received_at)


class Hub(Reads):
    """The ports of a mailbox. `store_has`: whether the store has what was accepted. `down`: what refuses, and how."""

    def __init__(self) -> None:
        self.accepted: list[tuple[Sequence[Event], Cursor | None]] = []
        self.cursors: dict[tuple[str, str], str] = {}
        self.blobs: list[bytes] = []
        self.health: list[Health] = []
        self.store_has = True
        self.disk_full = False
        self.asked_tokens: list[bool] = []
        self.taker = Taker(reads=self, blobs=self, accept=self.accept, stored=self)

    async def aput(self, data: bytes) -> str:
        self.blobs.append(data)
        return ""

    async def accept(self, events: Sequence[Event], cursor: Cursor | None = None) -> None:
        if self.disk_full:
            raise Unavailable("the disk is full")
        self.accepted.append((events, cursor))
        if cursor is not None:
            self.cursors[(cursor.account, cursor.name)] = cursor.value

    async def get(self, account: str, name: str) -> str | None:
        return self.cursors.get((account, name))

    async def begin(self, account: str, name: str, value: str) -> str:
        return self.cursors.setdefault((account, name), value)

    async def has(self, account: str, event_keys: Sequence[str]) -> set[str]:
        known = {event.event_key for event in self.events() if event.account == account}
        return known & set(event_keys) if self.store_has else set()

    async def note(self, account: str, health: Health) -> None:
        self.health.append(health)

    # ------------------------------------------------------------------------------------------------- what came

    def events(self) -> list[Event]:
        return [event for events, _ in self.accepted for event in events]

    def subjects(self) -> list[str]:
        """Of every mail once, in the order in which they came first."""
        return list(dict.fromkeys(e.subject or "" for e in self.events() if isinstance(e, MessageReceived)))

    def doubled(self) -> list[str]:
        """Event keys that came twice: harmless, and the store calls them duplicates."""
        return [key for key, count in Counter(e.event_key for e in self.events()).items() if count > 1]

    def unreadable(self) -> list[Unreadable]:
        return [event for event in self.events() if isinstance(event, Unreadable)]


class Reading:
    """`async with Reading(hub, account) as mailbox:` a thread reads; it has ended when the block is left."""

    def __init__(self, hub: Hub, account: Account, logins: object = None) -> None:
        self.hub, self.account, self.logins = hub, account, logins

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.mailbox = Mailbox(self.account, self.hub.taker, self.hub, self.logins, loop)  # type: ignore[arg-type]
        self.mailbox.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mailbox.stop()
        assert await asyncio.to_thread(self.mailbox.join, 60)

    async def until(self, what: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait for what another thread brings about."""
        for _ in range(int(seconds / 0.02)):
            if what():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(
            f"not within {seconds} s; accepted: {self.hub.subjects()}, health: {self.hub.health[-1:]}"
        )
