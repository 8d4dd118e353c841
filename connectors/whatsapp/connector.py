"""WhatsApp as the hub sees it. What each part does stands in the module that does it."""

from __future__ import annotations

from typing import Any, ClassVar

from connectors import checking
from connectors.base import Answer, Fetched, Finding, Parsed, Raw, Wire
from connectors.graph import api, signature
from connectors.whatsapp import parts, templates, updates
from hub.config import Account, ApprovedText
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Media, Outgoing, Sent


def _choose(value: Any) -> str:
    fine = isinstance(value, str) and 0 < len(value.strip()) <= parts.BUTTON_CHARS
    return (
        "" if fine else f"must be text of at most {parts.BUTTON_CHARS} characters: it opens a list of answers"
    )


class WhatsApp:
    name = "whatsapp"
    title = "WhatsApp"
    urn_scheme = "tel"
    secrets: tuple[str, ...] = ("app_secret", "token")
    optional: tuple[str, ...] = ("verify_token",)
    limits: Limits = parts.LIMITS
    bad_signature = 403
    unknown_account = (
        200  # Meta switches off an address that fails for long, and it may be others' address, too
    )
    unavailable = Answer(status=503, headers={"Retry-After": "5"})  # repeated for up to seven days
    methods: tuple[str, ...] = ("POST", "GET")
    derives = False
    settings: ClassVar[checking.Known] = {
        "phone_number_id": api.digits("the number's id at Meta (not the number)"),
        "waba_id": api.digits("the WhatsApp Business Account's id"),
        "choose": _choose,
        **api.KNOWN,
    }

    def check(self, account: Account) -> list[str]:
        found = api.complaints(account, self.settings)
        if "phone_number_id" not in account.settings:
            found.append("phone_number_id is missing: the number's id, from the app's dashboard")
        return found

    def check_template(self, text: ApprovedText) -> list[str]:
        return templates.complaints(text)

    def verify(self, raw: Raw, account: Account) -> None:
        signature.verify(raw, account)

    def parse(self, raw: Raw, account: Account) -> Parsed:
        if signature.is_handshake(raw):
            return Parsed()
        return updates.events(raw.body, raw.received_at, account, self.own_id(account))

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        return signature.answer(raw)

    def own_id(self, account: Account) -> str:
        return str(account.settings.get("phone_number_id") or "")

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        from connectors.whatsapp import sending

        return await sending.send(message, account, wire)

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        raise SendError(
            SendCode.UNKNOWN, "WhatsApp cannot be asked what was sent; a report of it would prove that it was"
        )

    async def fetch(self, media: Media, account: Account, wire: Wire) -> Fetched:
        from connectors.whatsapp import standing

        return await standing.fetch(media, account, wire)

    async def examine(self, account: Account, wire: Wire) -> tuple[Finding, ...]:
        from connectors.whatsapp import standing

        return await standing.examine(account, wire)

    async def hook(self, account: Account, wire: Wire) -> str:
        from connectors.whatsapp import standing

        return await standing.hook(account, wire)


CONNECTOR = WhatsApp()
