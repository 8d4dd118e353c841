"""How one message of ours goes out on WhatsApp: texts, taps, files, templates. Pure, but for the links.

https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/* (text 4,096 characters; captions
1,024; reply buttons 3 of 20; lists 10 rows of 24, body 4,096) and .../business-phone-numbers/media ("Supported media
types"); templates.py has what is said of templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors import media
from connectors.base import Wire
from connectors.texts import numbered, split, units
from connectors.whatsapp import templates
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Attachment, Outgoing, Template

TEXT_CHARS, CAPTION_CHARS = 4_096, 1_024
MESSAGES = 10
BUTTONS, BUTTON_CHARS, BUTTON_BODY_CHARS = 3, 20, 1_024
ROWS, ROW_CHARS = 10, 24
NAME_CHARS = 240
CHOOSE = "Choose"  # on the button that opens a list
_MB = 1024 * 1024

# content type -> (what it is sent as, how large it may be)
TYPES: Mapping[str, tuple[str, int]] = {
    **dict.fromkeys(("image/jpeg", "image/png"), ("image", 5 * _MB)),
    **dict.fromkeys(("video/mp4", "video/3gpp"), ("video", 16 * _MB)),
    **dict.fromkeys(("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), ("audio", 16 * _MB)),
    "image/webp": ("sticker", 100 * 1024),  # an animated one may have 500 kB; who knows which it is
    **dict.fromkeys(
        (
            "text/plain",
            "application/pdf",
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ),
        ("document", 100 * _MB),
    ),
}
_CAPTIONED = frozenset({"image", "video", "document"})

LIMITS = Limits(
    text_chars=MESSAGES * TEXT_CHARS,
    attachments=10,
    attachment_bytes=100 * _MB,
    media=tuple(TYPES),
    links=True,
    reads=True,
    window_s=24 * 3600.0,
    templates=True,
    choices=ROWS,
    choice_chars=ROW_CHARS,
    source="https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages",
)

Json = dict[str, Any]


def plain_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def takes(file: Attachment) -> bool:
    """Can it go out as itself?"""
    _, most = TYPES.get(plain_type(file.content_type), ("", 0))
    return 0 < file.size_bytes <= most


def measure(message: Outgoing) -> None:
    """Raises SendError(MESSAGE_INVALID) for what cannot go out, before anything has left."""
    wrong = ""
    if message.template is not None:
        wrong = _template_misfit(message, message.template)
    elif len(message.text) > LIMITS.text_chars:
        wrong = f"the text has {len(message.text)} characters, and {LIMITS.text_chars} are sent"
    elif len(message.attachments) > LIMITS.attachments:
        wrong = f"there are {len(message.attachments)} attachments, and {LIMITS.attachments} are sent"
    elif not message.text.strip() and not message.attachments:
        wrong = "there is neither text nor attachment"
    if wrong:
        raise SendError(SendCode.MESSAGE_INVALID, wrong)


def _template_misfit(message: Outgoing, template: Template) -> str:
    head, files = template.header, message.attachments
    if head is None or not head.attached:
        return "no file can go out with this template" if files else templates.misfit(template)
    sent_as, _ = TYPES.get(plain_type(files[0].content_type), ("", 0)) if len(files) == 1 else ("", 0)
    if sent_as != head.kind or not takes(files[0]):
        return f"the template has one {head.kind} at its head, and WhatsApp must take it as such"
    return templates.misfit(template)


def messages(
    message: Outgoing, uploaded: Sequence[tuple[Attachment, str]], wire: Wire, choose: str
) -> list[Json]:
    """What goes out, in order: the texts, then the files; a text that fits below the first file goes with it.

    uploaded: the files that go as themselves, with the ids that WhatsApp gave them.
    """
    if message.template is not None:
        return [templates.template(message.template, *(_media(file, at) for file, at in uploaded))]
    sent = [file for file, _ in uploaded]
    links = [f"{file.name or 'File'}: {wire.link(file)}" for file in message.attachments if file not in sent]
    tappable = bool(message.text.strip()) and fits(message.choices)
    choices = "" if tappable else numbered(message.choices)
    text = "\n".join(part for part in (message.text, choices, *links) if part.strip())
    caption = ""
    if uploaded and text and not tappable and _captions(sent[0]) and units(text) <= CAPTION_CHARS:
        text, caption = "", text
    texts = split(text, TEXT_CHARS)
    found: list[Json] = [{"type": "text", "text": {"body": piece, "preview_url": False}} for piece in texts]
    if tappable:
        found[-1] = taps(texts[-1], message.choices, choose)
    for place, (file, media_id) in enumerate(uploaded):
        found.append(_file(file, media_id, caption if place == 0 else ""))
    return found


def fits(choices: Sequence[str]) -> bool:
    """Can they be tapped? Each must be short, and like no other."""
    names = [choice.strip() for choice in choices]
    short = all(name and units(name) <= ROW_CHARS for name in names)
    return bool(names) and len(names) <= ROWS and short and len(set(names)) == len(names)


def taps(body: str, choices: Sequence[str], choose: str) -> Json:
    """Buttons where they are few and short, else a list. What stands on it comes back, with its number as the id."""
    names = [choice.strip() for choice in choices]
    few = len(names) <= BUTTONS and all(units(name) <= BUTTON_CHARS for name in names)
    if few and units(body) <= BUTTON_BODY_CHARS:
        buttons = [
            {"type": "reply", "reply": {"id": str(place), "title": name}}
            for place, name in enumerate(names, 1)
        ]
        what: Json = {"type": "button", "body": {"text": body}, "action": {"buttons": buttons}}
    else:
        rows = [{"id": str(place), "title": name} for place, name in enumerate(names, 1)]
        action = {"button": choose, "sections": [{"rows": rows}]}
        what = {"type": "list", "body": {"text": body}, "action": action}
    return {"type": "interactive", "interactive": what}


def file_name(file: Attachment) -> str:
    return media.safe_name(file.name or "file")[-NAME_CHARS:]


def _captions(file: Attachment) -> bool:
    return TYPES[plain_type(file.content_type)][0] in _CAPTIONED


def _file(file: Attachment, media_id: str, caption: str) -> Json:
    kind, _ = TYPES[plain_type(file.content_type)]
    said = _media(file, media_id)
    if caption:
        said["caption"] = caption
    return {"type": kind, kind: said}


def _media(file: Attachment, media_id: str) -> Json:
    named = TYPES[plain_type(file.content_type)][0] == "document"
    return {"id": media_id} | ({"filename": file_name(file)} if named else {})
