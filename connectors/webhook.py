"""Signed JSON for anything: a form, a scanned letter, a visit at the counter, a system of your own.

The page for those who send is docs/channels/webhook.md; this module and that page change together.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from connectors import calling, checking, signing
from connectors.base import Answer, Parsed, Raw, Wire
from connectors.webhook_body import events
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Change, Event, Outgoing, Revision, Sent, Unreadable

SENT_AT_ONCE_BYTES = 5 * 1024 * 1024  # of all attachments of a message together, before base64
_SETTINGS: checking.Known = {
    "url": checking.url,
    "find_url": checking.url,
    "region": checking.text,
    "vouches": checking.flag,
}


class Webhook:
    name = "webhook"
    title = "Webhook"
    urn_scheme = "webhook"
    secrets: tuple[str, ...] = ("signing",)
    limits = Limits(
        text_chars=65_536,
        attachments=10,
        attachment_bytes=2 * 1024 * 1024,
        subject=True,
        needs=("url",),
        edits=True,
        deletes=True,
        source="docs/channels/webhook.md",
    )
    bad_signature = 401
    unknown_account = 404
    unavailable = Answer(
        status=503,
        body=b'{"error":"Nothing can be kept just now. Send it again with the same id."}',
        content_type="application/json",
        headers={"Retry-After": "5"},
    )
    methods: tuple[str, ...] = ("POST",)
    derives = True

    def check(self, account: Account) -> list[str]:
        return checking.complaints(account, _SETTINGS)

    def verify(self, raw: Raw, account: Account) -> None:
        signing.check(
            raw.header(signing.HEADER), account.secrets["signing"], raw.body, raw.received_at.timestamp()
        )

    def parse(self, raw: Raw, account: Account) -> Parsed:
        return events(raw, account)

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        first = parsed.events[0]
        if isinstance(first, Unreadable):
            said: dict[str, Any] = {
                "kept": True,
                "note": f"It was kept for a person to look at, for it could not be read: {first.reason}",
            }
            return Answer(status=202, body=msgspec.json.encode(said), content_type="application/json")
        return Answer(body=_accepted(first), content_type="application/json")

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        body = await _body(message, self.limits, wire)
        status, said, after_s = await _post(account, wire, body, str(message.delivery_id))
        if 200 <= status < 300 or status == 409:  # 409: they have had it under this Idempotency-Key
            return Sent(external_ids=(_their_id(said) or str(message.delivery_id),))
        raise _failure(status, said, after_s)

    async def change(self, revision: Revision, account: Account, wire: Wire) -> Sent:
        """The same address, another kind. Its Idempotency-Key is the same for every try of one change."""
        message = revision.message
        said: dict[str, Any] = {
            "kind": _CHANGED[revision.change],
            "delivery": str(message.delivery_id),
            "message": revision.external_ids[0] if revision.external_ids else str(message.delivery_id),
            "change": revision.number,
            "account": message.account,
            "to": message.to,
            "author": message.author_name,
        }
        if revision.change is Change.EDIT:
            if len(message.text) > self.limits.text_chars:
                most = self.limits.text_chars
                raise SendError(SendCode.MESSAGE_INVALID, f"the text is longer than {most} characters")
            said["text"] = message.text
        key = f"{message.delivery_id}-{revision.number}"
        status, answer, after_s = await _post(account, wire, msgspec.json.encode(said), key)
        gone = revision.change is Change.DELETE and status in (404, 410)
        if 200 <= status < 300 or status == 409 or gone:
            return Sent(external_ids=revision.external_ids)
        raise _failure(status, answer, after_s)

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        url = account.settings.get("find_url")
        if not url:
            raise SendError(SendCode.UNKNOWN, "the account has no find_url that could be asked")
        query = urlencode({"delivery": message.delivery_id})
        target = f"{url}{'&' if '?' in url else '?'}{query}"
        headers = {
            signing.HEADER: signing.sign(account.secrets["signing"][0], b"", int(wire.now.timestamp()))
        }
        try:
            status, said, _ = await calling.ask(wire, "GET", target, headers, None)
        except SendError as error:
            why = f"find_url could not be asked: {error.detail}"
            raise SendError(SendCode.UNKNOWN, why, retry=True) from None
        if status == 404:
            return None
        if status == 200:
            return Sent(external_ids=(_their_id(said) or str(message.delivery_id),))
        words = f"find_url answered {status}"
        raise SendError(
            SendCode.UNKNOWN, words, retry=status >= 500 or status == 429, provider_code=str(status)
        )


def _accepted(event: Event) -> bytes:
    return b'{"accepted":true,"id":' + msgspec.json.encode(event.event_key) + b"}"


class _Posted(msgspec.Struct, omit_defaults=True, kw_only=True, tag_field="kind", tag="message"):
    """docs/channels/webhook.md, "What is posted to you". Whatever is empty is left out, but never the text."""

    delivery: str
    account: str
    to: str
    text: str
    subject: str | None = None
    thread: str | None = None
    in_reply_to: str | None = None
    author: str | None = None
    created_at: datetime | None = None
    attachments: list[dict[str, str]] | None = None


async def _body(message: Outgoing, limits: Limits, wire: Wire) -> bytes:
    """What is posted. Raises SendError(MESSAGE_INVALID) beyond the limits, before anything has left."""
    if len(message.text) > limits.text_chars:
        raise SendError(SendCode.MESSAGE_INVALID, f"the text is longer than {limits.text_chars} characters")
    if not message.text and not message.attachments:
        raise SendError(SendCode.MESSAGE_INVALID, "there is neither text nor attachment")
    files = await _files(message, limits, wire) if message.attachments else None
    said = _Posted(
        delivery=str(message.delivery_id),
        account=message.account,
        to=message.to,
        text=message.text,
        subject=message.subject or None,
        thread=message.thread or None,
        in_reply_to=message.in_reply_to or None,
        author=message.author_name or None,
        created_at=message.created_at,
        attachments=files,
    )
    return msgspec.json.encode(said)


async def _files(message: Outgoing, limits: Limits, wire: Wire) -> list[dict[str, str]]:
    sizes = [a.size_bytes for a in message.attachments]
    if len(sizes) > limits.attachments or max(sizes) > limits.attachment_bytes:
        raise SendError(
            SendCode.MESSAGE_INVALID,
            f"at most {limits.attachments} attachments of {limits.attachment_bytes} bytes each are sent",
        )
    if sum(sizes) > SENT_AT_ONCE_BYTES:
        raise SendError(SendCode.MESSAGE_INVALID, f"attachments together exceed {SENT_AT_ONCE_BYTES} bytes")
    return [
        {
            "name": a.name,
            "content_type": a.content_type,
            "data": base64.b64encode(await calling.file_bytes(wire, a)).decode(),
        }
        for a in message.attachments
    ]


_CHANGED = {Change.EDIT: "message.changed", Change.DELETE: "message.deleted"}


async def _post(account: Account, wire: Wire, body: bytes, key: str) -> tuple[int, bytes, float | None]:
    """Signed, and with a key by which they know it again."""
    headers = {
        signing.HEADER: signing.sign(account.secrets["signing"][0], body, int(wire.now.timestamp())),
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    return await calling.ask(wire, "POST", _setting(account, "url"), headers, body)


def _their_id(body: bytes) -> str | None:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    given = said.get("id") if isinstance(said, dict) else None
    return str(given)[:400] if isinstance(given, str | int) and str(given) else None


# status -> (code, retry, whole account, what it means)
_FAILURES: dict[int, tuple[SendCode, bool, bool, str]] = {
    401: (SendCode.CHANNEL_CONFIG, False, True, "they refuse our signature"),
    403: (SendCode.CHANNEL_CONFIG, False, True, "they refuse us"),
    404: (SendCode.REJECTED, False, False, "they do not know the recipient"),
    408: (SendCode.RESPONSE_STATUS, True, False, "they were too slow to read it"),
    410: (SendCode.REJECTED, False, False, "the recipient is gone"),
    413: (SendCode.MESSAGE_INVALID, False, False, "they find it too large"),
    422: (SendCode.REJECTED, False, False, "they refuse this message"),
    425: (SendCode.RESPONSE_STATUS, True, False, "too early for them"),
    429: (SendCode.THROTTLED, True, True, "they ask for patience"),
}


def _failure(status: int, said: bytes, after_s: float | None) -> SendError:
    code, retry, whole, meaning = _FAILURES.get(status) or _by_class(status)
    excerpt = " ".join(said[:200].decode("utf-8", "replace").split())
    return SendError(
        code,
        f"{status}: {meaning}" + (f" ({excerpt})" if excerpt else ""),
        retry=retry,
        provider_code=str(status),
        after_s=after_s if retry else None,
        whole_account=whole,
    )


def _by_class(status: int) -> tuple[SendCode, bool, bool, str]:
    if status >= 500:
        return SendCode.RESPONSE_STATUS, True, False, "their server failed"
    if 300 <= status < 400:
        return SendCode.CHANNEL_CONFIG, False, True, "redirects are not followed; set url to where it leads"
    return SendCode.RESPONSE_STATUS, False, False, "they refuse the request"


def _setting(account: Account, name: str) -> str:
    value = account.settings.get(name)
    if not value:
        raise SendError(SendCode.CHANNEL_CONFIG, f"the account has no {name} to post to", whole_account=True)
    return str(value)


CONNECTOR = Webhook()
