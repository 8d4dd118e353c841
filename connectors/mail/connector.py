"""E-mail as a channel: what goes out, and the way out of bulk mail. What comes in is pulled (connectors/mail/imap.py).

The page for those who set it up is docs/channels/mail.md; this module and that page change together.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from connectors.base import Answer, Parsed, Raw, Wire
from connectors.mail import settings, unsubscribe
from hub.config import Account
from hub.errors import Malformed, SendCode, SendError
from hub.limits import Limits
from hub.model import Outgoing, Sent, Unreadable

RESENT = 3  # tries after which a doubtful mail is no longer sent again by itself


class Mail:
    name = "mail"
    title = "E-mail"
    urn_scheme = "mailto"
    secrets: tuple[str, ...] = ("token",)
    optional: tuple[str, ...] = ("password", "refresh_token", "client_secret", "dkim")
    limits = Limits(
        text_chars=100_000,
        attachments=20,
        attachment_bytes=18 * 1024 * 1024,
        subject=True,
        needs=("smtp",),
        source="docs/channels/mail.md",
    )
    bad_signature = 403
    unknown_account = 404
    unavailable = Answer(status=503, body=b"Come again in a minute, please.", headers={"Retry-After": "60"})
    methods: tuple[str, ...] = ("GET", "POST")  # of the way out alone
    derives = True

    def check(self, account: Account) -> list[str]:
        return settings.complaints(account)

    def verify(self, raw: Raw, account: Account) -> None:
        unsubscribe.read(raw.url, account)

    def parse(self, raw: Raw, account: Account) -> Parsed:
        """Who leaves by a link; or a mail from quarantine, read again (mainstem replay), which has no URL."""
        return unsubscribe.parsed(raw, account) if raw.url else _read_again(raw, account)

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        return unsubscribe.answer(raw, account)

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        """One mail to the recipient and the others who take part. What became of the others stands in `detail`."""
        from connectors.mail import sending  # aiosmtplib and dkimpy, for the process that sends alone

        return await sending.send(message, account, wire)

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        """No mail server can be asked. A mail in doubt is sent again with the same Message-ID, by which mail programs
        and hubs show it once (RFC 1047; RFC 5321, 4.5.3.2.6 leaves the sender no other way); but not for ever."""
        if message.attempt < RESENT:
            return None
        raise SendError(
            SendCode.UNKNOWN,
            f"the mail server broke off {message.attempt} times before it confirmed, and cannot be asked",
        )


def _read_again(raw: Raw, account: Account) -> Parsed:
    """In a child with limits, like the first time. Raises Malformed where it still cannot be read."""
    from connectors.mail.child import Parser

    async def read() -> Parsed:
        parser = Parser()
        try:
            return await parser.parse(raw.body, account, raw.received_at)
        finally:
            await parser.close()

    with ThreadPoolExecutor(1) as pool:  # whoever replays may have an event loop
        parsed = pool.submit(asyncio.run, read()).result()
    for event in parsed.events:
        if isinstance(event, Unreadable):
            raise Malformed(event.reason)
    return parsed


CONNECTOR = Mail()
