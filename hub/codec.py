"""Events as bytes, for the journal and the stream: one msgpack map {v, kind, event, cursor}.

`v` grows when an older program could misread the bytes; a new optional field does not need that: readers ignore what
they do not know and fill in defaults. tests/hub/test_codec.py pins the bytes of v 1.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import structs

from hub import model
from hub.errors import NewerVersion
from hub.model import Cursor, Event

VERSION = 1


class _Envelope(msgspec.Struct, tag_field="kind", kw_only=True, omit_defaults=True, gc=False):
    cursor: Cursor | None = None


class _Message(_Envelope, tag="message"):
    event: model.MessageReceived
    v: int


class _Change(_Envelope, tag="change"):
    event: model.MessageChanged
    v: int


class _Call(_Envelope, tag="call"):
    event: model.CallEvent
    v: int


class _Delivery(_Envelope, tag="delivery"):
    event: model.DeliveryReported
    v: int


class _Consent(_Envelope, tag="consent"):
    event: model.ConsentChanged
    v: int


class _Identity(_Envelope, tag="identity"):
    event: model.IdentityLearned
    v: int


class _Unreadable(_Envelope, tag="unreadable"):
    event: model.Unreadable
    v: int


_AnyEnvelope = _Message | _Change | _Call | _Delivery | _Consent | _Identity | _Unreadable

_ENVELOPES: dict[type, Any] = {
    model.MessageReceived: _Message,
    model.MessageChanged: _Change,
    model.CallEvent: _Call,
    model.DeliveryReported: _Delivery,
    model.ConsentChanged: _Consent,
    model.IdentityLearned: _Identity,
    model.Unreadable: _Unreadable,
}
KINDS = {event: str(envelope.__struct_config__.tag) for event, envelope in _ENVELOPES.items()}


class _Header(msgspec.Struct):
    v: int
    kind: str


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[_AnyEnvelope] = msgspec.msgpack.Decoder(_AnyEnvelope)
_header = msgspec.msgpack.Decoder(_Header)


def encode(event: Event, cursor: Cursor | None = None) -> bytes:
    """The bytes of `event`. Half a surrogate pair, which UTF-8 has no bytes for, becomes U+FFFD.

    Raises ValueError for a time without a zone: read back, it would be another moment.
    """
    if event.received_at.tzinfo is None:
        raise ValueError(f"the {KINDS[type(event)]} {event.event_key!r} has a time without a zone")
    envelope = _ENVELOPES[type(event)]
    try:
        return _encoder.encode(envelope(v=VERSION, event=event, cursor=cursor))
    except UnicodeEncodeError:
        return _encoder.encode(envelope(v=VERSION, event=_whole(event), cursor=cursor and _whole(cursor)))


def decode(data: bytes) -> tuple[Event, Cursor | None]:
    """What `encode` was given. Fields that this version does not know are ignored.

    Raises NewerVersion for the bytes of a newer program (the caller keeps them), ValueError for anything else.
    """
    try:
        envelope = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _why(data, error) from None
    if envelope.v > VERSION:
        raise _newer(envelope.v)
    return envelope.event, envelope.cursor


def _newer(version: int) -> NewerVersion:
    return NewerVersion(f"written by a newer Mainstem: version {version}, and this one knows {VERSION}")


def _why(data: bytes, error: Exception) -> NewerVersion | ValueError:
    try:
        header = _header.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ValueError(f"these {len(data)} bytes are no event: {error}")
    if header.v > VERSION:
        return _newer(header.v)
    return ValueError(f"this {header.kind} event of version {header.v} cannot be read: {error}")


def _whole(value: Any) -> Any:
    """The same value with surrogate pairs joined and every lone one replaced."""
    if type(value) is str:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, tuple):
        return tuple(_whole(item) for item in value)
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: _whole(held) for name, held in structs.asdict(value).items()})
    return value
