"""Outlook's winmail.dat ([MS-OXTNEF]): the files and the text inside. A reader of its own, because what there is on the
package index raises on broken input and reads far more of the format than is of use here.
"""

from __future__ import annotations

import codecs
import struct
from dataclasses import dataclass, field

_SIGNATURE = 0x223E9F78
_ATTRIBUTES = 5_000
_FILES = 50

# attributes, by the low word of their id ([MS-OXTNEF], 2.1.3.2)
_BODY, _TITLE, _DATA, _RENDERED, _ATTACHMENT = 0x800C, 0x8010, 0x800F, 0x9002, 0x9005
_MESSAGE_PROPERTIES, _CODEPAGE = 0x9003, 0x9007
# properties ([MS-OXPROPS])
_BODY_HTML, _LONG_NAME, _LONG_NAME_OLD, _BODY_TEXT, _CONTENT = 0x1013, 0x3707, 0x3704, 0x1000, 0x3701
_OBJECT, _INTERFACE_BYTES = 0x000D, 16  # an object's bytes stand below the name of its interface
_FIXED = {0x0002: 4, 0x0003: 4, 0x0004: 4, 0x000A: 4, 0x000B: 4, 0x0005: 8, 0x0006: 8, 0x0007: 8, 0x0014: 8, 0x0040: 8,
          0x0048: 16}  # fmt: skip
_VARIABLE = (0x001E, 0x001F, 0x0102, _OBJECT)


@dataclass(slots=True)
class Opened:
    """What was inside. text or html may be empty."""

    text: str = ""
    html: str = ""
    files: list[tuple[str, bytes]] = field(default_factory=list)


def read(data: bytes) -> Opened | None:
    """What is inside `data`; None where it is no TNEF, or nothing can be read of it."""
    if len(data) < 6 or struct.unpack_from("<I", data)[0] != _SIGNATURE:
        return None
    found = Opened()
    codec = "cp1252"
    title, content = "", b""
    at = 6

    def keep() -> None:
        nonlocal title, content
        if content and len(found.files) < _FILES:
            found.files.append((title or "attachment", content))
        title, content = "", b""

    for _ in range(_ATTRIBUTES):
        if at + 9 > len(data):
            break
        _, name, size = struct.unpack_from("<BII", data, at)
        name &= 0xFFFF
        value = data[at + 9 : at + 9 + size]
        if len(value) < size:
            break
        at += 9 + size + 2  # the checksum proves nothing that matters here
        if name == _CODEPAGE and len(value) >= 4:
            codec = _codec(struct.unpack_from("<I", value)[0])
        elif name == _BODY:
            found.text = value.rstrip(b"\0").decode(codec, "replace")
        elif name == _RENDERED:
            keep()
        elif name == _TITLE:
            title = value.rstrip(b"\0").decode(codec, "replace")
        elif name == _DATA:
            content = value
        elif name == _ATTACHMENT:
            properties = _properties(value, codec)
            long_name = properties.get(_LONG_NAME) or properties.get(_LONG_NAME_OLD)
            title = long_name if isinstance(long_name, str) and long_name else title
            held = properties.get(_CONTENT)
            content = held if isinstance(held, bytes) and len(held) > len(content) else content
        elif name == _MESSAGE_PROPERTIES:
            _bodies(found, _properties(value, codec), codec)
    keep()
    return found if found.files or found.text or found.html else None


def _bodies(found: Opened, properties: dict[int, str | bytes], codec: str) -> None:
    html, text = properties.get(_BODY_HTML), properties.get(_BODY_TEXT)
    if html:
        found.html = (
            html
            if isinstance(html, str)
            else html.decode("utf-8" if b"utf-8" in html.lower() else codec, "replace")
        )
    if isinstance(text, str) and text and not found.text:
        found.text = text


def _codec(page: int) -> str:
    try:
        return codecs.lookup(f"cp{page}").name
    except LookupError:
        return "utf-8" if page == 65001 else "cp1252"


def _properties(data: bytes, codec: str) -> dict[int, str | bytes]:
    """The texts and binaries of a property list ([MS-OXTNEF], 2.1.3.3); what is broken ends it."""
    out: dict[int, str | bytes] = {}
    try:
        (count,) = struct.unpack_from("<I", data)
        at = 4
        for _ in range(min(count, 2_000)):
            kind, name = struct.unpack_from("<HH", data, at)
            at += 4
            if name >= 0x8000:
                at = _named(data, at)
            many = bool(kind & 0x1000)
            base = kind & 0x0FFF
            if base in _VARIABLE or many:
                (values,) = struct.unpack_from("<I", data, at)
                at += 4
            else:
                values = 1
            for _ in range(min(values, 2_000)):
                if base in _FIXED:
                    at += _FIXED[base]
                    continue
                if base not in _VARIABLE:
                    return out
                (size,) = struct.unpack_from("<I", data, at)
                value = data[at + 4 : at + 4 + size]
                at += 4 + size + (-size % 4)
                if base == 0x001F:
                    out.setdefault(name, value.decode("utf-16-le", "replace").rstrip("\0"))
                elif base == 0x001E:
                    out.setdefault(name, value.rstrip(b"\0").decode(codec, "replace"))
                else:
                    out.setdefault(name, value[_INTERFACE_BYTES:] if base == _OBJECT else value)
    except struct.error:
        return out
    return out


def _named(data: bytes, at: int) -> int:
    """Past the name of a named property: a GUID, then a number or a text."""
    kind, size = struct.unpack_from("<II", data, at + 16)
    return at + 24 if kind == 0 else at + 24 + int(size) + (-int(size) % 4)
