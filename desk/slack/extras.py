"""What a reply's modal holds beside the words, by the way that is chosen: places to fill, answers to tap, in public.

Pure: blocks go in, blocks come out. What was typed stays, as Slack keeps it by block_id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from desk import prepared, ways, words
from desk.slack import names
from desk.slack.blocks import (
    PLACEHOLDER_CHARS,
    Block,
    actions,
    button,
    context,
    field_of,
    initial,
    menu,
    option,
    plain,
    quote,
)
from desk.slack.text import escape, line, when
from hub.config import CannedReply
from hub.errors import Refused
from hub.limits import Limits
from hub.urn import channel_of
from router.choose import Choice, Option

COUNT = "count"  # block_id of the line below the reply
_ONLY, _READS, _READS_HEAD, _READS_DROP = "only", "reads", "reads_head", "reads_drop"
_TAPS, _WARN = "taps_said", "public_warn"
_OURS = (_ONLY, _READS, _READS_HEAD, _READS_DROP, _TAPS, _WARN)
_PLACE_CHARS = 1000
_AFRESH = (*names.PLACES, names.PUBLIC, names.CHOICES)  # inputs that are there for some ways only
PRIVATE, PUBLIC = "private", "public"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the value of a way in the channel menu says. account: empty where the value is a hash."""

    account: str = ""
    template: bool = False  # nothing but an approved text goes that way
    public: bool = False


def flags(one: Option) -> str:
    return ("t" if one.template else "") + ("p" if one.public else "")


def chosen(value: str | None) -> Chosen:
    """The way of a menu's value ("account|urn|flags")."""
    if not value:
        return Chosen()
    account = "" if value.startswith("#") else value.partition("|")[0]
    marks = value[len(bare(value)) :]
    return Chosen(account, "t" in marks, "p" in marks)


def sender(account: str, template: bool) -> str:
    """The value of an account that writes first, to an address that is typed beside it; `chosen` reads it."""
    return f"{account}||t" if template else account


def bare(value: str) -> str:
    """A way's value without its flags."""
    front, _, marks = value.rpartition("|")
    return front if marks in ("t", "p", "tp") else value


def windows(choice: Choice) -> list[Block]:
    """When the windows of the ways close; by Slack's clock, so that it stays true while the modal stands open."""
    told = [
        f"{escape(line(one.title, 60))}: free text until {when(one.window_until, '{date_short_pretty} {time}')} "
        f"({when(one.window_until, '{ago}')})"
        for one in choice.options[:8]
        if one.window_until is not None
    ]
    return [context(":hourglass: " + " · ".join(told))] if told else []


def taps_input(typed: str = "", block_id: str = names.CHOICES) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.CHOICES,
        "multiline": True,
        "max_length": 1500,
        "placeholder": plain("one a line", PLACEHOLDER_CHARS),
        "dispatch_action_config": {"trigger_actions_on": ["on_character_entered"]},
    }
    return field_of(
        "Answers to tap", element | initial(typed, 1500), optional=True, block_id=block_id, dispatch=True
    )


def places(says: Mapping[str, Any], reply: CannedReply) -> tuple[str, ...]:
    return tuple(str(says.get(name) or "") for name in names.PLACES[: reply.places])


def text_of(says: Mapping[str, Any], reply: CannedReply | None) -> str:
    """The words as they are counted: what was typed, and the ready-made reply below it."""
    typed = str(says.get(names.TEXT) or "")
    if reply is None:
        return typed
    said = prepared.begun(reply, places(says, reply))
    return (
        said
        if chosen(says.get(names.CHANNEL)).template or not typed.strip()
        else f"{typed.rstrip()}\n\n{said}"
    )


def refit(
    blocks: Sequence[Mapping[str, Any]],
    says: Mapping[str, Any],
    limits: Mapping[str, Limits],
    reply: CannedReply | None,
) -> list[Block]:
    """The modal's blocks as the chosen way, and the ready-made reply that was picked, want them."""
    way = chosen(says.get(names.CHANNEL))
    there = {_action(one): dict(one) for one in blocks}
    kept: list[Block] = []
    for one in blocks:
        action = _action(one)
        if one.get("block_id") in _OURS or action in _AFRESH:
            continue
        kept.append(_text(dict(one), way, reply) if action == names.TEXT else dict(one))
        if action == names.TEXT:
            kept[-1:-1] = _ready(way, says, reply)
        if one.get("block_id") == COUNT:
            kept += _tapping(way, says, limits, there.get(names.CHOICES))
        if action == names.CHANNEL and way.public:
            kept += [there.get(names.PUBLIC) or _public(), *_warn(says)]
    return kept


def seen(block: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a block would be drawn anew: compared, so that a modal is only redrawn where something changed."""
    some = [str(block.get("block_id"))]
    if block.get("block_id") in _OURS:
        some += [_words(one) for one in block.get("elements") or ()]
    if _action(block) == names.TEXT:
        some.append(str(bool(block.get("optional"))))
    return tuple(some)


def _words(element: Mapping[str, Any]) -> str:
    """Of a piece of a context, or of rich text."""
    if "elements" in element:
        return "".join(_words(one) for one in element["elements"])
    text = element.get("text")
    return str(text.get("text")) if isinstance(text, Mapping) else str(text)


def _action(block: Mapping[str, Any]) -> str:
    return str((block.get("element") or {}).get("action_id") or "")


def _text(block: Block, way: Chosen, reply: CannedReply | None) -> Block:
    """The box for one's own words; it may stay empty where a ready-made reply stands for them."""
    return block | {"optional": way.template or reply is not None}


def _ready(way: Chosen, says: Mapping[str, Any], reply: CannedReply | None) -> list[Block]:
    channel = escape(words.channel(way.account))
    if reply is None:
        told = f":hourglass: *Only an approved text goes by {channel} now*: choose one above."
        return [context(told) | {"block_id": _ONLY}] if way.template else []
    head = f"*{escape(line(reply.title, 80))}* will read:"
    if way.template:
        head = (
            f"*{escape(line(reply.title, 80))}* goes out as the approved text; what stands below is not sent:"
        )
        if file := prepared.encloses(reply, way.account):
            head += f" Attach {file}: it stands at its head."
        if not ways.approved_for(reply, way.account):
            head = f":warning: *{escape(line(reply.title, 80))}* is not approved for {channel}."
    fields = [_place(reply, number) for number in range(1, reply.places + 1)]
    said = quote(prepared.begun(reply, places(says, reply)), 2500)
    return [
        *fields,
        context(head) | {"block_id": _READS_HEAD},
        said | {"block_id": _READS},
        actions(button("Not this one", names.DROP_READY, reply.key[:75]), block_id=_READS_DROP),
    ]


def _place(reply: CannedReply, number: int) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.PLACES[number - 1],
        "max_length": _PLACE_CHARS,
        "dispatch_action_config": {"trigger_actions_on": ["on_character_entered"]},
    }
    return field_of(
        f"{{{number}}}", element, block_id=f"{names.PLACES[number - 1]}.{reply.key[:40]}", dispatch=True
    )


def _tapping(
    way: Chosen, says: Mapping[str, Any], limits: Mapping[str, Limits], box: Block | None
) -> list[Block]:
    """The box for answers to tap where the way has them, or where some stand in it; and what becomes of them."""
    typed, known = str(says.get(names.CHOICES) or ""), limits.get(channel_of(way.account))
    if not typed.strip() and (way.template or known is None or not known.choices):
        return []
    return [box or taps_input(typed), *_taps(way, says, limits)]


def _taps(way: Chosen, says: Mapping[str, Any], limits: Mapping[str, Limits]) -> list[Block]:
    try:
        some = ways.taps(str(says.get(names.CHOICES) or ""))
        told = ways.taps_said(some, words.channel(way.account), limits.get(channel_of(way.account)))
    except Refused as error:
        told = f":warning: {error}"
    told = "An approved text brings its own." if told and way.template else told
    return [context(escape(told)) | {"block_id": _TAPS}] if told else []


def _public() -> Block:
    some = [option("Privately, to them alone", PRIVATE), option("In public, below what they wrote", PUBLIC)]
    return field_of("Who can read it", menu(names.PUBLIC, "Who", some, PRIVATE), dispatch=True)


def _warn(says: Mapping[str, Any]) -> list[Block]:
    if says.get(names.PUBLIC) != PUBLIC:
        return []
    return [context(":loudspeaker: *Everybody can read this.*") | {"block_id": _WARN}]
