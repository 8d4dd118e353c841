"""A long text in pieces that each fit one message."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_SPACES = " \t\n"


def units(text: str) -> int:
    """UTF-16 code units, which is how SMS and Twilio's own counter measure a character beyond the first plane."""
    return len(text) if text.isascii() else len(text) + sum(c > "\uffff" for c in text)


def octets(text: str) -> int:
    """Bytes of UTF-8, which is how Instagram measures."""
    return len(text.encode("utf-8", "replace"))


def split(text: str, most: int, size: Callable[[str], int] = units) -> list[str]:
    """`text` in pieces of at most `most` units, cut between words, at a line's end where one is near."""
    pieces = []
    rest = text
    while size(rest[: most + 1]) > most:  # no character is smaller than one
        at = _cut(rest, _fits(rest, most, size))
        pieces.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [piece for piece in (*pieces, rest) if piece]


def _fits(text: str, most: int, size: Callable[[str], int]) -> int:
    """How many characters of it have at most `most` units."""
    if text[:most].isascii():
        return most
    count = 0
    for at, c in enumerate(text):
        count += size(c)
        if count > most:
            return at
    return len(text)


def _cut(text: str, at: int) -> int:
    line = text.rfind("\n", at // 2, at + 1)
    if line > 0:
        return line
    for place in range(at, at // 3, -1):
        if text[place] in _SPACES:
            return place
    while at > 1 and (
        unicodedata.combining(text[at]) or text[at] in "\u200d\ufe0f"
    ):  # a base keeps what it carries
        at -= 1
    return at
