"""The signature of our own webhooks, both ways: `X-Mainstem-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>…]`.

v1 is HMAC-SHA256 over `t` + `.` + the raw body. docs/channels/webhook.md is the page that says so to others.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from functools import lru_cache

from hub.errors import Forged

HEADER = "X-Mainstem-Signature"
WINDOW_S = 300  # a machine's clock is seconds off, not minutes; what is replayed later is refused unread
_LONGEST = 1024  # of the header; eight signatures are 560 characters
_MOST = 8
_BLOCK_BYTES = 64  # of SHA-256
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_USUAL = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})", re.ASCII)


def sign(secret: str, body: bytes, at: int) -> str:
    """The header's value for `body`, signed at unix time `at`."""
    return f"t={at},v1={_digest(secret, str(at).encode(), body)}"


def check(header: str | None, secrets: Iterable[str], body: bytes, now_s: float) -> None:
    """Raises Forged unless one v1 of the header holds under one of `secrets`, and `t` is within WINDOW_S of now.

    The signature is looked at before the age, so that a stranger's clock proves nothing to him.
    """
    if not header:
        raise Forged(f"one {HEADER} header is needed, and there is none or more than one")
    usual = _USUAL.fullmatch(header)
    stamp, given = (usual[1].encode(), [usual[2].encode()]) if usual else _read(header)
    holds = False
    for secret in secrets:
        expected = _digest(secret, stamp, body)
        for candidate in given:
            holds |= hmac.compare_digest(expected.encode(), candidate)
    if not holds:
        raise Forged("the signature does not hold")
    if abs(now_s - int(stamp)) > WINDOW_S:
        raise Forged(f"the signature is more than {WINDOW_S} s old, or from the future")


def _digest(secret: str, stamp: bytes, body: bytes) -> str:
    if not secret:
        raise ValueError("an empty secret signs nothing")
    inner, outer = _keyed(secret)
    signed = inner.copy()
    signed.update(stamp + b"." + body)
    whole = outer.copy()
    whole.update(signed.digest())
    return whole.hexdigest()


@lru_cache(maxsize=256)
def _keyed(secret: str) -> tuple[hashlib._Hash, hashlib._Hash]:
    """HMAC's two hashes (RFC 2104) with the secret already taken in: half of what a short body's signature costs; and
    hmac's own object costs as much again."""
    key = secret.encode()
    key = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\x00")
    return hashlib.sha256(key.translate(_INNER)), hashlib.sha256(key.translate(_OUTER))


def _read(header: str) -> tuple[bytes, list[bytes]]:
    """(t as it was written, every v1). Other keys are left to later versions."""
    stamp = b""
    given: list[bytes] = []
    if len(header) <= _LONGEST and header.isascii():
        for part in header.split(","):
            key, _, value = part.strip().partition("=")
            if key == "t" and value.isdigit() and len(value) <= 12 and not stamp:
                stamp = value.encode()
            elif key == "t":
                raise Forged(f"{HEADER}: t must stand there once, in whole unix seconds")
            elif key == "v1" and len(given) < _MOST:
                given.append(value.encode())
    if not stamp or not given:
        raise Forged(f"{HEADER} must look like t=<unix seconds>,v1=<hex>")
    return stamp, given
