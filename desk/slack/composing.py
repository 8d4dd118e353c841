"""The modal in which a reply is written: its channel with its reason, ready-made texts, how long it is, what follows.

Pure: a view goes in as Slack tells of it, a view comes out. https://docs.slack.dev/surfaces/modals
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from desk import words
from desk.slack import extras, names
from desk.slack.blocks import (
    INPUT_CHARS,
    OPTION_VALUE_CHARS,
    OPTIONS,
    PLACEHOLDER_CHARS,
    Block,
    View,
    context,
    field_of,
    initial,
    leaf,
    menu,
    modal,
    option,
    plain,
    quote,
    rich,
    section,
)
from desk.slack.blocks import words as say
from desk.slack.look import Shown
from desk.slack.text import escape, line
from hub import urn as urns
from hub.config import CannedReply
from hub.limits import Limits
from hub.text import segments
from router.choose import Choice, Option

_ENDED = "ended"  # block_id of how it ended, there while `then` says close

_QUOTED = 600  # bytes of the customer's last words above a reply


# --------------------------------------------------------------------------------------------- what a modal says


def values(view: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a view's inputs: action_id -> text, an option's value, a list of them, files, or None.

    Read by action_id, because a block's id changes when its text is put there by us.
    """
    state = view.get("state") or {}
    return {
        action: _value(one) for block in (state.get("values") or {}).values() for action, one in block.items()
    }


def _value(one: Mapping[str, Any]) -> Any:
    if "selected_option" in one:
        return (one["selected_option"] or {}).get("value")
    for key in ("files", "selected_date_time"):
        if key in one:
            return one[key]
    if "selected_options" in one:
        return [chosen["value"] for chosen in one["selected_options"] or ()]
    return one.get("value")


def block_of(view: Mapping[str, Any], action: str) -> str:
    """The id of the block in which an input stands: where Slack shows an error of it."""
    for block in view.get("blocks") or ():
        if (block.get("element") or {}).get("action_id") == action:
            return str(block["block_id"])
    return action


def _again(view: Mapping[str, Any], blocks: list[Block]) -> View:
    """The view that Slack told us of with other blocks, as views.update takes it."""
    kept = ("type", "callback_id", "title", "submit", "close", "private_metadata", "notify_on_close")
    return {key: view[key] for key in kept if view.get(key) is not None} | {"blocks": blocks}


def above(notice: str) -> list[Block]:
    return [section(f":warning: {escape(notice)}")] if notice else []


def about(shown: Shown) -> Block:
    return rich(say(leaf(line(shown.name, 80), "bold"), leaf(f"  #{shown.card.number} · {shown.channel}")))


# -------------------------------------------------------------------------------------------------- the reply


def way(one: Option) -> str:
    """The value of one way to answer: "account|urn|flags", or a hash of the first two where that is longer than Slack
    takes. The flags (extras.flags) say what a modal must know without the store."""
    value = f"{one.account or ''}|{one.urn}"
    if len(value) > OPTION_VALUE_CHARS - 3:
        value = f"#{hashlib.sha256(value.encode()).hexdigest()}"
    flags = extras.flags(one)
    return f"{value}|{flags}" if flags else value


def same_way(one: Option, value: str | None) -> bool:
    """Does the menu's value name it, whatever has become of its window since?"""
    return bool(value) and extras.bare(way(one)) == extras.bare(str(value))


def chosen(choice: Choice, value: str | None) -> Option | None:
    """The way that a modal's channel menu names; None for none, and for one that is not there any more."""
    return next((one for one in choice.options if same_way(one, value)), None)


def reply(
    shown: Shown,
    choice: Choice,
    limits: Mapping[str, Limits],
    *,
    meta: str = "",
    text: str = "",
    channel: str | None = None,
    then: str = "leave",
    notice: str = "",
    canned: bool = True,
    copies: Sequence[str] = (),
    ready: CannedReply | None = None,
    choices: str = "",
) -> View:
    """Answer the customer. The channel is preset to the chooser's winner (or `channel`, a `way`), with its reason.
    copies: who gets one of a mail, unless the agent drops them. ready: a ready-made reply whose places are to be
    filled. choices: answers to tap, one a line.

    It reports every character, every change of the channel and of `then`: `changed` makes the new view of those.
    """
    usable = [one for one in choice.options if one.usable or one.template or one.only_public][:OPTIONS]
    picked = chosen(choice, channel) or next(iter(usable), None)
    blocks = [*above(notice), about(shown)]
    if shown.said is not None and shown.said.text:
        blocks.append(quote(shown.said.text, _QUOTED))
    if shown.said is not None and shown.said.id != shown.card.last_inbound_id and shown.card.preview:
        blocks += [context("And last:"), quote(shown.card.preview, _QUOTED)]
    blocks += [ready_made()] if canned else []
    blocks += [text_box(text, "Your reply"), context(count(text, picked, limits))]
    blocks[-1]["block_id"] = extras.COUNT
    blocks += _channel(choice, usable, picked)
    if copies and any(words.is_mail(one.account or "") for one in usable):
        blocks.append(_copies(copies))
    if any(_of(one, limits).attachments for one in usable):
        blocks.append(file_box())
    blocks.append(
        field_of(
            "Then",
            menu(names.THEN, "Then", [option(label, value) for value, label in words.THEN.items()], then),
            dispatch=True,
        )
    )
    blocks += [ended()] if then == "close" else []
    says = {names.TEXT: text, names.CHANNEL: way(picked) if picked else None, names.CHOICES: choices}
    blocks = extras.refit(blocks, says, limits, ready)
    submit = "Send" if usable else ""
    return modal(names.REPLY_VIEW, f"Reply to #{shown.card.number}", blocks, meta, submit)


def text_box(text: str, label: str, block_id: str | None = None, *, live: bool = True) -> Block:
    """Where one writes. live: every character is reported."""
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.TEXT,
        "multiline": True,
        "max_length": INPUT_CHARS,
        "focus_on_load": True,
    }
    element |= initial(text, INPUT_CHARS)
    if live:
        element["dispatch_action_config"] = {"trigger_actions_on": ["on_character_entered"]}
    hint = (
        "" if len(text) <= INPUT_CHARS else "Slack takes 3,000 characters; the whole text is in the web desk."
    )
    return field_of(label, element, hint=hint, block_id=block_id, dispatch=live)


def ready_made() -> Block:
    element = external(names.CANNED, "Search ready-made replies")
    return field_of("Ready-made", element, optional=True, dispatch=True)


def external(action: str, placeholder: str) -> Block:
    return {
        "type": "external_select",
        "action_id": action,
        "min_query_length": 0,
        "placeholder": plain(placeholder, PLACEHOLDER_CHARS),
    }


def _channel(choice: Choice, usable: Sequence[Option], picked: Option | None) -> list[Block]:
    """The ways that are open as a menu, why this one, and below it what blocks the others."""
    blocks: list[Block] = []
    if usable:
        options = [
            option(
                f"{one.title} · {words.address(one.urn)}",
                way(one),
                _speaks(one),
            )
            for one in usable
        ]
        element = menu(names.CHANNEL, "Channel", options, way(picked) if picked else None)
        blocks.append(field_of("By", element, hint=_suggested(choice), dispatch=True))
    else:
        blocks.append(section(f":no_entry: *{escape(choice.reasons[0])}*"))
    blocks += extras.windows(choice)
    shut = [one for one in choice.options if not one.usable][:8]
    if shut:
        told = (
            f"Not {one.title} ({line(words.address(one.urn), 60)}): {', '.join(one.blocked_by)}"
            for one in shut
        )
        blocks.append(context(plain("\n".join(told), 1500)))
    return blocks


def _suggested(choice: Choice) -> str:
    if choice.winner is None:
        approved = any(one.template for one in choice.options)
        return "Free text goes no way at the moment; an approved text can." if approved else choice.reasons[0]
    return f"Suggested: {choice.reasons[0]}"


def _speaks(one: Option) -> str:
    if one.template or one.only_public:
        return "approved texts only" if one.template else "in public only"
    return ", ".join(one.speaks_for) or "open"


def copy_value(urn: str) -> str:
    """Of one copy in its menu: addresses are longer than Slack takes."""
    return hashlib.sha256(urn.encode()).hexdigest()[:40]


def dropped(view: Mapping[str, Any]) -> bool:
    """Did the agent take somebody out of the copies?"""
    offered = next(
        (
            block["element"]["options"]
            for block in view.get("blocks") or ()
            if (block.get("element") or {}).get("action_id") == names.COPIES
        ),
        (),
    )
    return len(values(view).get(names.COPIES) or ()) < len(offered)


def _copies(urns_of: Sequence[str]) -> Block:
    options = [option(words.address(urn), copy_value(urn)) for urn in urns_of[:OPTIONS]]
    element: Block = {
        "type": "multi_static_select",
        "action_id": names.COPIES,
        "placeholder": plain("Nobody", PLACEHOLDER_CHARS),
        "options": options,
        "initial_options": options,
    }
    return field_of(
        "Copies, by mail", element, hint="Who took part gets one; take out who should not.", optional=True
    )


def file_box() -> Block:
    element = {"type": "file_input", "action_id": names.FILES, "max_files": 10}
    return field_of("Files", element, optional=True)


def ended(value: str = "") -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.DISPOSITION,
        "max_length": 80,
        "placeholder": plain("solved, refunded, spam …", PLACEHOLDER_CHARS),
    }
    element |= initial(value, 80)
    return field_of("How did it end?", element, optional=True, block_id=_ENDED)


def _of(one: Option | None, limits: Mapping[str, Limits]) -> Limits:
    connector = urns.channel_of(one.account) if one is not None and one.account else ""
    return limits.get(
        connector, Limits(text_chars=INPUT_CHARS, attachments=0, attachment_bytes=0, source="Slack")
    )


def count(text: str, one: Option | None, limits: Mapping[str, Limits]) -> str:
    """How long a text is by that way: SMS for SMS, characters elsewhere, and whether it is too long."""
    account = one.account if one is not None and one.account else ""
    return count_for(text, account, limits)


def count_for(text: str, account: str, limits: Mapping[str, Limits]) -> str:
    """`count` for an account's key."""
    connector = urns.channel_of(account)
    most = min(limits[connector].text_chars if connector in limits else INPUT_CHARS, INPUT_CHARS)
    if len(text) > most:
        return f":warning: *{len(text):,} characters*; this channel takes {most:,}."
    if not (connector in limits and limits[connector].segments) and words.channel(account) != "SMS":
        return f"{len(text):,} of {most:,} characters"
    found = segments(text)
    odd = next((c for c in text if not segments(c).gsm), "")
    alone, each = (160, 153) if found.gsm else (70, 67)
    room = f"{found.units} of {alone if found.count == 1 else each * found.count} characters"
    why = (
        f" · “{escape(line(odd, 2))}” is not in the SMS alphabet, so a message holds 70 instead of 160"
        if odd
        else ""
    )
    return f"*{found.count} SMS* · {room}{why}"


def changed(
    view: Mapping[str, Any], limits: Mapping[str, Limits], ready: CannedReply | None = None
) -> View | None:
    """The reply's view as it is to be after somebody typed, chose another channel or another `then`; None: as it is.

    view: as Slack tells of it, with its state. ready: the ready-made reply that is being filled. What stands in its
    inputs stays: Slack keeps it by block_id.
    """
    says = values(view)
    account = extras.chosen(says.get(names.CHANNEL)).account
    note = context(count_for(extras.text_of(says, ready), account, limits)) | {"block_id": extras.COUNT}
    closes = says.get(names.THEN) == "close"
    old = list(view.get("blocks") or ())
    blocks = [note if one.get("block_id") == extras.COUNT else dict(one) for one in old]
    if closes and not any(one.get("block_id") == _ENDED for one in blocks):
        blocks.append(ended())
    blocks = [one for one in blocks if closes or one.get("block_id") != _ENDED]
    blocks = extras.refit(blocks, says, limits, ready)
    return None if list(map(_key, blocks)) == list(map(_key, old)) else _again(view, blocks)


def _words(block: Mapping[str, Any]) -> str:
    return " ".join(str(one.get("text")) for one in block.get("elements") or ())


def _key(block: Mapping[str, Any]) -> tuple[str, ...]:
    return (*extras.seen(block), _words(block) if block.get("block_id") == extras.COUNT else "")


def with_text(
    view: Mapping[str, Any], text: str, limits: Mapping[str, Limits], choices: Sequence[str] = ()
) -> View:
    """The view with `text` in its reply's box instead of what stood there; its block has a new id, or Slack would
    keep the old text. choices: among the answers to tap. The ready-made menu is emptied the same way, so that the same
    reply can be chosen again."""
    blocks: list[Block] = copy.deepcopy(list(view.get("blocks") or ()))
    for place, block in enumerate(blocks):
        action = (block.get("element") or {}).get("action_id")
        if action in (names.TEXT, names.CANNED) or (action == names.CHOICES and choices):
            fresh = _fresh(block)
            blocks[place] = (
                text_box(text, block["label"]["text"], fresh)
                if action == names.TEXT
                else extras.taps_input("\n".join(choices), fresh)
                if action == names.CHOICES
                else ready_made() | {"block_id": fresh}
            )
    state = copy.deepcopy(dict(view.get("state") or {}))
    state.setdefault("values", {})["text.put"] = {names.TEXT: {"value": text}}
    if choices:
        state["values"]["choices.put"] = {names.CHOICES: {"value": "\n".join(choices)}}
    new = _again(view, blocks)
    return changed({**new, "state": state}, limits) or new


def _fresh(block: Mapping[str, Any]) -> str:
    """Another id for an input, so that Slack shows what we put there."""
    base, _, turn = str(block["block_id"]).partition(".")
    return f"{base}.{int(turn or 0) + 1}"


def with_ready(
    view: Mapping[str, Any], meta: str, limits: Mapping[str, Limits], ready: CannedReply | None
) -> View:
    """The view with a ready-made reply to be filled, or (None) without one. meta: its new private_metadata."""
    blocks: list[Block] = copy.deepcopy(list(view.get("blocks") or ()))
    for place, block in enumerate(blocks):
        if (block.get("element") or {}).get("action_id") == names.CANNED:
            blocks[place] = ready_made() | {"block_id": _fresh(block)}
    new = {**_again(view, blocks), "private_metadata": meta}
    return changed({**new, "state": view.get("state") or {}}, limits, ready) or new
