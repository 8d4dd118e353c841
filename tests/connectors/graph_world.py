"""A strict local Graph API, an account of ours at it, and what a send may use; for the tests of Meta's channels."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import http
from connectors.base import Wire
from hub.config import Account
from hub.errors import NotFound
from hub.model import Attachment, Outgoing
from tests.connectors.samples import account
from tests.servers.graph import Graph, Number

PUBLIC = "http://127.0.0.1:9"  # where nobody listens


class Files:
    """sha256 -> bytes; what is not there is gone."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    async def read(self, sha256: str) -> bytes:
        try:
            return self.held[sha256]
        except KeyError:
            raise NotFound(f"there is no {sha256}") from None

    def put(self, name: str, content_type: str, data: bytes = b"x" * 100) -> Attachment:
        sha = f"{len(self.held) + 1:064x}"
        self.held[sha] = data
        return Attachment(sha256=sha, content_type=content_type, size_bytes=len(data), name=name)


def link(attachment: Attachment) -> str:
    return f"{PUBLIC}/files/{attachment.sha256[-8:]}"


@asynccontextmanager
async def wire(
    files: Files | None = None, public_url: str = PUBLIC, now: datetime | None = None
) -> AsyncIterator[Wire]:
    async with http.guarded_session(allow_private=True, total_s=30.0) as session:
        yield Wire(
            http=session,
            redis=None,
            blobs=files or Files(),
            public_url=public_url,
            now=now or datetime.now(UTC),
            link=link,
        )


def at(graph: Graph, number: Number, key: str = "whatsapp/main", **more: Any) -> Account:
    """Our account of that server's number. `secrets` besides or instead of its own, and settings."""
    secrets = {
        "app_secret": (graph.app_secret,),
        "token": (number.token,),
        "verify_token": (graph.verify_token,),
        **more.pop("secrets", {}),
    }
    settings = {"phone_number_id": number.id, "waba_id": number.waba.id, "api": graph.base, **more}
    return account(key, secrets, **settings)


def message(text: str = "It is on its way.", to: str = "tel:+16505551234", **more: Any) -> Outgoing:
    said: dict[str, Any] = {
        "delivery_id": 7093152233713664,
        "account": "whatsapp/main",
        "to": to,
        "text": text,
        "heard_at": datetime.now(UTC) - timedelta(minutes=5),
        "heard_id": "wamid.newest",
    }
    return Outgoing(**{**said, **more})
