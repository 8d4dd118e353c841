"""The JSON of our webhook -> events. Every field is described for its senders in docs/channels/webhook.md."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from connectors import clean, media
from connectors.base import Parsed, Raw
from hub import urn
from hub.config import Account
from hub.errors import Malformed
from hub.model import (
    Attachment,
    Change,
    ConsentChanged,
    DeliveryReported,
    DeliveryStatus,
    Event,
    IdentityLearned,
    MessageChanged,
    MessageReceived,
)

FILE_BYTES = 2 * 1024 * 1024  # inline base64 is for small files; the request as a whole is capped by the edge

# Limits of single fields. Beyond them a request is not lost: it waits in quarantine, whole.
_Key = Annotated[str, Meta(min_length=1, max_length=200)]
_Short = Annotated[str, Meta(max_length=400)]
_Text = Annotated[str, Meta(max_length=65_536)]
_When = Annotated[datetime, Meta(tz=True)]


class _Person(msgspec.Struct, gc=False):
    phone: _Short | None = None
    email: _Short | None = None
    id: _Short | None = None
    name: _Short = ""


class _File(msgspec.Struct, gc=False):
    data: str
    name: Annotated[str, Meta(max_length=1000)] = ""


class Body(msgspec.Struct, gc=False):
    """One request. What it does not name is ignored, so that senders may say more than we read."""

    id: _Key
    kind: str = "message"
    sender: _Short | _Person | None = msgspec.field(default=None, name="from")
    text: _Text = ""
    subject: Annotated[str, Meta(max_length=2000)] | None = None
    form: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,19}$")] = "message"
    fields: Annotated[dict[str, str | int | float | bool | None], Meta(max_length=200)] | None = None
    sent_at: _When | None = None
    thread: Annotated[str, Meta(max_length=200)] | None = None
    in_reply_to: _Short | None = None
    language: Annotated[str, Meta(max_length=12)] | None = None
    automatic: bool = False
    attachments: Annotated[list[_File], Meta(max_length=10)] | None = None
    message: _Short | None = None
    delivery: _Short | int | None = None
    status: DeliveryStatus | None = None
    code: _Short | None = None
    detail: Annotated[str, Meta(max_length=2000)] = ""
    granted: bool | None = None
    scope: Annotated[str, Meta(pattern="^(all|marketing)$")] = "all"
    other: _Short | _Person | None = None


_decoder = msgspec.json.Decoder(Body)


def events(raw: Raw, account: Account) -> Parsed:
    """The one event of a request, with the files it names. Raises Malformed with one sentence."""
    try:
        body = _decoder.decode(raw.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(_sentence(error)) from None
    read = _KINDS.get(body.kind)
    if read is None:
        raise Malformed(f"the kind {body.kind[:40]!r} is not one of {', '.join(_KINDS)}")
    try:
        return read(body, raw, account)
    except (ValueError, OverflowError) as error:  # no address; a time beyond the calendar
        raise Malformed(_sentence(error)) from None


def _sentence(error: Exception) -> str:
    return clean.line(str(error), 300)


def _message(body: Body, raw: Raw, account: Account) -> Parsed:
    sender, claims, name = _who(body.sender, account)
    files = [_file(file) for file in body.attachments] if body.attachments else ()
    key = clean.text(body.id)
    event = MessageReceived(
        account=account.key,
        event_key=key,
        external_id=key,
        received_at=raw.received_at,
        sender=sender,
        sender_name=name,
        claims=claims,
        verified=account.settings.get("vouches") is True,
        text=clean.text(body.text),
        subject=clean.line(body.subject, 998) if body.subject is not None else None,
        form=body.form,
        fields=tuple((clean.line(k), _flat(v)) for k, v in body.fields.items()) if body.fields else (),
        sent_at=_utc(body.sent_at),
        thread=_or_none(body.thread),
        in_reply_to=_or_none(body.in_reply_to),
        language=_or_none(body.language),
        automatic=body.automatic,
        attachments=tuple(attachment for attachment, _ in files) if files else (),
    )
    return Parsed(events=(event,), blobs=tuple(data for _, data in files) if files else ())


def _changed(change: Change) -> Callable[[Body, Raw, Account], Parsed]:
    def read(body: Body, raw: Raw, account: Account) -> Parsed:
        event = MessageChanged(
            account=account.key,
            event_key=clean.text(body.id),
            received_at=raw.received_at,
            sender=_who(body.sender, account)[0],
            external_id=_needed(body.message, "message", body),
            change=change,
            text=clean.text(body.text),
            sent_at=_utc(body.sent_at),
        )
        return _one(event)

    return read


def _delivery(body: Body, raw: Raw, account: Account) -> Parsed:
    if body.status is None:
        raise ValueError('kind "delivery" needs a "status"')
    delivery_id = None
    if body.delivery is not None:
        given = str(body.delivery)
        if not (given.isascii() and given.isdigit() and int(given) < 1 << 63):
            raise ValueError('"delivery" must be the one that we sent')
        delivery_id = int(given)
    external_id = _or_none(body.message)
    if delivery_id is None and external_id is None:
        raise ValueError('kind "delivery" needs "delivery" (ours) or "message" (your id)')
    event = DeliveryReported(
        account=account.key,
        event_key=clean.text(body.id),
        received_at=raw.received_at,
        status=body.status,
        external_id=external_id,
        delivery_id=delivery_id,
        code=_or_none(body.code),
        detail=clean.text(body.detail),
        reported_at=_utc(body.sent_at),
    )
    return _one(event)


def _consent(body: Body, raw: Raw, account: Account) -> Parsed:
    if body.granted is None:
        raise ValueError('kind "consent" needs "granted", true or false')
    event = ConsentChanged(
        account=account.key,
        event_key=clean.text(body.id),
        received_at=raw.received_at,
        urn=_who(body.sender, account)[0],
        granted=body.granted,
        scope=body.scope,
        wording=clean.text(body.text),
    )
    return _one(event)


def _identity(body: Body, raw: Raw, account: Account) -> Parsed:
    one, _, name = _who(body.sender, account)
    other, _, other_name = _who(body.other, account, "other")
    if one == other:
        raise ValueError('"from" and "other" are the same address')
    event = IdentityLearned(
        account=account.key,
        event_key=clean.text(body.id),
        received_at=raw.received_at,
        urn=one,
        other=other,
        verified=account.settings.get("vouches") is True,
        name=name or other_name,
    )
    return _one(event)


_KINDS: dict[str, Callable[[Body, Raw, Account], Parsed]] = {
    "message": _message,
    "edit": _changed(Change.EDIT),
    "delete": _changed(Change.DELETE),
    "reaction": _changed(Change.REACTION),
    "delivery": _delivery,
    "consent": _consent,
    "identity": _identity,
}


def _one(event: Event) -> Parsed:
    return Parsed(events=(event,))


def _who(
    given: str | _Person | None, account: Account, field: str = "from"
) -> tuple[str, tuple[str, ...], str]:
    """(address, further addresses that were stated, name). The first of id, e-mail and phone is the address.

    An id is the sender's own, so it is kept apart from other accounts' by the account's name.
    """
    if isinstance(given, str):
        return urn.normalise(given), (), ""
    if given is None:
        raise ValueError(f'"{field}" is missing: an address such as "mailto:ann@example.com", or an object')
    found = []
    if given.id:
        found.append(urn.normalise(f"webhook:{account.name}/{given.id}"))
    if given.email:
        found.append(urn.mailto(given.email))
    if given.phone:
        found.append(urn.tel(given.phone, account.settings.get("region")))
    if not found:
        raise ValueError(f'"{field}" has none of id, email and phone')
    return found[0], tuple(found[1:]), clean.line(given.name)


def _file(file: _File) -> tuple[Attachment, bytes]:
    try:
        data = base64.b64decode(file.data, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("an attachment's data is not base64") from None
    if len(data) > FILE_BYTES:
        raise ValueError(f"an attachment has {len(data)} bytes, and {FILE_BYTES} are taken")
    verdict = media.inspect(
        file.name, data
    )  # what is refused from strangers is kept here under a harmless name
    return (
        Attachment(
            sha256=hashlib.sha256(data).hexdigest(),
            content_type=verdict.content_type,
            size_bytes=len(data),
            name=verdict.name,
        ),
        data,
    )


def _flat(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else clean.text(str(value))


def _utc(at: datetime | None) -> datetime | None:
    return at if at is None or at.tzinfo is UTC else at.astimezone(UTC)


def _or_none(value: str | None) -> str | None:
    return None if value is None else clean.text(value) or None


def _needed(value: str | None, name: str, body: Body) -> str:
    found = _or_none(value)
    if found is None:
        raise ValueError(f'kind "{body.kind}" needs "{name}"')
    return found
