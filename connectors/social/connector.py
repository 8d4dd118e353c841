"""What Messenger and Instagram do alike; each says where its calls go and what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from connectors import checking
from connectors.base import Answer, Fetched, Finding, Parsed, Raw, Wire
from connectors.graph import api, signature
from connectors.social import updates
from connectors.social.model import Way
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.limits import Limits
from hub.model import Media, Outgoing, Sent

if TYPE_CHECKING:
    from connectors.social.sending import Desk
    from connectors.social.standing import Place


class Social:
    name: str
    title: str
    urn_scheme: str
    limits: Limits
    way: Way
    known: ClassVar[checking.Known]
    secrets: tuple[str, ...] = ("app_secret", "token")
    optional: tuple[str, ...] = ("verify_token",)
    bad_signature = 403
    unknown_account = (
        200  # Meta takes an address that fails for an hour off the app, and it may be others', too
    )
    unavailable = Answer(status=503, headers={"Retry-After": "5"})  # repeated for 36 hours
    methods: tuple[str, ...] = ("POST", "GET")
    derives = False

    def check(self, account: Account) -> list[str]:
        return api.complaints(account, self.known)

    def verify(self, raw: Raw, account: Account) -> None:
        signature.verify(raw, account)

    def parse(self, raw: Raw, account: Account) -> Parsed:
        if signature.is_handshake(raw):
            return Parsed()
        return updates.events(raw.body, raw.received_at, account, self.own_id(account), self.way)

    def answer(self, raw: Raw, account: Account, parsed: Parsed) -> Answer:
        return signature.answer(raw)

    def own_id(self, account: Account) -> str:
        raise NotImplementedError

    def desk(self, account: Account) -> Desk:
        """Where its messages go."""
        raise NotImplementedError

    def place(self, account: Account) -> Place:
        """Whom to ask how it stands."""
        raise NotImplementedError

    async def renewed(self, account: Account, wire: Wire, *, ask: bool = True) -> Account:
        """The account with the newest token, for those that end. ask: have it renewed where that is due."""
        return account

    async def send(self, message: Outgoing, account: Account, wire: Wire) -> Sent:
        from connectors.social import sending

        account = await self.renewed(account, wire)
        return await sending.send(message, account, wire, self.desk(account))

    async def find(self, message: Outgoing, account: Account, wire: Wire) -> Sent | None:
        raise SendError(SendCode.UNKNOWN, f"{self.title} is not asked what was sent; its echo proves it")

    async def fetch(self, media: Media, account: Account, wire: Wire) -> Fetched:
        from connectors.social import standing

        return await standing.fetch(media, account, wire)

    async def called(self, urn: str, account: Account, wire: Wire) -> str:
        from connectors.social import standing

        account = await self.renewed(account, wire)
        return await standing.called(urn, account, wire, self.place(account))

    async def examine(self, account: Account, wire: Wire) -> tuple[Finding, ...]:
        from connectors.social import standing

        account, place = await self.renewed(account, wire, ask=False), self.place(account)
        said = await standing.who(account, wire, place)
        return (self.is_it(said, account), *await standing.examine(account, wire, place))

    def is_it(self, said: api.Json, account: Account) -> Finding:
        """What `place.looks` brought: is it the account that the settings name?"""
        raise NotImplementedError

    async def hook(self, account: Account, wire: Wire) -> str:
        from connectors.social import standing

        account = await self.renewed(account, wire)
        return await standing.hook(account, wire, self.place(account))
