"""Links to files that end by themselves: for channels that take an address in place of the bytes.

`{public}/file/{token}/{name}`: the token holds the file's sha256, its type and its end, under an HMAC by a key of the
installation's, which covers the name, too. Nothing is kept: whoever has the link has the file until then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from hub.model import Attachment
from hub.secrets import derive

PATH = "/file"
_MAC_BYTES = 16
_LONGEST = 400  # of a token
_NAME_CHARS = 120
_ROUND_S = 3600  # ends fall on full hours, so that another try of the same message says the same link


@dataclass(frozen=True, kw_only=True, slots=True)
class Linked:
    """What a link that holds names."""

    sha256: str
    content_type: str
    name: str


class Links:
    """The links of one installation. `key`: hub.secrets.load_key's."""

    def __init__(self, key: bytes, public_url: str, days: int) -> None:
        self._key = bytes.fromhex(derive(key, "file-links"))
        self._public_url, self._lasts = public_url.rstrip("/"), timedelta(days=days)

    def make(self, file: Attachment, now: datetime) -> str:
        """An address for this file that holds for the configured days, and for an hour more at most."""
        ends = -(-int((now + self._lasts).timestamp()) // _ROUND_S) * _ROUND_S
        name = _plain(file.name)
        what = bytes.fromhex(file.sha256) + ends.to_bytes(6, "big") + file.content_type.encode()[:120]
        token = base64.urlsafe_b64encode(self._mac(what, name) + what).rstrip(b"=").decode()
        return f"{self._public_url}{PATH}/{token}/{quote(name, safe='')}"

    def read(self, token: str, name: str, now: datetime) -> Linked | None:
        """What a link names; None where it does not hold or has ended. Looks nothing up."""
        if len(token) > _LONGEST or not token.isascii():
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        mac, what = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        # The last character of Base64 has spare bits, so one file has one token and no other spelling of it.
        if len(what) < 38 or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
            return None
        if not hmac.compare_digest(mac, self._mac(what, name)):
            return None
        if int.from_bytes(what[32:38], "big") <= now.timestamp():
            return None
        return Linked(sha256=what[:32].hex(), content_type=what[38:].decode(), name=name)

    def _mac(self, what: bytes, name: str) -> bytes:
        said = len(what).to_bytes(4, "big") + what + name.encode("utf-8", "surrogatepass")
        return hmac.new(self._key, said, hashlib.sha256).digest()[:_MAC_BYTES]


def _plain(name: str) -> str:
    """Letters, digits and what else stands in an address without being escaped; the ending is kept."""
    flat = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip("._") or "file"
    if len(flat) > _NAME_CHARS:
        stem, dot, ending = flat.rpartition(".")
        flat = (stem[: _NAME_CHARS - 20] + dot + ending[:16]) if dot else flat[:_NAME_CHARS]
    return flat
