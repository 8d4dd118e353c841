"""What of a mail's CSS may be shown: an allow-list of properties, and of the pieces that their values are made of.

Nothing here can fetch, move out of its place, cover something else or run: no `url()`, no escapes, no comments, no
functions but colours, no negative lengths. What is not in the tables is dropped, declaration by declaration.
"""

from __future__ import annotations

import re

STYLE_CHARS = 4_000
_DECLARATIONS = 60
_VALUE_CHARS = 300

_BOX = ("", "-top", "-right", "-bottom", "-left")
PROPERTIES = frozenset(
    [
        "color", "background", "background-color",
        "font", "font-family", "font-size", "font-style", "font-variant", "font-weight", "line-height",
        "text-align", "text-decoration", "text-transform", "vertical-align", "white-space", "word-break",
        "overflow-wrap", "direction", "letter-spacing",
        "display", "float", "clear", "width", "height", "max-width", "min-width",
        "border-collapse", "border-spacing", "border-radius", "table-layout", "list-style-type",
        *(f"{name}{side}" for name in ("margin", "padding", "border") for side in _BOX),
        *(f"border{side}-{what}" for side in _BOX for what in ("color", "style", "width")),
    ]
)  # fmt: skip

# One piece of a value; pieces stand apart by spaces, commas or a slash.
_PIECE = re.compile(
    r"""
    \#[0-9a-f]{3,8}
    | (?=[0-9.])[0-9]{0,4}(?:\.[0-9]{1,6})?(?:px|pt|pc|em|rem|ex|ch|cm|mm|in|%)?(?=[\s,/!]|$)
    | (?:rgb|hsl)a?\(\s*[0-9.%]{1,8}(?:deg)?(?:[\s,/]{1,3}[0-9.%]{1,8}){2,3}\s*\)
    | "[\w\x20.+-]{1,60}" | '[\w\x20.+-]{1,60}'
    | -?[a-z][a-z-]{0,40}(?=[\s,/!]|$)
    | !\s?important
    """,
    re.IGNORECASE | re.VERBOSE,
)
_BETWEEN = re.compile(r"\s*[,/]?\s*")
_DISPLAYS = frozenset(
    ("none", "block", "inline", "inline-block", "table", "table-row", "table-cell", "list-item")
)


def clean(style: str) -> str | None:
    """The declarations of a style attribute that may stay; None where none may."""
    kept = []
    for declaration in style[:STYLE_CHARS].split(";")[:_DECLARATIONS]:
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), " ".join(value.split())
        if name in PROPERTIES and _is_plain(value) and (name != "display" or _display(value)):
            kept.append(f"{name}:{value}")
    return ";".join(kept) or None


def _is_plain(value: str) -> bool:
    if not 0 < len(value) <= _VALUE_CHARS:
        return False
    at = 0
    while at < len(value):
        piece = _PIECE.match(value, at)
        if piece is None or piece.end() == at:
            return False
        between = _BETWEEN.match(value, piece.end())
        at = between.end() if between else piece.end()
    return True


def _display(value: str) -> bool:
    return value.lower().replace("!important", "").strip() in _DISPLAYS
