"""Writes a winmail.dat ([MS-OXTNEF]): a text, and files under their long names.

python -m tests.connectors.mail.winmail > winmail.dat
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence

_SIGNATURE, _KEY = 0x223E9F78, 0x1234
_MESSAGE, _ATTACHMENT = 1, 2
_BODY, _CODEPAGE, _RENDER, _TITLE, _DATA, _PROPERTIES = (
    0x0002800C,
    0x00069007,
    0x00069002,
    0x00018010,
    0x0006800F,
    0x00069005,
)
_LONG_NAME, _UNICODE, _CONTENT, _OBJECT = 0x3707, 0x001F, 0x3701, 0x000D


def build(
    text: str, files: Sequence[tuple[str, bytes]], codepage: int = 1252, *, objects: bool = False
) -> bytes:
    """`text` in `codepage`; each file has a short name as old programs wrote it, and its own as a property.

    objects: its content is a property too, as Outlook writes what another program put into a mail.
    """
    out = [struct.pack("<IH", _SIGNATURE, _KEY)]
    out.append(_attribute(_MESSAGE, _CODEPAGE, struct.pack("<II", codepage, 0)))
    if text:
        out.append(_attribute(_MESSAGE, _BODY, text.encode(f"cp{codepage}") + b"\0"))
    for name, data in files:
        long_name = name.encode("utf-16-le") + b"\0\0"
        held = struct.pack("<IHHII", 1 + objects, _UNICODE, _LONG_NAME, 1, len(long_name))
        held += long_name + b"\0" * (-len(long_name) % 4)
        if objects:
            held += struct.pack("<HHII", _OBJECT, _CONTENT, 1, 16 + len(data))
            held += bytes(range(16)) + data + b"\0" * (-len(data) % 4)
        out.append(_attribute(_ATTACHMENT, _RENDER, struct.pack("<HIHHI", 1, 0xFFFFFFFF, 0, 0, 0)))
        out.append(_attribute(_ATTACHMENT, _TITLE, b"SHORT~1.TXT\0"))
        if not objects:
            out.append(_attribute(_ATTACHMENT, _DATA, data))
        out.append(_attribute(_ATTACHMENT, _PROPERTIES, held))
    return b"".join(out)


def _attribute(level: int, name: int, value: bytes) -> bytes:
    return struct.pack("<BII", level, name, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


if __name__ == "__main__":
    sys.stdout.buffer.write(build("Please see the list.", [("Liste für März.txt", b"cups\nplates\n")]))
