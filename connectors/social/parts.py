"""How one message of ours goes out: texts, taps, files. Pure, but for the links.

Messenger: https://developers.facebook.com/documentation/business-messaging/messenger-platform/reference/send-api (text
2,000 characters; 13 quick replies of 20), attachments 25 MB. Instagram: https://developers.facebook.com/docs/
instagram-platform/instagram-api-with-instagram-login/messaging-api (text 1,000 bytes of UTF-8; images 8 MB, all else 25
MB, in the formats below; quick replies as Messenger's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.base import Wire
from connectors.texts import numbered, octets, split, units
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Attachment, Outgoing

DAY_S = 24 * 3600.0
AGENT_S = 7 * DAY_S  # the tag HUMAN_AGENT, and private answers to comments
QUICK_REPLIES, TITLE_CHARS = 13, 20
FILES = 10
_MB = 1024 * 1024
FILE_BYTES = 25 * _MB
KINDS = ("image", "video", "audio")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """text: of one message, by `size`. comment: characters of an answer in public. types: what files may be, with how
    many bytes; empty: anything of FILE_BYTES. uploads: files are handed over; else Meta gets them by their links."""

    text: int
    size: Callable[[str], int]
    comment: int
    types: Mapping[str, int]
    uploads: bool

    def takes(self, file: Attachment) -> bool:
        most = self.types.get(file.content_type, 0) if self.types else FILE_BYTES
        return file.size_bytes <= most

    def kind(self, file: Attachment) -> str:
        head = file.content_type.partition("/")[0]
        return head if head in KINDS else "file"


MESSENGER = Measure(
    text=2_000,
    size=units,  # Meta does not say what a character is
    comment=8_000,
    types={},
    uploads=True,
)
INSTAGRAM = Measure(
    text=1_000,
    size=octets,
    comment=300,  # docs/instagram-platform/instagram-graph-api/reference/ig-media/comments
    types={
        **dict.fromkeys(("image/png", "image/jpeg", "image/gif"), 8 * _MB),
        **dict.fromkeys(
            ("video/mp4", "video/ogg", "video/x-msvideo", "video/quicktime", "video/webm"), FILE_BYTES
        ),
        **dict.fromkeys(("audio/aac", "audio/mp4", "audio/x-m4a", "audio/wav", "audio/x-wav"), FILE_BYTES),
        "application/pdf": FILE_BYTES,
    },
    uploads=False,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One message: a text, or a file. taps: below it."""

    text: str = ""
    file: Attachment | None = None
    taps: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """The message, but for a file's place."""
        said: dict[str, Any] = {"text": self.text} if self.text else {}
        if self.taps:
            said["quick_replies"] = [
                {"content_type": "text", "title": tap, "payload": tap} for tap in self.taps
            ]
        return said


def plan(message: Outgoing, measure: Measure, limits: Limits, wire: Wire) -> list[Part]:
    """Texts first, then files; where there is something to tap, the texts are last, for taps go with the next message.
    Raises SendError where there is nothing to say, or a link cannot be made."""
    own, links = _sorted(message.attachments, measure)
    taps = _taps(message, limits)
    texts = _texts(message, links, wire, measure, tappable=bool(taps))
    files = [Part(file=file) for file in own]
    found = [*files, *texts] if taps else [*texts, *files]
    if not found:
        raise SendError(SendCode.MESSAGE_INVALID, "there is neither text nor attachment")
    if taps:
        found[-1] = replace(found[-1], taps=taps)
    return found


def plan_one(message: Outgoing, measure: Measure, limits: Limits, wire: Wire) -> Part:
    """For the private answer to a comment, which is one message: files go as links where there is a text, too.
    Raises SendError."""
    own, _ = _sorted(message.attachments, measure)
    if len(message.attachments) == len(own) == 1 and not message.text.strip() and not message.choices:
        return Part(file=own[0])
    taps = _taps(message, limits)
    texts = _texts(message, message.attachments, wire, measure, tappable=bool(taps))
    if not texts:
        raise SendError(SendCode.MESSAGE_INVALID, "there is neither text nor attachment")
    if len(texts) > 1:
        what = "characters" if measure.size is units else "bytes"
        why = f"a comment is answered in private by one message, of at most {measure.text:,} {what}"
        raise SendError(SendCode.MESSAGE_INVALID, why)
    return replace(texts[0], taps=taps)


def in_public(message: Outgoing, measure: Measure) -> str:
    """The text below a comment. Raises SendError."""
    if message.attachments:
        why = "files are not shown to everybody: answer in private, or without them"
        raise SendError(SendCode.MESSAGE_INVALID, why)
    text = "\n\n".join(part for part in (message.text.strip(), numbered(message.choices)) if part)
    if not text:
        raise SendError(SendCode.MESSAGE_INVALID, "there is no text")
    if len(text) > measure.comment:
        why = f"an answer in public may have {measure.comment:,} characters, and this has {len(text):,}"
        raise SendError(SendCode.MESSAGE_INVALID, why)
    return text


def _taps(message: Outgoing, limits: Limits) -> tuple[str, ...]:
    """The choices, where all of them can be tapped."""
    choices = tuple(choice.strip() for choice in message.choices)
    fit = len(choices) <= limits.choices and all(0 < units(one) <= limits.choice_chars for one in choices)
    return choices if fit and message.text.strip() else ()


def _sorted(files: Sequence[Attachment], measure: Measure) -> tuple[list[Attachment], list[Attachment]]:
    """(those that go as themselves, those that go as links)."""
    own: list[Attachment] = []
    links: list[Attachment] = []
    for file in files:
        (own if len(own) < FILES and measure.takes(file) else links).append(file)
    return own, links


def _texts(
    message: Outgoing, links: Sequence[Attachment], wire: Wire, measure: Measure, *, tappable: bool
) -> list[Part]:
    pieces = [message.text.strip(), *(f"{file.name}: {wire.link(file)}".removeprefix(": ") for file in links)]
    if message.choices and not tappable:
        pieces.append(numbered(message.choices))
    whole = "\n\n".join(piece for piece in pieces if piece)
    return [Part(text=text) for text in split(whole, measure.text, measure.size)]
