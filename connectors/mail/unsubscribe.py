"""The way out that bulk mail carries (RFC 2369, 3.2) and mail programs use by one click (RFC 8058).

The link names the address and the delivery and is signed, so that nobody can unsubscribe others. What a person or a
mail program POSTs to it becomes a ConsentChanged; a GET only shows a button, because programs that look links over
for viruses follow them all (RFC 8058, 1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import re
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from connectors.base import Answer, Parsed, Raw
from hub import urn
from hub.config import Account
from hub.errors import Forged
from hub.model import ConsentChanged

SCOPE = "marketing"  # a person who wants no newsletter still wants the answer to a question
_MAC_BYTES = 16
_TOKEN = re.compile(r"([0-9]{1,19})\.([A-Za-z0-9_-]{4,600})\.([0-9a-f]{32})", re.ASCII)
_WORDING = "unsubscribed by the link of a mail"


def link(public_url: str, account: Account, to: str, delivery_id: int) -> str:
    """The address at which `to` (a URN) leaves. The same for every attempt of one delivery."""
    given = base64.urlsafe_b64encode(to.encode()).decode().rstrip("=")
    mac = _mac(account.secrets["token"][0], account.key, to, delivery_id)
    name = quote(account.name, safe="")
    return f"{public_url}/in/mail/{name}/unsubscribe/{delivery_id}.{given}.{mac}"


def read(url: str, account: Account) -> tuple[str, int]:
    """(who leaves, by which delivery's link). Raises Forged."""
    rest = urlsplit(url).path.split("/")[4:]
    found = _TOKEN.fullmatch(rest[1]) if len(rest) == 2 and rest[0] == "unsubscribe" else None
    if found is None:
        raise Forged("this is no link to unsubscribe by")
    delivery_id, given = int(found[1]), found[2]
    try:
        to = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode()
    except (binascii.Error, ValueError):
        raise Forged("this is no link to unsubscribe by") from None
    # One spelling: what was cut, padded or written otherwise is not what we signed.
    if str(delivery_id) != found[1] or base64.urlsafe_b64encode(to.encode()).decode().rstrip("=") != given:
        raise Forged("this is no link to unsubscribe by")
    if not _holds(account.secrets.get("token", ()), account.key, to, delivery_id, found[3]):
        raise Forged("the link's signature does not hold")
    return to, delivery_id


def parsed(raw: Raw, account: Account) -> Parsed:
    """A POST says that they leave, whatever its body (RFC 8058 asks for List-Unsubscribe=One-Click, ours for none)."""
    to, delivery_id = read(raw.url, account)
    if raw.method != "POST":
        return Parsed()
    event = ConsentChanged(
        account=account.key,
        event_key=f"unsubscribe:{delivery_id}:{hashlib.sha256(to.encode()).hexdigest()[:16]}",
        received_at=raw.received_at,
        urn=to,
        granted=False,
        scope=SCOPE,
        wording=_WORDING,
    )
    return Parsed(events=(event,))


def answer(raw: Raw, account: Account) -> Answer:
    to, _ = read(raw.url, account)
    who = html.escape(
        str(account.settings.get("name") or account.address or account.title).replace("{agent}", "")
    )
    shown = html.escape(urn.display(to))
    if raw.method == "POST":
        said = f"<h1>You are unsubscribed</h1><p>{who} sends no more news to {shown}.</p>"
    else:
        said = (
            f"<h1>No more news from {who}?</h1><p>To {shown}. Answers to your own questions still come.</p>"
            '<form method="post"><button>Unsubscribe</button></form>'
        )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Unsubscribe</title><body>{said}</body></html>"
    )
    return Answer(body=page.encode(), content_type="text/html", headers=_HEADERS)


_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def _mac(secret: str, account_key: str, to: str, delivery_id: int) -> str:
    said = f"mail unsubscribe\n{account_key}\n{delivery_id}\n{to}".encode()
    return hmac.new(secret.encode(), said, hashlib.sha256).digest()[:_MAC_BYTES].hex()


def _holds(secrets: Sequence[str], account_key: str, to: str, delivery_id: int, given: str) -> bool:
    holds = False
    for secret in secrets:
        if secret:  # an empty one signs nothing
            holds |= hmac.compare_digest(_mac(secret, account_key, to, delivery_id), given)
    return holds
