"""Meta's channels from their customers' side: the lines of tests/messaginglines.py at a strict local Graph API."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.messaginglines import PHONES, Call, Heard, Line
from tests.servers.graph import Customer, Graph, Number, Told, Visitor, wire
from tests.servers.graph.social import Social


class GraphLine(Line):
    changes = ("edit", "delete", "react")
    kind: ClassVar[str]
    slow: ClassVar[tuple[int, int | None]]  # its code and subcode for too much in all
    slow_one: ClassVar[tuple[int, int | None]]  # and for too much to one person

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    @property
    @abstractmethod
    def own(self) -> Number | Social: ...

    @property
    def environ(self) -> dict[str, str]:
        return {
            "META_SECRET": self.graph.app_secret,
            "META_VERIFY": self.graph.verify_token,
            f"{self.name.upper()}_TOKEN": self.own.token,
        }

    @property
    def secrets(self) -> str:
        return f"{{app_secret: META_SECRET, token: {self.name.upper()}_TOKEN, verify_token: META_VERIFY}}"

    def opened(self, url: str) -> None:
        super().opened(url)
        self.graph.listen(self.url, self.own.told_as, self.own)

    def signed(self, body: bytes, url: str = "") -> Mapping[str, str]:
        return self.graph.door.signed(body)

    def told(self, told: Told) -> Heard:
        return Heard(id=told.id, call=self.call(wire({"object": self.kind, "entry": [told.entry]})))

    async def held(self, deed: Any) -> Told:
        door = self.graph.door
        door.holding = True
        told: Told = await deed
        door.held.clear()
        door.holding = False
        return told

    @abstractmethod
    def person(self, who: str) -> Customer | Visitor: ...

    async def says(self, who: str, text: str) -> Heard:
        told = await self.person(who).says(text)
        assert told.ok, told
        return self.told(told)

    async def unsent(self, who: str, text: str, *, deletes: bool = False) -> Heard:
        return self.told(await self.held(self.person(who).says(text)))

    def _mine(self, who: str) -> list[Any]:
        person = self.person(who)
        user = person.user_id if isinstance(person, Customer) else person.id
        return [one for one in self.graph.sent if one.account == self.own.id and one.user == user]

    def got(self, who: str) -> list[str]:
        return [one.text for one in self._mine(who)]

    def ids(self, who: str) -> list[str]:
        return [one.id for one in self._mine(who)]

    def throttles(self, seconds: int, to: str = "") -> None:
        code, subcode = self.slow_one if to else self.slow
        address = self.address(to) if to else ""
        self.graph.fail(code, subcode=subcode, to=address, account=self.own, retry_after=seconds)

    def breaks(self, how: str, to: str) -> None:
        orders: dict[str, dict[str, Any]] = {
            "error": {"status": 500},
            "html": {"how": "html", "status": 503},
            "cut": {"how": "cut"},
            "lost": {"how": "cut", "accepted": True},
            "truncated": {"how": "truncated"},
            "hang": {"how": "hang", "accepted": True},
        }
        self.graph.fail(account=self.own, to=self.address(to), **orders[how])

    def mend(self) -> None:
        self.graph.mend()
        self.graph.release()

    @abstractmethod
    def address(self, who: str) -> str:
        """As a send says whom it is for."""

    async def report(self, sent: str, status: str) -> Call:
        told = await self.held(self.own.report(sent, status))
        return self.told(told).call

    def calls(self) -> int:
        return sum(
            one.path.endswith("/messages") and one.account == self.own.id for one in self.graph.requests
        )


class WhatsAppLine(GraphLine):
    name = "whatsapp"
    kind = "whatsapp_business_account"
    slow, slow_one = (130429, None), (131056, None)
    stops = False  # "deliverable to nobody" (131026) is all it says of who blocked us

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.number = graph.number("+1 415-555-0188")

    @property
    def own(self) -> Number:
        return self.number

    @property
    def yaml(self) -> str:
        return (
            f'settings: {{phone_number_id: "{self.number.id}", waba_id: "{self.number.waba.id}", '
            f'api: "{self.graph.base}"}}, secrets: {self.secrets}'
        )

    def person(self, who: str) -> Customer:
        phone = PHONES[who].removeprefix("+")
        return self.number.customers.get(phone) or self.number.customer(who, phone)

    def urn(self, who: str) -> str:
        return f"tel:{PHONES[who]}"

    def address(self, who: str) -> str:
        return PHONES[who].removeprefix("+")

    async def changed(self, who: str, what: str, heard: Heard) -> Call:
        person = self.person(who)
        deed = {
            "edit": lambda: person.edits(heard.id, "changed"),
            "delete": lambda: person.revokes(heard.id),
            "react": lambda: person.reacts("❤", heard.id),
        }[what]()
        return self.told(await self.held(deed)).call


class SocialLine(GraphLine):
    slow, slow_one = (4, None), (613, 1893016)

    @property
    @abstractmethod
    def own(self) -> Social: ...

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.people: dict[str, Visitor] = {}

    def person(self, who: str) -> Visitor:
        if who not in self.people:
            self.people[who] = self.own.visitor(who, username=who.lower())
        return self.people[who]

    def urn(self, who: str) -> str:
        return f"{self.name}:{self.person(who).id}"

    def address(self, who: str) -> str:
        return self.person(who).id

    def blocks(self, who: str) -> None:
        self.person(who).blocks = True

    async def starts(self, who: str) -> None:
        self.person(who).blocks = False
        await self.says(who, "START")

    async def changed(self, who: str, what: str, heard: Heard) -> Call:
        person = self.person(who)
        deed = {
            "edit": lambda: person.edits(heard.id, "changed"),
            "delete": lambda: person.unsends(heard.id),
            "react": lambda: person.reacts("❤", heard.id),
        }[what]()
        return self.told(await self.held(deed)).call


class MessengerLine(SocialLine):
    name = "messenger"
    kind = "page"
    echoes = True
    reports = ("delivered", "read")

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.page = graph.page("Acme")

    @property
    def own(self) -> Social:
        return self.page

    @property
    def yaml(self) -> str:
        return f'settings: {{page_id: "{self.page.id}", api: "{self.graph.base}"}}, secrets: {self.secrets}'


class InstagramLine(SocialLine):
    name = "instagram"
    kind = "instagram"
    reports = ("read",)

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.shop = graph.instagram("acme")

    @property
    def own(self) -> Social:
        return self.shop

    @property
    def yaml(self) -> str:
        return (
            f'settings: {{account_id: "{self.shop.id}", api: "{self.graph.base}"}}, secrets: {self.secrets}'
        )
