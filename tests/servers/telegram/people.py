"""The people, and what they do: each deed is an update as https://core.telegram.org/bots/api#message documents it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tests.servers.telegram.calls import Upload
from tests.servers.telegram.entities import units
from tests.servers.telegram.files import described, keep
from tests.servers.telegram.records import Chat, Json, Update

if TYPE_CHECKING:
    from tests.servers.telegram.server import Telegram

PLACE: Final = {"latitude": 52.52, "longitude": 13.405}
TYPES: Final = {
    "photo": "image/jpeg", "voice": "audio/ogg", "audio": "audio/mpeg", "video": "video/mp4", "video_note": "video/mp4",
    "animation": "video/mp4", "sticker": "image/webp", "document": "application/pdf",
}  # fmt: skip
JPEG: Final = b"\xff\xd8\xff\xe0"
# What Telegram marks by itself in a text.
_MARKED: Final = (
    ("bot_command", re.compile(r"(?<!\S)/[a-zA-Z0-9_]{1,32}(@\w+)?")),
    ("url", re.compile(r"https?://\S+")),
    ("email", re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")),
    ("mention", re.compile(r"(?<!\S)@\w{4,}")),
    ("hashtag", re.compile(r"(?<!\S)#\w+")),
)
_ADMIN: Final = {
    "can_be_edited": False, "can_manage_chat": True, "can_delete_messages": True, "is_anonymous": False,
}  # fmt: skip


def marked(text: str) -> list[Json]:
    found = [
        {"offset": units(text[: match.start()]), "length": units(match[0]), "type": kind}
        for kind, pattern in _MARKED
        for match in pattern.finditer(text)
    ]
    return sorted(found, key=lambda one: int(str(one["offset"])))


class Person:
    """A user. chat: her private chat with the bot, or another in which she writes (`group.chat`).

    `**more` of every deed are further fields of the Message: `forward_origin=…`, `reply_to=7` (a message's id of that
    chat), `quote="…"`, `entities=[…]`, `via_bot=…`, `business="id"` (by a business connection), `thread=5`.
    """

    def __init__(
        self, telegram: Telegram, number: int, name: str, username: str, language: str, last_name: str
    ) -> None:
        self.telegram, self.id = telegram, number
        self.user: Json = {"id": number, "is_bot": False, "first_name": name}
        if last_name:
            self.user["last_name"] = last_name
        if username:
            self.user["username"] = username
        self.user["language_code"] = language
        self.chat = Chat(
            id=number, type="private", first_name=name, last_name=last_name, username=username, known=False
        )
        telegram.chats[number] = self.chat

    # ------------------------------------------------------------------------------------------------------ to write

    async def says(self, text: str, *, chat: Chat | None = None, **more: Any) -> Update:
        entities = more.pop("entities", None) or marked(text)
        return await self._sends({"text": text} | ({"entities": entities} if entities else {}), chat, more)

    async def starts(self, payload: str = "") -> Update:
        """The button "Start", or a deep link t.me/bot?start=payload."""
        return await self.says(f"/start {payload}".strip())

    async def sends(
        self, kind: str, content: bytes = b"", *, caption: str = "", name: str = "", mime_type: str = "", size: int = 0,
        chat: Chat | None = None, **more: Any,
    ) -> Update:  # fmt: skip
        """A file: photo, document, audio, voice, video, video_note, animation, sticker. size: pretends a large one."""
        return await self._sends(self._file(kind, content, caption, name, mime_type, size), chat, more)

    async def album(
        self, items: Sequence[tuple[str, bytes]], *, caption: str = "", chat: Chat | None = None, **more: Any
    ) -> list[Update]:
        """One update for each item, with one media_group_id; the caption is the first's."""
        group = {"media_group_id": str(secrets.randbelow(10**17))}
        return [
            await self._sends(
                self._file(kind, content, caption if index == 0 else "") | group, chat, dict(more)
            )
            for index, (kind, content) in enumerate(items)
        ]

    async def location(self, *, chat: Chat | None = None, live_s: int = 0, **more: Any) -> Update:
        return await self._sends(
            {"location": PLACE | ({"live_period": live_s} if live_s else {})}, chat, more
        )

    async def venue(self, title: str, address: str, *, chat: Chat | None = None, **more: Any) -> Update:
        told = {"venue": {"location": PLACE, "title": title, "address": address}, "location": PLACE}
        return await self._sends(told, chat, more)

    async def contact(self, phone: str, *, own: bool = True, chat: Chat | None = None, **more: Any) -> Update:
        """own: her own card, as after a button with request_contact: with her user_id."""
        card = {"phone_number": phone, "first_name": self.user["first_name"]} | (
            {"user_id": self.id} if own else {}
        )
        return await self._sends({"contact": card}, chat, more)

    async def dice(self, value: int = 4, *, chat: Chat | None = None, **more: Any) -> Update:
        return await self._sends({"dice": {"emoji": "🎲", "value": value}}, chat, more)

    async def poll(
        self, question: str, options: Sequence[str], *, chat: Chat | None = None, **more: Any
    ) -> Update:
        poll = {
            "id": str(secrets.randbelow(10**18)), "question": question, "total_voter_count": 0, "is_closed": False,
            "options": [{"text": one, "voter_count": 0} for one in options], "is_anonymous": True, "type": "regular",
            "allows_multiple_answers": False,
        }  # fmt: skip
        return await self._sends({"poll": poll}, chat, more)

    async def does(self, *, chat: Chat | None = None, **content: Any) -> Update:
        """A message with fields of your own: story, paid_media, gift, successful_payment, an unknown kind."""
        return await self._sends(content, chat, {})

    async def forwards(self, text: str, origin: Json | None = None) -> Update:
        """origin: a MessageOrigin; without it of a user who hides her account."""
        hidden = {
            "type": "hidden_user",
            "date": int(self.telegram.now()) - 60,
            "sender_user_name": "Somebody",
        }
        return await self.says(text, forward_origin=origin or hidden)

    # ------------------------------------------------------------------------------------------- to change, to press

    async def edits(self, message_id: int, text: str, *, chat: Chat | None = None) -> Update:
        """Her message's new text or caption. A business message's edit is edited_business_message."""
        place = chat or self.chat
        old = place.messages[message_id]
        field = "text" if "text" in old else "caption"
        new = {key: value for key, value in old.items() if key != "entities"} | {field: text}
        if entities := marked(text):
            new["entities" if field == "text" else "caption_entities"] = entities
        new["edit_date"] = int(self.telegram.now())
        place.messages[message_id] = new
        kind = "edited_business_message" if "business_connection_id" in old else "edited_message"
        return await self.telegram.happens(kind, new)

    async def deletes(self, *message_ids: int) -> Update | None:
        """She deletes messages: the bot is told in a business chat alone, and nowhere else."""
        old = [self.chat.messages.pop(one) for one in message_ids]
        if not (link := old[0].get("business_connection_id")):
            return None
        told = {"business_connection_id": link, "chat": self.chat.shown(), "message_ids": list(message_ids)}
        return await self.telegram.happens("deleted_business_messages", told)

    async def presses(self, message_id: int, data: str, *, chat: Chat | None = None) -> Update:
        """A button of an inline keyboard; it must be there. The bot has to answer the query."""
        place = chat or self.chat
        message = place.messages[message_id]
        rows = message.get("reply_markup", {}).get("inline_keyboard", [])
        assert any(button.get("callback_data") == data for row in rows for button in row), "no such button"
        query = str(secrets.randbelow(10**18))
        self.telegram.queries[query] = self.telegram.now()
        return await self.telegram.happens(
            "callback_query",
            {
                "id": query,
                "from": self.user,
                "message": message,
                "chat_instance": str(place.id * 7),
                "data": data,
            },
        )

    async def reacts(self, message_id: int, *emoji: str, chat: Chat | None = None) -> Update:
        """Her reactions now (none: taken back). The bot gets it only where it asked for message_reaction."""
        place = chat or self.chat
        key = -message_id * 1000 - self.id % 1000
        old = place.reactions.get(key, [])
        new: list[Json] = [{"type": "emoji", "emoji": one} for one in emoji]
        place.reactions[key] = new
        told = {
            "chat": place.shown(),
            "message_id": message_id,
            "user": self.user,
            "date": int(self.telegram.now()),
        }
        return await self.telegram.happens(
            "message_reaction", told | {"old_reaction": old, "new_reaction": new}
        )

    async def blocks(self) -> Update:
        self.chat.gone = "bot was blocked by the user"
        return await self._member("member", "kicked")

    async def unblocks(self) -> Update:
        self.chat.gone = ""
        return await self._member("kicked", "member")

    def deactivates(self) -> None:
        """Her account is gone; nobody is told."""
        self.chat.gone = "user is deactivated"

    @property
    def received(self) -> list[Json]:
        """What the bot's side of the chat shows now, eldest first."""
        return [
            one
            for one in self.chat.messages.values()
            if one.get("from", {}).get("id") == self.telegram.bot_id
        ]

    # --------------------------------------------------------------------------------------------------- underneath

    async def _member(self, old: str, new: str) -> Update:
        me = self.telegram.me()
        return await self.telegram.happens(
            "my_chat_member",
            {
                "chat": self.chat.shown(), "from": self.user, "date": int(self.telegram.now()),
                "old_chat_member": {"user": me, "status": old} | ({"until_date": 0} if old == "kicked" else {}),
                "new_chat_member": {"user": me, "status": new} | ({"until_date": 0} if new == "kicked" else {}),
            },
        )  # fmt: skip

    def _file(
        self, kind: str, content: bytes, caption: str = "", name: str = "", mime_type: str = "", size: int = 0
    ) -> Json:
        mime = mime_type or TYPES[kind]
        upload = Upload(name or f"{kind}.bin", content or JPEG, mime)
        told = described(kind, keep(self.telegram, kind, upload, size=size))
        content_of: Json = {kind: told}
        if kind == "animation":
            content_of["document"] = (
                told  # "For backward compatibility, … the document field will also be set"
            )
        if caption:
            content_of["caption"] = caption
            if entities := marked(caption):
                content_of["caption_entities"] = entities
        return content_of

    async def _sends(self, content: Json, chat: Chat | None, more: Json) -> Update:
        place = chat or self.chat
        place.known = True
        told: Json = {
            "message_id": place.next_id(), "from": self.user, "chat": place.shown(), "date": int(self.telegram.now()),
        }  # fmt: skip
        if reply_to := more.pop("reply_to", None):
            old = place.messages[reply_to]
            told["reply_to_message"] = {key: value for key, value in old.items() if key != "reply_to_message"}
            if quote := more.pop("quote", None):
                whole = old.get("text") or old.get("caption") or ""
                told["quote"] = {
                    "text": quote,
                    "position": units(whole[: whole.index(quote)]),
                    "is_manual": True,
                }
        if thread := more.pop("thread", None):
            told |= {"message_thread_id": thread, "is_topic_message": True}
        kind = "message"
        if business := more.pop("business", None):
            told["business_connection_id"], kind = business, "business_message"
        told |= content | more
        place.messages[told["message_id"]] = told
        return await self.telegram.happens(kind, told)


class Group:
    """A group, a supergroup or a channel. `await ann.says("Hi", chat=group.chat)` writes in it."""

    def __init__(self, telegram: Telegram, chat: Chat) -> None:
        self.telegram, self.chat = telegram, chat
        telegram.chats[chat.id] = chat

    @property
    def id(self) -> int:
        return self.chat.id

    async def posts(self, text: str, *, signature: str = "") -> Update:
        """A channel's post: without `from`, in the channel's name."""
        assert self.chat.type == "channel"
        told = self._message({"text": text, "sender_chat": self.chat.shown()})
        if signature:
            told["author_signature"] = signature
        return await self.telegram.happens("channel_post", told)

    async def edits_post(self, message_id: int, text: str) -> Update:
        new = self.chat.messages[message_id] | {"text": text, "edit_date": int(self.telegram.now())}
        self.chat.messages[message_id] = new
        return await self.telegram.happens("edited_channel_post", new)

    async def adds_bot(self, by: Person, *, admin: bool = False) -> Update:
        self.chat.gone = ""
        status: Json = {"status": "administrator", **_ADMIN} if admin else {"status": "member"}
        return await self._member(by, {"status": "left"}, status)

    async def kicks_bot(self, by: Person) -> Update:
        self.chat.gone = f"bot was kicked from the {self.chat.type} chat"
        return await self._member(by, {"status": "member"}, {"status": "kicked", "until_date": 0})

    async def migrates(self, by: Person) -> Group:
        """The group becomes a supergroup with another id: a service message in each."""
        new = Group(
            self.telegram,
            Chat(id=-1_000_000_000_000 - next(self.telegram.ids), type="supergroup", title=self.chat.title),
        )
        told = self._message({"from": by.user, "migrate_to_chat_id": new.id})
        self.chat.migrated_to = new.id
        await self.telegram.happens("message", told)
        await self.telegram.happens(
            "message", new._message({"from": by.user, "migrate_from_chat_id": self.chat.id})
        )
        return new

    def _message(self, content: Json) -> Json:
        told: Json = {
            "message_id": self.chat.next_id(), "chat": self.chat.shown(), "date": int(self.telegram.now()), **content,
        }  # fmt: skip
        self.chat.messages[told["message_id"]] = told
        return told

    async def _member(self, by: Person, old: Json, new: Json) -> Update:
        me = {"user": self.telegram.me()}
        return await self.telegram.happens(
            "my_chat_member",
            {
                "chat": self.chat.shown(), "from": by.user, "date": int(self.telegram.now()),
                "old_chat_member": me | old, "new_chat_member": me | new,
            },
        )  # fmt: skip


def business_connection(owner: Person, *, enabled: bool = True, can_reply: bool = True) -> Json:
    """The body of a `business_connection` update: `await telegram.happens("business_connection", …)`."""
    return {
        "id": secrets.token_urlsafe(16), "user": owner.user, "user_chat_id": owner.id,
        "date": int(owner.telegram.now()), "rights": {"can_reply": can_reply}, "is_enabled": enabled,
    }  # fmt: skip
