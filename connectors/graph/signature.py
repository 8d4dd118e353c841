"""How Meta proves itself: a handshake when the address is entered, then a signature with every notification.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started: X-Hub-Signature-256 is "sha256=" and, in lower
case hex, the HMAC-SHA256 of the payload keyed with the app's secret. What is signed are the bytes on the wire, in which
characters beyond ASCII, / < % and @ are escaped: reading the JSON and writing it again gives other bytes. The scheme
has no time; a request that is sent again is told by its event keys.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from connectors.base import Answer, Raw
from hub.config import Account
from hub.errors import Forged

HEADER = "x-hub-signature-256"
_DIGITS = 64
_CHALLENGE_CHARS = 200  # Meta's are some ten digits


def verify(raw: Raw, account: Account) -> None:
    """Raises Forged unless it is a notification, or the handshake, of the app that this account names."""
    if is_handshake(raw):
        check_handshake(raw, account.secrets.get("verify_token", ()))
    else:
        check(raw, account.secrets["app_secret"])


def check(raw: Raw, secrets: Iterable[str]) -> None:
    """Raises Forged unless one of the app's `secrets` signed these very bytes. In constant time for each."""
    given = raw.header(HEADER)
    if given is None:
        raise Forged("X-Hub-Signature-256 is missing, or stands there twice")
    scheme, _, digits = given.partition("=")
    if scheme != "sha256" or len(digits) != _DIGITS or not digits.isascii():
        raise Forged("X-Hub-Signature-256 must look like sha256=<64 hexadecimal digits>")
    holds = False
    for secret in secrets:
        made = hmac.digest(secret.encode(), raw.body, hashlib.sha256).hex()
        holds |= bool(secret) and hmac.compare_digest(made, digits)
    if not holds:
        raise Forged("X-Hub-Signature-256 does not hold: is the app secret that of the app that calls?")


def is_handshake(raw: Raw) -> bool:
    return raw.method == "GET"


def check_handshake(raw: Raw, tokens: Iterable[str]) -> None:
    """Raises Forged unless the GET is Meta's "subscribe" with a verify token of ours."""
    query = _query(raw)
    given = query.get("hub.verify_token", "").encode()
    holds = False
    for token in tokens:
        holds |= bool(token) and hmac.compare_digest(token.encode(), given)
    if not holds:
        raise Forged("the verify token is not the one that this account names")
    if query.get("hub.mode") != "subscribe" or not _sane(query.get("hub.challenge", "")):
        raise Forged("this is no handshake of Meta's: hub.mode must be subscribe, with a hub.challenge")


def answer(raw: Raw) -> Answer:
    """The challenge and no more to a handshake, else an empty 200: "200 OK to all notifications"."""
    return Answer(body=_query(raw)["hub.challenge"].encode()) if is_handshake(raw) else Answer()


def _query(raw: Raw) -> dict[str, str]:
    """What stands in it once; a parameter that is given twice proves nothing."""
    try:
        pairs = parse_qsl(urlsplit(raw.url).query, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise Forged("the address cannot be read") from None
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _sane(challenge: str) -> bool:
    """It is said back as it came, so it may be nothing that a browser could take for more than a word."""
    return 0 < len(challenge) <= _CHALLENGE_CHARS and challenge.isascii() and challenge.isalnum()
