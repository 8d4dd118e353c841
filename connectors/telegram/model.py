"""What a message of Telegram's looks like, as far as we read it. https://core.telegram.org/bots/api#message"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from connectors import clean

# "at most 52 significant bits" (#user, #chat); what is longer is no id, and is kept unread.
Id = Annotated[int, Meta(ge=-(1 << 62), le=1 << 62)]
Number = Annotated[int, Meta(ge=0, le=1 << 53)]


class User(msgspec.Struct, gc=False):
    id: Id
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    username: str = ""
    language_code: str = ""

    @property
    def name(self) -> str:
        return clean.line(f"{self.first_name} {self.last_name}".strip())


class Chat(msgspec.Struct, gc=False):
    id: Id
    type: str = "private"
    title: str = ""
    first_name: str = ""
    last_name: str = ""
    username: str = ""


class Entity(msgspec.Struct, gc=False):
    type: str
    offset: int = 0
    length: int = 0
    url: str = ""


class File(msgspec.Struct, gc=False):
    """Whatever is fetched by a file_id."""

    file_id: str
    file_size: int | None = None
    mime_type: str = ""
    file_name: str = ""
    width: int = 0
    height: int = 0
    emoji: str = ""
    is_animated: bool = False
    is_video: bool = False
    title: str = ""
    performer: str = ""


class Place(msgspec.Struct, gc=False):
    latitude: float
    longitude: float
    live_period: int | None = None


class Venue(msgspec.Struct, gc=False):
    location: Place
    title: str = ""
    address: str = ""


class Card(msgspec.Struct, gc=False):
    phone_number: str = ""
    first_name: str = ""
    last_name: str = ""
    vcard: str = ""
    user_id: Id | None = None


class Dice(msgspec.Struct, gc=False):
    emoji: str = ""
    value: int = 0


class Option(msgspec.Struct, gc=False):
    text: str = ""


class Poll(msgspec.Struct, gc=False):
    question: str = ""
    options: list[Option] = []


class Checklist(msgspec.Struct, gc=False):
    title: str = ""
    tasks: list[Option] = []


class WebApp(msgspec.Struct, gc=False):
    data: str = ""
    button_text: str = ""


class Titled(msgspec.Struct, gc=False):
    title: str = ""


class Origin(msgspec.Struct, gc=False):
    """Of what was forwarded: #messageorigin."""

    type: str = ""
    sender_user: User | None = None
    sender_user_name: str = ""
    sender_chat: Chat | None = None
    chat: Chat | None = None


class Quote(msgspec.Struct, gc=False):
    text: str = ""


class Button(msgspec.Struct, gc=False):
    text: str = ""
    callback_data: str = ""


class Markup(msgspec.Struct, gc=False):
    inline_keyboard: list[list[Button]] = []


class Replied(msgspec.Struct, gc=False):
    message_id: Number
    chat: Chat | None = None


class Message(msgspec.Struct, gc=False):
    message_id: Number
    chat: Chat
    date: int = 0
    sender: User | None = msgspec.field(default=None, name="from")
    edit_date: int | None = None
    message_thread_id: Number | None = None
    business_connection_id: str = ""
    media_group_id: str = ""
    reply_to_message: Replied | None = None
    quote: Quote | None = None
    forward_origin: Origin | None = None
    forward_from: User | None = None
    forward_from_chat: Chat | None = None
    forward_sender_name: str = ""
    reply_markup: Markup | None = None
    caption: str | None = None
    caption_entities: list[Entity] | None = None
    text: str | None = None
    entities: list[Entity] | None = None
    rich_message: dict[str, Any] | None = None
    live_photo: File | None = None
    photo: list[File] | None = None
    animation: File | None = None
    document: File | None = None
    audio: File | None = None
    voice: File | None = None
    video: File | None = None
    video_note: File | None = None
    sticker: File | None = None
    venue: Venue | None = None
    location: Place | None = None
    contact: Card | None = None
    dice: Dice | None = None
    poll: Poll | None = None
    checklist: Checklist | None = None
    web_app_data: WebApp | None = None
    game: Titled | None = None
    story: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """A chat of two has the id and the names of the person in it, who is meant where nobody is named."""
        chat = self.chat
        if self.sender is None and chat.type == "private" and chat.id > 0 and not self.business_connection_id:
            names = (chat.first_name, chat.last_name, chat.username)
            self.sender = User(chat.id, False, *names)
