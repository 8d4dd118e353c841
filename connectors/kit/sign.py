"""How a provider signs, as data: a check can sign a changed request, and captures need not be signed by hand."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from connectors.base import Raw
from hub.config import Account


@dataclass(frozen=True, kw_only=True)
class Sign:
    """secret: the purpose whose newest secret is the key. hash: `sha1`, `sha256`, `sha512`.

    over: what is signed, in order: `body`, `url` (the whole address), `form` (the body's parameters sorted by name,
    each name followed by its value), `time` (unix seconds); anything else stands for itself.
    write: what the proof looks like; `{hex}`, `{base64}` and `{time}` are filled in.
    """

    secret: str
    hash: str = "sha256"
    over: tuple[str, ...] = ("body",)
    write: str = "{hex}"

    def make(self, raw: Raw, account: Account) -> str:
        """The proof of `raw`, signed when it was received."""
        at = str(int(raw.received_at.timestamp()))
        signed = b"".join(_PARTS[part](raw, at) if part in _PARTS else part.encode() for part in self.over)
        digest = hmac.digest(account.secrets[self.secret][0].encode(), signed, self.hash)
        return self.write.format(hex=digest.hex(), base64=base64.b64encode(digest).decode(), time=at)


def _form(raw: Raw, at: str) -> bytes:
    pairs = parse_qsl(raw.body.decode("utf-8", "replace"), keep_blank_values=True)
    return "".join(name + value for name, value in sorted(set(pairs))).encode()


_PARTS: dict[str, Callable[[Raw, str], bytes]] = {
    "body": lambda raw, at: raw.body,
    "url": lambda raw, at: raw.url.encode(),
    "form": _form,
    "time": lambda raw, at: at.encode(),
}
