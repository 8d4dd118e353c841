"""What a mail answers: our own signed token first, then In-Reply-To, then References newest first, then Thread-Index.

Never the subject alone: two people write "Invoice", and one's words would stand in the other's conversation.

Our token names a conversation and is signed with a key derived from the installation's: `v1.<conversation>.<mac>` in
lower-case base 32 letters that survive every mail program (addresses are lower-cased on the way). It stands in the
Message-ID of all we send, and so comes back in References, and where the mailbox takes +addresses in Reply-To too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from email.message import Message

from connectors.mail import headers

_MAC_BYTES = 10
_TOKEN = re.compile(r"\b(c[0-9a-v]{1,13})-([a-z2-7]{16})\b")
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
KEPT = 20  # references kept, the best first


def token(conversation_id: int, secret: str) -> str:
    """What stands for a conversation in addresses and Message-IDs: letters, digits and one hyphen."""
    number, digits = conversation_id, ""
    while number:
        number, rest = divmod(number, 32)
        digits = _DIGITS[rest] + digits
    return f"c{digits or '0'}-{_mac(conversation_id, secret)}"


def conversation(texts: Iterable[str], secrets: Sequence[str]) -> int | None:
    """The conversation that a valid token in any of `texts` names, the first found. secrets: the newest first."""
    for text in texts:
        for digits, mac in _TOKEN.findall(text[: headers.VALUE_CHARS].lower()):
            number = int(digits[1:], 32)
            if number < 1 << 63 and any(
                hmac.compare_digest(mac, _mac(number, secret)) for secret in secrets if secret
            ):
                return number
    return None


def _mac(conversation_id: int, secret: str) -> str:
    said = hmac.new(secret.encode(), b"mail reply %d" % conversation_id, hashlib.sha256).digest()[:_MAC_BYTES]
    return base64.b32encode(said).decode().lower()


def references(message: Message) -> tuple[str, ...]:
    """Message-IDs of what this mail answers, the best first, then the head of Outlook's Thread-Index."""
    answered = headers.ids(headers.every(message, "In-Reply-To"))
    above = headers.ids(headers.every(message, "References"))
    found = dict.fromkeys([*answered, *reversed(above)])
    out = list(found)[:KEPT]
    if index := thread_index(headers.raw(message, "Thread-Index")):
        out.append(index)
    return tuple(out)


def thread_index(value: str) -> str | None:
    """Outlook's name of a thread: the first 22 bytes of Thread-Index ([MS-OXOMSG], 2.2.1.3)."""
    try:
        data = base64.b64decode(value.replace(" ", ""), validate=True)
    except (binascii.Error, ValueError):
        return None
    return f"thread-index:{data[:22].hex()}" if len(data) >= 22 else None
