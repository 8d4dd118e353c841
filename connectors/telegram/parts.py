"""What goes out, taken apart: texts to Telegram's measure, files by how they are sent, choices as a keyboard. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hub.model import Attachment

TEXT_UNITS = 4096  # "1-4096 characters after entities parsing" (#sendmessage)
MESSAGES = 4  # of one text; more is no chat any more
PHOTO_BYTES = 10 * 1024 * 1024  # "The photo must be at most 10 MB in size" (#sendphoto)
FILE_BYTES = (
    50 * 1024 * 1024
)  # "Bots can currently send files of any type of up to 50 MB in size" (#senddocument)
ALBUM = 10  # "must include 2-10 items" (#sendmediagroup)
DATA_BYTES = 64  # "Data to be sent in a callback query ..., 1-64 bytes" (#inlinekeyboardbutton)
CHOICES = 20  # ours: Telegram states no number, and more do not fit on a phone
CHOICE_CHARS = 64  # ours: what a phone shows of a button


def fit(choices: Sequence[str]) -> bool:
    return 0 < len(choices) <= CHOICES and all(0 < len(choice.strip()) <= CHOICE_CHARS for choice in choices)


def keyboard(choices: Sequence[str]) -> dict[str, Any]:
    """A row for each: what stands on a button is what comes back when it is tapped, as far as it fits."""
    rows = [
        [{"text": choice, "callback_data": data(choice, number)}] for number, choice in enumerate(choices, 1)
    ]
    return {"inline_keyboard": rows}


def data(choice: str, number: int) -> str:
    """At most DATA_BYTES bytes. A longer one is cut and numbered, so that two never say the same."""
    if len(choice.encode()) <= DATA_BYTES:
        return choice
    head = f"{number}. "
    return head + choice.encode()[: DATA_BYTES - len(head)].decode("utf-8", "ignore")


# type -> (method, field). Telegram's documents take anything; the others only what is named at their methods.
_AS = {
    "image/jpeg": ("sendPhoto", "photo"),
    "image/png": ("sendPhoto", "photo"),
    "image/webp": ("sendPhoto", "photo"),
    "image/gif": ("sendAnimation", "animation"),
    "video/mp4": ("sendVideo", "video"),
    "audio/mpeg": ("sendAudio", "audio"),
    "audio/mp4": ("sendAudio", "audio"),
}
DOCUMENT = ("sendDocument", "document")
_TOGETHER = {"photo": "seen", "video": "seen", "document": "document", "audio": "audio"}


def how(file: Attachment) -> tuple[str, str]:
    """(method, field) by which it is sent."""
    found = _AS.get(file.content_type, DOCUMENT)
    return DOCUMENT if found[1] == "photo" and file.size_bytes > PHOTO_BYTES else found


def groups(files: Sequence[Attachment]) -> Iterator[list[Attachment]]:
    """In order, each group one message or one album: "documents and audio files can be only grouped in an album with
    messages of the same type" (#sendmediagroup), and an animation with nothing."""
    group: list[Attachment] = []
    for file in files:
        kind = _TOGETHER.get(how(file)[1])
        if group and (kind is None or kind != _TOGETHER.get(how(group[0])[1]) or len(group) == ALBUM):
            yield group
            group = []
        group.append(file)
        if (
            sum(one.size_bytes for one in group) > FILE_BYTES and len(group) > 1
        ):  # one request's worth of bytes
            yield group[:-1]
            group = group[-1:]
    if group:
        yield group
