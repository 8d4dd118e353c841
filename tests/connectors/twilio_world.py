"""A strict Twilio, our two accounts at it, and what a send may use; for the tests of both connectors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import http
from connectors.base import Wire
from hub.config import Account
from hub.model import Attachment, Outgoing
from tests.connectors.samples import account
from tests.servers.twilio import Twilio

PUBLIC = "http://127.0.0.1:9"  # where nobody listens
SHOP, SECOND, ANN, BO = "+14155550100", "+14155550101", "+14155550123", "+14155550124"
SENDER = "+14155550111"


class Files:
    async def read(self, sha256: str) -> bytes:
        return b"x"


def link(attachment: Attachment) -> str:
    return f"{PUBLIC}/files/{attachment.sha256[:8]}"


@asynccontextmanager
async def wire(public_url: str = PUBLIC, now: datetime | None = None, **more: Any) -> AsyncIterator[Wire]:
    async with http.guarded_session(allow_private=True, total_s=30.0) as session:
        yield Wire(
            http=session,
            redis=None,
            blobs=Files(),
            public_url=public_url,
            now=now or datetime.now(UTC),
            **{"link": link, **more},
        )


def at(twilio: Twilio, key: str = "sms_twilio/main", address: str | None = SHOP, **more: Any) -> Account:
    """Our account of that server's. `secrets` besides the token, and settings."""
    secrets = {"auth_token": (twilio.auth_token,), **more.pop("secrets", {})}
    settings = {"account_sid": twilio.account_sid, "api": twilio.url, **more}
    found = account(key, secrets, **settings)
    return Account(
        key=found.key, connector=found.connector, name=found.name, brand=found.brand, title=found.title,
        address=address, settings=found.settings, secrets=found.secrets,
    )  # fmt: skip


def message(
    text: str = "It is on its way.", to: str = ANN, key: str = "sms_twilio/main", **more: Any
) -> Outgoing:
    said: dict[str, Any] = {
        "delivery_id": 7093152233713664,
        "account": key,
        "to": f"tel:{to}" if to.startswith("+") else to,
        "text": text,
        "author_name": "Bo",
        "created_at": datetime.now(UTC) - timedelta(seconds=1),
        "heard_at": datetime.now(UTC) - timedelta(minutes=5),
        "heard_id": "SM" + "0" * 32,
    }
    return Outgoing(**{**said, **more})


def file(name: str = "photo.jpg", content_type: str = "image/jpeg", size_bytes: int = 1000) -> Attachment:
    return Attachment(
        sha256=f"{hash(name) & 0xFFFFFFFF:08x}" * 8,
        content_type=content_type,
        size_bytes=size_bytes,
        name=name,
    )
