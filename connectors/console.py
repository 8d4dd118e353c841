"""Your terminal as the customer: `mainstem say` and `mainstem chat` post here and read the visitor's stream.

For trying things out and for scripts on the same machine. The caller holds the installation's own secret, so it may
say who is writing; nobody else can.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from connectors import checking, clean, fits, visitor
from connectors.base import Answer, Parsed, Raw, Wire
from hub import urn
from hub.config import Account
from hub.errors import Forged, Malformed, SendCode, SendError
from hub.limits import Limits
from hub.model import DeliveryReported, DeliveryStatus, MessageReceived, Outgoing, Revision, Sent, Unreadable

_Key = Annotated[str, Meta(min_length=1, max_length=200)]
_Seq = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Said(msgspec.Struct, gc=False):
    """What a person at the terminal typed. `id`: the same for a repeated request."""

    id: _Key
    sender: Annotated[str, Meta(min_length=1, max_length=100)] = msgspec.field(name="from")
    text: Annotated[str, Meta(max_length=65_536)]
    name: Annotated[str, Meta(max_length=200)] = ""


class Receipt(msgspec.Struct, gc=False):
    """The terminal has shown the messages with these `seq`."""

    sender: Annotated[str, Meta(min_length=1, max_length=100)] = msgspec.field(name="from")
    seqs: Annotated[list[_Seq], Meta(max_length=500)]
    status: Literal["delivered", "read"] = "delivered"


class _Kind(msgspec.Struct, gc=False):
    kind: Literal["message", "receipt"] = "message"


_KINDS: dict[str, type[Said] | type[Receipt]] = {"message": Said, "receipt": Receipt}


class Console:
    name = "console"
    title = "Terminal"
    urn_scheme = "console"
    secrets: tuple[str, ...] = ("token",)
    limits = Limits(
        text_chars=65_536,
        attachments=10,
        attachment_bytes=25 * 1024 * 1024,
        reads=True,
        edits=True,
        deletes=True,
        source="docs/channels/console.md",
    )
    bad_signature = 401
    unknown_account = 404
    unavailable = Answer(
        status=503,
        body=b'{"error":"Nothing can be kept just now. Send it again with the same id."}',
        content_type="application/json",
        headers={"Retry-After": "2"},
    )
    methods: tuple[str, ...] = ("POST",)
    derives = True

    def check(self, account: Account) -> list[str]:
        return checking.complaints(account, {})

    def verify(self, raw: Raw, account: Account) -> None:
        given = (raw.header("authorization") or "").encode("utf-8", "replace")
        holds = False
        for secret in account.secrets["token"]:
            if not secret:
                raise Forged("the account's token is empty")
            holds |= hmac.compare_digest(f"Bearer {secret}".encode(), given)
        if not holds:
            raise Forged("the token does not hold")

    def parse(self, raw: Raw, account: Account) -> Parsed:
        try:
            kind = msgspec.json.decode(raw.body, type=_Kind).kind
            said: Said | Receipt = msgspec.json.decode(raw.body, type=_KINDS[kind])
            who = urn.normalise(f"console:{said.sender}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise Malformed(clean.line(str(error), 300)) from None
        if isinstance(said, Receipt):
            return Parsed(events=_receipts(said, who, raw, account))
        event = MessageReceived(
            account=account.key,
            event_key=clean.text(said.id),
            external_id=clean.text(said.id),
            received_at=raw.received_at,
            sender=who,
            sender_name=clean.line(said.name or said.sender),
            text=clean.text(said.text),
            verified=True,
        )
        return Parsed(events=(event,))

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        if parsed.events and isinstance(parsed.events[0], Unreadable):
            note = {"kept": True, "note": parsed.events[0].reason}
            return Answer(status=202, body=msgspec.json.encode(note), content_type="application/json")
        return Answer(body=b'{"accepted":true}', content_type="application/json")

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        fits.check(message, self.limits)
        return await visitor.append(wire.redis, message, _visitor(message))

    async def change(self, revision: Revision, account: Account, wire: Wire) -> Sent:
        return await visitor.change(wire.redis, revision, _visitor(revision.message))

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        return await visitor.find(wire.redis, message, _visitor(message))


def _visitor(message: Outgoing) -> str:
    scheme, _, rest = message.to.partition(":")
    if scheme != "console":
        raise SendError(SendCode.REJECTED, f"{scheme or 'this'} is no address of a terminal")
    return rest


def _receipts(said: Receipt, who: str, raw: Raw, account: Account) -> tuple[DeliveryReported, ...]:
    return tuple(
        DeliveryReported(
            account=account.key,
            event_key=f"{who}:{seq}:{said.status}",
            received_at=raw.received_at,
            status=DeliveryStatus(said.status),
            external_id=visitor.external_id(seq),
        )
        for seq in said.seqs
    )


CONNECTOR = Console()
