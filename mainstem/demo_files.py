"""What simulated customers send besides words: a picture, a voice note and a sticker, made here from nothing."""

from __future__ import annotations

import base64
import struct
import zlib
from functools import cache

WIDE, HIGH = 360, 240
_COLOURS = ((0xC8, 0x96, 0x5A), (0x5A, 0x8F, 0xC8), (0x7A, 0xB0, 0x6B))
VARIANTS = len(_COLOURS)


@cache
def picture(variant: int = 0) -> bytes:
    """A PNG of a parcel on a table."""
    box = _COLOURS[variant % VARIANTS]
    rows = bytearray()
    for y in range(HIGH):
        rows.append(0)  # no filter
        for x in range(WIDE):
            rows += bytes(_pixel(x, y, box))
    head = struct.pack(">IIBBBBB", WIDE, HIGH, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _pixel(x: int, y: int, box: tuple[int, int, int]) -> tuple[int, int, int]:
    left, right, top, bottom = 95, 265, 70, 190
    if left <= x < right and top <= y < bottom:
        if abs(x - (left + right) // 2) < 11:
            return 0xE8, 0xDC, 0xB8  # tape
        if right - 62 <= x < right - 14 and bottom - 44 <= y < bottom - 12:
            return (0x55, 0x55, 0x55) if y % 8 < 2 and x < right - 22 else (0xFA, 0xFA, 0xFA)  # its label
        light = 1.08 - 0.3 * (y - top) / (bottom - top)
        return _times(box, light)
    if y >= 175:
        return _times((0x8A, 0x6F, 0x55), 1.15 - 0.3 * (y - 175) / (HIGH - 175))  # the table
    return _times((0xDD, 0xE6, 0xEE), 1.05 - 0.2 * y / HIGH)


def _times(colour: tuple[int, int, int], light: float) -> tuple[int, int, int]:
    red, green, blue = (min(255, int(part * light)) for part in colour)
    return red, green, blue


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def voice(seconds: int = 4) -> bytes:
    """An Ogg with Opus (RFC 7845) in which nobody says anything: frames of 20 ms of silence."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 9) + b"simulated" + struct.pack("<I", 0)
    silence = b"\xf8\xff\xfe"  # CELT, full band, 20 ms, mono: nothing
    pages = [_page(0, 2, 0, [head]), _page(1, 0, 0, [tags])]
    for second in range(seconds):
        last = 4 if second == seconds - 1 else 0
        pages.append(_page(2 + second, last, (second + 1) * 48_000, [silence] * 50))
    return b"".join(pages)


def _page(number: int, flags: int, granule: int, packets: list[bytes]) -> bytes:
    """RFC 3533, section 6; every packet is shorter than 255 bytes."""
    lacing = bytes(len(packet) for packet in packets)
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 0x51, number, 0, len(packets))
    page += lacing + b"".join(packets)
    return page[:22] + struct.pack("<I", _crc(page)) + page[26:]


def _crc(data: bytes) -> int:
    """Ogg's own: polynomial 0x04C11DB7, from the highest bit, nothing inverted."""
    sum_ = 0
    for byte in data:
        sum_ ^= byte << 24
        for _ in range(8):
            sum_ = (sum_ << 1) ^ 0x04C11DB7 if sum_ & 0x80000000 else sum_ << 1
            sum_ &= 0xFFFFFFFF
    return sum_


@cache
def sticker() -> bytes:
    """A WebP of a smiling face."""
    return base64.b64decode(_FACE)


_FACE = (
    "UklGRswEAABXRUJQVlA4WAoAAAAQAAAAXwAAXwAAQUxQSOkCAAANkEbbtqk3O7bxqbZtu+Gn2rZt27btNk5t2zbfFzSsrYd7T/UvIiYA/1N1Kn"
    "+VP+Islrhn5GQ2187s742f+qtU/rpEy5Nd2x8RYVVar3eFZB9VxtrmtPCIM1+4CzKEQP4CBn2GyB27eHJu0QtKa/SmrNPXvObEr1czMJmrd/Cq"
    "WfE8VB0PZr07hQw+wJx6hgosZ18i9BbYqjkLrDca2mcnQzbjioJ977UXh31ixWkzuLQaWLrxazbco8BrSB9jCgu6LeC31LRGT5XLtxw8F1zU7J"
    "5S3gvBd8YxbT8q4xAO3is07KrMIvDfwWqhEh1B4eyYnfIVa0mC3Zrht+XyWAEaPdY0TZVpEqjM3WS4PMWLkoEOux7KshB0Oo4cKIcRlDa4dlWG"
    "4aRgal9pRtBa+91BScOJwZhhUoygtoJvmIQAclDlIHUBO8XlAb25rW6KMhIEY9jvRJ2JolJPXogwgmIrfbiIMiShyEURaprUAnVZHorIQp2jA0"
    "0e797+Qg2i1cIvslCV5eEv1FSphd8G/YKaKOHfSbKTA0kpX34FQU2SgN/IxSIkXRQTZiRpp5j95R0Ien9EzPvjVQg6ANE7AwgKI2+nuJtWucm5"
    "BYk7A8gJI2+npGy5iDn+XgomDCJmCCSvqa4lZRekf5rej5Q+MmB+9dyEbIKc77svpOPTYFlw0NKAjKWQuccgNRG3l8hl6bPamoTUxpB93/FhFH"
    "xoDAVHBZQmoDuU/GKakJe7RV8UgdB4WVbOjm2AwkLjdRqunnSD4g9DFpfj6GRHMPjS3LAjN0tXg8kP3b/Ms+HiUwcwu2j7eh8OEhuC4X391+Vh"
    "7lYjMP3IFDTAjam0yVFg/M305X3b2TLzcclUcBg/4tB4AyMRg8Dp7f7xs0owcLYHOD7ew9ccolHkRdSWJPC9c3u0NlRfRKaLkZHPQOCXc5ER8X"
    "p9VQcJ7w5EhoPQZxERB1y9vLw8vbyQlJSclJSUDnoTk5KSkpOS8M8ZAFZQOCC8AQAAkA0AnQEqYABgAD9xqL9atK0mJDD1GtKQLglsAMcuCOA+"
    "TdJBhXT6SFWxo/NSZM698DiBq08hEK8GPTkoB33yKIuyEYIrtWQUle0926mKqjpC6YNkVse9Pj4Vo5EkQNPxlDkP8jFpXONvrxRFIvQAKGtEu9"
    "MAAP7w1MItH/of+B3/+aPH3vMcqF5cwy982sOKowWHb976fbZM85UK4MFfrBJ0nnb1IyQbK/f2x/br//mkHtSTV0O2EE32MV4I/kIL8FgFM2w1"
    "KIoZhRf/bn2/y84i0S3tz190wHDINfdHynnyzSyh/Ws9OcdS/ElBrqvRQ/WYSJlaBREg/SFeLLpmipec6pOgH7Jn+Wz2iCF8r/+368V5OtiICy"
    "s7IpmJ9lsJursdTO7ot2JKRH5NgrcSJYeEtbSMf2P547TTySbzmv1amNAAQoc3BQH2d6z4Au7/fDCzdRBM4lueuIXe9WAEiHNNY0D0WkQU0wsv"
    "d5L3RO169DGx2YsLi36woqUK4HYN/Om1wgXY4QR/C4SRC08FsP2WKIhpAK914HckCWB6C7xRCmn9oRw1TszCqAd9+4Y9EKs56233uhaa4BAA"
)
