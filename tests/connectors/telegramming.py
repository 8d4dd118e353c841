"""A hub's side of Telegram for tests: an account at the local Bot API, what a send may use, and messages to send."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors import http
from connectors.base import Wire
from connectors.telegram import CONNECTOR
from hub.config import Account
from hub.errors import NotFound, SendError
from hub.model import Attachment, Change, Outgoing, Revision, Sent
from tests.connectors.samples import account
from tests.servers.telegram import Person, Telegram

WEBHOOK = "canary-webhook-secret_1"
PUBLIC = "https://hub.example.com"
JPEG = b"\xff\xd8\xff\xe0" + b"j" * 200


class Files:
    """Blobs in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def add(self, data: bytes, content_type: str, name: str = "", size: int = 0) -> Attachment:
        sha = hashlib.sha256(data).hexdigest()
        self.kept[sha] = data
        return Attachment(sha256=sha, content_type=content_type, size_bytes=size or len(data), name=name)

    async def read(self, sha256: str) -> bytes:
        if sha256 not in self.kept:
            raise NotFound("no such blob")
        return self.kept[sha256]


@dataclass
class Bot:
    """Our connector at a local Telegram."""

    telegram: Telegram
    session: Any
    files: Files = field(default_factory=Files)
    settings: dict[str, Any] = field(default_factory=dict)
    now: datetime | None = None

    @property
    def account(self) -> Account:
        secrets: dict[str, tuple[str, ...]] = {"token": (self.telegram.token,), "webhook": (WEBHOOK,)}
        return account("telegram/main", secrets, api=self.telegram.url, **self.settings)

    @property
    def wire(self) -> Wire:
        now = self.now or datetime.fromtimestamp(self.telegram.now(), UTC)
        return Wire(
            http=self.session,
            redis=None,
            blobs=self.files,
            public_url=PUBLIC,
            now=now,
            link=lambda file: f"{PUBLIC}/f/{file.sha256[:8]}",
        )

    def to(self, whom: Person | int, text: str = "", **more: Any) -> Outgoing:
        number = whom if isinstance(whom, int) else whom.id
        said: dict[str, Any] = {"delivery_id": 7, "account": "telegram/main", **more}
        return Outgoing(to=f"telegram:{number}", text=text, **said)

    async def send(self, whom: Person | int, text: str = "", **more: Any) -> Sent:
        return await CONNECTOR.send(self.to(whom, text, **more), self.account, self.wire)

    async def fails(self, whom: Person | int, text: str = "Hi", **more: Any) -> SendError:
        with pytest.raises(SendError) as caught:
            await self.send(whom, text, **more)
        assert self.telegram.token not in f"{caught.value!r} {caught.value}"
        return caught.value

    async def change(self, change: Change, message: Outgoing, ids: tuple[str, ...], **more: Any) -> Sent:
        revision = Revision(change=change, message=message, external_ids=ids, number=1, **more)
        return await CONNECTOR.change(revision, self.account, self.wire)


@asynccontextmanager
async def bot(**settings: Any) -> AsyncIterator[Bot]:
    async with Telegram() as telegram, http.guarded_session(allow_private=True, total_s=30.0) as session:
        yield Bot(telegram, session, settings=settings)
