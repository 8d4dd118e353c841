"""Telegram as the hub sees it. What each part does stands in the module that does it."""

from __future__ import annotations

import hmac

import msgspec

from connectors import checking
from connectors.base import Answer, Fetched, Finding, Parsed, Polled, Raw, Wire
from connectors.telegram import parts, updates
from hub.config import Account
from hub.errors import Forged, SendCode, SendError
from hub.limits import Limits
from hub.model import Media, Outgoing, Revision, Sent

HEADER = "x-telegram-bot-api-secret-token"
_SETTINGS: checking.Known = {"api": checking.api, "poll": checking.flag}


class Telegram:
    name = "telegram"
    title = "Telegram"
    urn_scheme = "telegram"
    secrets: tuple[str, ...] = ("token",)
    optional: tuple[str, ...] = ("webhook",)
    separate: tuple[str, ...] = ("token", "webhook")  # a bot each
    limits = Limits(
        text_chars=parts.MESSAGES * parts.TEXT_UNITS,
        attachments=parts.ALBUM,
        attachment_bytes=parts.FILE_BYTES,
        edits=True,
        deletes=True,
        deletes_s=48 * 3600.0,  # connectors/telegram/sending.py
        links=True,
        choices=parts.CHOICES,
        choice_chars=parts.CHOICE_CHARS,
        source="https://core.telegram.org/bots/api#sendmessage, #senddocument, #sendmediagroup, #deletemessage",
    )
    bad_signature = 401
    unknown_account = 404
    unavailable = Answer(status=503, headers={"Retry-After": "5"})  # it repeats what is not answered 2xx
    methods: tuple[str, ...] = ("POST",)
    derives = False

    def check(self, account: Account) -> list[str]:
        found = checking.complaints(account, _SETTINGS)
        hooked = account.secret_names.get("webhook") or account.secrets.get("webhook")
        if not account.settings.get("poll") and not hooked:
            found.append("it needs the secret 'webhook', by which Telegram proves itself, or `poll: true`")
        return found

    def verify(self, raw: Raw, account: Account) -> None:
        """The header holds the secret_token that was given to setWebhook (#setwebhook); the body is not signed."""
        given = (raw.header(HEADER) or "").encode("utf-8", "backslashreplace")
        holds = False
        for secret in account.secrets.get("webhook", ()):
            holds |= bool(secret) and hmac.compare_digest(secret.encode(), given)
        if not holds:
            raise Forged("the secret token does not hold")

    def parse(self, raw: Raw, account: Account) -> Parsed:
        return updates.events(raw.body, raw.received_at, account)

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        """A tap is answered in the same breath: "you can perform a request to the Bot API while sending an answer to
        the webhook" (#making-requests-when-getting-updates)."""
        if len(parsed.events) == 1 and (key := parsed.events[0].event_key).startswith(updates.TAP):
            said = {"method": "answerCallbackQuery", "callback_query_id": key.removeprefix(updates.TAP)}
            return Answer(body=msgspec.json.encode(said), content_type="application/json")
        return Answer()

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        from connectors.telegram import sending

        return await sending.send(message, account, wire, self.limits)

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        raise SendError(SendCode.UNKNOWN, "Telegram does not tell bots what they have sent")

    async def change(self, revision: Revision, account: Account, wire: Wire) -> Sent:
        from connectors.telegram import sending

        return await sending.change(revision, account, wire, self.limits)

    async def fetch(self, media: Media, account: Account, wire: Wire) -> Fetched:
        from connectors.telegram import asking

        return await asking.fetch(media, account, wire)

    def polls(self, account: Account) -> bool:
        return account.settings.get("poll") is True

    async def poll(self, account: Account, cursor: str | None, wire: Wire) -> Polled:
        from connectors.telegram import asking

        return await asking.poll(account, cursor, wire)

    async def examine(self, account: Account, wire: Wire) -> tuple[Finding, ...]:
        from connectors.telegram import asking

        return await asking.examine(account, wire)

    async def hook(self, account: Account, wire: Wire) -> str:
        from connectors.telegram import asking

        return await asking.hook(account, wire)


CONNECTOR = Telegram()
