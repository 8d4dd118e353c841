"""A conversation's card: one message, redrawn in place as its state changes; and what is left when it moves on. Pure.

Nothing in it counts by our clock (Slack's own dates do), so a card changes only when its conversation does.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from crm_store.timeline import Entry
from desk import words
from desk.slack import names
from desk.slack.blocks import (
    Block,
    Post,
    actions,
    button,
    context,
    leaf,
    option,
    overflow,
    plain,
    quoted,
    rich,
    section,
)
from desk.slack.blocks import words as say
from desk.slack.look import CARD_CHARS, CARD_LINES, Because, Shown
from desk.slack.text import ago, escape, line, shown, when
from desk.slack.thread import doubt, fallback, files, seen
from hub.text import clip

ELSEWHERE_CHARS = 160

ICONS = {
    "waiting": ":hourglass_flowing_sand:",
    "offered": ":bell:",
    "open": ":large_green_circle:",
    "pending": ":leftwards_arrow_with_hook:",
    "snoozed": ":zzz:",
    "closed": ":white_check_mark:",
}


def card(shown_: Shown, now: datetime) -> Post:
    """The card as its conversation's state wants it; snoozed and closed ones are small."""
    if shown_.card.state in ("snoozed", "closed"):
        return _small(shown_)
    blocks = [
        _title(shown_),
        context(*_small_print(shown_)),
        section(_state(shown_)),
        *_window(shown_),
        *_said(shown_),
        *_elsewhere(shown_),
        context(because(shown_.because, shown_), *_why(shown_.because)),
        actions(*_buttons(shown_)),
    ]
    return Post(_fallback(shown_), tuple(blocks))


def _title(shown_: Shown) -> Block:
    one = shown_.card
    leaves = [leaf(line(shown_.name, 80), "bold"), leaf("  "), _number(shown_)]
    if one.customer_tier:
        leaves += [leaf("  "), leaf(line(one.customer_tier, 40), "code")]
    for tag in one.tags[:8]:
        leaves += [leaf("  "), leaf(line(tag, 40), "code")]
    if len(one.tags) > 8:
        leaves.append(leaf(f"  and {len(one.tags) - 8} more"))
    return rich(say(*leaves))


def _number(shown_: Shown) -> Block:
    text = f"#{shown_.card.number}"
    return {"type": "link", "url": shown_.url, "text": text} if shown_.url else leaf(text)


def _small_print(shown_: Shown) -> list[str | Block]:
    """Channel, account, address, priority."""
    one = shown_.card
    parts = [shown_.channel]
    parts += [shown_.account] if shown_.account.casefold() != shown_.channel.casefold() else []
    parts += [line(shown_.address, 60)] if shown_.address not in ("", shown_.name) else []
    return [plain(" · ".join(parts), 300), f"priority *{escape(line(one.priority, 40))}*"]


def _state(shown_: Shown) -> str:
    """What it is in, since when, who has it."""
    one = shown_.card
    icon, who = ICONS[one.state], escape(shown_.assignee)
    since = f"since {when(one.waiting_since)} ({ago(one.waiting_since)})" if one.waiting_since else ""
    goal = ""
    if one.waiting_since and shown_.goal_s:
        goal = f" · to be answered by {when(one.waiting_since + timedelta(seconds=shown_.goal_s), '{time}')}"
    if one.state == "waiting":
        return f"{icon} *Waiting* {since}{goal}"
    if one.state == "offered":
        until = f" until {when(one.offer_expires_at, '{time_secs}')}" if one.offer_expires_at else ""
        return f"{icon} *Offered to {escape(shown_.offered)}*{until} · waiting {since}"
    if one.state == "pending":
        return f"{icon} *{who or 'Nobody'}* has answered · customer's turn"
    return f"{icon} *{who or 'Somebody'}* has it" + (f" · unanswered {since}{goal}" if since else "")


def _window(shown_: Shown) -> list[Block]:
    """Until when free text goes the way they came; Slack's clock counts on, so the card need not."""
    one = shown_.window
    if one is None:
        return []
    if one.until is None:
        return [context(f":hourglass: {escape(line(one.title, 60))}: free text only after they write")]
    until = f"{when(one.until, '{date_short_pretty} {time}')} ({when(one.until, '{ago}')})"
    return [context(f":hourglass: {escape(line(one.title, 60))}: free text until {until}")]


def _said(shown_: Shown) -> list[Block]:
    entry = shown_.said
    if entry is None:
        return [context("_The customer has not written anything here._")]
    blocks: list[Block] = []
    text, more = _beginning(entry.text)
    leaves = [leaf(f"{line(entry.subject, 200)}\n", "bold")] if entry.subject else []
    if entry.deleted and not seen(entry.text):
        leaves.append(leaf("Deleted by its author.", "italic"))
    elif seen(text):
        leaves.append(leaf(text))
    elif not leaves:
        leaves.append(leaf("A file." if entry.attachments or entry.expected else "No text.", "italic"))
    blocks.append(rich(quoted(*leaves)))
    blocks += files(entry)
    blocks += [context(said) for said in doubt(entry)]
    if more:
        blocks.append(context("_The rest is in the thread._"))
    return blocks


def _beginning(text: str) -> tuple[str, bool]:
    """The first 600 characters and twelve lines."""
    whole = shown(text)
    lines = whole.split("\n")
    text = clip("\n".join(lines[:CARD_LINES]), CARD_CHARS)
    more = len(whole) > CARD_CHARS or len(lines) > CARD_LINES
    return (text if not more or text.endswith("…") else text + " …"), more


def _elsewhere(shown_: Shown) -> list[Block]:
    """What was said last on other channels."""
    if not shown_.elsewhere:
        return []
    return [context("*Elsewhere*"), *(_line(entry) for entry in shown_.elsewhere)]


def _line(entry: Entry) -> Block:
    who = "" if entry.direction == "in" else "we: "
    text = line(
        entry.text or entry.subject or ("a file" if entry.attachments or entry.expected else "no text"),
        ELSEWHERE_CHARS,
    )
    at = when(entry.at, "{date_short_pretty}")
    return context(f"{escape(words.channel(entry.account))}, {at}", plain(f"{who}{text}"))


def because(why: Because, shown_: Shown) -> str:
    """`Here because routing.yaml:41 (money)`."""
    if why.moved_by:
        said = ":" if why.why else ""
        return f"Here because {escape(why.moved_by)} transferred it from {escape(why.moved_from)}{said}"
    if why.rule and why.place:
        return f"Here because {escape(why.place)} ({escape(line(why.rule, 80))})"
    if why.rule:
        return f"Here because of the rule “{escape(line(why.rule, 80))}”"
    return f"Here because no rule matched; the default is {escape(shown_.queue)}"


def _why(why: Because) -> list[Block]:
    return [plain(f"“{line(why.why, 300)}”")] if why.why else []


# ------------------------------------------------------------------------------------------------------ buttons


def _buttons(shown_: Shown) -> list[Block]:
    """What can be done in this state, the likeliest first."""
    one, ref = shown_.card, str(shown_.card.conversation_id)
    claim = button("Claim", names.CLAIM, ref, "primary")
    reply = button("Reply", names.REPLY, ref)
    transfer = button("Transfer", names.TRANSFER, ref)
    snooze = button("Snooze", names.SNOOZE, ref)
    if one.state == "offered":
        accept = button("Accept", names.ACCEPT, ref, "primary")
        return [accept, button("Not me", names.DECLINE, ref), reply, transfer, _more(shown_)]
    if one.state == "waiting":
        return [claim, reply, transfer, snooze, _more(shown_)]
    return [
        button("Reply", names.REPLY, ref, "primary"),
        transfer,
        snooze,
        button("Close", names.CLOSE, ref),
        _more(shown_),
    ]


_MORE = {
    names.RELEASE: "Put back into the queue",
    names.CLOSE: "Close",
    names.SNOOZE: "Snooze",
    names.WHY: "Why here?",
    names.HISTORY: "The customer's history",
    names.REOPEN: "Open again",
    names.ASKED: "Asked to be answered elsewhere",
}
_MORE_OF = {
    "waiting": (names.WHY, names.HISTORY, names.CLOSE),
    "offered": (names.SNOOZE, names.WHY, names.HISTORY, names.CLOSE),
    "open": (names.RELEASE, names.WHY, names.HISTORY, names.ASKED),
    "pending": (names.RELEASE, names.WHY, names.HISTORY, names.ASKED),
    "snoozed": (names.RELEASE, names.WHY, names.HISTORY, names.CLOSE),
    "closed": (names.WHY, names.HISTORY),
}


def _more(shown_: Shown) -> Block:
    ref = shown_.card.conversation_id
    some = [option(_MORE[name], f"{name}:{ref}") for name in _MORE_OF[shown_.card.state]]
    if shown_.url:
        some.append(option("Open in the web desk", f"{names.OPEN_WEB}:{ref}") | {"url": shown_.url})
    return overflow(names.MORE, some)


# ------------------------------------------------------------------------------------------- small cards, tombstones


def _small(shown_: Shown) -> Post:
    one, ref = shown_.card, str(shown_.card.conversation_id)
    icon = ICONS[one.state]
    if one.state == "snoozed":
        until = f" until {when(one.snoozed_until)}" if one.snoozed_until else ""
        by = f" by {escape(shown_.snoozed_by)}" if shown_.snoozed_by else ""
        told, buttons = f"{icon} *Snoozed*{until}{by}", [button("Reply", names.REPLY, ref)]
    else:
        at = f" {when(one.closed_at)}" if one.closed_at else ""
        by = f" by {escape(shown_.closed_by)}" if shown_.closed_by else ""
        told, buttons = f"{icon} *Closed*{by}{at}", [button("Open again", names.REOPEN, ref)]
    small: list[str | Block] = [told]
    small += [plain(line(one.disposition, 100))] if one.state == "closed" and one.disposition else []
    return Post(
        _fallback(shown_),
        (_title(shown_), context(*small, *_small_print(shown_)[:1]), actions(*buttons, _more(shown_))),
    )


_GONE = {
    "transferred": ":arrow_right: *Transferred* to {where}",
    "moved": ":arrow_right: *Moved* to {where}",
    "woken": ":alarm_clock: *Woke up*: its new card is in {where}",
    "closed": ":white_check_mark: *Closed*",
    "reopened": ":arrow_right: *Open again*: its new card is in {where}",
    "gone": ":ghost: *No longer here*",
}


def tombstone(shown_: Shown, why: str, where: str, now: datetime) -> Post:
    """What a card becomes when its conversation goes on elsewhere. why: transferred, woken, closed, moved, reopened,
    gone. where: the id of the Slack channel in which it goes on, or empty where that has none."""
    place = f"<#{where}>" if where.isalnum() else f"*{escape(shown_.queue)}*"
    told = _GONE.get(why, _GONE["gone"]).format(where=place)
    moved = shown_.because
    small: list[str | Block] = [told]
    if why == "transferred" and moved.moved_by:
        small += [f"by {escape(moved.moved_by)}", *_why(moved)]
    text = f"{line(shown_.name, 60)} #{shown_.card.number}: {why} ({shown_.queue})"
    return Post(fallback(text), (_title(shown_), context(*small)))


def _fallback(shown_: Shown) -> str:
    said = shown_.said.text if shown_.said else ""
    head = f"{line(shown_.name, 60)} #{shown_.card.number}, {shown_.channel}"
    return fallback(f"{head}, {words.STATES[shown_.card.state]}:", said or shown_.card.subject)
