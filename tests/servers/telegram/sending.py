"""send…: what is checked, in tdlib's words. https://core.telegram.org/bots/api#available-methods"""

from __future__ import annotations

import itertools
from typing import Any, Final

from tests.servers.telegram import markup
from tests.servers.telegram.calls import CAPTION, COMMON, Call, Work, method
from tests.servers.telegram.entities import checked, parsed, units
from tests.servers.telegram.files import described, taken
from tests.servers.telegram.records import ApiError, Chat, Json, Sent, bad

TEXT: Final = 4096  # "1-4096 characters after entities parsing"
CAPTION_LONGEST: Final = 1024  # "0-1024 characters after entities parsing"
ACTIONS: Final = frozenset(
    ("typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
     "choose_sticker", "find_location", "record_video_note", "upload_video_note")
)  # fmt: skip
_groups = itertools.count(13_000_000_000_000_000)


def chat_of(call: Call, value: Any = None) -> Chat:
    """The chat that the bot may act in. Raises ApiError: unknown, gone, or become another."""
    named = call.args.get("chat_id") if value is None else value
    if named in (None, ""):
        raise bad("chat_id is empty")
    text = str(named)
    chats = call.telegram.chats
    if text.startswith("@"):
        chat = next(
            (one for one in chats.values() if f"@{one.username}" == text and one.type != "private"), None
        )
    else:
        chat = chats.get(int(text)) if text.lstrip("-").isdigit() else None
    if chat is None:
        raise bad("chat not found")
    if chat.migrated_to:
        raise bad("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat.migrated_to)
    if link := call.args.get("business_connection_id"):
        _connected(call, link)
        return chat
    if chat.gone:
        raise ApiError(403, chat.gone)
    if not chat.known:
        raise ApiError(403, "bot can't initiate conversation with a user")
    return chat


def _connected(call: Call, link: str) -> None:
    """What is said of a connection without the right to answer is our reading."""
    found = call.telegram.business.get(link)
    if found is None or not found["is_enabled"]:
        raise bad("business connection not found")
    if not found["rights"].get("can_reply"):
        raise bad("not enough rights to reply through the business connection")


def text_of(
    call: Call, name: str, longest: int, mode: str = "parse_mode", given: str = "entities"
) -> tuple[str, list[Json]]:
    text, entities = parsed(call.args.get(name) or "", call.args.get(mode) or "")
    if call.args.get(given) is not None and not call.args.get(mode):
        entities = checked(text, call.args[given])
    kept = text.strip()
    if kept and text != kept:  # Telegram trims both ends
        shift = units(text[: len(text) - len(text.lstrip())])
        entities = [one | {"offset": max(0, one["offset"] - shift)} for one in entities]
    if len(kept) > longest:
        raise bad("message is too long" if name == "text" else "message caption is too long")
    return kept, entities


def _reply(call: Call, chat: Chat) -> Json:
    given = call.reply_parameters
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise bad("object expected as reply parameters")
    known = {
        "message_id", "chat_id", "allow_sending_without_reply", "quote", "quote_parse_mode", "quote_entities",
        "quote_position", "checklist_task_id",
    }  # fmt: skip
    if extra := set(given) - known:
        raise bad(f"can't parse reply parameters: unknown field {min(extra)!r}")
    where = chat_of(call, given["chat_id"]) if "chat_id" in given else chat
    found = where.messages.get(int(given.get("message_id") or 0))
    if found is None:
        if given.get("allow_sending_without_reply") in (True, "true"):
            return {}
        raise bad("message to be replied not found")
    told: Json = {
        "reply_to_message": {key: value for key, value in found.items() if key != "reply_to_message"}
    }
    if quote := given.get("quote"):
        plain, entities = parsed(quote, given.get("quote_parse_mode") or "")
        whole = found.get("text") or found.get("caption") or ""
        if plain not in whole:
            raise bad("QUOTE_TEXT_INVALID")
        told["quote"] = {"text": plain, "position": units(whole[: whole.index(plain)]), "entities": entities}
    return told


def markup_of(call: Call) -> Json | None:
    return None if call.reply_markup in (None, "") else markup.checked(call.reply_markup)


def send(call: Call, content: Json, *, chat: Chat | None = None, group: str = "") -> Json:
    """One message into the chat; counted by its rates."""
    chat = chat or chat_of(call)
    keyboard = markup_of(call)
    tied = _reply(call, chat)
    if call.message_thread_id and not chat.forum:
        raise bad("message thread not found")
    call.telegram.take_turn(chat)
    raw: Json = {
        "message_id": chat.next_id(),
        "from": call.telegram.me(),
        "chat": chat.shown(),
        "date": int(call.telegram.now()),
        **tied,
        **content,
    }
    if group:
        raw["media_group_id"] = group
    if keyboard is not None and "inline_keyboard" in keyboard:
        raw["reply_markup"] = keyboard
    if call.message_thread_id:
        raw |= {"message_thread_id": call.message_thread_id, "is_topic_message": True}
    if call.business_connection_id:
        owner = call.telegram.business[call.business_connection_id]["user"]
        raw |= {"from": owner, "sender_business_bot": call.telegram.me()}
        raw["business_connection_id"] = call.business_connection_id
    chat.messages[raw["message_id"]] = raw
    text = raw.get("text") or raw.get("caption") or ""
    call.telegram.sent.append(
        Sent(
            method=call.method,
            chat_id=chat.id,
            message_id=raw["message_id"],
            text=text,
            raw=raw,
            params=call.args,
        )
    )
    return raw


@method("sendMessage", f"text parse_mode entities:json link_preview_options:json {COMMON}")
def send_message(call: Call) -> Json:
    chat = chat_of(call)
    text, entities = text_of(call, "text", TEXT)
    if not text:
        raise bad("message text is empty")
    if call.link_preview_options is not None and not isinstance(call.link_preview_options, dict):
        raise bad("object expected as link preview options")
    return send(call, {"text": text} | ({"entities": entities} if entities else {}), chat=chat)


def _with_file(kind: str) -> Work:
    def work(call: Call) -> Json:
        chat = chat_of(call)
        text, entities = text_of(call, "caption", CAPTION_LONGEST, given="caption_entities")
        content: Json = {kind: described(kind, taken(call, kind, call.args.get(kind)))}
        if text:
            content["caption"] = text
        if entities:
            content["caption_entities"] = entities
        return send(call, content, chat=chat)

    return work


for _kind, _name, _more in (
    ("photo", "sendPhoto", "has_spoiler:bool"),
    ("document", "sendDocument", "thumbnail:file disable_content_type_detection:bool"),
    ("audio", "sendAudio", "duration:int performer title thumbnail:file"),
    ("voice", "sendVoice", "duration:int"),
    (
        "video",
        "sendVideo",
        "duration:int width:int height:int thumbnail:file has_spoiler:bool supports_streaming:bool",
    ),
    ("animation", "sendAnimation", "duration:int width:int height:int thumbnail:file has_spoiler:bool"),
):
    method(_name, f"{_kind}:file {_more} {CAPTION} {COMMON}")(_with_file(_kind))
method("sendVideoNote", f"video_note:file duration:int length:int thumbnail:file {COMMON}")(
    _with_file("video_note")
)
method("sendSticker", f"sticker:file emoji {COMMON}")(_with_file("sticker"))


@method("sendLocation", f"latitude:float longitude:float horizontal_accuracy:float live_period:int {COMMON}")
def send_location(call: Call) -> Json:
    return send(call, {"location": _place(call)})


@method("sendVenue", f"latitude:float longitude:float title address foursquare_id google_place_id {COMMON}")
def send_venue(call: Call) -> Json:
    if not call.title or not call.address:
        raise bad("title and address of a venue must be non-empty")
    place = _place(call)
    return send(
        call, {"venue": {"location": place, "title": call.title, "address": call.address}, "location": place}
    )


def _place(call: Call) -> Json:
    latitude, longitude = call.latitude, call.longitude
    if latitude is None or longitude is None or not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise bad("wrong latitude or longitude specified")
    return {"latitude": latitude, "longitude": longitude}


@method("sendContact", f"phone_number first_name last_name vcard {COMMON}")
def send_contact(call: Call) -> Json:
    if not call.phone_number:
        raise bad("phone number is empty")
    if not call.first_name:
        raise bad("first name is empty")
    names = ("phone_number", "first_name", "last_name", "vcard")
    return send(call, {"contact": {name: call.args[name] for name in names if call.args.get(name)}})


@method("sendMediaGroup", f"media:json {COMMON}")
def send_media_group(call: Call) -> list[Json]:
    """2-10 items; documents and audio stand with their own kind alone. The words for a wrong number are our reading."""
    chat = chat_of(call)
    items = call.media
    if not isinstance(items, list):
        raise bad("can't parse media JSON object")
    if not 2 <= len(items) <= 10:
        raise bad("wrong number of items in the media group: 2-10 are expected")
    if call.reply_markup is not None:
        raise bad("unknown parameter 'reply_markup' of sendMediaGroup (overlooked by Telegram)")
    kinds = {item.get("type") if isinstance(item, dict) else None for item in items}
    if not kinds <= {"photo", "video", "document", "audio"}:
        raise bad("type of the media must be photo, video, document or audio")
    if len(kinds) > 1 and kinds & {"document", "audio"}:
        raise bad("can't use the media of the specified type in the album")
    contents = []
    for item in items:
        inner = Call(telegram=call.telegram, method=call.method, args=item, uploads=call.uploads)
        text, entities = text_of(inner, "caption", CAPTION_LONGEST, given="caption_entities")
        kind = item["type"]
        content: Json = {kind: described(kind, taken(inner, kind, item.get("media")))}
        contents.append(
            content
            | ({"caption": text} if text else {})
            | ({"caption_entities": entities} if entities else {})
        )
    group = str(next(_groups))
    return [send(call, content, chat=chat, group=group) for content in contents]


@method("sendChatAction", "chat_id action message_thread_id:int business_connection_id")
def send_chat_action(call: Call) -> bool:
    chat_of(call)
    if call.action not in ACTIONS:
        raise bad("wrong parameter action in request")
    return True
