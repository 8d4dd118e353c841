"""What both connectors do alike; each says how its own webhooks read and how its messages go."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from urllib.parse import urlsplit

from connectors import checking, fetching
from connectors.base import Answer, Fetched, Finding, Parsed, Polled, Raw, Wire
from connectors.twilio import api, inbound, listing, sending, settings, signature, standing
from connectors.twilio.sending import Way
from hub.config import Account
from hub.limits import Limits
from hub.model import Event, Media, MessageReceived, Outgoing, Sent

# "We have nothing to say": anything else in the answer would be sent to the customer.
_NOTHING = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
_XML = "text/xml"


class Twilio:
    """name, title, limits, way, known: the channel's own. events: what a message of theirs says."""

    name: str
    title: str
    limits: Limits
    way: Way
    known: ClassVar[checking.Known] = settings.KNOWN
    urn_scheme = "tel"
    secrets: tuple[str, ...] = ("auth_token",)
    optional: tuple[str, ...] = ("api_key", "api_secret")
    bad_signature = 403
    unknown_account = 404
    unavailable = Answer(status=503, body=_NOTHING, content_type=_XML, headers={"Retry-After": "5"})
    methods: tuple[str, ...] = ("POST",)
    derives = False

    def check(self, account: Account) -> list[str]:
        return settings.complaints(account, self.known)

    def verify(self, raw: Raw, account: Account) -> None:
        signature.check(raw, account.secrets["auth_token"])

    def parse(self, raw: Raw, account: Account) -> Parsed:
        said = inbound.read(raw)
        if (report := inbound.report(said, raw, account)) is not None:
            return Parsed(events=(report,))
        message = self.message(said, account, raw.received_at)
        events, blobs = self.besides(said, message, raw)
        consent = inbound.consent(said, message) if "OptOutType" in said else None
        return Parsed(events=(*events, consent) if consent is not None else events, blobs=blobs)

    def message(
        self, said: inbound.Form, account: Account, received_at: datetime, sent_at: datetime | None = None
    ) -> MessageReceived:
        """What they said, by a webhook or by the list of messages. Raises Malformed."""
        raise NotImplementedError

    def besides(
        self, said: inbound.Form, message: MessageReceived, raw: Raw
    ) -> tuple[tuple[Event, ...], tuple[bytes, ...]]:
        """The events of a webhook's message, and the bytes that they name."""
        return (message,), ()

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        return _ANSWER

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        return await sending.send(message, account, wire, self.way)

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        return await sending.find(message, account, wire, self.way)

    async def fetch(self, media: Media, account: Account, wire: Wire) -> Fetched:
        """https://www.twilio.com/docs/messaging/api/media-resource: basic auth, then a redirect to their storage, which
        our credentials do not follow."""
        mine = account.settings.get("api")
        host = (urlsplit(media.ref).hostname or "") if _is_url(media.ref) else ""
        known = (urlsplit(str(mine)).hostname or "",) if mine else (_HOST,)
        signed = bool(mine) or host == _HOST or host.endswith(f".{_HOST}")
        headers = {"Authorization": api.authorization(account)} if signed else {}
        return await fetching.get(wire, media.ref, headers=headers, hosts=(*known, *_STORAGE))

    def polls(self, account: Account) -> bool:
        return bool(account.settings.get("backfill_s", settings.BACKFILL_S))

    async def poll(self, account: Account, cursor: str | None, wire: Wire) -> Polled:
        return await listing.poll(account, cursor, wire, self.message, self.way.prefix)

    async def examine(self, account: Account, wire: Wire) -> tuple[Finding, ...]:
        return await standing.examine(account, wire, whatsapp=bool(self.way.prefix))

    async def hook(self, account: Account, wire: Wire) -> str:
        return await standing.hook(account, wire, whatsapp=bool(self.way.prefix))


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


_HOST = "twilio.com"
_STORAGE = ("twiliocdn.com",)  # where some files lie in the open
_ANSWER = Answer(body=_NOTHING, content_type=_XML)
