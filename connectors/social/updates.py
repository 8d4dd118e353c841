"""A notification of Messenger's or Instagram's -> events. Pure.

Keys: a message's is its mid; what tells of a message is named by that mid, by what was done and, where it may be done
again, by when. Each piece of a batch that cannot be read is kept by itself (connectors/graph/batch.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from connectors import clean, fitting, said
from connectors.base import Parsed
from connectors.graph import batch
from connectors.graph.batch import BAD, Gathered
from connectors.social import echoes, public
from connectors.social.content import content, referral
from connectors.social.model import (
    Change,
    Delivery,
    Edit,
    Entry,
    Event,
    Message,
    Optin,
    Postback,
    Reaction,
    Read,
    Referral,
    Way,
)
from connectors.social.what import What, moment, name
from hub import log
from hub.config import Account
from hub.errors import Malformed
from hub.model import Change as Kind
from hub.model import ConsentChanged, DeliveryReported, DeliveryStatus, MessageChanged, MessageReceived

_log = log.get("social")
_list = msgspec.json.Decoder(list[msgspec.Raw])
_entry = msgspec.json.Decoder(Entry, strict=False)
_event = msgspec.json.Decoder(Event, strict=False)
_change = msgspec.json.Decoder(Change, strict=False)
_names = msgspec.json.Decoder(dict[str, msgspec.Raw])

_EMOJIS = {"smile": "😆", "angry": "😠", "sad": "😢", "wow": "😮", "love": "❤", "like": "👍", "dislike": "👎"}
# What is not said to us, and nothing that a report of ours could say.
_SILENT = (
    "pass_thread_control", "take_thread_control", "request_thread_control", "app_roles", "account_linking",
)  # fmt: skip
# Fields that come as `changes` (the dashboard's "Test", and some of Instagram's) and hold what `messaging` holds.
_MESSAGING = ("message", "messaging", "standby")


def events(body: bytes, received_at: datetime, account: Account, own: str, way: Way) -> Parsed:
    """Raises Malformed where the whole is no notification about a `way.object`."""
    gathered = Gathered(account, received_at)
    for one in _bodies(body):
        for raw in batch.entries(one, way.object):
            _read_entry(raw, gathered, own, way)
    known: set[tuple[str, str]] = set()
    once = []
    for event in gathered.events:
        if (key := (event.account, event.event_key)) not in known:
            known.add(key)
            once.append(event)
    gathered.events = once
    return gathered.parsed()


def _bodies(body: bytes) -> list[bytes]:
    """Meta's examples show some notifications within a list."""
    if body.lstrip()[:1] != b"[":
        return [body]
    try:
        found = [bytes(one) for one in fitting.decode(_list, body)]
    except BAD:
        found = []
    if not found:
        raise Malformed("it is no notification of Meta's: an empty list")
    return found


def _read_entry(raw: bytes, gathered: Gathered, own: str, way: Way) -> None:
    whole = batch.envelope(way.object, raw)
    try:
        entry = fitting.decode(_entry, raw)
        if entry.messaging is None and entry.standby is None and entry.changes is None:
            raise ValueError("an entry that holds neither messages nor changes")
    except BAD as error:
        gathered.keep(whole, str(error))
        return
    named = str(entry.id)
    key = batch.owner(gathered.account, own, named)
    for listed, pieces, read in (
        ("messaging", entry.messaging, _read_messaging),
        ("standby", entry.standby, _read_messaging),
        ("changes", entry.changes, _read_change),
    ):
        for piece in pieces or ():
            alone = batch.envelope(way.object, batch.part(named, listed, [bytes(piece)], entry.time))
            if key is None:
                gathered.keep(alone, batch.nobodys(way.words, named))
                continue
            account, standby = gathered.account, listed == "standby"
            what = What(way, account, key, named, gathered, alone, entry.time or 0, standby=standby)
            try:
                read(piece, what)
            except BAD as error:
                gathered.keep(alone, str(error), key)
            else:
                what.done()


def _read_change(piece: msgspec.Raw, what: What) -> None:
    change = fitting.decode(_change, piece)
    if (read := public.FIELDS[what.way].get(change.field)) is not None:
        read(change.value, what, change.field)
    elif change.field.startswith(_MESSAGING):
        _read_messaging(change.value, what)
    else:
        raise ValueError(f"the field {clean.line(change.field, 60)!r} is not known")


def _read_messaging(piece: msgspec.Raw, what: What) -> None:
    event = fitting.decode(_event, piece)
    for kind, read in _KINDS:
        if (found := getattr(event, kind)) is not None:
            if what.standby and kind not in _IN_STANDBY:
                _log.debug("another app has this conversation, so it is left", account=what.key, kind=kind)
                return
            read(found, event, what)
            return
    for kind in _SILENT:
        if bytes(getattr(event, kind)):
            _log.debug("nothing that is said to us", account=what.key, kind=kind)
            return
    if bytes(event.policy_enforcement) or bytes(event.policy):
        _log.warning("Meta enforces its policy: look at the Page's Support Inbox", account=what.key)
        return
    known = {"sender", "recipient", "timestamp"}
    kinds = ", ".join(sorted(_names.decode(piece).keys() - known))
    raise ValueError(f"an event of a kind that is not known: {clean.line(kinds, 120) or 'none'}")


def _who(event: Event, what: What) -> str:
    """Their address. Raises ValueError where nobody is named who could be answered."""
    person = event.sender.id if event.sender else None
    if not person:
        raise ValueError("it does not say who")
    return what.urn(person)


def _is_ours(event: Event, what: What) -> bool:
    return event.sender is not None and event.sender.id == what.own


# ------------------------------------------------------------------------------------------------------------ readers


def _message(message: Message, event: Event, what: What) -> None:
    mid = name(message.mid)
    if message.is_self or message.is_echo or (_is_ours(event, what) and not message.is_deleted):
        echoes.read(message, mid, event, what)
        return
    if what.standby:
        _log.debug("another app has this conversation, so it is left", account=what.key, kind="message")
        return
    if message.is_deleted:
        if not _is_ours(event, what):
            _changed(Kind.DELETE, f"delete:{mid}", mid, "", event, what)
        return
    found = content(message, what.account)
    quoted = message.reply_to.mid if message.reply_to else None
    what.say(
        MessageReceived(
            account=what.key,
            event_key=mid,
            external_id=mid,
            received_at=what.at,
            sender=_who(event, what),
            text=found.text,
            in_reply_to=name(quoted) if quoted else None,
            verified=True,
            sent_at=moment(event.timestamp),
            fields=found.fields,
            media=found.media,
            blob=None if found.whole else what.keep(),
        )
    )


def _edit(edit: Edit, event: Event, what: What) -> None:
    if edit.text is None and not edit.num_edit:
        return  # met in practice on Instagram, beside a new message: nothing was edited
    if edit.text is None:
        raise ValueError("an edit that does not say what it reads now")
    mid = name(edit.mid)
    _changed(Kind.EDIT, f"edit:{mid}:{edit.num_edit}", mid, clean.text(edit.text), event, what)


def _reaction(reaction: Reaction, event: Event, what: What) -> None:
    mid = name(reaction.mid)
    emoji = clean.line(reaction.emoji or _EMOJIS.get(reaction.reaction or "", reaction.reaction or ""), 40)
    if reaction.action not in ("react", "unreact"):
        raise ValueError(f"a reaction of the kind {clean.line(reaction.action, 40)!r} is not known")
    text = emoji if reaction.action == "react" else ""
    if not _is_ours(event, what):
        who = clean.line((event.sender.id if event.sender else "") or "", 60)
        key = f"reaction:{mid}:{who}:{event.timestamp}:{reaction.action}"
        _changed(Kind.REACTION, key, mid, text, event, what)


def _changed(change: Kind, key: str, mid: str, text: str, event: Event, what: What) -> None:
    what.say(
        MessageChanged(
            account=what.key,
            event_key=key,
            received_at=what.at,
            sender=_who(event, what),
            external_id=mid,
            change=change,
            text=text,
            sent_at=moment(event.timestamp),
        )
    )


def _postback(postback: Postback, event: Event, what: What) -> None:
    """A tap on a button that stays: it may come again, so its key has its time."""
    who = _who(event, what)
    mid = name(postback.mid) if postback.mid else None
    words, exact = said.tapped(
        clean.line(postback.title or "", 300), clean.line(postback.payload or "", 1000)
    )
    around = referral(postback.referral) if postback.referral else ()
    _visit(
        f"postback:{mid or who}:{event.timestamp}", mid, words or "(a button)", exact + around, event, what
    )


def _referral(found: Referral, event: Event, what: What) -> None:
    """Somebody who had written before came again, by a link or an advertisement, and has said nothing yet."""
    exact = referral(found)
    told = dict(exact)
    way = told.get("headline") or told.get("ref") or told.get("came from") or "a link"
    _visit(
        f"referral:{_who(event, what)}:{event.timestamp}", None, f"(They came by {way}.)", exact, event, what
    )


def _visit(key: str, mid: str | None, text: str, fields: said.Fields, event: Event, what: What) -> None:
    what.say(
        MessageReceived(
            account=what.key,
            event_key=key,
            external_id=mid,
            received_at=what.at,
            sender=_who(event, what),
            text=text,
            verified=True,
            sent_at=moment(event.timestamp),
            fields=fields,
        )
    )


def _optin(optin: Optin, event: Event, what: What) -> None:
    if not optin.type:
        exact = said.fields(("ref", clean.line(optin.ref or "", 1000)))
        _visit(
            f"optin:{_who(event, what)}:{event.timestamp}",
            None,
            "(They pressed a button of ours.)",
            exact,
            event,
            what,
        )
        return
    status = clean.line(optin.notification_messages_status or "", 60)
    granted = not status.upper().startswith("STOP")
    who = _who(event, what)
    what.say(
        ConsentChanged(
            account=what.key,
            event_key=f"optin:{who}:{event.timestamp}:{'in' if granted else 'out'}",
            received_at=what.at,
            urn=who,
            granted=granted,
            scope="marketing",
            wording=clean.line(" ".join(filter(None, (status, optin.title))), 200),
        )
    )


def _delivered(delivery: Delivery, event: Event, what: What) -> None:
    """ "watermark is always present and mids is sometimes present": with mids each is told of by itself."""
    for mid in delivery.mids or ():
        what.reported(DeliveryStatus.DELIVERED, name(mid), delivery.watermark)
    if not delivery.mids:
        _until(DeliveryStatus.DELIVERED, delivery.watermark, event, what)


def _read(read: Read, event: Event, what: What) -> None:
    """Messenger says until when; Instagram says which."""
    if read.mid:
        what.reported(DeliveryStatus.READ, name(read.mid), event.timestamp)
    else:
        _until(DeliveryStatus.READ, read.watermark, event, what)


def _until(status: DeliveryStatus, stamp: int, event: Event, what: What) -> None:
    if (at := moment(stamp)) is None:
        raise ValueError("a report that says neither of which message it is, nor until when")
    who = _who(event, what)
    what.say(
        DeliveryReported(
            account=what.key,
            event_key=f"{status.value}:{who}:{stamp}",
            received_at=what.at,
            status=status,
            recipient=who,
            until=at,
            reported_at=at,
        )
    )


_KINDS: tuple[tuple[str, Callable[[Any, Event, What], None]], ...] = (
    ("message", _message),
    ("message_edit", _edit),
    ("reaction", _reaction),
    ("postback", _postback),
    ("delivery", _delivered),
    ("read", _read),
    ("optin", _optin),
    ("referral", _referral),
)
_IN_STANDBY = ("message", "delivery", "read")  # of what we sent before another app took over
