"""Modals, as Slack wants them drawn. Pure: what they show is looked up before, what they say is read by `values`.

`meta` is the view's private_metadata (what the modal is about, its key); it is the caller's, up to 3,000 characters.
`notice` is one sentence above everything, for what could not be done; the text that was typed is kept below it.
https://docs.slack.dev/surfaces/modals
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crm_store.presence import Presence
from desk import words
from desk.slack import names
from desk.slack.blocks import (
    OPTION_VALUE_CHARS,
    OPTIONS,
    PLACEHOLDER_CHARS,
    Block,
    View,
    field_of,
    initial,
    menu,
    modal,
    option,
    plain,
    quote,
    section,
)
from desk.slack.composing import (
    about,
    above,
    block_of,
    changed,
    chosen,
    count,
    count_for,
    ended,
    external,
    file_box,
    ready_made,
    reply,
    text_box,
    values,
    way,
    with_text,
)
from desk.slack.extras import refit, sender
from desk.slack.look import Shown
from desk.slack.reading import found, history, why
from desk.slack.text import line
from desk.ways import approved_for, ready
from hub import urn as urns
from hub.config import Account, Config
from hub.errors import Refused
from hub.limits import Limits
from hub.text import fold
from router.choose import Choice

__all__ = [
    "ANY", "NAME", "TO", "UNTIL_AT", "agent_options", "asked", "block_of", "canned_options",
    "changed", "chosen", "close", "correct", "count", "count_for", "found", "history", "new", "queue_options",
    "reply", "snooze", "snoozed_until", "tags_of", "transfer", "values", "way", "why", "with_text",
]  # fmt: skip

UNTIL_AT = "until_at"  # a date and time of one's own in the snooze modal
ANY = "any"  # no way in particular
TO, NAME = "to", "name"  # in the modal that begins a conversation


# ---------------------------------------------------------------------------------------- menus that are searched


def canned_options(config: Config, queue: str, query: str, only_for: str | None = None) -> list[Block]:
    """The ready-made replies of a queue in which every word of the query stands, those whose title has it first.
    only_for: an account that takes nothing but approved texts now."""
    known = [one for one in ready(config, queue) if one.places <= len(names.PLACES)]
    known = [one for one in known if only_for is None or approved_for(one, only_for)]
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
    one = external(action, placeholder)
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
    element |= initial(reason, 500)
    queue = _pick(names.QUEUE, "Queue", queue_options(config), len(config.queues), shown.card.queue)
    blocks = [*above(notice), about(shown), field_of("To the queue", queue)]
    if agents:
        who = _pick(names.AGENT, "Anybody of that queue", agents, len(config.agents))
        blocks.append(field_of("For", who, optional=True))
    blocks.append(field_of("Why", element))
    return modal(names.TRANSFER_VIEW, f"Transfer #{shown.card.number}", blocks, meta, "Transfer")


def snooze(shown: Shown, *, meta: str = "", notice: str = "") -> View:
    """Out of sight until a time."""
    options = [option(label, value) for value, label in words.SNOOZES.items()]
    blocks = [
        *above(notice),
        about(shown),
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
    if minutes not in words.SNOOZES:
        raise Refused("Choose for how long.")
    return now + timedelta(minutes=int(minutes))


def asked(shown: Shown, choice: Choice, *, meta: str = "") -> View:
    """Where they asked to be answered, in this conversation."""
    ways = [one for one in choice.options if one.account][: OPTIONS - 1]
    options = [option("Any channel", ANY)]
    options += [option(f"{one.title} · {words.address(one.urn)}", way(one)) for one in ways]
    now = next((way(one) for one in ways if one.asked_for), ANY)
    blocks = [
        about(shown),
        field_of(
            "They asked to be answered by",
            menu(names.CHANNEL, "Channel", options, now),
            hint="It is suggested before all other ways.",
        ),
    ]
    return modal(names.ASKED_VIEW, f"Answer #{shown.card.number}", blocks, meta, "Note it")


def close(shown: Shown, *, meta: str = "", disposition: str = "", tags: str = "", notice: str = "") -> View:
    """How it ended, and the tags it is given on the way."""
    element: Block = {
        "type": "plain_text_input",
        "action_id": names.TAGS,
        "max_length": 1000,
        "placeholder": plain("refund, follow-up …", PLACEHOLDER_CHARS),
    }
    element |= initial(line(tags, 1000), 1000)
    has = f"Now: {line(', '.join(shown.card.tags), 300)}" if shown.card.tags else ""
    blocks = [
        *above(notice),
        about(shown),
        ended(disposition[:80]) | {"block_id": names.DISPOSITION},
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
    queues: Sequence[str],
    meta: str = "",
    says: Mapping[str, Any] | None = None,
    notice: str = "",
    templates: Collection[str] = (),
) -> View:
    """Begin a conversation: to whom, by which account, in which of the agent's queues (the first is chosen), what.

    says: what `values` said before, to be put there again. templates: the accounts that take only an approved text;
    with one of them a ready-made reply can be picked.
    """
    said = {key: str(value) for key, value in (says or {}).items() if value}
    able = [one for one in config.accounts.values() if _can_begin(one, limits)]
    accounts = [
        option(one.title, sender(one.key, only), "approved texts only" if only else "")
        for one in able
        if len(one.key) <= OPTION_VALUE_CHARS - 3
        for only in (one.key in templates,)
    ]
    mine = [one for one in queue_options(config) if one["value"] in queues]
    mine.sort(key=lambda one: queues.index(one["value"]))
    to = _line(TO, "+44 20 7946 0000, ann@example.com", 300, said)
    blocks = [*above(notice), field_of("To", to, hint="A number or a mail address.")]
    blocks.append(field_of("Their name", _line(NAME, "if it is somebody new", 200, said), optional=True))
    if not accounts or not mine:
        blocks = [section(":no_entry: *No account of ours, or no queue of yours, can begin a conversation.*")]
        return modal(names.NEW_VIEW, "New conversation", blocks, meta, close="Close")
    by = menu(names.CHANNEL, "Channel", accounts, said.get(names.CHANNEL) or accounts[0]["value"])
    queue = menu(names.QUEUE, "Queue", mine, said.get(names.QUEUE) or mine[0]["value"])
    blocks += [field_of("By", by, dispatch=bool(templates)), field_of("In the queue", queue)]
    message = text_box(said.get(names.TEXT, ""), "Your message", live=False)
    message["element"]["focus_on_load"] = False  # the address comes first
    blocks += [ready_made(), message] if templates else [message]
    if any(limits[one.connector].attachments for one in able):
        blocks.append(file_box())
    if templates:
        first = by.get("initial_option") or {}
        blocks = refit(blocks, {names.CHANNEL: first.get("value")}, limits, None)
    return modal(names.NEW_VIEW, "New conversation", blocks, meta, "Send")


def _can_begin(account: Account, limits: Mapping[str, Limits]) -> bool:
    """Not by a chat: there one answers who came."""
    known = (
        limits.get(account.connector) if account.enabled and account.connector not in urns.VISITS else None
    )
    return known is not None and not known.lacks(account.settings)


def _line(action: str, placeholder: str, chars: int, said: Mapping[str, str]) -> Block:
    element: Block = {
        "type": "plain_text_input",
        "action_id": action,
        "max_length": chars,
        "placeholder": plain(placeholder, PLACEHOLDER_CHARS),
    }
    return element | initial(said.get(action, ""), chars)


def correct(shown: Shown, first: str, text: str, *, meta: str = "", notice: str = "") -> View:
    """A correction of what was sent already and cannot be changed there. text: as the agent has it now."""
    blocks = [
        *above(notice),
        about(shown),
        section("*The customer still sees the first text:*"),
        quote(first, 3000),
        text_box(text, "Your correction", live=False),
    ]
    return modal(names.CORRECT_VIEW, f"Correct #{shown.card.number}", blocks, meta, "Send")
