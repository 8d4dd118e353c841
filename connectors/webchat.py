"""The chat on a web page: what its frames mean, and the tokens that hold it together. No network here but `send`.

connectors/chat.py serves the page and its WebSocket and hands every frame to this module as a Raw of its own, with
the visitor's token as the Authorization header. docs/channels/webchat.md describes the frames.

A visitor is a random id that only the browser knows, with our HMAC behind it: nobody can guess or list them. Ids of
interactions are sealed for the visitor before they go out, for they are not shown to customers.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets as random
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from connectors import checking, clean, fits, visitor
from connectors.base import Answer, Parsed, Raw, Wire
from hub import urn
from hub.config import Account
from hub.errors import Forged, Malformed, SendCode, SendError
from hub.limits import Limits
from hub.model import (
    Attachment,
    DeliveryReported,
    DeliveryStatus,
    Event,
    MessageReceived,
    Outgoing,
    Revision,
    Sent,
    Unreadable,
)

FILE_BYTES = 10 * 1024 * 1024
TEXT_CHARS = 5_000  # a customer's message; a longer text is a file
FRAME_BYTES = 64 * 1024
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_VISITOR = re.compile(r"[a-z2-7]{26}")

_Id = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{8,64}$")]
_Ids = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=200)]
_Ref = Annotated[str, Meta(max_length=2000)]


class Message(msgspec.Struct, tag_field="type", tag="message", gc=False):
    """`id` is the browser's; the same when it is sent again."""

    id: _Id
    text: Annotated[str, Meta(max_length=TEXT_CHARS)] = ""
    files: Annotated[list[_Ref], Meta(max_length=5)] = []


class Form(msgspec.Struct, tag_field="type", tag="form", gc=False):
    """The offline form."""

    id: _Id
    text: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS)]
    email: Annotated[str, Meta(max_length=254)]
    name: Annotated[str, Meta(max_length=200)] = ""


class Receipt(msgspec.Struct, tag_field="type", tag="receipt", gc=False):
    """The browser has shown (delivered) or the visitor has seen (read) the messages with these sealed ids."""

    ids: _Ids
    status: Literal["delivered", "read"] = "delivered"


Frame = Message | Form | Receipt
_decoder = msgspec.json.Decoder(Frame)


def _color(value: Any) -> str:
    return checking.text(value) or ("" if _COLOR.fullmatch(value) else 'must look like "#0b6e5f"')


def _origins(value: Any) -> str:
    if not isinstance(value, list):
        return "must be a list"
    wrong = [one for one in value if not isinstance(one, str) or not _is_origin(one)]
    return f"holds {str(wrong[0])[:60]!r}, which must look like https://www.example.com" if wrong else ""


def _is_origin(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and value == f"{parts.scheme}://{parts.netloc}" != "://"


_SETTINGS: checking.Known = {
    "title": checking.text,
    "greeting": checking.text,
    "color": _color,
    "origins": _origins,
    "files": checking.flag,
    "calendar": checking.text,
}


class Webchat:
    name = "webchat"
    title = "Web chat"
    urn_scheme = "webchat"
    secrets: tuple[str, ...] = ("visitors",)
    limits = Limits(
        text_chars=10_000,
        attachments=5,
        attachment_bytes=FILE_BYTES,
        reads=True,
        edits=True,
        deletes=True,
        source="docs/channels/webchat.md",
    )
    bad_signature = 401
    unknown_account = 404
    unavailable = Answer(status=503, body=b"Nothing can be kept just now.", headers={"Retry-After": "2"})
    methods: tuple[str, ...] = ()  # it has a WebSocket and pages of its own, and nothing at /in/
    derives = True

    def check(self, account: Account) -> list[str]:
        return checking.complaints(account, _SETTINGS)

    def verify(self, raw: Raw, account: Account) -> None:
        holder(raw.header("authorization"), account)

    def parse(self, raw: Raw, account: Account) -> Parsed:
        who, secret = holder(raw.header("authorization"), account)
        try:
            frame = _decoder.decode(raw.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(clean.line(str(error), 300)) from None
        if isinstance(frame, Receipt):
            return Parsed(events=_receipts(frame, who, secret, raw, account))
        return Parsed(events=(_received(frame, who, secret, raw, account),))

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        if parsed.events and isinstance(parsed.events[0], Unreadable):
            return Answer(status=202)
        return Answer()

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        fits.check(message, self.limits)
        return await visitor.append(wire.redis, message, _visitor(message))

    async def change(self, revision: Revision, account: Account, wire: Wire) -> Sent:
        return await visitor.change(wire.redis, revision, _visitor(revision.message))

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        return await visitor.find(wire.redis, message, _visitor(message))


# ------------------------------------------------------------------------------------------------------- the tokens


def new_token(account: Account) -> str:
    """A new visitor's token: 130 random bits and our HMAC over them."""
    who = base64.b32encode(random.token_bytes(17)).decode().lower()[:26]
    return f"{who}.{_mac(account.secrets['visitors'][0], 'visitor', account.key, who)}"


def visitor_of(token: str, account: Account) -> tuple[str, str]:
    """(visitor, the secret under which the token holds). Raises Forged."""
    who, _, given = token.partition(".")
    found = ""
    if _VISITOR.fullmatch(who) and given.isascii():
        for secret in account.secrets["visitors"]:
            if not secret:
                raise Forged("the account's secret is empty")
            if hmac.compare_digest(_mac(secret, "visitor", account.key, who), given):
                found = found or secret
    if not found:
        raise Forged("the visitor's token does not hold")
    return who, found


def holder(authorization: str | None, account: Account) -> tuple[str, str]:
    """As visitor_of, for an Authorization header."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise Forged("there is no visitor's token")
    return visitor_of(token, account)


def seal(secret: str, who: str, seq: int) -> str:
    """An interaction's id as this visitor may see it: unreadable, and not to be made up."""
    hidden = seq ^ _mask(secret, who)
    return f"{hidden:016x}{_mac(secret, 'seq', who, str(seq))[:12]}"


def unseal(secret: str, who: str, sealed: str) -> int | None:
    """The id behind a sealed one; None where we did not seal it for this visitor."""
    if len(sealed) != 28 or not sealed.isascii():
        return None
    try:
        seq = int(sealed[:16], 16) ^ _mask(secret, who)
    except ValueError:
        return None
    good = hmac.compare_digest(_mac(secret, "seq", who, str(seq))[:12], sealed[16:])
    return seq if good and seq >= 0 else None


def file_ref(secret: str, who: str, file: visitor.File) -> str:
    """A file as this visitor may name it, for sending and for fetching."""
    body = base64.urlsafe_b64encode(msgspec.json.encode(file)).decode().rstrip("=")
    return f"{body}.{_mac(secret, 'file', who, body)}"


def file_of(secret: str, who: str, ref: str) -> visitor.File | None:
    """The file behind a reference; None where we did not give it to this visitor."""
    body, _, given = ref.partition(".")
    if not given.isascii() or not body.isascii():
        return None
    if not hmac.compare_digest(_mac(secret, "file", who, body), given):
        return None
    return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=visitor.File)


def _mac(secret: str, *parts: str) -> str:
    digest = hmac.digest(secret.encode(), "\n".join(parts).encode("utf-8", "replace"), "sha256")
    return digest[:20].hex()


def _mask(secret: str, who: str) -> int:
    return int.from_bytes(hmac.digest(secret.encode(), f"mask\n{who}".encode(), "sha256")[:8]) >> 1


# ------------------------------------------------------------------------------------------------------- the frames


def _received(frame: Message | Form, who: str, secret: str, raw: Raw, account: Account) -> MessageReceived:
    key = f"{who}:{frame.id}"
    claims: tuple[str, ...] = ()
    name = ""
    files: list[Attachment] = []
    if isinstance(frame, Form):
        try:
            claims = (urn.mailto(frame.email),)
        except ValueError as error:
            raise Malformed(clean.line(str(error), 300)) from None
        name = clean.line(frame.name)
    else:
        files = list(_attachments(frame.files, who, secret))
    text = clean.text(frame.text).strip("\n")
    if not text.strip() and not files:
        raise Malformed("there is neither text nor a file")
    return MessageReceived(
        account=account.key,
        event_key=key,
        external_id=key,
        received_at=raw.received_at,
        sender=f"webchat:{who}",
        sender_name=name,
        text=text,
        form="form" if isinstance(frame, Form) else "message",
        verified=True,
        claims=claims,
        attachments=tuple(files),
    )


def _attachments(refs: Iterable[str], who: str, secret: str) -> Iterable[Attachment]:
    for ref in refs:
        file = file_of(secret, who, ref)
        if file is None:
            raise Malformed("a file is named that was not uploaded by this visitor")
        yield Attachment(
            sha256=file.sha256, content_type=file.content_type, size_bytes=file.size_bytes, name=file.name
        )


def _receipts(frame: Receipt, who: str, secret: str, raw: Raw, account: Account) -> tuple[Event, ...]:
    """Ids that were not sealed for this visitor are passed over: a stranger's receipt proves nothing."""
    return tuple(
        DeliveryReported(
            account=account.key,
            event_key=f"{who}:{seq}:{frame.status}",
            received_at=raw.received_at,
            status=DeliveryStatus(frame.status),
            external_id=visitor.external_id(seq),
        )
        for sealed in dict.fromkeys(frame.ids)
        if (seq := unseal(secret, who, sealed)) is not None
    )


def _visitor(message: Outgoing) -> str:
    scheme, _, rest = message.to.partition(":")
    if scheme != "webchat" or not _VISITOR.fullmatch(rest):
        raise SendError(SendCode.REJECTED, "this is no visitor's address")
    return rest


CONNECTOR = Webchat()
