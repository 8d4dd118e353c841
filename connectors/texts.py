"""A text of ours to a channel's measure: in pieces that each fit one message, with choices as a numbered list."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

_SPACES = " \t\n"


def units(text: str) -> int:
    """UTF-16 code units, which is how SMS and Twilio's own counter measure a character beyond the first plane. Where a
    provider does not say what a character is: nothing that it could mean counts more."""
    return len(text) if text.isascii() else len(text) + sum(c > "\uffff" for c in text)


def octets(text: str) -> int:
    """Bytes of UTF-8, which is how Instagram measures."""
    return len(text.encode("utf-8", "replace"))


def split(text: str, most: int, size: Callable[[str], int] = units) -> list[str]:
    """`text` in pieces of at most `most` units, cut between words, at an empty line or a line's end where one is near;
    none of nothing."""
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
    for mark in ("\n\n", "\n"):
        if (line := text.rfind(mark, at // 2, at + 1)) > 0:
            return line
    for place in range(at, at // 3, -1):
        if text[place] in _SPACES:
            return place
    while at > 1 and (
        unicodedata.combining(text[at]) or text[at] in "\u200d\ufe0f"
    ):  # a base keeps what it carries
        at -= 1
    return at


def numbered(choices: Sequence[str]) -> str:
    """For people who cannot tap them here."""
    return "\n".join(f"{number}. {choice}" for number, choice in enumerate(choices, 1))
