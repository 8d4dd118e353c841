"""What of a stranger's file a browser may show in place, and how its bytes are handed over. Pure.

Decided by the first bytes, never by what somebody said the type was: pictures, recordings, films and PDFs of the kinds
below; everything else is only ever saved. No markup is among them, so with `nosniff` nothing here can become a page.
"""

from __future__ import annotations

import re
from urllib.parse import quote

HEAD_BYTES = 32  # of a file, which decide
OCTETS = "application/octet-stream"
# Whatever a browser made of it, nothing in it may run, load, or reach the pages beside it.
LOCKED = "default-src 'none'; sandbox"
# A browser's own reader for PDFs does not open in a sandbox; nothing may run or load, and nobody may frame it.
LOCKED_PDF = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'none'"

# (where, first bytes, types that these may be: the first one unless another is what was said of it)
_SHOWN: tuple[tuple[int, bytes, tuple[str, ...]], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", ("image/png",)),
    (0, b"\xff\xd8\xff", ("image/jpeg",)),
    (0, b"GIF87a", ("image/gif",)),
    (0, b"GIF89a", ("image/gif",)),
    (8, b"WEBP", ("image/webp",)),
    (8, b"WAVE", ("audio/wav",)),
    (0, b"OggS", ("audio/ogg",)),
    (0, b"ID3", ("audio/mpeg",)),
    (0, b"\xff\xfb", ("audio/mpeg",)),
    (0, b"\xff\xf3", ("audio/mpeg",)),
    (0, b"\xff\xf2", ("audio/mpeg",)),
    (0, b"\xff\xf1", ("audio/aac",)),
    (0, b"\xff\xf9", ("audio/aac",)),
    (4, b"ftypM4A", ("audio/mp4",)),
    (4, b"ftypheic", ()),
    (4, b"ftypheix", ()),
    (4, b"ftypmif1", ()),
    (4, b"ftypavif", ("image/avif",)),
    (4, b"ftyp", ("video/mp4", "audio/mp4", "video/quicktime", "video/3gpp", "audio/3gpp")),
    (0, b"\x1aE\xdf\xa3", ("video/webm", "audio/webm")),
    (0, b"%PDF-", ("application/pdf",)),
)
# What a page of ours gives a player or a picture's place for.
IN_PLACE = frozenset(
    name for _, _, types in _SHOWN for name in types if name.partition("/")[0] in ("image", "audio", "video")
)
_RIFF = ("image/webp", "audio/wav")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


def shown_as(head: bytes, said: str = "") -> str | None:
    """The type as which a browser may show a file that begins so; None: it is only to be saved. `said` chooses between
    a recording and a film in a container that holds either."""
    for at, magic, types in _SHOWN:
        if head.startswith(magic, at):
            if types and types[0] in _RIFF and not head.startswith(b"RIFF"):
                continue
            return said if said in types else next(iter(types), None)
    return None


def family(content_type: str | None) -> str:
    """image, audio, video, pdf, or "" for what is only saved: the element that shows it."""
    kind = (content_type or "").partition("/")[0]
    if content_type == "application/pdf":
        return "pdf"
    return kind if kind in ("image", "audio", "video") else ""


def disposition(how: str, name: str) -> str:
    """RFC 6266: an ASCII name for old readers, the true one as RFC 8187 says."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def asked(header: str | None, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of what a Range header asks for of `data`: all of it, a part, or nothing (416)."""
    try:
        found = part(header, len(data))
    except ValueError:
        return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
    if found is None:
        return 200, {}, data
    first, behind = found
    return 206, {"Content-Range": f"bytes {first}-{behind - 1}/{len(data)}"}, data[first:behind]


def part(header: str | None, size: int) -> tuple[int, int] | None:
    """What a Range header asks for of `size` bytes: (first, behind the last); None: all of it.

    Raises ValueError where it asks for what is not there (416). Several ranges at once, and whatever else it may be,
    count as none (RFC 9110, 14.2).
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, behind = max(0, size - int(found[2])), size
        if int(found[2]) == 0:
            raise ValueError("an empty range")
    else:
        first, behind = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
        if found[2] and int(found[2]) < first:
            return None
    if first >= size:
        raise ValueError("beyond the end")
    return first, behind
