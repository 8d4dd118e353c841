"""One message of ours out, changed or taken back (https://core.telegram.org/bots/api#sendmessage and what follows).

Plain text, always: no parse_mode, so nothing of what an agent writes is ever taken for formatting. Texts go first, then
files, each with an id that is kept in that order; that is how a change finds the texts again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from connectors import calling, media
from connectors.base import Wire
from connectors.telegram import parts
from connectors.telegram.api import Upload, call
from connectors.telegram.model import Chat
from connectors.telegram.updates import name_of
from connectors.texts import numbered, split
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Attachment, Change, Outgoing, Revision, Sent

DELETES_S = (
    48 * 3600.0
)  # "A message can only be deleted if it was sent less than 48 hours ago" (#deletemessage)
PATIENCE_S = 15.0  # of one message in parts; a send may last 45 s in all
TOGETHER_S = 10.0  # two chats that are slowed down within it: it is the bot


_rest = asyncio.sleep


class _Said(msgspec.Struct, gc=False):
    message_id: int
    chat: Chat


class Slowed:
    """Which chats were told to wait, by account. Telegram allows a chat about one message a second and a bot about 30,
    and its 429 does not say which it means (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this):
    one chat that is told to wait rests alone; when a second is told so at the same time, the whole bot rests."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, datetime]] = {}

    def whole(self, account: str, chat: int, now: datetime) -> bool:
        before = self._last.get(account)
        self._last[account] = (chat, now)
        return (
            before is not None and before[0] != chat and abs(now - before[1]) < timedelta(seconds=TOGETHER_S)
        )


_slowed = Slowed()


class _Conversation:
    """One message on its way: the chat, what went out of it so far."""

    def __init__(self, message: Outgoing, account: Account, wire: Wire) -> None:
        self.message, self.account, self.wire = message, account, wire
        self.chat = chat_of(message.to)
        self.business = _business(message)
        self.sent: list[str] = []
        self._patience_s = PATIENCE_S

    async def call(self, method: str, more: dict[str, Any], result: Any, files: Sequence[Upload] = ()) -> Any:
        parameters: dict[str, Any] = {"chat_id": self.chat, **more}
        if self.business:
            parameters["business_connection_id"] = self.business
        try:
            return await call(self.wire, self.account, method, parameters, result, files)
        except SendError as error:
            if self._waits_for(error):
                await _rest(error.after_s or 0.0)
                return await self.call(method, more, result, files)
            if error.code is SendCode.THROTTLED and _slowed.whole(self.account.key, self.chat, self.wire.now):
                error = replace(error, whole_account=True)
            raise replace(error, sent_ids=tuple(self.sent)) from None

    def _waits_for(self, error: SendError) -> bool:
        """A later part that is asked for a moment's patience gets it, for a 429 is certainly not sent: the alternative
        is half a message that nobody may send again."""
        if not self.sent or error.code is not SendCode.THROTTLED or error.after_s is None:
            return False
        self._patience_s -= error.after_s
        return self._patience_s >= 0

    async def say(self, method: str, more: dict[str, Any], files: Sequence[Upload] = ()) -> None:
        self.keep([await self.call(method, more, _Said, files)])

    def keep(self, said: Sequence[_Said]) -> None:
        self.sent += [name_of(one.chat, one.message_id, self.business) for one in said]

    async def upload(self, file: Attachment, field: str) -> Upload:
        """Raises SendError; nothing of this file has left then."""
        data = await calling.file_bytes(self.wire, file, tuple(self.sent))
        kind = file.content_type or media.OCTETS
        return Upload(field=field, name=media.safe_name(file.name or "file"), content_type=kind, data=data)


async def send(message: Outgoing, account: Account, wire: Wire, limits: Limits) -> Sent:
    """Every id, texts first. Raises SendError with those that went out before it failed."""
    _measure(message, limits)
    out = _Conversation(message, account, wire)
    own, _ = _sorted(message.attachments, limits)
    texts, keyboard = _texts(message, wire, limits)
    if not texts and not own:
        raise SendError(SendCode.MESSAGE_INVALID, "there is neither text nor attachment")
    first = _where(message, out.chat)
    for place, text in enumerate(texts, 1):
        more: dict[str, Any] = {"text": text, **first}
        if keyboard and place == len(texts):
            more["reply_markup"] = keyboard
        await out.say("sendMessage", more)
        first.pop("reply_parameters", None)
    for group in parts.groups(own):
        await _files(out, group, first)
        first.pop("reply_parameters", None)
    return Sent(external_ids=tuple(out.sent))


async def _files(out: _Conversation, group: Sequence[Attachment], where: dict[str, Any]) -> None:
    if len(group) == 1:
        method, field = parts.how(group[0])
        upload = await out.upload(group[0], field)
        try:
            await out.say(method, where, [upload])
        except SendError as error:
            if field == "document" or error.code is not SendCode.MESSAGE_INVALID:
                raise
            # A picture or film that Telegram cannot show: it was refused, so it goes as the file that it is.
            method, field = parts.DOCUMENT
            await out.say(method, where, [replace(upload, field=field)])
        return
    uploads = [await out.upload(file, f"file{place}") for place, file in enumerate(group)]
    album = [
        {"type": parts.how(file)[1], "media": f"attach://{up.field}"}
        for file, up in zip(group, uploads, strict=True)
    ]
    out.keep(await out.call("sendMediaGroup", {"media": album, **where}, list[_Said], uploads))


async def change(revision: Revision, account: Account, wire: Wire, limits: Limits) -> Sent:
    """An edit of the text, or all of it taken back. Twice leaves what once leaves."""
    out = _Conversation(revision.message, account, wire)
    if not revision.external_ids:
        raise SendError(SendCode.REJECTED, "nobody knows by which name Telegram has it")
    if revision.change is Change.DELETE:
        if revision.sent_at is not None and wire.now - revision.sent_at > timedelta(seconds=DELETES_S):
            raise SendError(SendCode.REJECTED, "Telegram lets nothing be taken back after 48 hours")
        for external_id in revision.external_ids:
            await _delete(out, external_id)
        return Sent(external_ids=revision.external_ids)
    return await _edit(out, revision, limits)


async def _edit(out: _Conversation, revision: Revision, limits: Limits) -> Sent:
    message = revision.message
    own, _ = _sorted(message.attachments, limits)
    texts, keyboard = _texts(message, out.wire, limits)
    ids = revision.external_ids
    of_texts, of_files = ids[: len(ids) - len(own)], ids[len(ids) - len(own) :]
    if not texts or len(texts) > len(of_texts):
        # One more message could not be sent twice without being there twice.
        have = len(of_texts)
        raise SendError(
            SendCode.MESSAGE_INVALID,
            f"it went out as {have} message(s) with text, and now needs {len(texts)}",
        )
    for place, (external_id, text) in enumerate(zip(of_texts, texts, strict=False), 1):
        more: dict[str, Any] = {"message_id": number_of(external_id, out.chat), "text": text}
        if keyboard and place == len(texts):
            more["reply_markup"] = keyboard
        try:
            await out.call("editMessageText", more, msgspec.Raw)
        except SendError as error:
            if "message is not modified" not in error.detail.lower():
                raise
    for external_id in of_texts[len(texts) :]:
        await _delete(out, external_id)
    return Sent(external_ids=(*of_texts[: len(texts)], *of_files))


async def _delete(out: _Conversation, external_id: str) -> None:
    number = number_of(external_id, out.chat)
    try:
        if out.business:
            more = {"business_connection_id": out.business, "message_ids": [number]}
            await call(out.wire, out.account, "deleteBusinessMessages", more, msgspec.Raw)
        else:
            await out.call("deleteMessage", {"message_id": number}, msgspec.Raw)
    except SendError as error:
        if "to delete not found" not in error.detail.lower():
            raise


# ------------------------------------------------------------------------------------------------- what is said


def _measure(message: Outgoing, limits: Limits) -> None:
    """Raises SendError(MESSAGE_INVALID) for what is beyond the limits, before anything has left."""
    if len(message.text) > limits.text_chars:
        why = f"the text has {len(message.text)} characters, and {limits.text_chars} are sent"
        raise SendError(SendCode.MESSAGE_INVALID, why)


def _sorted(files: Sequence[Attachment], limits: Limits) -> tuple[list[Attachment], list[Attachment]]:
    """(those that go as themselves, those that go as links)."""
    own: list[Attachment] = []
    links: list[Attachment] = []
    for file in files:
        takes = len(own) < limits.attachments and limits.takes(file.content_type, file.size_bytes)
        (own if takes else links).append(file)
    return own, links


def _texts(message: Outgoing, wire: Wire, limits: Limits) -> tuple[list[str], dict[str, Any] | None]:
    """The texts in order, and the keyboard below the last of them."""
    _, links = _sorted(message.attachments, limits)
    pieces = [message.text, *(f"{file.name}: {wire.link(file)}".removeprefix(": ") for file in links)]
    tappable = parts.fit(message.choices) and bool(message.text.strip())
    if message.choices and not tappable:
        pieces.append(numbered(message.choices))
    texts = split("\n\n".join(piece for piece in pieces if piece.strip()).strip(), parts.TEXT_UNITS)
    return texts, parts.keyboard(message.choices) if tappable else None


def _where(message: Outgoing, chat: int) -> dict[str, Any]:
    """The topic it belongs to, and what it quotes: nothing where it answers the newest message of all."""
    found: dict[str, Any] = {}
    kind, _, topic = (message.thread or "").partition(":")
    if kind == "topic" and topic.isdigit():
        found["message_thread_id"] = int(topic)
    quoted = message.in_reply_to
    if quoted and quoted != message.heard_id and (number := _number(quoted, chat)) is not None:
        found["reply_parameters"] = {"message_id": number, "allow_sending_without_reply": True}
    return found


def _business(message: Outgoing) -> str:
    """The connection to a business account in whose chat this is said; empty in the bot's own chats."""
    kind, _, connection = (message.thread or "").partition(":")
    if kind == "business":
        return connection
    heard = message.heard_id or message.in_reply_to or next(iter(message.references), "")
    return heard.partition("@")[2] if _number(heard, None) is not None else ""


def chat_of(urn: str) -> int:
    head, _, number = urn.partition(":")
    if head != "telegram" or not number.lstrip("-").isdigit() or len(number) > 20:
        raise SendError(SendCode.MESSAGE_INVALID, "that is no address at Telegram")
    return int(number)


def number_of(external_id: str, chat: int) -> int:
    """The message's id in its chat. Raises SendError(REJECTED) where the name is none of that chat."""
    number = _number(external_id, chat)
    if number is None:
        raise SendError(SendCode.REJECTED, "that message is not of this chat")
    return number


def _number(external_id: str, chat: int | None) -> int | None:
    where, colon, rest = external_id.partition(":")
    number = rest.partition("@")[0]
    if not colon or not number.isdigit() or (chat is not None and where != str(chat)):
        return None
    return int(number)
