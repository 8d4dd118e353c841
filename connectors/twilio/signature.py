"""X-Twilio-Signature, and the form that it covers.

https://www.twilio.com/docs/usage/webhooks/webhooks-security: base64 of HMAC-SHA1, keyed with the auth token, over the
address as it was called and each parameter's name and value, sorted; a body that is no form is covered by bodySHA256 in
the address. The scheme has no time: a request that is sent again is told by its event keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

from connectors.base import Raw
from hub.errors import Forged

HEADER = "x-twilio-signature"
FORM = "application/x-www-form-urlencoded"
_PORTS = {"https": 443, "http": 80}
_REMEMBERED_BYTES = 64 * 1024  # of a body whose form is remembered until it is parsed

Pairs = list[tuple[str, str]]


def form(body: bytes) -> Mapping[str, str]:
    """The parameters by name, empty ones too; of a name that is given twice, the last value."""
    return (_once(body) if len(body) <= _REMEMBERED_BYTES else _both(body))[0]


def pairs(body: bytes) -> Pairs:
    """As urllib's parse_qsl with blank values kept, at half its cost: Twilio's names and most values are plain."""
    found = []
    for pair in body.decode("utf-8", "replace").split("&"):
        if pair:
            name, _, value = pair.partition("=")
            if "+" in value:
                value = value.replace("+", " ")
            if "%" in value:  # of a number only its plus is written so
                plain = value.replace("%2B", "+")
                value = unquote(value) if "%" in plain else plain
            if "%" in name or "+" in name:
                name = unquote_plus(name)
            found.append((name, value))
    return found


def _both(body: bytes) -> tuple[dict[str, str], bytes]:
    """(by name, as they are signed)."""
    given = pairs(body)
    named = dict(given)
    rows = sorted(named.items() if len(named) == len(given) else set(given))
    return named, "".join([name + value for name, value in rows]).encode("utf-8", "replace")


# verify and parse are handed the same body one after the other, and reading it is most of what either costs.
_once = lru_cache(maxsize=4)(_both)


def check(raw: Raw, tokens: Sequence[str]) -> None:
    """Raises Forged unless one of `tokens` signed this. In constant time for each.

    Tried with the address as it was called, then with the port left out or said: what a proxy in front makes of the
    port differs, and so does what Twilio signs (its own libraries try both).
    """
    given = raw.header(HEADER)
    if not given:
        raise Forged("X-Twilio-Signature is missing, or stands there twice")
    proof = given.encode("utf-8", "replace")
    said = _covered(raw)
    for url in _spellings(raw.url):
        signed = url.encode("utf-8", "replace") + said
        for token in tokens:
            made = base64.b64encode(hmac.digest(token.encode(), signed, "sha1"))
            if hmac.compare_digest(made, proof) and token:
                return
    raise Forged("X-Twilio-Signature does not hold: is the address the very one that Twilio was given?")


def _covered(raw: Raw) -> bytes:
    """What is signed after the address. Raises Forged where a body is not the one that the address names."""
    if "bodySHA256=" in raw.url and not (raw.header("content-type") or "").startswith(FORM):
        named = dict(parse_qsl(urlsplit(raw.url).query)).get("bodySHA256", "")
        if not hmac.compare_digest(hashlib.sha256(raw.body).hexdigest().encode(), named.lower().encode()):
            raise Forged("the body is not the one that bodySHA256 names")
        return b""
    return (_once(raw.body) if len(raw.body) <= _REMEMBERED_BYTES else _both(raw.body))[1]


def _spellings(url: str) -> Iterator[str]:
    yield url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return
    host = parts.netloc
    if port is not None:
        yield parts._replace(netloc=host.rpartition(":")[0]).geturl()
    elif default := _PORTS.get(parts.scheme):
        yield parts._replace(netloc=f"{host}:{default}").geturl()
