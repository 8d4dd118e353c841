"""A mail as it came -> events. Pure; the same bytes give the same event key, whichever way they come.

Runs in a child process (child.py). Whatever cannot be read becomes Unreadable, and waits whole in quarantine.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from email import message_from_bytes
from email.message import Message

from connectors.base import Parsed
from connectors.mail import auth, automatic, body, bounces, headers, mending, quotes, refs
from hub import text as texts
from hub import urn as urns
from hub.config import Account
from hub.model import Attachment, DeliveryReported, DeliveryStatus, Event, MessageReceived, Unreadable

MAIL_BYTES = 50 * 1024 * 1024
HEAD_BYTES = 512 * 1024
HEAD_LINES = 5_000
BOUNDARIES = 20_000  # lines that begin with two hyphens
NESTED = 200  # "multipart/" anywhere
NOBODY = "mailto:unknown@invalid"  # the sender of a mail that names none (RFC 2606: .invalid is nobody's)

_OF_MAILS = ("From", "To", "Subject", "Date", "Received", "Message-ID", "Return-Path", "Content-Type")
_SUBJECT_CHARS = 998
_PEOPLE = 50


def read(raw: bytes, account: Account, received_at: datetime) -> Parsed:
    """What `raw` says: one MessageReceived, or a DeliveryReported for each recipient that a bounce tells of."""
    blob = hashlib.sha256(raw).hexdigest()
    why = too_much(raw)
    if why:
        return unreadable(why, blob, raw, account, received_at)
    try:
        message = message_from_bytes(mending.header(raw.lstrip(b"\r\n")), policy=headers.POLICY)
        if b"\0" in raw and not any(message.get(name) is not None for name in _OF_MAILS):
            return unreadable("these are not the bytes of a mail", blob, raw, account, received_at)
        content = body.read(message)
        events, files = _events(message, content, raw, blob, account, received_at)
    except body.TooMany as error:
        return unreadable(str(error), blob, raw, account, received_at)
    except (RecursionError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
        said = f"its form breaks the reader ({type(error).__name__})"
        return unreadable(said, blob, raw, account, received_at)
    return Parsed(events=events, blobs=(raw, *files))


def too_much(raw: bytes) -> str:
    """Counted before anything reads it: these take the library minutes (docs/security.md, S6)."""
    if len(raw) > MAIL_BYTES:
        return f"it has {len(raw):,} bytes, more than {MAIL_BYTES:,}"
    start = len(raw) - len(raw.lstrip(b"\r\n"))
    ends = (raw.find(blank, start) for blank in (b"\n\n", b"\r\n\r\n", b"\r\r"))
    end = min((at for at in ends if at >= 0), default=len(raw))
    if end > HEAD_BYTES:
        return f"its header has more than {HEAD_BYTES:,} bytes"
    if raw.count(b"\n", 0, end) > HEAD_LINES:
        return f"its header has more than {HEAD_LINES:,} lines"
    if raw.count(b"\n--") > BOUNDARIES:
        return f"it has more than {BOUNDARIES:,} lines that look like a part's beginning"
    if raw[:MAIL_BYTES].lower().count(b"content-type: multipart/") > NESTED:
        return f"it has more than {NESTED} parts that hold parts"
    return ""


def unreadable(why: str, blob: str, raw: bytes, account: Account, received_at: datetime) -> Parsed:
    """A mail that waits in quarantine, whole. blob: its sha256."""
    event = Unreadable(
        account=account.key, event_key=blob, received_at=received_at, reason=f"A mail that was not read: {why}.",
        blob=blob, content_type="message/rfc822",
    )  # fmt: skip
    return Parsed(events=(event,), blobs=(raw,))


def key(message: Message, raw: bytes) -> str:
    """A mail's own, by its Message-ID and all its bytes: the same mail fetched again is the same, and another mail that
    bears the same Message-ID is another."""
    said = headers.raw(message, "Message-ID").encode("utf-8", "replace")
    return hashlib.sha256(said + b"\n" + raw).hexdigest()


def _events(
    message: Message,
    content: body.Content,
    raw: bytes,
    blob: str,
    account: Account,
    received_at: datetime,
) -> tuple[tuple[Event, ...], tuple[bytes, ...]]:
    subject = texts.clip(headers.words(message, "Subject"), _SUBJECT_CHARS)
    writer = _writer(message)
    reports = bounces.read(
        message, f"{writer.name} {writer.address}", subject, content.text, account.secrets.get("token", ())
    )
    event_key = key(message, raw)
    if reports:
        told = [
            _report(one, number, event_key, blob, account, received_at) for number, one in enumerate(reports)
        ]
        return tuple(event for event in told if event is not None), ()
    files = tuple(dict.fromkeys(file.data for file in content.files))
    return (_message(message, content, subject, writer, event_key, blob, account, received_at),), files


def _message(
    message: Message,
    content: body.Content,
    subject: str,
    writer: headers.Mailbox,
    event_key: str,
    blob: str,
    account: Account,
    received_at: datetime,
) -> MessageReceived:
    sender = _urn(writer.address)
    references = refs.references(message)
    answers = quotes.is_answer(subject) or any(one.startswith("<") for one in references)
    split = quotes.split(content.text, forward=quotes.is_forward(subject), answers=answers)
    visible = "\n\n".join([*(f"[{note}]" for note in content.notes), texts.storable(split.visible)]).strip()
    proof = auth.proof(
        message,
        writer.address,
        _setting(account, "authserv_id"),
        int(account.settings.get("authserv_hops") or auth.HOPS),
    )
    named = refs.conversation(
        [*headers.every(message, "To"), *headers.every(message, "Cc"), *headers.every(message, "Delivered-To"),
         *headers.every(message, "In-Reply-To"), *headers.every(message, "References")],
        account.secrets.get("token", ()),
    )  # fmt: skip
    why = automatic.why(message, writer.address, subject, writer.name) or _of_our_own(
        message, account, sender
    )
    return MessageReceived(
        account=account.key,
        event_key=event_key,
        external_id=next(iter(headers.ids([headers.raw(message, "Message-ID")])), None),
        received_at=received_at,
        sender=sender or NOBODY,
        sender_name=texts.clip(texts.storable(writer.name), 200),
        text=visible,
        subject=texts.storable(subject) or None,
        in_reply_to=next((one for one in references if one.startswith("<")), None),
        references=references,
        conversation=named,
        participants=tuple(_participants(message, account, sender)),
        proof=proof.said,
        verified=proof.verified,
        quoted=texts.storable(split.folded),
        claims=tuple(_claims(message, sender)),
        sent_at=headers.date(headers.raw(message, "Date")),
        attachments=tuple(
            Attachment(
                sha256=hashlib.sha256(file.data).hexdigest(),
                content_type=file.content_type,
                size_bytes=len(file.data),
                name=file.name,
            )
            for file in content.files
            if file.data
        ),
        automatic=bool(why),
        blob=blob,
    )


def _writer(message: Message) -> headers.Mailbox:
    """Who wrote it: From, else Sender, else the envelope."""
    for name in ("From", "Sender", "Return-Path"):
        for one in headers.mailboxes(headers.every(message, name, 3)):
            if _urn(one.address):
                return one
    found = headers.mailboxes(headers.every(message, "From", 1))
    return found[0] if found else headers.Mailbox("", "")


def _urn(address: str) -> str | None:
    try:
        return urns.mailto(address[:320])
    except ValueError:
        return None


def _participants(message: Message, account: Account, sender: str | None) -> list[str]:
    """The other people in To and Cc, without us and without who wrote it."""
    ours = {found for found in (_urn(account.address or ""), sender) if found}
    out: dict[str, None] = {}
    for one in headers.mailboxes([*headers.every(message, "To"), *headers.every(message, "Cc")]):
        found = _urn(one.address)
        if found and found not in ours and not (account.address and _is_ours(found, account.address)):
            out[found] = None
    return list(out)[:_PEOPLE]


def _is_ours(found: str, address: str) -> bool:
    """Is it our mailbox under a +address?"""
    local, _, domain = found.removeprefix("mailto:").rpartition("@")
    return f"{local.partition('+')[0]}@{domain}" == address.lower()


def _of_our_own(message: Message, account: Account, sender: str | None) -> str:
    """A mail of ours that came back to us, by a forwarding that goes round: answered, it would go round for ever."""
    if sender and account.address and (sender == _urn(account.address) or _is_ours(sender, account.address)):
        return "sent by ourselves"
    signed = refs.conversation([headers.raw(message, "Message-ID")], account.secrets.get("token", ()))
    return "" if signed is None else "a mail of ours"


def _claims(message: Message, sender: str | None) -> list[str]:
    """A Reply-To that is another address: stated by the mail, and proved by nothing."""
    out = []
    for one in headers.mailboxes(headers.every(message, "Reply-To", 2))[:3]:
        found = _urn(one.address)
        if found and found != sender:
            out.append(found)
    return out


def _setting(account: Account, name: str) -> str | None:
    value = account.settings.get(name)
    return value if isinstance(value, str) and value else None


# ------------------------------------------------------------------------------------------------------------ bounces


_CODES = {bounces.DEAD: "dead", bounces.FULL: "full", bounces.REFUSED: "refused"}


def _report(
    one: bounces.Bounce, number: int, event_key: str, blob: str, account: Account, received_at: datetime
) -> DeliveryReported | None:
    """A recipient's failure, as the report of a delivery. One that only tells of a delay reports `sent` once more."""
    delayed = one.kind == bounces.DELAYED
    return DeliveryReported(
        account=account.key,
        event_key=f"{event_key}:{number}",
        received_at=received_at,
        status=DeliveryStatus.SENT if delayed else DeliveryStatus.FAILED,
        external_id=one.message_id,
        recipient=_urn(one.address or ""),
        code=None if delayed else _CODES[one.kind],
        detail=texts.clip(texts.storable(f"{one.status} {one.said}".strip()), 500),
        blob=blob,
    )
