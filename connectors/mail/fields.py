"""Header fields of mail that we write. Whatever the values hold, each stays inside its own field (security.md S7).

Written by hand and not by email.policy: that folds long Message-IDs into encoded words, which breaks threads, and in
Python 3.11 loses the quotes of a display name that it folds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from email.header import Header

LINE_CHARS = 76
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")  # RFC 5322, 3.2.3: needs no quotes
_ADDRESS = re.compile(r"[^\s<>(),;:\\\"\[\]@\x00-\x20\x7f-\xa0]{1,64}@[A-Za-z0-9._-]{1,255}")
_ID = re.compile(r"<[!-;=?-~]{1,900}>")


def line(value: str, limit_chars: int) -> str:
    """One line without controls and direction marks, every run of space as one; cut at `limit_chars`."""
    return " ".join(_UNSEEN.sub(" ", value).split())[:limit_chars].rstrip()


def text(name: str, value: str) -> str:
    """An unstructured field: `Subject: …`. The value is one line already."""
    if value.isascii() and "=?" not in value and max(map(len, value.split()), default=0) < LINE_CHARS * 2:
        return folded(name, value.split())
    return folded(name, encoded(value, len(name) + 2))


def encoded(value: str, already: int = 0) -> list[str]:
    """As encoded words (RFC 2047), each at most 75 long and with whole characters only."""
    written = Header(value, "utf-8", maxlinelen=75, header_name="x" * max(0, already - 2)).encode(
        linesep="\n"
    )
    return written.split()


def mailbox(address: str, name: str = "") -> str:
    """`Ann Lee <ann@example.com>`. The address has been looked at by `good`."""
    if not name:
        return address
    if name.isascii() and "=?" not in name:
        shown = name if _ATOMS.fullmatch(name) else '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    else:
        shown = " ".join(encoded(name))
    return f"{shown} <{address}>"


def mailboxes(name: str, entries: Sequence[str]) -> str:
    """An address field; broken between the entries and their words."""
    return folded(name, ", ".join(entries).split(" "))


def good(address: str) -> bool:
    """Can it stand in a field and in an SMTP command? What urn.mailto gives can; what a stranger wrote may not."""
    return _ADDRESS.fullmatch(address) is not None


def ids(values: Iterable[str]) -> list[str]:
    """Those that are Message-IDs, with their brackets, each once; whatever else stood there is left out."""
    return list(dict.fromkeys(value for value in values if _ID.fullmatch(value)))


def folded(name: str, words: Sequence[str]) -> str:
    """The field with its line breaks, CRLF at its end. Words are never broken."""
    lines, current = [], f"{name}:"
    for word in words:
        if len(current) + 1 + len(word) > LINE_CHARS and current.strip() != f"{name}:":
            lines.append(current)
            current = ""
        current = f"{current} {word}"
    lines.append(current)
    return "\r\n".join(lines) + "\r\n"
