"""Text on its way into Slack and out of it.

In: what strangers wrote stands in plain_text and rich_text elements, which Slack does not parse; what must stand in
mrkdwn is escaped. Out: what an agent typed, as a customer reads it on a channel that knows no formatting.
https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.emoji import Emoji, NoEmoji

from desk import safe
from hub.text import storable

LOCKS = ("lock", "closed_lock_with_key", "lock_with_ink_pen")
_LOCK_SIGNS = "\U0001f512\U0001f510\U0001f50f"
_DEPTH = 8  # of lists within lists that are followed


def escape(text: str) -> str:
    """`text` for mrkdwn and for a message's fallback: the three characters that Slack asks to be escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shown(text: str) -> str:
    """A stranger's text for a plain_text or rich_text element: as typed, without what lies about its direction."""
    return safe.plain(text.encode("utf-8", "replace").decode())


def line(text: str, chars: int = 120) -> str:
    """`shown`, on one line and cut."""
    return safe.one_line(text.encode("utf-8", "replace").decode(), chars)


def when(at: datetime, form: str = "{date_short_pretty} at {time}") -> str:
    """A moment in mrkdwn that every reader sees in their own zone; who cannot reads UTC.

    https://docs.slack.dev/messaging/formatting-message-text#date-formatting
    """
    return f"<!date^{int(at.timestamp())}^{form}|{at:%d %b %Y, %H:%M} UTC>"


def ago(at: datetime) -> str:
    """How long ago, as Slack keeps counting it."""
    return when(at, "{ago}")


# ------------------------------------------------------------------------------------------------- out of Slack


@dataclass(frozen=True, kw_only=True, slots=True)
class Plain:
    """What somebody typed in Slack, as plain text.

    mentions: it speaks to somebody in Slack (a person, a group, a channel, @here), so it is not for customers.
    users: the ids of the persons. locked: it begins with a lock, which says "internal".
    """

    text: str
    mentions: bool
    users: tuple[str, ...]
    locked: bool


@dataclass(slots=True)
class _Reader:
    """Gathers what was met on the way. `names`: Slack id -> what to call it."""

    names: Mapping[str, str]
    users: list[str] = field(default_factory=list)
    mentions: bool = False

    def user(self, user: str, label: str = "") -> str:
        self.mentions = True
        if user not in self.users:
            self.users.append(user)
        return f"@{self.names.get(user) or label or user}"

    def other(self, kind: str, key: str, label: str = "") -> str:
        self.mentions = True
        return f"{kind}{self.names.get(key) or label or key}"


def to_plain(message: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Plain:
    """A message of Slack's as a customer would read it.

    Its rich_text block is what the person typed; without one its `text` is read as mrkdwn. Links become "label (url)",
    lists keep their bullets, quotes their ">", emoji become characters where they are known and stay as typed where
    not. names: Slack ids -> what to call them in a note.
    """
    reader = _Reader(names or {})
    blocks = [
        b for b in message.get("blocks") or () if isinstance(b, Mapping) and b.get("type") == "rich_text"
    ]
    if blocks:
        text = "".join(_block(element, reader) for block in blocks for element in _elements(block))
    else:
        text = _mrkdwn(str(message.get("text") or ""), reader)
    text = storable(text).strip("\n").rstrip()
    start = text.lstrip()
    locked = start.startswith((*_LOCK_SIGNS, *(f":{name}:" for name in LOCKS)))
    return Plain(text=text, mentions=reader.mentions, users=tuple(reader.users), locked=locked)


def _elements(block: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found = block.get("elements")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _block(element: Mapping[str, Any], reader: _Reader, depth: int = 0) -> str:
    """One of the four kinds of which rich text is made; each ends its line."""
    kind = element.get("type")
    if kind == "rich_text_list" and depth < _DEPTH:
        return "".join(_listed(element, reader, depth))
    inner = "".join(_leaf(one, reader) for one in _elements(element))
    if kind == "rich_text_quote":
        return "".join(f"> {part}\n" for part in inner.rstrip("\n").split("\n"))
    return inner if inner.endswith("\n") else inner + "\n" if inner else ""


def _listed(element: Mapping[str, Any], reader: _Reader, depth: int) -> Iterable[str]:
    ordered = element.get("style") == "ordered"
    indent = "  " * min(_whole(element.get("indent")), _DEPTH)
    for place, item in enumerate(_elements(element), _whole(element.get("offset")) + 1):
        mark = f"{place}." if ordered else "•"
        yield f"{indent}{mark} {_block(item, reader, depth + 1).rstrip(chr(10))}\n"


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 10_000 else 0


def _leaf(one: Mapping[str, Any], reader: _Reader) -> str:
    read = _LEAVES.get(str(one.get("type")))
    return read(one, reader) if read else str(one.get("text") or one.get("fallback") or "")


def _emoji_leaf(one: Mapping[str, Any], _: _Reader) -> str:
    points = str(one.get("unicode") or "")
    if re.fullmatch(r"[0-9a-fA-F]{2,6}(-[0-9a-fA-F]{2,6})*", points):
        codes = [int(code, 16) for code in points.split("-")]
        if all(code < 0x110000 and not 0xD800 <= code < 0xE000 for code in codes):
            return "".join(map(chr, codes))
    tone = one.get("skin_tone")
    return emoji(str(one.get("name") or "")) + (chr(0x1F3F9 + tone) if tone in (2, 3, 4, 5, 6) else "")


_LEAVES: dict[str, Callable[[Mapping[str, Any], _Reader], str]] = {
    "text": lambda one, _: str(one.get("text") or ""),
    "link": lambda one, _: link(str(one.get("url") or ""), str(one.get("text") or "")),
    "emoji": _emoji_leaf,
    "user": lambda one, reader: reader.user(str(one.get("user_id"))),
    "usergroup": lambda one, reader: reader.other("@", str(one.get("usergroup_id"))),
    "team": lambda one, reader: reader.other("@", str(one.get("team_id"))),
    "channel": lambda one, reader: reader.other("#", str(one.get("channel_id"))),
    "broadcast": lambda one, reader: reader.other("@", str(one.get("range"))),
    "date": lambda one, _: str(one.get("fallback") or one.get("timestamp") or ""),
    "color": lambda one, _: str(one.get("value") or ""),
}


def link(url: str, label: str = "") -> str:
    """A link without markup: its label and where it goes, said once where they are the same."""
    bare = url.removeprefix("mailto:").removeprefix("tel:")
    same = {url, bare, url.removeprefix("https://"), url.removeprefix("http://")}
    if not label or label.rstrip("/") in {one.rstrip("/") for one in same}:
        return label or bare
    return f"{label} ({bare})"


def emoji(name: str) -> str:
    """The character of an emoji's short name, or the name as it is typed."""
    first, _, tone = name.partition("::skin-tone-")
    sign = _sign(first)
    if not sign:
        return f":{name}:"
    return sign + (chr(0x1F3F9 + int(tone)) if tone in ("2", "3", "4", "5", "6") else "")


def _sign(name: str) -> str:
    """By the list that ships with rich, which is some years old; then by Unicode's own names, of pictures only."""
    try:
        return str(Emoji(name))
    except NoEmoji:
        pass
    try:
        sign = unicodedata.lookup(name.replace("_", " "))
    except KeyError:
        return ""
    return sign if sign >= "\u2190" and unicodedata.category(sign[0]) == "So" else ""


_ANGLE = re.compile(r"<([^<>\n]{1,3000})>")
_SHORT = re.compile(r":([a-z0-9_+'-]{1,60}(?:::skin-tone-[2-6])?):")
_KEPT = re.compile(r"\x00(\d+)\x00")
_MESSAGE_CHARS = (
    40_000  # what Slack keeps of one: https://api.slack.com/changelog/2018-04-truncating-really-long-messages
)
_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_STYLES = tuple(
    re.compile(rf"(?<![\w{sign}]){sign}(?=[^\s{sign}])([^{sign}\n]+?)(?<=[^\s]){sign}(?![\w{sign}])")
    for sign in (r"\*", "_", "~")
)


def _mrkdwn(text: str, reader: _Reader) -> str:
    """Slack's old markup. Code keeps its signs; whatever stands in angle brackets is put back last, untouched."""
    kept: list[str] = []

    def keep(value: str) -> str:
        kept.append(value)
        return f"\x00{len(kept) - 1}\x00"

    text = text[:_MESSAGE_CHARS].replace("\x00", "")
    text = _ANGLE.sub(lambda found: keep(_angle(found.group(1), reader)), text)
    text = _FENCE.sub(lambda found: keep(found.group(1)), text)
    text = _CODE.sub(lambda found: keep(found.group(1)), text)
    for style in _STYLES:
        text = style.sub(r"\1", text)
    text = _SHORT.sub(lambda found: emoji(found.group(1)), text)
    for _ in range(3):  # code may hold code's signs and a link, which were kept before it
        text = _KEPT.sub(lambda found: kept[int(found.group(1))], text)
    return unescape(text)


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _angle(inside: str, reader: _Reader) -> str:
    """What stands between `<` and `>`: a mention, a command or a link."""
    target, _, label = inside.partition("|")
    if target.startswith("@"):
        return reader.user(target[1:], label)
    if target.startswith("#"):
        return reader.other("#", target[1:], label)
    if target.startswith("!date^"):
        return label or target.split("^")[1]
    if target.startswith("!subteam^"):
        return reader.other("@", target[9:], label.removeprefix("@"))
    if target.startswith("!"):
        return reader.other("@", target[1:], label.removeprefix("@"))
    return link(target, label)
