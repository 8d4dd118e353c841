"""A channel like Graph's, for the checks themselves: a handshake, a signature over the body, many events in it."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import structs

from connectors import clean, fits
from connectors.base import Answer, Parsed, Raw, Wire
from hub import urn
from hub.config import Account
from hub.errors import Forged, Malformed, SendCode, SendError
from hub.limits import Limits
from hub.model import MessageReceived, Outgoing, Sent, Unreadable


class Batch:
    """`spoilt`: what it does wrong."""

    name = "batch"
    title = "Batch"
    urn_scheme = "batch"
    secrets = ("app", "verify")
    limits = Limits(text_chars=100, attachments=0, attachment_bytes=0, source="docs/none.md")
    bad_signature = 403
    unknown_account = 200
    unavailable = Answer(status=503)
    methods = ("GET", "POST")
    derives = False
    spoilt = ""

    def check(self, account: Account) -> list[str]:
        return [f"there is no {name}" for name in account.settings if name != "page"]

    def own_id(self, account: Account) -> str:
        return str(account.settings["page"])

    def verify(self, raw: Raw, account: Account) -> None:
        if raw.method == "GET":
            given = [
                value for name, value in parse_qsl(urlsplit(raw.url).query) if name == "hub.verify_token"
            ]
            if self.spoilt == "handshake" or (
                len(given) == 1 and any(given[0] == s for s in account.secrets["verify"] if s)
            ):
                return
            raise Forged("the token does not hold")
        made = [
            f"sha256={hmac.digest(s.encode(), raw.body, 'sha256').hex()}" for s in account.secrets["app"] if s
        ]
        if raw.header("x-hub-signature-256") not in made:
            raise Forged("the signature does not hold")

    def parse(self, raw: Raw, account: Account) -> Parsed:
        if raw.method == "GET":
            return Parsed()
        try:
            entries = json.loads(raw.body)["entry"]
            assert isinstance(entries, list)
        except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
            raise Malformed("this is no batch") from None
        events: dict[str, MessageReceived | Unreadable] = {}
        blobs = []
        for entry in entries:
            try:
                found = self._entry(entry, raw, account)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                if self.spoilt == "batch":
                    raise Malformed("one is bad") from error
                blobs.append(json.dumps(entry).encode())
                sha = hashlib.sha256(blobs[-1]).hexdigest()
                found = Unreadable(
                    account=account.key,
                    event_key=sha,
                    received_at=raw.received_at,
                    reason="telepathy",
                    blob=sha,
                )
            if found is not None:
                key = f"{found.event_key}{len(events) if self.spoilt == 'twice' else ''}"
                events.setdefault(key, structs.replace(found, event_key=key))
        kept = {e.blob for e in events.values()}
        return Parsed(
            events=tuple(events.values()),
            blobs=tuple(b for b in blobs if hashlib.sha256(b).hexdigest() in kept),
        )

    def _entry(self, entry: Any, raw: Raw, account: Account) -> MessageReceived | None:
        to = account.siblings.get(str(entry["id"]))
        if to is None and self.spoilt != "anothers":
            return None
        if not isinstance(entry["mid"], str) or not entry["mid"] or not isinstance(entry["text"], str):
            raise ValueError("it has no text")
        return MessageReceived(
            account=to or account.key,
            event_key=clean.text(entry["mid"])[:200],
            received_at=raw.received_at,
            sender=urn.normalise(f"batch:{entry['from']}"),
            text=clean.text(entry["text"]),
            verified=True,
        )

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        query = dict(parse_qsl(urlsplit(raw.url).query))
        return Answer(body=query.get("hub.challenge", "").encode())

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        fits.check(message, self.limits)
        raise SendError(SendCode.REJECTED, "it goes nowhere")

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        raise SendError(SendCode.UNKNOWN, "it cannot be asked")


BATCH = {
    "sample.yaml": """
account: batch/page
settings: {page: "17841"}
siblings: {17841: batch/page, 17842: batch/other}
secrets: {app: canary-app-secret, verify: canary-verify-token}
proof: {POST: x-hub-signature-256, GET: query hub.verify_token}
signs: body
sign: {secret: app, over: body, write: "sha256={hex}"}
batch: true
""",
    "handshake.http": """# received 2026-11-22T10:00:00Z
GET /in/batch/page?hub.mode=subscribe&hub.verify_token=canary-verify-token&hub.challenge=1158201444 HTTP/1.1
Host: hub.example.com

""",
    "handshake.yaml": "events: []\nstatus: 200\nanswer: 1158201444\n",
    "message.http": """# received 2026-11-22T10:00:00Z
POST /in/batch/page HTTP/1.1
Content-Type: application/json
X-Hub-Signature-256: (signed)

{"object":"page","entry":[{"id":"17841","mid":"m1","from":"ann","text":"one"},{"id":"17842","mid":"m2","from":"bo","text":"two"}]}""",
    "message.yaml": """
- event_key: m1
  sender: batch:ann
  text: one
  verified: true
- account: batch/other
  event_key: m2
  sender: batch:bo
  text: two
  verified: true
""",
    "unknown.http": """# received 2026-11-22T10:00:00Z
POST /in/batch/page HTTP/1.1
X-Hub-Signature-256: (signed)

{"entry":[{"id":"17841","telepathy":{}},{"id":"17841","mid":"m3","from":"ann","text":"three"}]}""",
    "unknown.yaml": """
- kind: unreadable
  reason: telepathy
- event_key: m3
  sender: batch:ann
  text: three
  verified: true
""",
}
