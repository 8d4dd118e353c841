"""What a message of Telegram's says: the text that people read, the exact values behind it, and its files. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from connectors import clean, said
from connectors.said import Fields, fields
from connectors.telegram.model import (
    Card,
    Checklist,
    Dice,
    Entity,
    File,
    Message,
    Place,
    Poll,
    Titled,
    Venue,
    WebApp,
)
from hub.model import Media

FILE_BYTES = 20 * 1024 * 1024  # "For the moment, bots can download files of up to 20MB in size" (#getfile)
_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(@[A-Za-z0-9_]{1,64})?(?:\s+(\S.*))?\Z", re.DOTALL)
_DEPTH = 12  # of a rich message's blocks within blocks


class Content(msgspec.Struct, gc=False):
    """What a message says. claims: numbers of the sender's own."""

    text: str = ""
    fields: Fields = ()
    media: tuple[Media, ...] = ()
    claims: tuple[str, ...] = ()


def content(message: Message) -> Content | None:
    """None where it is of a kind that is not read here."""
    for name, read in _READ:
        found = getattr(message, name)
        if found is not None and found != []:
            return read(message, found)
    return None


def origin(message: Message) -> Fields:
    """Who said first what was forwarded. Before Bot API 7.0 without an origin, as servers of one's own may still be."""
    given = message.forward_origin
    if given is None:
        user, chat = message.forward_from, message.forward_from_chat
        name = user.name if user else message.forward_sender_name or (chat.title if chat else "")
        return fields(("forwarded from", clean.line(name)))
    chat = given.sender_chat or given.chat
    name = given.sender_user.name if given.sender_user else given.sender_user_name
    return fields(("forwarded from", clean.line(name or (chat.title if chat else "") or given.type)))


# --------------------------------------------------------------------------------------------------------- words


def _text(message: Message, text: str) -> Content:
    """A command loses the name of the bot that it was meant for; what a link carried into /start is a field."""
    words = linked(text, message.entities)
    if words[:1] == "/" and (command := _COMMAND.match(words)):
        name, ours, rest = command[1], command[2], command[3] or ""
        if name.lower() == "start" and rest:
            return Content(
                text="/start", fields=said.referral("a link to the bot", ref=clean.line(rest, 400))
            )
        if ours:
            words = f"/{name} {rest}".rstrip()
    return Content(text=clean.text(words))


def linked(text: str, entities: Sequence[Entity] | None) -> str:
    """The text, with the addresses behind its words in brackets. Entities count in UTF-16 (#messageentity)."""
    behind = [e for e in entities or () if e.type == "text_link" and e.url]
    if not behind:
        return text
    units = text.encode("utf-16-le", "surrogatepass")
    out, at = [], 0
    for entity in sorted(behind, key=lambda e: e.offset + e.length)[:100]:
        end = min(max(2 * (entity.offset + entity.length), at), len(units))
        shown = units[2 * max(entity.offset, 0) : end].decode("utf-16-le", "replace")
        out.append(units[at:end].decode("utf-16-le", "replace"))
        if entity.url.rstrip("/") != shown.rstrip("/"):
            out.append(f" ({entity.url})")
        at = end
    out.append(units[at:].decode("utf-16-le", "replace"))
    return "".join(out)


def caption(message: Message) -> str:
    return clean.text(linked(message.caption or "", message.caption_entities))


def _rich(message: Message, rich: dict[str, Any]) -> Content:
    """Blocks within blocks (#richmessage): their texts, a line each. Pictures in it are not read."""
    lines: list[str] = []
    _lines(rich.get("blocks"), lines, 0)
    return Content(
        text=clean.text("\n".join(line for line in lines if line.strip())) or said.unsupported("rich message")
    )


def _lines(value: Any, lines: list[str], depth: int) -> None:
    if depth > _DEPTH or len(lines) > 2000:
        return
    if isinstance(value, list):
        for one in value:
            _lines(one, lines, depth + 1)
    elif isinstance(value, dict):
        if "text" in value:
            lines.append(_inline(value["text"], 0))
        for key in ("blocks", "items", "cells", "rows", "caption", "summary"):
            if key in value:
                _lines(value[key], lines, depth + 1)


def _inline(value: Any, depth: int) -> str:
    """#richtext: a string, a list of them, or something around one."""
    if isinstance(value, str):
        return value
    if depth > _DEPTH:
        return ""
    if isinstance(value, list):
        return "".join(_inline(one, depth + 1) for one in value)
    return _inline(value.get("text", ""), depth + 1) if isinstance(value, dict) else ""


def _sticker(message: Message, file: File) -> Content:
    kind = "application/x-tgsticker" if file.is_animated else "video/webm" if file.is_video else "image/webp"
    return Content(text=said.sticker(clean.line(file.emoji, 20)), media=(_media(file, "sticker", kind),))


def _venue(message: Message, venue: Venue) -> Content:
    place = venue.location
    title, address = clean.line(venue.title), clean.line(venue.address, 400)
    words, more = said.location(place.latitude, place.longitude, title, address)
    return Content(text=words, fields=more)


def _location(message: Message, place: Place) -> Content:
    words, more = said.location(place.latitude, place.longitude, live=bool(place.live_period))
    return Content(text=words, fields=more)


def _contact(message: Message, card: Card) -> Content:
    """Telegram says whose number it is where it knows: the sender's own is a claim of theirs, any other is nobody's."""
    number = clean.line(card.phone_number, 40)
    if number[:1] in tuple("123456789"):  # often it comes without its plus; else as an address book has it
        number = f"+{number}"
    words, more = said.contact(
        clean.line(f"{card.first_name} {card.last_name}".strip()), (number,) if number else ()
    )
    own = message.sender is not None and card.user_id == message.sender.id and number
    more += fields(("contact card", clean.text(card.vcard[:4096]).strip()))
    return Content(text=words, fields=more, claims=(number,) if own else ())


def _dice(message: Message, dice: Dice) -> Content:
    return Content(text=clean.line(f"{dice.emoji} {dice.value}".strip(), 40))


def _poll(message: Message, poll: Poll) -> Content:
    options = [f"• {clean.line(option.text)}" for option in poll.options[:20]]
    return Content(text="\n".join([f"📊 Poll: {clean.line(poll.question, 400)}", *options]))


def _checklist(message: Message, checklist: Checklist) -> Content:
    tasks = [f"• {clean.line(task.text)}" for task in checklist.tasks[:100]]
    return Content(text="\n".join([f"☑ Checklist: {clean.line(checklist.title, 400)}", *tasks]))


def _web_app(message: Message, app: WebApp) -> Content:
    """What a web app gave, which the user's program sends and anybody may make up (#webappdata)."""
    words, more = said.tapped(clean.line(app.button_text), clean.text(app.data[:4096]))
    return Content(text=words, fields=more)


def _game(message: Message, game: Titled) -> Content:
    return Content(text=f"🎮 Game: {clean.line(game.title)}")


def _story(message: Message, story: dict[str, Any]) -> Content:
    return Content(text=said.story("forwarded a story"))


# --------------------------------------------------------------------------------------------------------- files


def _media(file: File, kind: str, content_type: str = "", name: str = "") -> Media:
    size = file.file_size
    return Media(
        ref=clean.line(file.file_id, 400),
        kind=kind,
        content_type=clean.line(file.mime_type, 120) or content_type,
        size_bytes=size if size is not None and 0 <= size < 1 << 53 else None,
        name=clean.line(file.file_name, 400) or name,
    )


def _largest(sizes: Sequence[File]) -> File:
    """Every size is the same picture."""
    return max(sizes, key=lambda file: (file.width * file.height, file.file_size or 0))


def _photo(message: Message, sizes: list[File]) -> Content:
    return Content(text=caption(message), media=(_media(_largest(sizes), "image", "image/jpeg"),))


def _live_photo(message: Message, file: File) -> Content:
    """Its moving part; the picture that it stands on comes in `photo`."""
    still = [_media(_largest(message.photo), "image", "image/jpeg")] if message.photo else []
    return Content(text=caption(message), media=(*still, _media(file, "video", "video/mp4")))


def _file(kind: str, content_type: str = "") -> Callable[[Message, File], Content]:
    def read(message: Message, file: File) -> Content:
        name = " - ".join(part for part in (clean.line(file.performer), clean.line(file.title)) if part)
        return Content(text=caption(message), media=(_media(file, kind, content_type, name),))

    return read


# In this order: an animation also comes as a document, a venue as a location, a live photo as a photo.
_READ: tuple[tuple[str, Callable[[Message, Any], Content]], ...] = (
    ("text", _text),
    ("rich_message", _rich),
    ("live_photo", _live_photo),
    ("photo", _photo),
    ("animation", _file("video", "video/mp4")),
    ("document", _file("file")),
    ("audio", _file("audio", "audio/mpeg")),
    ("voice", _file("voice", "audio/ogg")),
    ("video", _file("video", "video/mp4")),
    ("video_note", _file("video", "video/mp4")),
    ("sticker", _sticker),
    ("venue", _venue),
    ("location", _location),
    ("contact", _contact),
    ("dice", _dice),
    ("poll", _poll),
    ("checklist", _checklist),
    ("web_app_data", _web_app),
    ("game", _game),
    ("story", _story),
)
