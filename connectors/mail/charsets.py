"""Bytes of a mail -> text, whatever the mail claims. Never raises.

Mail programs name charsets that do not exist, or name one and use another. What browsers do with such names
(https://encoding.spec.whatwg.org, 4.2) is what people have seen working, so it is done here too.
"""

from __future__ import annotations

import codecs
import re

# What is said -> what is meant: the superset that real programs write under that name.
_MEANT = {
    "ansi_x3.110-1983": "",
    "ascii": "",
    "us-ascii": "",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-8-e": "iso-8859-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb_2312-80": "gb18030",
    "cp936": "gb18030",
    "x-gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "ks_c_5601": "cp949",
    "euc-kr": "cp949",
    "windows-31j": "cp932",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "sjis": "cp932",
    "iso-2022-jp": "iso2022_jp_ext",
    "big5": "big5hkscs",
    "x-mac-roman": "mac_roman",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "unicode-1-1-utf-7": "utf-7",
    "utf8": "utf-8",
    "unicode": "utf-8",
    "cp-850": "cp850",
    "binary": "",
    "8bit": "",
    "7bit": "",
    "x-unknown": "",
    "unknown-8bit": "",
    "unknown": "",
    "none": "",
    "": "",
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NAME_CHARS = 40
_EAST = frozenset(("gb18030", "big5hkscs", "cp932", "cp949", "euc_jp"))
_ONE_BYTE = ("cp12", "cp86", "iso8859", "koi8", "mac")  # not Thai's: its letters are the bytes of UTF-8 too
_PAGE = re.compile(r"(?:windows|win|cp|ms|ibm)[-_ ]?(\d{3,5})")
_SHIFTED = re.compile(rb"\x1b(\$[@B]|\([BIJ])")  # ISO 2022's words between Japanese and the rest (RFC 1468)


def decode(data: bytes, declared: str | None) -> str:
    """`data` as text: its byte order mark first, then as declared, then UTF-8, then Windows-1252.

    What is declared otherwise and is UTF-8 throughout is UTF-8: the other reading makes no words in any language. A
    text with a few broken bytes is read as declared with those replaced, not as another charset throughout.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace")
    if data.isascii() and b"\x1b" not in data and b"+" not in data and b"~" not in data:
        return data.decode("ascii")
    meant = _codec(declared)
    if b"\x1b$" in data and data.isascii() and (meant is None or meant.startswith("iso2022_jp")):
        text = _strictly(data, "iso2022_jp_ext")
        return _japanese(data) if text is None else text
    if meant in _EAST or (meant and meant.startswith(_ONE_BYTE)):
        text = _strictly(data, "utf-8")
        if text is not None and _speaks(text, meant in _EAST):
            return text
    order = [meant, "utf-8"] if meant is not None and meant != "cp1252" else ["utf-8", "cp1252"]
    for name in order:
        text = _strictly(data, name)
        if text is not None:
            return text
    if meant is not None and meant != "cp1252":
        loose = data.decode(meant, "replace")
        broken = loose.count("\N{REPLACEMENT CHARACTER}")
        whole = sum(not c.isascii() for c in loose) - broken
        if broken <= len(loose) // 20 or (meant == "utf-8" and broken <= whole):
            return loose
    western = _strictly(data, "cp1252")
    return data.decode("latin-1") if western is None else western


def _speaks(text: str, east: bool) -> bool:
    """Is this no chance? Few bytes of an eastern text may be UTF-8 by accident, but make no such characters."""
    wide = [c for c in text if not c.isascii()]
    return len(wide) >= 3 and all(c >= "\u0800" for c in wide) if east else len(wide) >= 2


def _codec(declared: str | None) -> str | None:
    """Python's name of what is meant; None where nothing is said, or nothing that exists as a charset of text."""
    name = (declared or "").strip().strip("\"'").lower()[:_NAME_CHARS].strip()
    if name not in _MEANT:  # other words around it, an "x-", or a page of Windows under one of its names
        name = next(iter(name.split()), "").rpartition("=")[2].removeprefix("x-")
        name = f"cp{page[1]}" if (page := _PAGE.fullmatch(name)) else name
    name = _MEANT.get(name, name)
    if not name or not name.isascii():
        return None
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    # base64, zip, rot13 and their like are codecs of Python's too, and idna and punycode are no charsets of a text
    if not getattr(found, "_is_text_encoding", False) or found.name in ("idna", "punycode", "undefined"):
        return None
    if found.name.replace("_", "-") in ("unicode-escape", "raw-unicode-escape", "mbcs", "oem"):
        return None
    return found.name


def _strictly(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeError, LookupError, ValueError):
        return None


def _japanese(data: bytes) -> str:
    """ISO-2022-JP with what Windows adds to it (encircled numbers and the like), by way of Windows' own encoding."""
    out = bytearray()
    how = b"(B"
    for at, piece in enumerate(_SHIFTED.split(data)):
        if at % 2:
            how = piece
        elif how.startswith(b"$"):
            for first, second in zip(piece[::2], piece[1::2], strict=False):
                out += _shift_jis(first, second) if min(first, second) > 32 else bytes((first, second))
        else:
            out += bytes(c | 0x80 for c in piece) if how == b"(I" else piece
    return out.decode("cp932", "replace")


def _shift_jis(first: int, second: int) -> bytes:
    """The place of a character in JIS X 0208 -> Shift JIS (JIS X 0208:1997, annex 1)."""
    odd = first & 1
    lead = (first + 1 >> 1) + (0x70 if first < 0x5F else 0xB0)
    return bytes((lead, second + (0x1F + (second > 0x5F) if odd else 0x7E)))
