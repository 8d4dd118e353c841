"""A mailbox of ours and messages from it, for the tests of what goes out."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hub.config import Account
from hub.model import Attachment, Outgoing
from tests.connectors.samples import account

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
WRITTEN = datetime(2026, 11, 22, 9, 29, 12, tzinfo=UTC)
TOKEN = "canary-mail-token-6f21"
PUBLIC = "https://hub.example.com"
FILES: dict[str, bytes] = {
    "a" * 64: b"%PDF-1.4 a bill",
    "b" * 64: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40,
}


class Files:
    async def read(self, sha256: str) -> bytes:
        return FILES[sha256]


def file(letter: str, name: str, content_type: str = "application/pdf") -> Attachment:
    sha256 = letter * 64
    return Attachment(sha256=sha256, content_type=content_type, size_bytes=len(FILES[sha256]), name=name)


def mailbox(secrets: dict[str, tuple[str, ...]] | None = None, **settings: Any) -> Account:
    made = account("mail/support", {"token": (TOKEN,), **(secrets or {})}, **settings)
    return replace(made, address="support@example.com")


def message(**more: Any) -> Outgoing:
    said: dict[str, Any] = {
        "delivery_id": 7093152233713664,
        "conversation_id": 4711,
        "account": "mail/support",
        "to": "mailto:ann@example.net",
        "text": "It is on its way.",
        "subject": "Where is my parcel?",
        "author_name": "Bo",
        "created_at": WRITTEN,
    }
    return Outgoing(**{**said, **more})
