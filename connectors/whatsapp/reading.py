"""One message, report or wish of a notification -> events. Pure; a reader that raises has said nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors import clean, fitting, said
from connectors.graph import errors
from connectors.graph.batch import BAD, Gathered
from connectors.whatsapp.content import content, edited, kind_of, more
from connectors.whatsapp.model import Call, Contact, Message, NewId, Preference, Status
from hub import log, urn
from hub.errors import SendCode
from hub.model import (
    CallEvent,
    CallState,
    ConsentChanged,
    DeliveryReported,
    DeliveryStatus,
    IdentityLearned,
    MessageChanged,
    MessageReceived,
)
from hub.model import Change as Kind

USER_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[0-9A-Za-z]{1,128}")
STATUSES: Mapping[str, DeliveryStatus] = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "played": DeliveryStatus.READ,
    "failed": DeliveryStatus.FAILED,
}
_OLD_STATUSES = frozenset(
    {"deleted", "warning", "pending", "accepted"}
)  # of older pages: nothing for us to do
_OTHERS = frozenset({"call", "payment"})  # how what another program of ours asked for is going
_SILENT_TYPES = frozenset({"request_welcome"})  # "they have opened the chat": nothing is said yet
_MARKETING = "marketing_messages"
_STOPPED = "131050"

ID_CHARS = 400  # of a message's name, as the store keeps it
_log = log.get("whatsapp")
ERROR = msgspec.json.Decoder(errors.Error, strict=False)


class What:
    """What every reader is given: where events go, whose they are, and who the people are."""

    __slots__ = ("account", "body", "gathered", "linked", "people")

    def __init__(self, gathered: Gathered, account: str, body: bytes, linked: set[str]) -> None:
        self.gathered, self.account, self.body, self.linked = gathered, account, body, linked
        self.people: dict[str, Contact] = {}


def know(contact: Contact, what: What) -> None:
    for name in (contact.wa_id, contact.user_id):
        if name:
            what.people[name] = contact


# ------------------------------------------------------------------------------------------------------ messages


def _message(message: Message, what: What) -> None:
    if message.group_id or message.type in _SILENT_TYPES:
        _log.debug("not said to us alone, so it is left", account=what.account, type=message.type[:40])
        return
    if message.type in _CHANGES:
        _CHANGES[message.type](message, what)
        return
    sender = _who(message.sender, message.user_id)
    found = content(message)
    contact = what.people.get(message.sender) or what.people.get(message.user_id)
    profile = contact.profile if contact else None
    username = clean.line(profile.username, 64) if profile and profile.username else ""
    around: said.Fields = found.fields if found else ()
    if message.context or message.referral:
        around += more(message)
    if username:
        around += (("username", username if username.startswith("@") else f"@{username}"),)
    key = _id(message.id)
    gathered = what.gathered
    gathered.events.append(
        MessageReceived(
            account=what.account,
            event_key=key,
            external_id=key,
            received_at=gathered.at,
            sender=sender,
            sender_name=(clean.line(profile.name) or username) if profile else "",
            text=found.text if found else said.unsupported(kind_of(message)),
            in_reply_to=(clean.line(message.context.id, ID_CHARS) or None) if message.context else None,
            verified=True,
            sent_at=_time(message.timestamp),
            claims=found.claims if found else (),
            fields=around,
            media=found.media if found else (),
            blob=None if found else gathered.blob(what.body),
        )
    )
    _link(message.sender, message.user_id, what, profile.name if profile else "")


def _reaction(message: Message, what: What) -> None:
    if message.reaction is None:
        raise ValueError("a reaction to nothing")
    _changed(
        message, what, message.reaction.message_id, Kind.REACTION, clean.line(message.reaction.emoji, 40)
    )


def _edit(message: Message, what: What) -> None:
    if message.edit is None:
        raise ValueError("an edit of nothing")
    text = edited(message.edit.message)
    if text is None:
        raise ValueError(f"an edit of the kind {clean.line(message.edit.message.type, 40)!r} is not known")
    _changed(message, what, message.edit.original_message_id, Kind.EDIT, text)


def _revoke(message: Message, what: What) -> None:
    if message.revoke is None:
        raise ValueError("nothing is taken back")
    _changed(message, what, message.revoke.original_message_id, Kind.DELETE, "")


def _changed(message: Message, what: What, external_id: str, change: Kind, text: str) -> None:
    what.gathered.events.append(
        MessageChanged(
            account=what.account,
            event_key=_id(message.id),
            received_at=what.gathered.at,
            sender=_who(message.sender, message.user_id),
            external_id=_id(external_id),
            change=change,
            text=text,
            sent_at=_time(message.timestamp),
        )
    )
    _link(message.sender, message.user_id, what)


def _system(message: Message, what: What) -> None:
    """They have another number, or another id. The words name both, among what people call themselves: only the
    fields count."""
    told = message.system
    if told is None:
        raise ValueError("a system message that says nothing")
    now = told.wa_id or told.new_wa_id
    if message.sender and now and now != message.sender:
        _same(_who(message.sender, ""), _who(now, ""), what)
    if told.user_id and told.previous_user_id and told.previous_user_id != told.user_id:
        _same(_who("", told.previous_user_id), _who("", told.user_id), what)
    if told.user_id:
        _link(now or message.sender, told.user_id, what)
    if not told.user_id and not now:
        _log.info("a system message that changes nothing here", account=what.account, type=told.type[:60])


_CHANGES: Mapping[str, Callable[[Message, What], None]] = {
    "reaction": _reaction,
    "edit": _edit,
    "revoke": _revoke,
    "system": _system,
}


# ---------------------------------------------------------------------------------------------- reports, consent


def _call(call: Call, what: What) -> None:
    """A customer rings, and that is over. Calls that others of ours make are not said to us."""
    if call.direction == "BUSINESS_INITIATED":
        return
    state = _CALLS.get(call.event)
    if state is None:
        raise ValueError(f"the event {clean.line(call.event, 40)!r} of a call is not known")
    if state is CallState.COMPLETED and not call.duration:
        state = CallState.MISSED
    key = _id(call.id)
    what.gathered.events.append(
        CallEvent(
            account=what.account,
            event_key=f"{key}:{call.event}",
            external_id=key,
            received_at=what.gathered.at,
            sender=_who(call.sender, call.user_id),
            state=state,
            duration_s=call.duration or None,
            sent_at=_time(call.timestamp),
        )
    )


_CALLS = {"connect": CallState.RINGING, "terminate": CallState.COMPLETED}


def _status(status: Status, what: What) -> None:
    if status.type in _OTHERS:
        return
    means = STATUSES.get(status.status)
    if means is None:
        if status.status in _OLD_STATUSES:
            return
        raise ValueError(
            f"the status {clean.line(status.status, 40)!r} is not one that WhatsApp's pages name"
        )
    code, words, terms = "", "", errors.Terms()
    if means is DeliveryStatus.FAILED:
        code, words, means = _failure(status)
        terms = errors.after_report(errors.number(code)) if code else terms
    key = _id(status.id)
    at = _time(status.timestamp)
    event = DeliveryReported(
        account=what.account,
        event_key=f"{key}:{status.status}",
        received_at=what.gathered.at,
        status=means,
        external_id=key,
        delivery_id=_delivery(status.biz_opaque_callback_data),
        code=code or None,
        detail=words,
        reported_at=at,
        again=terms.again,
        again_s=terms.again_s,
        rest_s=terms.rest_s,
    )
    consent = _stopped(status, what) if code == _STOPPED else None
    what.gathered.events.append(event)
    if consent is not None:
        what.gathered.events.append(consent)
    if status.status == "delivered":
        _link(status.recipient_id, status.recipient_user_id, what)


def _failure(status: Status) -> tuple[str, str, DeliveryStatus]:
    """(code, words, what it is for us): of the first error that we know, else the first that has a code."""
    other = ""
    for raw in status.errors:
        try:
            error = fitting.decode(ERROR, raw)
        except BAD:
            continue
        if error.code is None:
            continue
        found = errors.meaning(error.code, error.error_subcode or 0)
        if found is not None:
            stopped = found.code is SendCode.OPTED_OUT
            means = DeliveryStatus.OPTED_OUT if stopped else DeliveryStatus.FAILED
            return str(error.code), found.words, means
        other = other or f"{error.code} {error.words}"
    code, _, words = other.partition(" ")
    said_so = clean.line(words, 300) if code else "WhatsApp could not deliver it, and does not say why"
    return code, said_so, DeliveryStatus.FAILED


def _stopped(status: Status, what: What) -> ConsentChanged:
    """131050: "chosen to stop receiving marketing messages on WhatsApp from your business"."""
    return ConsentChanged(
        account=what.account,
        event_key=f"{_id(status.id)}:{_STOPPED}",
        received_at=what.gathered.at,
        urn=_who(status.recipient_id, status.recipient_user_id),
        granted=False,
        scope="marketing",
        wording="stopped marketing messages in WhatsApp",
    )


def _preference(wish: Preference, what: What) -> None:
    """.../webhooks/reference/user_preferences: stop or resume, of marketing messages."""
    if wish.category != _MARKETING or wish.value not in ("stop", "resume"):
        raise ValueError(f"the preference {clean.line(f'{wish.category}: {wish.value}', 80)!r} is not known")
    who = _who(wish.wa_id, wish.user_id)
    what.gathered.events.append(
        ConsentChanged(
            account=what.account,
            event_key=f"preference:{who}:{clean.line(str(wish.timestamp), 20)}:{wish.value}",
            received_at=what.gathered.at,
            urn=who,
            granted=wish.value == "resume",
            scope="marketing",
            wording=clean.line(wish.detail),
        )
    )
    _link(wish.wa_id, wish.user_id, what)


def _new_id(update: NewId, what: What) -> None:
    """A new number brings a new id. Meta took this field back in August 2026 (a system message says it); resellers and
    the local stand-in still send it."""
    before, now = _who("", update.user_id.previous), _who("", update.user_id.current)
    if before != now:
        _same(before, now, what)
    _link(update.wa_id, update.user_id.current, what)


# ------------------------------------------------------------------------------------------------------- people


def _link(phone: str, user_id: str, what: What, name: str = "") -> None:
    """Number and id in one place are one person's, and WhatsApp vouches for it. Once a request; nothing where one of
    them is none (a group's name is no number): what they stand beside counts all the same."""
    if not USER_ID.fullmatch(user_id) or USER_ID.fullmatch(phone):
        return
    try:
        mine = _who(phone, "")
    except ValueError:
        return
    _same(mine, f"wa:{user_id}", what, name)


def _same(mine: str, other: str, what: What, name: str = "") -> None:
    key = f"identity:{other}:{mine}"
    if f"{what.account} {key}" in what.linked:
        return
    what.linked.add(f"{what.account} {key}")
    what.gathered.events.append(
        IdentityLearned(
            account=what.account,
            event_key=key,
            received_at=what.gathered.at,
            urn=mine,
            other=other,
            verified=True,
            name=clean.line(name),
        )
    )


def _who(phone: str, user_id: str) -> str:
    """Their number, which is the phone's; who hides it has an id for this business. Raises ValueError."""
    if phone and not USER_ID.fullmatch(phone):
        digits = phone.removeprefix("+")
        if not (digits.isascii() and digits.isdigit()):
            raise ValueError("their number is not made of digits")
        return urn.normalise(f"tel:+{digits}")
    if USER_ID.fullmatch(user_id or phone):  # some put the id where the number should be
        return f"wa:{user_id or phone}"
    raise ValueError("it does not say who it is from or for: neither a number nor an id")


def _id(name: str) -> str:
    """A message's name. Raises ValueError where it is none."""
    if not name or len(name) > ID_CHARS or not name.isascii() or not name.isprintable():
        raise ValueError("the message has no id")
    return name


def _delivery(said_back: str) -> int | None:
    """Ours, which the send put there: so a report also proves that a send in doubt went out."""
    fine = said_back.isascii() and said_back.isdigit() and len(said_back) < 20
    return int(said_back) if fine and int(said_back) < 1 << 63 else None


def _time(seconds: str) -> datetime:
    """Unix seconds, as text; or milliseconds, as some that stand in between write them. Raises ValueError."""
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 13):
        raise ValueError("its time is none")
    return datetime.fromtimestamp(int(seconds) / 1000 if len(seconds) == 13 else int(seconds), UTC)


LISTS: tuple[tuple[str, Callable[[Any, What], None], msgspec.json.Decoder[Any]], ...] = (
    ("messages", _message, msgspec.json.Decoder(Message)),
    ("statuses", _status, msgspec.json.Decoder(Status)),
    ("calls", _call, msgspec.json.Decoder(Call)),
    ("user_preferences", _preference, msgspec.json.Decoder(Preference)),
    ("user_id_update", _new_id, msgspec.json.Decoder(NewId)),
)
