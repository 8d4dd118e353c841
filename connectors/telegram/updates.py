"""One update of the Bot API -> events. The same update gives the same keys, whether it was pushed or polled. Pure.

Keys: a message's is its own id within its chat and not the update's, for "if there are no new updates for at least a
week, then identifier of the next update will be chosen randomly" (https://core.telegram.org/bots/api#update), and a
random row of numbers may run into an old one. An edit has no id but its update's; it stands beside the message's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from connectors import clean, fitting, said
from connectors.base import Parsed
from connectors.said import fields
from connectors.telegram.kinds import CAPTIONED, ENVELOPE, SERVICE, SILENT_UPDATES
from connectors.telegram.message import Content, caption, content, origin
from connectors.telegram.model import Chat, Markup, Message, Number, User
from hub import log, urn
from hub.config import Account
from hub.errors import Malformed
from hub.model import Change, ConsentChanged, Event, MessageChanged, MessageReceived

_log = log.get("telegram")
# What some that keep updates write of each kind that a message is not.
_NOTHING: tuple[Any, ...] = (None, False, [])
TAP = "tap:"  # how the key of a tapped button begins; Telegram's own id follows


class Tapped(msgspec.Struct, gc=False):
    """#maybeinaccessiblemessage: an old one is only named."""

    message_id: Number
    chat: Chat
    business_connection_id: str = ""
    reply_markup: Markup | None = None


class Tap(msgspec.Struct, gc=False):
    id: str
    sender: User = msgspec.field(name="from")
    message: Tapped | None = None
    data: str = ""


class Reaction(msgspec.Struct, gc=False):
    type: str = ""
    emoji: str = ""


class Reacted(msgspec.Struct, gc=False):
    chat: Chat
    message_id: Number
    date: int = 0
    user: User | None = None
    new_reaction: list[Reaction] = []


class Status(msgspec.Struct, gc=False):
    status: str = ""


class Member(msgspec.Struct, gc=False):
    chat: Chat
    sender: User = msgspec.field(name="from")
    date: Number = 0
    old_chat_member: Status = msgspec.field(default_factory=Status)
    new_chat_member: Status = msgspec.field(default_factory=Status)


class Deleted(msgspec.Struct, gc=False):
    business_connection_id: str
    chat: Chat
    message_ids: list[Number] = []


class Update(msgspec.Struct, gc=False):
    update_id: Number
    message: Message | None = None
    edited_message: Message | None = None
    business_message: Message | None = None
    edited_business_message: Message | None = None
    deleted_business_messages: Deleted | None = None
    callback_query: Tap | None = None
    message_reaction: Reacted | None = None
    my_chat_member: Member | None = None


class _What(msgspec.Struct, gc=False):
    """What every reader is given."""

    update: int
    body: bytes
    at: datetime
    account: Account


_decoder = msgspec.json.Decoder(Update)
_loose = msgspec.json.Decoder(dict[str, msgspec.Raw])
_looser = msgspec.json.Decoder(dict[str, Any])


def events(body: bytes, received_at: datetime, account: Account) -> Parsed:
    """The events of one update. Raises Malformed with one sentence, for an update of an unknown kind, too."""
    try:
        update = fitting.decode(_decoder, body)
        what = _What(update=update.update_id, body=body, at=received_at, account=account)
        for kind, read in _KINDS:
            found = getattr(update, kind)
            if found is not None:
                return read(found, what)
        return _others(body)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
        ValueError,
        OverflowError,
        OSError,
    ) as error:
        raise Malformed(clean.line(str(error), 300)) from None


def _others(body: bytes) -> Parsed:
    kinds = [key for key in fitting.decode(_loose, body) if key != "update_id"]
    if SILENT_UPDATES.intersection(kinds):
        return Parsed()
    raise Malformed(
        f"an update of a kind that is not known here: {clean.line(', '.join(kinds), 100) or 'none'}"
    )


# ------------------------------------------------------------------------------------------------------ messages


def _message(message: Message, what: _What) -> Parsed:
    if not _concerns_us(message, what):
        return Parsed()
    found = content(message)
    if found is None:
        return _unsupported(message, what)
    return Parsed(events=(_received(message, found, what),))


def _received(message: Message, found: Content, what: _What, blob: str | None = None) -> MessageReceived:
    sender = message.sender
    assert sender is not None  # of _concerns_us
    external_id = name_of(message.chat, message.message_id, message.business_connection_id)
    replied = message.reply_to_message
    here = replied is not None and (replied.chat is None or replied.chat.id == message.chat.id)
    return MessageReceived(
        account=what.account.key,
        event_key=f"{bot_of(what.account)}:{external_id}",
        external_id=external_id,
        received_at=what.at,
        sender=_urn(sender),
        sender_name=sender.name,
        text=found.text,
        quoted=clean.text(message.quote.text) if message.quote else "",
        in_reply_to=name_of(message.chat, replied.message_id, message.business_connection_id)
        if replied is not None and here
        else None,
        thread=_thread(message),
        verified=True,
        claims=_claims(found),
        sent_at=_time(message.date),
        language=clean.line(sender.language_code, 12) or None,
        fields=(*found.fields, *origin(message), *_username(sender)),
        media=found.media,
        album=clean.line(message.media_group_id, 100),
        blob=blob,
    )


def _unsupported(message: Message, what: _What) -> Parsed:
    """Nothing where it only tells what happened in the chat; else the raw update is kept and named, below the words
    that stand with it. Words beside nothing that could have them are all there is."""
    for key in ("message", "business_message"):
        if raw := fitting.decode(_loose, what.body).get(key):
            found = _looser.decode(raw).items()
            kinds = [kind for kind, value in found if kind not in ENVELOPE and value not in _NOTHING]
            if SERVICE.intersection(kinds):
                return Parsed()
            words = caption(message)
            above = [kind for kind in kinds if kind in CAPTIONED]
            if words and not above:
                return Parsed(events=(_received(message, Content(text=words), what),))
            name = next(iter((*above, *kinds)), "an empty message")
            named = clean.line(name.replace("_", " "), 60)
            text = f"{words}\n{said.unsupported(named)}".lstrip()
            blob = hashlib.sha256(what.body).hexdigest()
            return Parsed(events=(_received(message, Content(text=text), what, blob),), blobs=(what.body,))
    return Parsed()


def _edited(message: Message, what: _What) -> Parsed:
    """A live location moves by edits, every few seconds, and is left alone; so is what has no words."""
    if not _concerns_us(message, what) or message.location is not None:
        return Parsed()
    found = content(message)
    text = found.text if found else caption(message)
    if found is None and not text:
        return Parsed()
    assert message.sender is not None
    external_id = name_of(message.chat, message.message_id, message.business_connection_id)
    event = MessageChanged(
        account=what.account.key,
        event_key=f"{what.update}:edit:{external_id}",
        received_at=what.at,
        sender=_urn(message.sender),
        external_id=external_id,
        change=Change.EDIT,
        text=text,
        sent_at=_time(message.edit_date or 0),
    )
    return Parsed(events=(event,))


def _deleted(gone: Deleted, what: _What) -> Parsed:
    """Only in chats of a business account does Telegram say what was deleted."""
    if gone.chat.type != "private":
        return Parsed()
    found: list[Event] = []
    for message_id in dict.fromkeys(gone.message_ids[:1000]):
        external_id = name_of(gone.chat, message_id, gone.business_connection_id)
        found.append(
            MessageChanged(
                account=what.account.key,
                event_key=f"{what.update}:delete:{external_id}",
                received_at=what.at,
                sender=f"telegram:{gone.chat.id}",
                external_id=external_id,
                change=Change.DELETE,
            )
        )
    return Parsed(events=tuple(found))


def _concerns_us(message: Message, what: _What) -> bool:
    """Is it a customer's own word in a chat of two? Groups and channels are left alone, and so are programs."""
    chat, sender = message.chat, message.sender
    if chat.type != "private":
        _log.debug("not a chat of two, so it is left alone", account=what.account.key, type=chat.type[:20])
        return False
    if sender is None or sender.is_bot:
        return False
    # In a business account's chats the owner's own messages come along: they were not said to us.
    return not message.business_connection_id or sender.id == chat.id


# --------------------------------------------------------------------------------- taps, reactions, blocks


def _tap(tap: Tap, what: _What) -> Parsed:
    message = tap.message
    if message is None or message.chat.type != "private" or tap.sender.is_bot:
        return Parsed()
    title = next(
        (
            button.text
            for row in (message.reply_markup.inline_keyboard if message.reply_markup else ())
            for button in row
            if button.callback_data == tap.data
        ),
        "",
    )
    words, more = said.tapped(clean.line(title, 400), clean.line(tap.data, 200))
    if not words:
        return Parsed()  # a game's button, which says nothing
    key = f"{TAP}{clean.line(tap.id, 100)}"
    event = MessageReceived(
        account=what.account.key,
        event_key=key,
        external_id=key,
        received_at=what.at,
        sender=_urn(tap.sender),
        sender_name=tap.sender.name,
        text=words,
        in_reply_to=name_of(message.chat, message.message_id, message.business_connection_id),
        thread=f"business:{clean.line(message.business_connection_id, 100)}"
        if message.business_connection_id
        else None,
        verified=True,
        language=clean.line(tap.sender.language_code, 12) or None,
        fields=(*more, *_username(tap.sender)),
    )
    return Parsed(events=(event,))


def _reaction(reacted: Reacted, what: _What) -> Parsed:
    """An empty list: it was taken back. Anonymous ones (`actor_chat`) are of groups."""
    if reacted.user is None or reacted.user.is_bot or reacted.chat.type != "private":
        return Parsed()
    external_id = name_of(reacted.chat, reacted.message_id)
    event = MessageChanged(
        account=what.account.key,
        event_key=f"{what.update}:reaction:{external_id}",
        received_at=what.at,
        sender=_urn(reacted.user),
        external_id=external_id,
        change=Change.REACTION,
        text=clean.line(" ".join(_REACTIONS.get(r.type, r.emoji) or "?" for r in reacted.new_reaction[:11])),
        sent_at=_time(reacted.date),
    )
    return Parsed(events=(event,))


_REACTIONS = {"custom_emoji": "(an emoji of its own)", "paid": "⭐"}  # "emoji" brings its own


def _member(member: Member, what: _What) -> Parsed:
    """ "For private chats, this update is received only when the bot is blocked or unblocked by the user" (#update)."""
    before, now = member.old_chat_member.status, member.new_chat_member.status
    blocked = now == "kicked"
    if member.chat.type != "private" or blocked == (before == "kicked"):
        return Parsed()
    event = ConsentChanged(
        account=what.account.key,
        event_key=f"{what.update}:{'blocked' if blocked else 'unblocked'}:{member.chat.id}:{member.date}",
        received_at=what.at,
        urn=_urn(member.sender),
        granted=not blocked,
        wording="blocked the bot in Telegram" if blocked else "unblocked the bot in Telegram",
    )
    return Parsed(events=(event,))


_KINDS: tuple[tuple[str, Callable[[Any, _What], Parsed]], ...] = (
    ("message", _message),
    ("edited_message", _edited),
    ("callback_query", _tap),
    ("message_reaction", _reaction),
    ("my_chat_member", _member),
    ("business_message", _message),
    ("edited_business_message", _edited),
    ("deleted_business_messages", _deleted),
)


# ---------------------------------------------------------------------------------------------------------- names


def name_of(chat: Chat, message_id: int, business: str = "") -> str:
    """Our name for a message: its id is unique in its chat alone, and a business's chats have numbers of their own."""
    return f"{chat.id}:{message_id}" + (f"@{clean.line(business, 100)}" if business else "")


def bot_of(account: Account) -> str:
    """The bot's own id, which its token begins with and which stays when the token is changed; a new bot behind the
    same account counts its chats' messages from the beginning."""
    token = next(iter(account.secrets.get("token", ())), "")
    head, colon, _ = token.partition(":")
    return head if colon and head.isascii() and head.isdigit() and len(head) <= 20 else ""


def _urn(user: User) -> str:
    if user.id <= 0:
        raise ValueError("a user's id must be above zero")
    return f"telegram:{user.id}"


def _thread(message: Message) -> str | None:
    if message.business_connection_id:
        return f"business:{clean.line(message.business_connection_id, 100)}"
    return f"topic:{message.message_thread_id}" if message.message_thread_id else None


def _claims(found: Content) -> tuple[str, ...]:
    claims = []
    for number in found.claims:
        try:
            claims.append(urn.tel(number))
        except ValueError:
            continue
    return tuple(claims)


def _username(user: User) -> tuple[tuple[str, str], ...]:
    """A name that may be another's tomorrow: to be read, never to know somebody by."""
    return fields(("username", f"@{clean.line(user.username, 64)}" if user.username else ""))


def _time(seconds: int) -> datetime | None:
    """Unix seconds; or milliseconds, as some that stand in between write them."""
    if seconds > 100_000_000_000:  # the year 5138
        return datetime.fromtimestamp(seconds / 1000, UTC)
    return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
