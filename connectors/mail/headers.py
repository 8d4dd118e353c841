"""Reading header fields as they come, folded, doubled, encoded twice or not at all. Nothing here raises.

RFC 5322 (fields), RFC 2047 (encoded words), RFC 2231 (parameters). Every value is capped before anything with a
pattern looks at it: Python's own readers take minutes over headers that somebody made for them (docs/security.md).
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.policy import Compat32
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.mail import charsets

VALUE_CHARS = 32_768
ADDRESSES = 200
IDS = 100

_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:\-]{1,40})", re.IGNORECASE)
_ID = re.compile(r"<\s*([^<>\s]{1,400}|[^<>@]{1,200}@[^<>@]{1,200}?)\s*>")  # the second: folded within
_BARE_ID = re.compile(r"[^<>\s,;]{1,400}@[^<>\s,;]{1,400}")
_SYNTAX = re.compile(r"[,;:()<>\"\\]")
_AROUND_DOT = re.compile(r"[ \t]*([@.])[ \t]*")
_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class _AsTheyCome(Compat32):
    """The library would hide bytes that are not ASCII behind question marks; here they stay (as half surrogates)."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return value


POLICY = _AsTheyCome()  # read every mail with it


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name as it is shown, possibly empty, and an address as it stands, possibly no address at all."""

    name: str
    address: str


def raw(message: Message, name: str) -> str:
    """The first field of that name, unfolded, at most VALUE_CHARS; empty where there is none."""
    value = message.get(name)
    return "" if value is None else _unfold(as_text(message, value))


def every(message: Message, name: str, at_most: int = 50) -> list[str]:
    """All fields of that name, from the top."""
    return [_unfold(as_text(message, value)) for value in (message.get_all(name) or ())[:at_most]]


def words(message: Message, name: str) -> str:
    """A field for people: encoded words decoded, one line."""
    return decoded(raw(message, name))


def as_text(message: Message, value: object) -> str:
    """Bytes that are not ASCII are UTF-8, or else of the charset that the mail's text is in."""
    text = str(value)[:VALUE_CHARS]
    if text.isascii():
        return text
    try:
        data = text.encode("ascii", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return charsets.decode(data, _charset(message))


def _charset(message: Message) -> str | None:
    """What the first text in a mail says of itself."""
    for _ in range(5):
        for name, value in message.items():
            if name.lower() == "content-type" and (match := _CHARSET.search(str(value)[:1000])):
                return match[1]
        inside = message.get_payload()
        if not isinstance(inside, list) or not inside or not isinstance(inside[0], Message):
            return None
        message = inside[0]
    return None


def _unfold(value: str) -> str:
    return " ".join(value.split("\r\n")).replace("\n", " ").replace("\r", " ").strip() if value else ""


def decoded(value: str) -> str:
    """RFC 2047 with the mistakes people make: words glued together, spaces inside, split inside a character."""
    if "=?" not in value:
        return shown(value)
    out: list[str] = []
    held: list[bytes] = []  # words of one charset in a row: a character may be split between them
    held_charset = ""
    at = 0

    def give() -> None:
        nonlocal held
        if held:
            out.append(charsets.decode(b"".join(held), held_charset))
            held = []

    for word in _WORD.finditer(value):
        between = value[at : word.start()]
        if between and not (at and between.isspace()):  # blanks between two words are none (RFC 2047, 6.2)
            give()
            out.append(between)
        charset = word[1].partition("*")[0].lower()  # RFC 2231, 5: a language may follow
        data = _word(word[2], word[3])
        if charset != held_charset:
            give()
        held_charset = charset
        held.append(data)
        at = word.end()
    give()
    out.append(value[at:])
    return shown("".join(out))


def _word(how: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if how in "qQ":
        return quopri.decodestring(data.replace(b" ", b"_"), header=True)
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4))
    except (binascii.Error, ValueError):
        return data


def shown(value: str) -> str:
    """One line without controls."""
    return " ".join(_NOT_SHOWN.sub(" ", value).split())


# ----------------------------------------------------------------------------------------------------------- addresses


def mailboxes(values: Iterable[str]) -> list[Mailbox]:
    """The addresses of fields such as From and Cc, in order, at most ADDRESSES.

    A reader of its own, linear in the length: comments and quotes may nest and never end without harm.
    """
    found: list[Mailbox] = []
    for value in values:
        family = ""  # "Berger, Ann <…>" without quotes: what stands before the comma is no address
        for text, angle, comment in _split(_WORD.sub(_without_syntax, value)):
            one = _mailbox(text, angle, comment)
            if angle is None and one.name and not one.address and not comment:
                family = one.name
                continue
            name = f"{family}, {one.name}" if family and one.name and angle is not None else one.name
            found.append(Mailbox(name, one.address))
            family = ""
            if len(found) >= ADDRESSES:
                return found
        if family:
            found.append(Mailbox(family, ""))
    return [one for one in found if one.address or one.name]


def _without_syntax(word: re.Match[str]) -> str:
    """An encoded word whose letters are not taken for commas and quotes of the field (RFC 2047, 5, forbids them)."""
    if word[2] not in "qQ":
        return word[0]
    return f"=?{word[1]}?{word[2]}?{_SYNTAX.sub(lambda c: f'={ord(c[0]):02X}', word[3])}?="


def _split(value: str) -> list[tuple[str, str | None, str]]:
    """(what stands around, what stands in <…> if anything, what stands in (…)) for each address."""
    out: list[tuple[str, str | None, str]] = []
    around: list[str] = []
    remark: list[str] = []
    angle: list[str] | None = None
    inside: str | None = None
    quoted = escaped = False
    comments = 0
    for c in value:
        if escaped:
            escaped = False
            if comments:
                remark.append(c)
            else:
                (angle if angle is not None else around).append(c)
        elif c == "\\" and (quoted or comments):
            escaped = True
        elif quoted:
            if c == '"':
                quoted = False
            (angle if angle is not None else around).append(c)
        elif c == "(" and angle is None and not comments:
            comments = 1
        elif comments:
            comments += (c == "(") - (c == ")")
            remark.append(c if comments else " ")
        elif c == '"':
            quoted = True
            (angle if angle is not None else around).append(c)
        elif c == "<" and angle is None:
            angle = []
        elif c == ">" and angle is not None:
            inside, angle = "".join(angle), None
        elif angle is not None:
            angle.append(c)
        elif c == ":" and inside is None and "@" not in "".join(around[-64:]):
            around.clear()  # a group's name; its members follow
        elif c in ",;":
            out.append(("".join(around), inside, "".join(remark)))
            around.clear()
            remark.clear()
            inside = None
            if len(out) > ADDRESSES:
                return out
        else:
            around.append(c)
    if angle:
        inside = "".join(angle)
    out.append(("".join(around), inside, "".join(remark)))
    return out


def _mailbox(around: str, angle: str | None, comment: str) -> Mailbox:
    around = around.strip(" \t<>")
    if angle is None and "@" in around:
        before, _, last = around.rpartition(" ")  # "Ann Berger ann@example.net"
        if "@" in last and "@" not in before:
            return Mailbox(decoded(before.replace('"', "")) or decoded(comment), last)
        return Mailbox(decoded(comment), around.replace('"', "") if '" ' in around else around)
    name = decoded(around.replace('"', "").strip().strip("'")) or decoded(comment)
    return Mailbox(name, "" if angle is None else _AROUND_DOT.sub(r"\1", angle).strip(" \t<>'\""))


# ----------------------------------------------------------------------------------------------------- ids and the time


def ids(values: Iterable[str]) -> list[str]:
    """Message-IDs with their angle brackets, in order, each once. Bare ones are taken too: some programs drop them."""
    found: dict[str, None] = {}
    for value in values:
        for one in _ID.findall(value) or _BARE_ID.findall(value):
            found[f"<{''.join(one.split())}>"] = None
            if len(found) >= IDS:
                return list(found)
    return list(found)


def date(value: str) -> datetime | None:
    """The Date field, in UTC; None where it is missing or no date."""
    try:
        found = parsedate_to_datetime(value[:200])
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    try:
        return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
