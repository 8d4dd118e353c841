"""Text from outside, made fit for every store and screen. Pure; doing it twice changes nothing."""

from __future__ import annotations

_DROPPED = {0: None}  # PostgreSQL's text takes no NUL


def text(value: str) -> str:
    """Without NUL and without halves of characters, which UTF-8 cannot carry; line ends as one \\n."""
    if "\x00" in value:
        value = value.translate(_DROPPED)
    if "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


def line(value: str, limit_chars: int = 200) -> str:
    """One line: a name or a subject, its controls and line breaks turned into spaces, cut at `limit_chars`."""
    if value.isascii() and value.isprintable() and "  " not in value and value.strip() == value:
        return value[:limit_chars]
    return " ".join(text(value).split())[:limit_chars]
