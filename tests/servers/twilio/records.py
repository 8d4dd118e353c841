"""What an account holds: its numbers, senders, services, templates and messages; and webhooks on their way."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from tests.servers.twilio.errors import WORDS

Json = dict[str, Any]
API = "2010-04-01"


def new_sid(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


def stamp(at: float | None) -> str | None:
    """RFC 2822 in GMT, as every date of this API."""
    return None if at is None else format_datetime(datetime.fromtimestamp(at, UTC))


@dataclass(kw_only=True)
class Hook:
    """A configured webhook and its fallback; connection overrides stand in the fragments."""

    url: str = ""
    fallback_url: str = ""
    method: str = "POST"
    fallback_method: str = "POST"


@dataclass(kw_only=True)
class Number:
    """A phone number of the account. sms, mms: what it can do."""

    phone: str
    hook: Hook
    sms: bool = True
    mms: bool = True
    friendly_name: str = ""
    sid: str = field(default_factory=lambda: new_sid("PN"))
    status_callback: str = ""
    created: float = 0.0


@dataclass(kw_only=True)
class Sender:
    """A WhatsApp sender. address: "whatsapp:+…"."""

    address: str
    hook: Hook
    status_callback: str = ""
    sid: str = field(default_factory=lambda: new_sid("XE"))


@dataclass(kw_only=True)
class Service:
    """A messaging service. defer: "Defer to sender's webhook". opt_out: Advanced Opt-Out is on."""

    addresses: list[str]
    hook: Hook
    status_callback: str = ""
    defer: bool = False
    opt_out: bool = True
    name: str = "Support"
    sid: str = field(default_factory=lambda: new_sid("MG"))


@dataclass(kw_only=True)
class Template:
    """A Content template. kind: "twilio/text", "twilio/quick-reply", "twilio/list-picker", … approved: by WhatsApp."""

    body: str
    kind: str = "twilio/text"
    approved: bool = True
    choices: tuple[tuple[str, str], ...] = ()  # (id, title)
    name: str = ""
    language: str = "en"
    variables: dict[str, str] = field(default_factory=dict)
    types: Json = field(default_factory=dict)  # as the API was given them
    sid: str = field(default_factory=lambda: new_sid("HX"))

    @property
    def session_only(self) -> bool:
        """https://www.twilio.com/docs/api/errors/63016: kinds that cannot begin a conversation."""
        return not self.approved or self.kind in ("twilio/list-picker", "twilio/location")


@dataclass(frozen=True, kw_only=True)
class Medium:
    content_type: str
    content: bytes
    created: float
    sid: str = field(default_factory=lambda: new_sid("ME"))


@dataclass(kw_only=True)
class Message:
    """One message, either way. from_: "" while a service has not chosen. history: its states, in order."""

    account_sid: str
    from_: str
    to: str
    body: str
    direction: str
    status: str
    created: float
    num_segments: int = 1
    service_sid: str = ""
    media: list[Medium] = field(default_factory=list)
    media_urls: tuple[str, ...] = ()
    status_callback: str = ""
    content_sid: str = ""
    content_variables: dict[str, str] = field(default_factory=dict)
    persistent_action: tuple[str, ...] = ()
    error_code: int | None = None
    sent_at: float | None = None
    updated: float = 0.0
    sid: str = ""
    history: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        return self.status in ("delivered", "undelivered", "failed", "read", "received", "canceled", "sent")

    def shown(self) -> Json:
        base = f"/{API}/Accounts/{self.account_sid}/Messages/{self.sid}"
        waiting = self.status == "accepted"
        return {
            "account_sid": self.account_sid,
            "api_version": API,
            "body": self.body,
            "date_created": stamp(self.created),
            "date_sent": stamp(self.sent_at),
            "date_updated": stamp(self.updated or self.created),
            "direction": self.direction,
            "error_code": self.error_code,
            "error_message": WORDS.get(self.error_code, "Unknown error") if self.error_code else None,
            "from": None if waiting else self.from_,
            "messaging_service_sid": self.service_sid or None,
            "num_media": str(len(self.media) or len(self.media_urls)),
            # "When using a Messaging Service to send messages, num_segments will always be 0 in Twilio's response".
            "num_segments": "0" if waiting else str(self.num_segments),
            "price": None,
            "price_unit": None if waiting else "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{base}/Media.json"},
            "to": self.to,
            "uri": f"{base}.json",
        }


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A send that was answered with an error."""

    code: int
    to: str
    params: Json


@dataclass(kw_only=True)
class Delivery:
    """One webhook on its way. tries: (URL, what became of it: "ok", "ct", "rt", "4xx", "5xx" or "3xx")."""

    kind: str  # "inbound" or "status"
    hook: Hook
    params: dict[str, str]
    token: str
    tries: list[tuple[str, str]] = field(default_factory=list)
    answer: bytes = b""
    answer_type: str = ""

    @property
    def ok(self) -> bool:
        """Somebody took it: the URL or the fallback."""
        return bool(self.tries) and self.tries[-1][1] == "ok"

    @property
    def sid(self) -> str:
        return self.params["MessageSid"]
