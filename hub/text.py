"""Small things about text that every room needs the same way."""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

# GSM 03.38 (3GPP TS 23.038, 6.2.1): one septet each; those of the extension table cost two.
GSM = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_TWO = "^{}\\[~]|€\f"
_GSM, _GSM_TWO = frozenset(GSM), frozenset(GSM_TWO)

# PostgreSQL takes no NUL, and no other control character but tab and newline means anything in a message.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text is as SMS. `gsm`: 7-bit; otherwise UCS-2. `units` of at most 160 or 70 in one, 153 or 67 in more."""

    count: int
    units: int
    gsm: bool


def segments(text: str) -> Segments:
    """How many SMS `text` takes (3GPP TS 23.040, 9.2.3.24.1). An empty text takes one.

    A character that takes two units is never split over two parts, so the last places of a part may stay empty.
    """
    gsm = all(c in _GSM or c in _GSM_TWO for c in text)
    costs = [2 if c in _GSM_TWO else 1 for c in text] if gsm else [1 + (ord(c) > 0xFFFF) for c in text]
    units = sum(costs)
    alone, each = (160, 153) if gsm else (70, 67)
    if units <= alone:
        return Segments(1, units, gsm)
    if 2 not in costs:
        return Segments(math.ceil(units / each), units, gsm)
    count, used = 1, 0
    for cost in costs:
        if used + cost > each:
            count, used = count + 1, 0
        used += cost
    return Segments(count, units, gsm)


def clip(text: str, chars: int) -> str:
    """The first `chars` characters, the last of them an ellipsis where there was more; a base keeps its accents."""
    if len(text) <= chars:
        return text
    kept = text[: max(chars - 1, 0)]
    while kept and unicodedata.combining(text[len(kept)]):
        kept = kept[:-1]
    return kept.rstrip() + "…" if chars > 0 else ""


def fold(text: str) -> str:
    """For comparing what people typed: no case, no accents, no full-width forms, single spaces."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(c for c in apart if not unicodedata.combining(c))
    return " ".join(plain.split())


def storable(text: str) -> str:
    """`text` as every store of ours takes it: one kind of newline, no other control characters, no half surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSTORABLE.sub("", text)
