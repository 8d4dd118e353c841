"""What the reply's form holds besides the words: read, put back where it was refused, and what the page must know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from crm_store.carried import Carried
from crm_store.views import Card
from desk import prepared, ways, words
from desk.replying import WindowClosed
from desk.ways import Written
from desk.web import forms
from desk.web.context import AGENT, DESK, WebDesk
from hub.config import CannedReply
from hub.errors import Refused
from hub.limits import Limits
from hub.text import GSM, GSM_TWO
from hub.urn import channel_of
from router.choose import Choice, Option

_PLACES = 99  # a ready-made reply has no more (hub/configreplies.py)
_PUT_BACK = ("channel", "ready", "choices", "public")


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One entry of the form's channel menu. value: "account urn"."""

    option: Option
    value: str
    channel: str
    limits: Limits | None

    @property
    def counted(self) -> bool:
        """Is a text counted in SMS there?"""
        return self.limits is not None and self.limits.segments


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What the reply's form offers. chosen: the way that stands in the menu at first. picked: the ready-made reply that
    is open; places: what its places are filled with; said: its words as far as they are filled. asked: the way that
    they asked for."""

    ways: tuple[Way, ...]
    chosen: Way | None
    ready: tuple[CannedReply, ...]
    picked: CannedReply | None
    places: tuple[str, ...]
    taps: bool
    asked: str
    public: bool
    gsm: str = GSM
    gsm_two: str = GSM_TWO

    @property
    def said(self) -> str:
        return prepared.begun(self.picked, self.places) if self.picked else ""


def form(desk: WebDesk, card: Card, choice: Choice | None, typed: dict[str, str]) -> Form | None:
    """None where the conversation is not in this agent's hands."""
    if choice is None:
        return None
    limits = desk.actions.limits
    menu = tuple(
        Way(
            option=one,
            value=f"{one.account or ''} {one.urn}",
            channel=words.channel(one.account or ""),
            limits=limits.get(channel_of(one.account or "")),
        )
        for one in choice.options
    )
    can = [way for way in menu if way.option.usable or way.option.template or way.option.only_public]
    offered = tuple(ways.ready(desk.config(), card.queue))
    picked = next((one for one in offered if one.key == typed.get("ready")), None)
    chosen = next((way for way in can if way.value == typed.get("channel")), None)
    if chosen is None and picked is not None and picked.approved and "channel" not in typed:
        chosen = _approved(can, picked, card)
    if chosen is None or (typed.get("instead") and chosen.option.template):
        chosen = next(iter(can), None)
    return Form(
        ways=menu,
        chosen=chosen,
        ready=offered,
        picked=picked,
        places=tuple((typed.get("places") or "").split("\n")) if typed.get("places") else (),
        asked=next((way.value for way in menu if way.option.asked_for), ""),
        taps=any(way.limits is not None and way.limits.choices for way in can),
        public=any(way.option.public for way in can),
    )


def first(desk: WebDesk, able: Sequence[Option], queues: Iterable[str], typed: dict[str, str]) -> Form:
    """What the form of a first message offers. able: `Actions.ways`; queues: those that this agent may begin it in."""
    limits, mine = desk.actions.limits, set(queues)
    menu = tuple(
        Way(
            option=one,
            value=f"{one.account} {one.urn}",
            channel=words.channel(one.account or ""),
            limits=limits.get(channel_of(one.account or "")),
        )
        for one in able
    )
    offered = tuple(
        one for one in desk.config().replies.values() if not one.queues or mine.intersection(one.queues)
    )
    return Form(
        ways=menu,
        chosen=next((way for way in menu if way.value == typed.get("way")), next(iter(menu), None)),
        ready=offered,
        picked=next((one for one in offered if one.key == typed.get("ready")), None),
        places=tuple((typed.get("places") or "").split("\n")) if typed.get("places") else (),
        asked="",
        taps=False,
        public=False,
    )


def _approved(can: list[Way], picked: CannedReply, card: Card) -> Way | None:
    """`?ready=` of a reply that can go where they came from, though nothing else can."""
    fits = [way for way in can if way.option.template and ways.approved_for(picked, way.option.account)]
    return next((way for way in fits if way.option.urn == card.urn), next(iter(fits), None))


async def typed_in(request: web.Request) -> dict[str, str]:
    """What to put back into the form that was refused."""
    found = {name: await forms.field(request, name) for name in _PUT_BACK}
    found["places"] = "\n".join(" ".join(one.split()) for one in await _places(request))
    return {name: value for name, value in found.items() if value.strip()}


async def _places(request: web.Request) -> tuple[str, ...]:
    given = (await request.post()).getall("place", [])
    return tuple(str(one).replace("\x00", "")[: forms.TEXT_CHARS] for one in given)[:_PLACES]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ordered:
    """What the form asks for."""

    text: str
    account: str | None
    to: str | None
    carries: Carried


async def ordered(request: web.Request, card: Card, cc: tuple[str, ...] | None) -> Ordered:
    """The form as `Actions.reply` wants it. Raises Refused, WindowClosed."""
    desk = request.app[DESK]
    chosen = await forms.field(request, "instead", 600) or await forms.field(request, "channel", 600)
    account, _, to = chosen.partition(" ")
    written = Written(
        text=await forms.field(request, "reply"),
        ready=await forms.words(request, "ready", 80),
        places=await _places(request),
        choices=ways.taps(await forms.field(request, "choices", 4000)),
        public=await forms.words(request, "public", 4) == "yes",
        cc=cc,
    )
    way = None
    if written.ready or written.public:
        choice = await desk.do(desk.actions.choices, card.conversation_id, request[AGENT].key)
        way = next(
            (one for one in choice.options if (one.account or "", one.urn) == (account, to)), choice.winner
        )
    text, carries = ways.composed(written, desk.config(), card.queue, way)
    return Ordered(text=text, account=account or None, to=to or None, carries=carries)


async def begun(request: web.Request, queue: str, way: Option) -> tuple[str, Carried]:
    """A first message as `Actions.begin` wants it. Raises Refused."""
    config = request.app[DESK].config()
    written = Written(
        text=await forms.field(request, "text"),
        ready=await forms.words(request, "ready", 80),
        places=await _places(request),
    )
    reply = config.replies.get(written.ready)
    if reply is not None and reply.queues and queue not in reply.queues:
        raise Refused(f"“{reply.title}” is not offered in the queue {words.queue(config, queue)}.")
    return ways.composed(written, config, queue, way)


def instead(
    desk: WebDesk, card: Card, choice: Choice | None, error: Exception | None
) -> dict[str, Any] | None:
    """What the page offers below a refusal because of a closed window."""
    if not isinstance(error, WindowClosed) or choice is None:
        return None
    found = ways.instead(choice, ways.ready(desk.config(), card.queue), error.account, error.urn)
    return {"way": found.way, "replies": found.replies, "channel": words.channel(error.account)}
