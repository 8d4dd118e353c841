"""How many segments a text costs. https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding and
https://www.twilio.com/docs/glossary/what-sms-character-limit: 160 or 70 characters alone, 153 or 67 each in a row."""

from typing import Final

# GSM 03.38, the basic table and the one behind the escape.
BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED: Final = frozenset("\f^{}\\[~]|€")


def is_gsm7(text: str) -> bool:
    return all(char in BASIC or char in EXTENDED for char in text)


def segments(text: str) -> int:
    """At least 1. A character of two units (an escape, a surrogate pair) is not torn apart between segments."""
    if is_gsm7(text):
        return _count([2 if char in EXTENDED else 1 for char in text], 160, 153)
    return _count([len(char.encode("utf-16-le")) // 2 for char in text], 70, 67)


def _count(units: list[int], alone: int, each: int) -> int:
    if sum(units) <= alone:
        return 1
    count, left = 1, each
    for unit in units:
        if unit > left:
            count, left = count + 1, each
        left -= unit
    return count
