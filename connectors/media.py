"""What we think of a file somebody sent: its real type by its first bytes, and a name that is safe to show.

Pure: bytes and a name in, a verdict out. Nothing is unpacked, decoded or rendered, so an archive or image bomb is
only a file of its own size. Whoever serves a file again does so as an attachment, with `nosniff`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

NAME_BYTES = 200  # most file systems take 255, and a desk may add a suffix
OCTETS = "application/octet-stream"

# (where, first bytes, type). https://mimesniff.spec.whatwg.org/ and the formats' own pages.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"%PDF-", "application/pdf"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypheix", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp3g", "video/3gpp"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"\xff\xf9", "audio/aac"),
    (0, b"fLaC", "audio/flac"),
    (0, b"caff", "audio/x-caf"),
    (0, b"OggS", "audio/ogg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
)
# Programs, whatever they are called.
_PROGRAMS = (
    b"MZ",
    b"\x7fELF",
    b"#!",
    b"\xca\xfe\xba\xbe",
    b"\xfe\xed\xfa",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
)

# Containers whose bytes do not say what is in them: the name's ending chooses among these and no others.
_IN_CONTAINER = {
    "application/zip": {
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "odt": "application/vnd.oasis.opendocument.text",
        "ods": "application/vnd.oasis.opendocument.spreadsheet",
        "odp": "application/vnd.oasis.opendocument.presentation",
    },
    "application/x-ole-storage": {
        "doc": "application/msword",
        "xls": "application/vnd.ms-excel",
        "ppt": "application/vnd.ms-powerpoint",
        "msg": "application/vnd.ms-outlook",
    },
}
# Endings that a double click runs, or that a browser renders as a page (with script in it).
_RUNS = frozenset(
    [
        "apk",
        "app",
        "bat",
        "cmd",
        "com",
        "cpl",
        "dll",
        "dmg",
        "exe",
        "gadget",
        "hta",
        "htm",
        "html",
        "inf",
        "iso",
        "jar",
        "js",
        "jse",
        "lnk",
        "msi",
        "msp",
        "mht",
        "mhtml",
        "ps1",
        "psm1",
        "pif",
        "reg",
        "scf",
        "scr",
        "sct",
        "sh",
        "shtml",
        "svg",
        "svgz",
        "swf",
        "url",
        "vb",
        "vbe",
        "vbs",
        "wsc",
        "wsf",
        "wsh",
        "xht",
        "xhtml",
        "xml",
        "xsl",
    ]
)
# Containers of films that hold recordings, too.
_HEARD = {
    "video/mp4": "audio/mp4",
    "video/3gpp": "audio/3gpp",
    "video/webm": "audio/webm",
    "video/quicktime": "audio/mp4",
}
# What a file without a name is called.
_ENDINGS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/avif": "avif",
    "image/tiff": "tif",
    "audio/wav": "wav",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/flac": "flac",
    "audio/webm": "weba",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/3gpp": "3gp",
    "video/quicktime": "mov",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/gzip": "gz",
    "text/plain": "txt",
}
_MARKUP = re.compile(rb"<(?:!doctype|html|head|body|script|svg|iframe|\?xml|!--)", re.IGNORECASE)
_RESERVED = re.compile(r"^(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?$", re.IGNORECASE)  # Windows opens devices


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`name` is safe to show and to save, `content_type` is what the bytes are.

    refused: why the file should not be taken from a stranger, one sentence; None where nothing speaks against it.
    """

    name: str
    content_type: str
    refused: str | None = None


def is_page(data: bytes) -> bool:
    """Is this markup or an API's answer: what stands where a picture or a recording should, when something is wrong?"""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith((b"{", b"[", b"<")) and sniff(data) in (OCTETS, "text/plain")


def inspect(name: str, data: bytes, *, kind: str = "file") -> Verdict:
    """The verdict on a file. What the sender says its type is counts for nothing, so it is not asked.

    kind: what the message calls it; it names a file that has no name, and tells a recording from a film in containers
    that hold both.
    """
    safe = safe_name(name) if name else _named(kind, data)
    ending = safe.rpartition(".")[2].lower() if "." in safe else ""
    if data.startswith(_PROGRAMS):
        return Verdict(name=_harmless(safe), content_type=OCTETS, refused="Programs are not taken.")
    content_type = sniff(data, ending)
    if kind == "audio":
        content_type = _HEARD.get(content_type, content_type)
    if ending in _RUNS:
        return Verdict(
            name=_harmless(safe), content_type=OCTETS, refused=f"Files ending in .{ending} are not taken."
        )
    return Verdict(name=safe, content_type=content_type)


def _named(kind: str, data: bytes) -> str:
    sniffed = sniff(data)
    if kind == "audio":
        sniffed = _HEARD.get(sniffed, sniffed)
    ending = _ENDINGS.get(sniffed, "")
    stem = kind if kind.isascii() and kind.isalpha() else "file"
    return f"{stem}.{ending}" if ending else stem


def sniff(data: bytes, ending: str = "") -> str:
    """The media type by the first bytes; `ending` (no dot, lower case) only chooses within a container."""
    for at, magic, content_type in _MAGIC:
        if data.startswith(magic, at):
            return _IN_CONTAINER.get(content_type, {}).get(ending, content_type)
    head = data[:1024]
    if not head or _MARKUP.search(head) or any(byte < 9 or 13 < byte < 27 for byte in head):
        return OCTETS
    try:
        data[:65536].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 65536) - 4:  # else only a character cut in two
            return OCTETS
    return "text/csv" if ending == "csv" else "text/plain"


def safe_name(name: str) -> str:
    """The last part of `name`, without controls, direction marks, or what a file system would trip over.

    Never empty, never hidden, at most NAME_BYTES bytes of UTF-8; the ending survives the cut.
    """
    name = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    name = re.split(r"[/\\]", name)[-1]
    # Cf has the direction overrides that make "gpj.exe" look like "exe.jpg"; Cc the controls, Zl and Zp line breaks.
    name = "".join(
        c for c in name if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    )
    name = re.sub(r'[<>:"|?*]', "_", name)
    name = re.sub(r"\s+", " ", name).strip(". ")
    if not name:
        return "file"
    if _RESERVED.match(name):
        name = f"_{name}"
    return _cut(name)


def _cut(name: str) -> str:
    if len(name.encode()) <= NAME_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 16:
        stem, dot, ending = name, "", ""
    room = NAME_BYTES - len((dot + ending).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + dot + ending


def _harmless(name: str) -> str:
    """A name under which nothing runs by a double click."""
    return _cut(f"{name[:150]}.bin")
