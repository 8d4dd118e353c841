"""What simulated customers do, channel by channel: words mostly, and now and then each other thing that people send.

A deed is one line of a table: how often, and what. The stand-ins (tests/servers) turn it into what the provider would
send, signed and all. Everyone is called “Simulated …”; one person has one phone, on SMS and on WhatsApp alike.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from mainstem import demo_files as files
from mainstem.demo_words import CAPTIONS, COMMENTS, LINES, NAMES

if TYPE_CHECKING:
    from tests.servers import graph, telegram, twilio

TWICE = 0.1  # of what happens is told again by the provider, as providers do
_LATITUDE, _LONGITUDE = 51.5079, -0.0877
_PLACE, _STREET = "London Bridge", "Tooley Street, London"
_CARD = b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Simulated Neighbour\r\nTEL;TYPE=CELL:+14155550198\r\nEND:VCARD\r\n"
_CONTACT = {
    "name": {"formatted_name": "Simulated Neighbour", "first_name": "Simulated"},
    "phones": [{"phone": "+14155550198", "type": "CELL"}],
}


class Someone:
    """One customer on every channel. told: our newest message there, said: theirs; by connector."""

    def __init__(self, index: int) -> None:
        self.name = f"Simulated {NAMES[index]}"
        self.nick = f"simulated.{NAMES[index].lower()}"
        self.phone = f"+141555501{index + 20}"
        self.told: dict[str, Any] = {}
        self.said: dict[str, Any] = {}
        self.introduced: set[str] = set()
        self.stopped = False
        self.sms: twilio.Customer
        self.twilio_whatsapp: twilio.WhatsApp
        self.whatsapp: graph.Customer
        self.telegram: telegram.Person
        self.messenger: graph.Visitor
        self.instagram: graph.Visitor

    @property
    def ids(self) -> tuple[str, ...]:
        """What Meta calls them, on its three channels."""
        return self.phone.removeprefix("+"), self.whatsapp.user_id, self.messenger.id, self.instagram.id


Deed = Callable[[Someone], Awaitable[Any]]


def _words() -> str:
    return random.choice(LINES)  # noqa: S311


def _corrected() -> str:
    return f"{_words()} (Sorry, corrected.)"


def _album() -> list[tuple[str, bytes]]:
    return [("photo", files.picture(variant)) for variant in range(files.VARIANTS)]


def _caption() -> str:
    return random.choice(CAPTIONS)  # noqa: S311


def _comment() -> str:
    return random.choice(COMMENTS)  # noqa: S311


def _photo() -> bytes:
    return files.picture(random.randrange(files.VARIANTS))  # noqa: S311


def _after(connector: str, deed: Callable[[Someone, Any], Awaitable[Any]], otherwise: Deed) -> Deed:
    """To our newest message there; plain words, as long as there is none."""

    def act(one: Someone) -> Awaitable[Any]:
        known = one.told.get(connector)
        return otherwise(one) if known is None else deed(one, known)

    return act


def _again(connector: str, deed: Callable[[Someone, Any], Awaitable[Any]], otherwise: Deed) -> Deed:
    """To their own newest message there."""

    def act(one: Someone) -> Awaitable[Any]:
        known = one.said.get(connector)
        return otherwise(one) if known is None else deed(one, known)

    return act


async def _stop_or_start(one: Someone) -> Any:
    """STOP now and then, and START the next time: both are kept by provider and hub alike."""
    one.stopped = not one.stopped
    return await one.sms.says("STOP" if one.stopped else "START")


def _sms(one: Someone) -> Awaitable[Any]:
    return one.sms.says(_words())


def _twilio_whatsapp(one: Someone) -> Awaitable[Any]:
    return one.twilio_whatsapp.says(_words())


def _whatsapp(one: Someone) -> Awaitable[Any]:
    return one.whatsapp.says(_words())


def _telegram(one: Someone) -> Awaitable[Any]:
    return one.telegram.says(_words())


def _messenger(one: Someone) -> Awaitable[Any]:
    return one.messenger.says(_words())


def _instagram(one: Someone) -> Awaitable[Any]:
    return one.instagram.says(_words())


DEEDS: Mapping[str, tuple[tuple[int, Deed], ...]] = {
    "sms_twilio": (
        (12, _sms),
        (3, lambda one: one.sms.says(_caption(), media=[("image/png", _photo())])),
        (1, lambda one: one.sms.says("My neighbour takes it in.", media=[("text/vcard", _CARD)])),
        (1, _stop_or_start),
    ),
    "whatsapp_twilio": (
        (9, _twilio_whatsapp),
        (2, lambda one: one.twilio_whatsapp.sends("image/png", _photo(), _caption())),
        (1, lambda one: one.twilio_whatsapp.voice(files.voice())),
        (1, lambda one: one.twilio_whatsapp.sticker(files.sticker())),
        (1, lambda one: one.twilio_whatsapp.location(_LATITUDE, _LONGITUDE, address=_STREET, label=_PLACE)),
        (
            1,
            _after(
                "whatsapp_twilio",
                lambda one, sid: one.twilio_whatsapp.says("Thanks for that!", re=sid),
                _twilio_whatsapp,
            ),
        ),
    ),
    "whatsapp": (
        (9, _whatsapp),
        (2, lambda one: one.whatsapp.sends(_photo(), "image/png", caption=_caption())),
        (1, lambda one: one.whatsapp.sends(files.voice(), "audio/ogg; codecs=opus", voice=True)),
        (1, lambda one: one.whatsapp.sends(files.sticker(), "image/webp", kind="sticker")),
        (1, lambda one: one.whatsapp.is_at(_LATITUDE, _LONGITUDE, _PLACE, _STREET)),
        (1, lambda one: one.whatsapp.shares(_CONTACT)),
        (1, lambda one: one.whatsapp.unsupported()),
        (1, _after("whatsapp", lambda one, wamid: one.whatsapp.reacts("👍", wamid), _whatsapp)),
        (1, _after("whatsapp", lambda one, wamid: one.whatsapp.says("Great!", quoting=wamid), _whatsapp)),
        (1, _again("whatsapp", lambda one, wamid: one.whatsapp.edits(wamid, _corrected()), _whatsapp)),
    ),
    "telegram": (
        (9, _telegram),
        (2, lambda one: one.telegram.sends("photo", _photo(), caption=_caption())),
        (1, lambda one: one.telegram.album(_album(), caption="All three of them.")),
        (1, lambda one: one.telegram.sends("voice", files.voice())),
        (1, lambda one: one.telegram.sends("sticker", files.sticker())),
        (1, lambda one: one.telegram.venue(_PLACE, _STREET)),
        (1, _after("telegram", lambda one, number: one.telegram.reacts(number, "❤"), _telegram)),
        (1, _again("telegram", lambda one, number: one.telegram.edits(number, _corrected()), _telegram)),
    ),
    "messenger": (
        (8, _messenger),
        (2, lambda one: one.messenger.sends(_photo(), "image/png")),
        (1, lambda one: one.messenger.sends(files.voice(), "audio/ogg")),
        (1, lambda one: one.messenger.presses("Get started", "GET_STARTED")),
        (3, lambda one: one.messenger.comments(_comment())),
        (1, _after("messenger", lambda one, mid: one.messenger.reacts("👍", mid), _messenger)),
        (1, _again("messenger", lambda one, mid: one.messenger.edits(mid, _corrected()), _messenger)),
    ),
    "instagram": (
        (8, _instagram),
        (2, lambda one: one.instagram.sends(_photo(), "image/png")),
        (3, lambda one: one.instagram.comments(_comment())),
        (1, lambda one: one.instagram.says("Love this one!", story="17900000000000001")),
        (1, lambda one: one.instagram.mentions_in_story()),
        (1, lambda one: one.instagram.vanishes()),
        (1, _after("instagram", lambda one, mid: one.instagram.reacts("❤", mid), _instagram)),
    ),
}  # fmt: skip


# Channels that do not say who writes: there they introduce themselves first, as people do.
NAMELESS: Mapping[str, Deed] = {
    "sms_twilio": lambda one: one.sms.says(f"{one.name} here. {_words()}"),
    "messenger": lambda one: one.messenger.says(f"{one.name} here. {_words()}"),
    "instagram": lambda one: one.instagram.says(f"{one.name} here. {_words()}"),
}


def next_of(one: Someone, connector: str) -> Deed:
    """What they do there next."""
    if connector in NAMELESS and connector not in one.introduced:
        one.introduced.add(connector)
        return NAMELESS[connector]
    if connector == "sms_twilio" and one.stopped:
        return _stop_or_start
    deeds = DEEDS[connector]
    return random.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])[0]  # noqa: S311
