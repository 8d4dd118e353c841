"""Modals, as Slack wants them drawn. Pure: what they show is looked up before, what they say is read by `values`.

`meta` is the view's private_metadata (what the modal is about, its key); it is the caller's, up to 3,000 characters.
`notice` is one sentence above everything, for what could not be done; the text that was typed is kept below it.
https://docs.slack.dev/surfaces/modals
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crm_store.presence import Presence
from desk import words
from desk.slack import names
from desk.slack.blocks import (
    INPUT_CHARS,
    OPTION_VALUE_CHARS,
    OPTIONS,
    PLACEHOLDER_CHARS,
    Block,
    View,
    context,
    field_of,
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
from desk.slack.reading import found, history, why
from desk.slack.text import escape, line
from hub import urn as urns
from hub.config import Config
from hub.errors import Refused
from hub.limits import Limits
from hub.text import fold, segments
from router.choose import Choice, Option

__all__ = [
    "SNOOZES", "THEN", "TO", "UNTIL_AT", "agent_options", "block_of", "canned_options", "changed", "chosen", "close",
    "correct", "count", "count_for", "found", "history", "new", "queue_options", "reply", "snooze", "snoozed_until",
    "tags_of", "transfer", "values", "way", "why", "with_text",
]  # fmt: skip

UNTIL_AT = "until_at"  # a date and time of one's own in the snooze modal
TO = "to"  # an address, in the modal that begins a conversation
_COUNT = "count"  # block_id of the line below the reply
_ENDED = "ended"  # block_id of how it ended, there while `then` says close

SNOOZES = {
    "30": "half an hour", "60": "an hour", "180": "3 hours", "1440": "a day", "4320": "3 days", "10080": "a week",
}  # fmt: skip
THEN = {"leave": "keep it open", "wait": "wait for the customer", "close": "close it"}
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


def _notice(notice: str) -> list[Block]:
    return [section(f":warning: {escape(notice)}")] if notice else []


def _about(shown: Shown) -> Block:
    return rich(say(leaf(line(shown.name, 80), "bold"), leaf(f"  #{shown.card.number} · {shown.channel}")))


# -------------------------------------------------------------------------------------------------- the reply


def way(one: Option) -> str:
    """The value of one way to answer: "account|urn", or a hash of it where that is longer than Slack takes."""
    value = f"{one.account or ''}|{one.urn}"
    return value if len(value) <= OPTION_VALUE_CHARS else f"#{hashlib.sha256(value.encode()).hexdigest()}"


def chosen(choice: Choice, value: str | None) -> Option | None:
    """The way that a modal's channel menu names; None for none, and for one that is not there any more."""
    return next((one for one in choice.options if way(one) == value), None)


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
) -> View:
    """Answer the customer. The channel is preset to the chooser's winner (or `channel`, a `way`), with its reason.

    It reports every character, every change of the channel and of `then`: `changed` makes the new view of those.
    """
    usable = [one for one in choice.options if one.usable][:OPTIONS]
    picked = chosen(choice, channel) or choice.winner
    blocks = [*_notice(notice), _about(shown)]
    if shown.said is not None and shown.said.text:
        blocks.append(quote(shown.said.text, _QUOTED))
    blocks += [_canned()] if canned else []
    blocks += [_text(text, "Your reply", names.TEXT), context(count(text, picked, limits))]
    blocks[-1]["block_id"] = _COUNT
    blocks += _channel(choice, usable, picked)
    if any(_of(one, limits).attachments for one in usable):
        blocks.append(_files())
    blocks.append(
        field_of(
            "Then",
            menu(names.THEN, "Then", [option(label, value) for value, label in THEN.items()], then),
            dispatch=True,
        )
    )
    blocks += [_ended()] if then == "close" else []
    submit = "Send" if usable else ""
    return modal(names.REPLY_VIEW, f"Reply to #{shown.card.number}", blocks, meta, submit)


def _text(text: str, label: str, action: str, block_id: str | None = None, *, live: bool = True) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": action,
        "multiline": True,
        "max_length": INPUT_CHARS,
        "focus_on_load": True,
    }
    element |= {"initial_value": text[:INPUT_CHARS]} if text else {}
    if live:
        element["dispatch_action_config"] = {"trigger_actions_on": ["on_character_entered"]}
    hint = (
        "" if len(text) <= INPUT_CHARS else "Slack takes 3,000 characters; the whole text is in the web desk."
    )
    return field_of(label, element, hint=hint, block_id=block_id, dispatch=live)


def _canned() -> Block:
    element = _external(names.CANNED, "Search ready-made replies")
    return field_of("Ready-made", element, optional=True, dispatch=True)


def _external(action: str, placeholder: str) -> Block:
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
        options = [option(f"{one.title} · {urns.display(one.urn)}", way(one), _speaks(one)) for one in usable]
        element = menu(names.CHANNEL, "Channel", options, way(picked) if picked else None)
        blocks.append(field_of("By", element, hint=" ".join(choice.reasons[:1]), dispatch=True))
    else:
        blocks.append(section(f":no_entry: *{escape(choice.reasons[0])}*"))
    shut = [one for one in choice.options if not one.usable][:8]
    if shut:
        told = "; ".join(
            f"{one.title} ({line(urns.display(one.urn), 60)}): {', '.join(one.blocked_by)}" for one in shut
        )
        blocks.append(context(":no_entry_sign:", plain(f"Not by {told}", 1500)))
    return blocks


def _speaks(one: Option) -> str:
    return ", ".join(one.speaks_for) or "open"


def _files() -> Block:
    element = {"type": "file_input", "action_id": names.FILES, "max_files": 10}
    return field_of("Files", element, optional=True)


def _ended(value: str = "") -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.DISPOSITION,
        "max_length": 80,
        "placeholder": plain("solved, refunded, spam …", PLACEHOLDER_CHARS),
    }
    element |= {"initial_value": value} if value else {}
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
    if words.channel(account) != "SMS":
        return f"{len(text):,} of {most:,} characters"
    found = segments(text)
    odd = next((c for c in text if not segments(c).gsm), "")
    room = f"{found.units} of {160 if found.gsm else 70}" if found.count == 1 else f"{found.units} units"
    why = (
        f" · “{escape(line(odd, 2))}” is not in the SMS alphabet, so a message holds 70 instead of 160"
        if odd
        else ""
    )
    return f"*{found.count} SMS* · {room}{why}"


def changed(view: Mapping[str, Any], limits: Mapping[str, Limits]) -> View | None:
    """The reply's view as it is to be after somebody typed, chose another channel or another `then`; None: as it is.

    view: as Slack tells of it, with its state. What stands in its inputs stays: Slack keeps it by block_id.
    """
    says = values(view)
    account = str(says.get(names.CHANNEL) or "").partition("|")[0]
    if account.startswith("#"):  # a hash; the menu's own text names the channel well enough for its reader
        account = ""
    note = context(count_for(str(says.get(names.TEXT) or ""), account, limits)) | {"block_id": _COUNT}
    blocks: list[Block] = []
    for block in view.get("blocks") or ():
        if block.get("block_id") == _COUNT:
            block = note if _words(block) != _words(note) else block
        if block.get("block_id") != _ENDED:
            blocks.append(dict(block))
        ended = block if block.get("block_id") == _ENDED else None
        if ended is not None and says.get(names.THEN) == "close":
            blocks.append(dict(ended))
    has = any(block.get("block_id") == _ENDED for block in blocks)
    if says.get(names.THEN) == "close" and not has:
        blocks.append(_ended())
    same = [_key(block) for block in blocks] == [_key(block) for block in view.get("blocks") or ()]
    return None if same else _again(view, blocks)


def _words(block: Mapping[str, Any]) -> str:
    return " ".join(str(one.get("text")) for one in block.get("elements") or ())


def _key(block: Mapping[str, Any]) -> tuple[str, str]:
    return str(block.get("block_id")), _words(block) if block.get("block_id") == _COUNT else ""


def with_text(view: Mapping[str, Any], text: str, limits: Mapping[str, Limits]) -> View:
    """The view with `text` in its reply's box instead of what stood there; its block has a new id, or Slack would
    keep the old text. The ready-made menu is emptied the same way, so that the same reply can be chosen again."""
    blocks: list[Block] = copy.deepcopy(list(view.get("blocks") or ()))
    for place, block in enumerate(blocks):
        action = (block.get("element") or {}).get("action_id")
        if action in (names.TEXT, names.CANNED):
            base, _, turn = str(block["block_id"]).partition(".")
            fresh = f"{base}.{int(turn or 0) + 1}"
            blocks[place] = (
                _text(text, "Your reply", names.TEXT, fresh)
                if action == names.TEXT
                else _canned() | {"block_id": fresh}
            )
    state = copy.deepcopy(dict(view.get("state") or {}))
    state.setdefault("values", {})["text.put"] = {names.TEXT: {"value": text}}
    new = _again(view, blocks)
    return changed({**new, "state": state}, limits) or new


# ---------------------------------------------------------------------------------------- menus that are searched


def canned_options(config: Config, queue: str, query: str) -> list[Block]:
    """The ready-made replies of a queue in which every word of the query stands, those whose title has it first."""
    known = [one for one in config.replies.values() if not one.queues or queue in one.queues]
    parts = fold(query).split()
    hits = [one for one in known if all(part in fold(f"{one.title} {one.text} {one.key}") for part in parts)]
    hits.sort(key=lambda one: not all(part in fold(one.title) for part in parts))
    return [option(one.title, one.key[:OPTION_VALUE_CHARS], line(one.text, 75)) for one in hits[:OPTIONS]]


def queue_options(config: Config, query: str = "") -> list[Block]:
    found = [one for one in config.queues.values() if fold(query) in fold(f"{one.title} {one.key}")]
    return [option(one.title, one.key) for one in found if len(one.key) <= OPTION_VALUE_CHARS][:OPTIONS]


def agent_options(
    config: Config, query: str = "", here: Mapping[str, Presence] | None = None, but: str = ""
) -> list[Block]:
    """Agents by name, those who are here first, each with their status."""
    here = here or {}
    found = [
        one
        for one in config.agents.values()
        if one.key != but
        and len(one.key) <= OPTION_VALUE_CHARS
        and fold(query) in fold(f"{one.name} {one.key}")
    ]
    found.sort(key=lambda one: one.key not in here or here[one.key].status not in ("available", "busy"))
    return [
        option(one.name, one.key, words.PRESENCE[here[one.key].status] if one.key in here else "")
        for one in found[:OPTIONS]
    ]


def _pick(
    action: str, placeholder: str, options: Sequence[Block], number: int, initial: str | None = None
) -> Block:
    """A menu, or, of more choices than a menu takes, one that is searched (`…_options` answers what is typed)."""
    if number <= OPTIONS:
        return menu(action, placeholder, options, initial)
    one = _external(action, placeholder)
    preset = next((o for o in options if o["value"] == initial), None)
    return one | {"initial_option": preset} if preset else one


# ------------------------------------------------------------------------------------------ transfer, snooze, close


def transfer(
    shown: Shown,
    config: Config,
    *,
    meta: str = "",
    here: Mapping[str, Presence] | None = None,
    me: str = "",
    reason: str = "",
    notice: str = "",
) -> View:
    """Into another queue, or to a colleague, with a reason."""
    agents = agent_options(config, "", here, me)
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.REASON,
        "multiline": True,
        "max_length": 500,
        "placeholder": plain("what the next one should know", PLACEHOLDER_CHARS),
    }
    element |= {"initial_value": reason[:500]} if reason else {}
    queue = _pick(names.QUEUE, "Queue", queue_options(config), len(config.queues), shown.card.queue)
    blocks = [*_notice(notice), _about(shown), field_of("To the queue", queue)]
    if agents:
        who = _pick(names.AGENT, "Anybody of that queue", agents, len(config.agents))
        blocks.append(field_of("For", who, optional=True))
    blocks.append(field_of("Why", element))
    return modal(names.TRANSFER_VIEW, f"Transfer #{shown.card.number}", blocks, meta, "Transfer")


def snooze(shown: Shown, *, meta: str = "", notice: str = "") -> View:
    """Out of sight until a time."""
    options = [option(label, value) for value, label in SNOOZES.items()]
    blocks = [
        *_notice(notice),
        _about(shown),
        field_of("For", menu(names.UNTIL, "For", options, "60"), optional=True),
        field_of(
            "Or until",
            {"type": "datetimepicker", "action_id": UNTIL_AT},
            optional=True,
            hint="It wakes with a fresh card; a customer who writes wakes it too.",
        ),
    ]
    return modal(names.SNOOZE_VIEW, f"Snooze #{shown.card.number}", blocks, meta, "Snooze")


def snoozed_until(says: Mapping[str, Any], now: datetime) -> datetime:
    """Until when, by what the snooze modal's `values` say; a time of one's own goes first. Raises Refused."""
    at = says.get(UNTIL_AT)
    if isinstance(at, int) and at > 0:
        until = datetime.fromtimestamp(min(at, 1 << 33), UTC)
        if until <= now:
            raise Refused("That time is past.")
        return until
    minutes = says.get(names.UNTIL)
    if minutes not in SNOOZES:
        raise Refused("Choose for how long.")
    return now + timedelta(minutes=int(minutes))


def close(shown: Shown, *, meta: str = "", disposition: str = "", tags: str = "", notice: str = "") -> View:
    """How it ended, and the tags it is given on the way."""
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.TAGS,
        "max_length": 1000,
        "placeholder": plain("refund, follow-up …", PLACEHOLDER_CHARS),
    }
    element |= {"initial_value": line(tags, 1000)} if tags.strip() else {}
    has = f"It has {line(', '.join(shown.card.tags), 300)}." if shown.card.tags else ""
    blocks = [
        *_notice(notice),
        _about(shown),
        _ended(disposition[:80]) | {"block_id": names.DISPOSITION},
        field_of("Tags to add, with commas between", element, optional=True, hint=has),
    ]
    return modal(names.CLOSE_VIEW, f"Close #{shown.card.number}", blocks, meta, "Close")


def tags_of(says: Mapping[str, Any]) -> list[str]:
    """The tags that a modal says, each once."""
    parts: Iterable[str] = str(says.get(names.TAGS) or "").split(",")
    return list(dict.fromkeys(tag for tag in (" ".join(part.split()) for part in parts) if tag))


def new(
    config: Config,
    limits: Mapping[str, Limits],
    *,
    meta: str = "",
    to: str = "",
    text: str = "",
    notice: str = "",
) -> View:
    """Begin a conversation: to whom, by which account, what."""
    open_ = [one for one in config.accounts.values() if one.enabled and one.connector in limits]
    able = [one for one in open_ if not limits[one.connector].lacks(one.settings)]
    options = [option(one.title, one.key) for one in able if len(one.key) <= OPTION_VALUE_CHARS][:OPTIONS]
    element: Block = {
        "type": "plain_text_input",
        "action_id": TO,
        "max_length": 300,
        "placeholder": plain("+44 20 7946 0000, ann@example.com", PLACEHOLDER_CHARS),
    }
    element |= {"initial_value": to[:300]} if to else {}
    blocks = [*_notice(notice), field_of("To", element)]
    if options:
        first = options[0]["value"] if len(options) == 1 else None
        blocks.append(field_of("By", menu(names.CHANNEL, "Channel", options, first)))
        blocks.append(_text(text, "Your message", names.TEXT, live=False))
    else:
        blocks.append(section(":no_entry: *No account of ours can begin a conversation.*"))
    for block in blocks:  # one only may have the focus
        if (block.get("element") or {}).get("action_id") == names.TEXT:
            block["element"]["focus_on_load"] = False
    return modal(names.NEW_VIEW, "New conversation", blocks, meta, "Send" if options else "")


def correct(shown: Shown, first: str, text: str, *, meta: str = "", notice: str = "") -> View:
    """A correction of what was sent already and cannot be changed there. text: as the agent has it now."""
    blocks = [
        *_notice(notice),
        _about(shown),
        section("*The customer still sees the first text:*"),
        quote(first, 3000),
        _text(text, "Your correction", names.TEXT, live=False),
    ]
    return modal(names.CORRECT_VIEW, f"Correct #{shown.card.number}", blocks, meta, "Send")
