"""Strangers' text made harmless: escaped, lines kept, links clickable, no character that lies about order."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# Overrides reverse what stands there (a file "exe.fdp" reads "pdf.exe"): shown as what they are.
_OVERRIDES = {"\u202d": "⟦LRO⟧", "\u202e": "⟦RLO⟧"}
# Embeddings and isolates may reach beyond their own text; every text of a stranger's stands in its own `dir=auto`
# instead. Separators would start lines that are none.
_DROPPED = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u2066\u2067\u2068\u2069\u2028\u2029\ufeff"))
_CONTROLS = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}
_TABLE = str.maketrans({**_CONTROLS, **_DROPPED, **{ord(k): v for k, v in _OVERRIDES.items()}})

_LINK = re.compile(r"""https?://[^\s<>"'`\\⟦⟧]{1,2000}""", re.IGNORECASE)
_TRAILING = ".,;:!?)]}*_"


def plain(text: str) -> str:
    """`text` without control and direction characters. Still to be escaped, as everything is."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_TABLE)


def one_line(text: str, chars: int = 120) -> str:
    """The beginning of `text` for a list."""
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= chars else flat[: chars - 1].rstrip() + "…"


def rich(text: str) -> Markup:
    """A message's text as HTML; CSS keeps its lines (white-space: pre-wrap). Only http and https become links."""
    text = plain(text)
    out, at = [], 0
    for found in _LINK.finditer(text):
        link = found.group().rstrip(_TRAILING)
        if link.count("(") > link.count(")") and found.group()[len(link) :].startswith(")"):
            link += ")"
        out.append(escape(text[at : found.start()]))
        out.append(
            Markup('<a href="{0}" rel="noopener noreferrer nofollow" target="_blank">{0}</a>').format(link)
        )
        at = found.start() + len(link)
    out.append(escape(text[at:]))
    return Markup("").join(out)


def filename(name: str, fallback: str = "file") -> str:
    """A name to save under: no path, no tricks of direction, no controls, at most 120 characters, the end kept."""
    flat = plain(name).replace("\n", " ").replace("\t", " ").replace("\\", "/").rpartition("/")[2]
    flat = re.sub(r'[<>:"|?*;%\ufffd]', "_", flat).strip(" .")
    if len(flat) > 120:
        flat = flat[:80] + "…" + flat[-39:]
    return flat or fallback


# What a browser may show in an <img>, by its first bytes; everything else is only ever saved.
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def image_type(start: bytes) -> str | None:
    """The image type that these first bytes (at least 12) really are, or None."""
    for magic, kind in _IMAGES:
        if start.startswith(magic):
            return kind
    return "image/webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None
