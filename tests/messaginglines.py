"""Every messaging channel from its customers' side, each in the same words: who writes, what reached them, what breaks.

A `Line` is one account of ours at a strict local provider. `Call` is a request as the provider makes it, so that a
test may send it ten times, a week later, changed, or elsewhere.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import aiohttp
from yarl import URL

from connectors.telegram.kinds import ALLOWED
from tests.servers.telegram import Person, Telegram, Update
from tests.servers.telegram.people import business_connection
from tests.servers.twilio import Delivery, Twilio, signature

SHOP, SENDER = "+14155550100", "+14155550111"
PHONES = {
    name: f"+1415555{number:04}"
    for number, name in enumerate(("Ann", "Bea", "Cy", "Dan", "Eve", "Fay", "Gus", "Hal"), 123)
}
WEBHOOK = "webhook-secret_of-telegram"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request to our edge, signed as the provider signs it."""

    url: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a customer did. id: what our store calls the message."""

    id: str
    call: Call


async def post(call: Call, **headers: str) -> int:
    """The answer's status."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(URL(call.url, encoded=True), data=call.body, headers={**call.headers, **headers}) as answer,
    ):
        await answer.read()
        return answer.status


async def posts(call: Call, times: int) -> set[int]:
    """The same, so often at once."""
    return set(await asyncio.gather(*(post(call) for _ in range(times))))


class Line(ABC):
    """account: ours. refuses: what a forged request is told. reports: what it tells of what we sent, in order.

    throttles_one: does it limit what goes to one person? stops: does it refuse to write to whoever stopped us?
    doubts: how a send may fail so that nobody knows whether it went. asks: can it be asked? Then nothing stays so.
    echoes: does it say back what went out? changes: what customers may do with what they said, as far as we are told.
    """

    name: ClassVar[str]
    refuses: ClassVar[int] = 403
    reports: ClassVar[tuple[str, ...]] = ("sent", "delivered", "read")
    throttles_one: ClassVar[bool] = True
    stops: ClassVar[bool] = True
    changes: ClassVar[tuple[str, ...]] = ()
    doubts: ClassVar[frozenset[str]] = frozenset(("html", "cut", "lost", "truncated", "hang"))
    asks: ClassVar[bool] = False
    echoes: ClassVar[bool] = False

    def __init__(self) -> None:
        self.url = ""

    @property
    def account(self) -> str:
        return f"{self.name}/main"

    @property
    @abstractmethod
    def yaml(self) -> str:
        """The account in channels.yaml."""

    @property
    @abstractmethod
    def environ(self) -> dict[str, str]: ...

    def opened(self, url: str) -> None:
        """The edge listens at `url`."""
        self.url = f"{url}/in/{self.account}"

    @abstractmethod
    def urn(self, who: str) -> str: ...

    @abstractmethod
    def signed(self, body: bytes, url: str = "") -> Mapping[str, str]:
        """The headers with which the provider sends this body to that address."""

    def call(self, body: bytes, url: str = "") -> Call:
        return Call(url=url or self.url, body=body, headers=self.signed(body, url or self.url))

    def altered(self, call: Call, old: str, new: str) -> Call:
        """The same message with another text, signed like the first."""
        assert old.encode() in call.body
        return self.call(call.body.replace(old.encode(), new.encode()), call.url)

    @abstractmethod
    async def says(self, who: str, text: str) -> Heard: ...

    @abstractmethod
    def got(self, who: str) -> list[str]:
        """What they read of ours, in order."""

    def ids(self, who: str) -> list[str]:
        """The provider's ids of that."""
        raise NotImplementedError

    @abstractmethod
    def throttles(self, seconds: int, to: str = "") -> None:
        """The next send (to that person alone) is one too many."""

    @abstractmethod
    def breaks(self, how: str, to: str) -> None:
        """The next send to that person fails like that."""

    @abstractmethod
    def mend(self) -> None:
        """Nothing breaks any more, and what hangs is let go."""

    def blocks(self, who: str) -> None:
        """They want nothing from us, and the next send tells us so."""
        raise NotImplementedError

    async def starts(self, who: str) -> None:
        """They are open to us again."""
        await self.says(who, "START")

    async def report(self, sent: str, status: str) -> Call:
        """What the provider tells of a message of ours, as a request that is not sent yet."""
        raise NotImplementedError

    async def changed(self, who: str, what: str, heard: Heard) -> Call:
        """ "edit" (to "changed"), "delete" or "react" (with a heart): as a request that is not sent yet."""
        raise NotImplementedError

    async def unsent(self, who: str, text: str, *, deletes: bool = False) -> Heard:
        """What they say, as a request that is not sent yet. deletes: where we are told if they take it back."""
        raise NotImplementedError

    def calls(self) -> int:
        """How many sends the provider was asked for."""
        raise NotImplementedError


class TwilioLine(Line):
    throttles_one = False
    doubts = frozenset(("error", *Line.doubts))
    asks = True

    def __init__(self, twilio: Twilio) -> None:
        super().__init__()
        self.twilio = twilio
        self.deliveries: dict[str, Delivery] = {}

    @property
    def environ(self) -> dict[str, str]:
        return {"TWILIO_TOKEN": self.twilio.auth_token}

    @property
    def settings(self) -> str:
        return f'account_sid: {self.twilio.account_sid}, api: "{self.twilio.url}"'

    def urn(self, who: str) -> str:
        return f"tel:{PHONES[who]}"

    def signed(self, body: bytes, url: str = "") -> Mapping[str, str]:
        params = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "X-Twilio-Signature": signature(self.twilio.auth_token, url or self.url, params),
        }

    def _heard(self, delivery: Delivery) -> Heard:
        assert delivery.ok, delivery.tries
        self.deliveries[delivery.sid] = delivery
        return Heard(
            id=delivery.sid, call=self.call(urlencode(delivery.params).encode(), delivery.tries[-1][0])
        )

    def _to(self, who: str) -> str:
        return PHONES[who]

    def got(self, who: str) -> list[str]:
        return [one.body for one in self.twilio.sent if one.to == self._to(who) and not one.error_code]

    def ids(self, who: str) -> list[str]:
        return [one.sid for one in self.twilio.sent if one.to == self._to(who)]

    def throttles(self, seconds: int, to: str = "") -> None:
        self.twilio.fail("messages.create", status=429, code=20429, retry_after=seconds)

    def breaks(self, how: str, to: str) -> None:
        status = 503 if how == "html" else 500
        self.twilio.fail("messages.create", how=how, status=status, to=self._to(to))

    def mend(self) -> None:
        self.twilio.mend()

    async def report(self, sent: str, status: str) -> Call:
        self.twilio.reports.hold = True
        (told,) = await self.twilio.reports.say(sent, status)
        self.twilio.reports.waiting.clear()
        self.twilio.reports.hold = False
        url = told.hook.url.partition("#")[0]
        return self.call(urlencode(told.params).encode(), url)

    def calls(self) -> int:
        return sum(one.operation == "messages.create" for one in self.twilio.requests)


class Sms(TwilioLine):
    name = "sms_twilio"
    reports = ("sent", "delivered")

    @property
    def yaml(self) -> str:
        return f'address: "{SHOP}", settings: {{{self.settings}}}, secrets: {{auth_token: TWILIO_TOKEN}}'

    def opened(self, url: str) -> None:
        super().opened(url)
        self.twilio.number(SHOP, sms_url=f"{self.url}#rc=2&rp=all")

    async def says(self, who: str, text: str) -> Heard:
        return self._heard(await self.twilio.customer(PHONES[who], who).says(text, to=SHOP))

    def blocks(self, who: str) -> None:
        self.twilio.refuse(PHONES[who], 21610)

    async def starts(self, who: str) -> None:
        self.twilio.refuse(PHONES[who], 0)
        await self.says(who, "START")


class WhatsAppTwilio(TwilioLine):
    name = "whatsapp_twilio"

    @property
    def yaml(self) -> str:
        return f'address: "{SENDER}", settings: {{{self.settings}}}, secrets: {{auth_token: TWILIO_TOKEN}}'

    def opened(self, url: str) -> None:
        super().opened(url)
        self.twilio.sender(SENDER, url=f"{self.url}#rc=2&rp=all")

    def _to(self, who: str) -> str:
        return f"whatsapp:{PHONES[who]}"

    def person(self, who: str) -> Any:
        return self.twilio.customer(PHONES[who], who).whatsapp(f"whatsapp:{SENDER}")

    async def says(self, who: str, text: str) -> Heard:
        return self._heard(await self.person(who).says(text))

    def blocks(self, who: str) -> None:
        self.twilio.refuse(self._to(who), 63033)

    async def starts(self, who: str) -> None:
        self.twilio.refuse(self._to(who), 0)
        await self.says(who, "START")


class TelegramLine(Line):
    name = "telegram"
    refuses = 401
    reports = ()
    changes = ("edit", "delete", "react")
    doubts = frozenset(("cut", "lost", "truncated", "hang"))

    def __init__(self, telegram: Telegram) -> None:
        super().__init__()
        self.telegram = telegram
        self.people: dict[str, Person] = {}
        link = business_connection(telegram.person("Shop"))
        self.business = str(link["id"])
        telegram.business[self.business] = link

    @property
    def yaml(self) -> str:
        return f'settings: {{api: "{self.telegram.url}"}}, secrets: {{token: TELEGRAM_TOKEN, webhook: TELEGRAM_HOOK}}'

    @property
    def environ(self) -> dict[str, str]:
        return {"TELEGRAM_TOKEN": self.telegram.token, "TELEGRAM_HOOK": WEBHOOK}

    def opened(self, url: str) -> None:
        super().opened(url)
        updates = self.telegram.updates
        updates.url, updates.secret, updates.allowed = self.url, WEBHOOK, list(ALLOWED)

    def person(self, who: str) -> Person:
        return self.people.setdefault(who, self.telegram.person(who))

    def urn(self, who: str) -> str:
        return f"telegram:{self.person(who).id}"

    def signed(self, body: bytes, url: str = "") -> Mapping[str, str]:
        return self.telegram.updates.headers()

    def _heard(self, update: Update) -> Heard:
        number, link = update.body.get("message_id", 0), update.body.get("business_connection_id", "")
        return Heard(
            id=f"{update.body['chat']['id']}:{number}" + (f"@{link}" if link else ""),
            call=self.call(json.dumps(update.raw, ensure_ascii=False).encode()),
        )

    async def says(self, who: str, text: str) -> Heard:
        update = await self.person(who).says(text)
        assert update.taken, update.tries
        return self._heard(update)

    async def unsent(self, who: str, text: str, *, deletes: bool = False) -> Heard:
        """Only in a business account's chats are bots told what was deleted, and only in others of reactions."""
        more: dict[str, Any] = {"business": self.business} if deletes else {}
        return self._heard(await self._held(self.person(who).says(text, **more)))

    async def _held(self, deed: Any) -> Update:
        updates = self.telegram.updates
        updates.hold = True
        update: Update = await deed
        updates.hold, update.done = False, True
        return update

    def got(self, who: str) -> list[str]:
        return [str(one.get("text", one.get("caption", ""))) for one in self.person(who).received]

    def ids(self, who: str) -> list[str]:
        chat = self.person(who).id
        return [f"{chat}:{one.message_id}" for one in self.telegram.sent if one.chat_id == chat]

    def throttles(self, seconds: int, to: str = "") -> None:
        chat = str(self.person(to).id) if to else ""
        self.telegram.fail("sendmessage", status=429, retry_after=seconds, to=chat, times=1 if to else 2)

    def breaks(self, how: str, to: str) -> None:
        status = 503 if how == "html" else 500
        self.telegram.fail("sendmessage", how=how, status=status, to=str(self.person(to).id))

    def mend(self) -> None:
        self.telegram.mend()

    def blocks(self, who: str) -> None:
        self.person(who).chat.gone = "bot was blocked by the user"

    async def starts(self, who: str) -> None:
        await self.person(who).unblocks()

    async def changed(self, who: str, what: str, heard: Heard) -> Call:
        person, number = self.person(who), int(heard.id.partition(":")[2].partition("@")[0])
        if what == "edit":
            return self._heard(await self._held(person.edits(number, "changed"))).call
        if what == "react":
            return self._heard(await self._held(person.reacts(number, "❤"))).call
        return self._heard(await self._held(person.deletes(number))).call

    def calls(self) -> int:
        return sum(one.operation.startswith("send") for one in self.telegram.requests)
