"""App Home: what an agent has, what is theirs to do, how they are; for leads also how everything stands. Pure.

https://docs.slack.dev/surfaces/app-home
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from crm_store.quarantine import Held
from crm_store.views import FailedSend, QueueRow
from desk import words
from desk.health import Blocked, Health, Unread
from desk.slack import names
from desk.slack.blocks import (
    VIEW_BLOCKS,
    Block,
    View,
    actions,
    button,
    context,
    divider,
    header,
    leaf,
    menu,
    option,
    plain,
    rich,
    section,
)
from desk.slack.blocks import words as say
from desk.slack.look import AtHome
from desk.slack.reading import row
from desk.slack.text import escape, line, when
from hub.config import Config

UNTIL = {
    "0": "until I change it",
    "30": "for 30 min",
    "60": "for an hour",
    "120": "for 2 hours",
    "480": "for 8 hours",
}
_MINE = 12
_FAILED = 8
_QUEUES = 15
_ACCOUNTS = 8
_HELD = 5
DOTS = {
    "available": ":large_green_circle:",
    "busy": ":red_circle:",
    "away": ":large_yellow_circle:",
    "offline": ":white_circle:",
}


def view(
    at_home: AtHome,
    config: Config,
    now: datetime,
    *,
    links: Mapping[int, str] | None = None,
    desk_url: str = "",
    notice: str = "",
) -> View:
    """The Home tab of one agent. links: conversation id -> where its card is. notice: what the last press came to."""
    links = links or {}
    blocks = [section(f":information_source: {escape(notice)}")] if notice else []
    blocks += _status(at_home)
    blocks += _mine(at_home, config, links)
    blocks += _failed(at_home, config, links)
    blocks += _queues(at_home)
    if at_home.leads:
        blocks += _accounts(at_home)
        blocks += _quarantine(at_home, config)
    foot = f"<{desk_url}|Open the web desk> · " if desk_url else ""
    blocks = blocks[: VIEW_BLOCKS - 1]
    blocks.append(context(f"{foot}as of {when(now, '{time_secs}')}"))
    return {"type": "home", "blocks": blocks}


def _status(at_home: AtHome) -> list[Block]:
    present = at_home.presence
    until = f" until {when(present.until)}" if present.until else ""
    told = f"{DOTS[present.status]} *{words.PRESENCE[present.status]}*{until}"
    waits = (
        f"{at_home.waiting} waiting in your queues"
        if at_home.waiting
        else "Nobody is waiting in your queues."
    )
    statuses = [option(title, key) for key, title in words.PRESENCE.items()]
    return [
        section(f"{told} · {waits}"),
        actions(
            button("Next", names.HOME_NEXT, "next", "primary"),
            menu(names.HOME_STATUS, "Status", statuses, present.status),
            menu(names.HOME_UNTIL, "Until", [option(title, key) for key, title in UNTIL.items()], "0"),
            button("Refresh", names.HOME_REFRESH, "refresh"),
            block_id="status",
        ),
    ]


def _mine(at_home: AtHome, config: Config, links: Mapping[int, str]) -> list[Block]:
    blocks = [header(f"Yours ({len(at_home.mine)})")]
    for one in at_home.mine[:_MINE]:
        blocks += row(one, config, links.get(one.conversation_id))
    if not at_home.mine:
        blocks.append(section("Nothing at the moment. _Next_ gives you who waits longest."))
    return blocks + _more(len(at_home.mine), _MINE)


def _more(number: int, shown: int) -> list[Block]:
    return [context(f"and {number - shown} more")] if number > shown else []


def _failed(at_home: AtHome, config: Config, links: Mapping[int, str]) -> list[Block]:
    if not at_home.failed:
        return []
    blocks = [header(f"Not sent ({len(at_home.failed)})")]
    for one in at_home.failed[:_FAILED]:
        blocks += failed(one, config, links.get(one.conversation_id))
    return blocks + _more(len(at_home.failed), _FAILED)


def failed(one: FailedSend, config: Config, link: str | None = None) -> list[Block]:
    """A send that needs somebody."""
    state = "Waits for your word" if one.state == "held" else words.DELIVERIES[one.state][0]
    number: Block = (
        {"type": "link", "url": link, "text": f"#{one.number}"} if link else leaf(f"#{one.number}")
    )
    head = [
        number,
        leaf(f"  {state}", "bold"),
        leaf(f" by {words.channel(one.account)} to {line(words.called('', one.to_urn), 80)}"),
    ]
    head.append(leaf(f"\n“{line(one.text or 'a file', 140)}”"))
    cause = words.delivery_code(one.code) or words.DELIVERIES[one.state][1]
    who = escape(words.who(config, one.by))
    told = section(cause, button("Open", names.HOME_OPEN, str(one.conversation_id)))
    return [rich(say(*head)), told, context(f"{who} · {when(one.at)}")]


def _queues(at_home: AtHome) -> list[Block]:
    if not at_home.queues:
        return []
    rows = sorted(at_home.queues, key=lambda one: (-one.late, -one.waiting))
    told = [_queue(one) for one in rows[:_QUEUES]]
    return [header("Queues"), *told, *_more(len(rows), _QUEUES)]


def _queue(one: QueueRow) -> Block:
    here = f"{one.agents_here} here" if one.agents_here else "nobody here"
    busy = f"{one.open} open · {one.pending} customer's turn · {one.snoozed} snoozed · {here}"
    waiting = one.waiting + one.offered
    late = f" · :warning: *{one.late} late*" if one.late else ""
    waits = (
        f"*{waiting} waiting* · longest {words.span(one.longest_wait_s)}{late}"
        if waiting
        else "nobody waiting"
    )
    return context(f"*{escape(line(one.title, 60))}*", f"{waits} · {busy}")


def _accounts(at_home: AtHome) -> list[Block]:
    bad = [one for one in at_home.accounts if not one.well]
    good = [one for one in at_home.accounts if one.well]
    blocks = [header("Accounts"), *(_account(one) for one in bad[:_ACCOUNTS])]
    blocks += _more(len(bad), _ACCOUNTS)
    blocks += [_blocked(one) for one in at_home.blocked[:_ACCOUNTS]]
    if good:
        titles = ", ".join(line(one.title, 60) for one in good)
        blocks.append(context(":large_green_circle:", plain(f"{len(good)} well: {titles}", 1500)))
    return blocks


def _account(one: Health) -> Block:
    """What it does not do, since or until when: both, where it neither sends nor is read."""
    if not one.enabled:
        return context(":white_circle:", plain(f"{line(one.title, 60)}: switched off"))
    said: list[str | Block] = [":red_circle:"]
    if one.unread is not None:
        said += [
            plain(f"{line(one.title, 60)}: not read ({line(one.unread.why, 300)})"),
            unread_times(one.unread),
        ]
    if one.paused_until is not None:
        why = f" ({line(one.why, 300)})" if one.why else ""
        said += [plain(f"{line(one.title, 60)}: paused{why}"), f"until {when(one.paused_until, '{time}')}"]
    return context(*said)


def unread_times(one: Unread) -> str:
    """Since when, and when it is tried again."""
    again = f" · tried again at {when(one.next_at, '{time}')}" if one.next_at is not None else ""
    return f"since {when(one.since)}{again}"


def _blocked(one: Blocked) -> Block:
    where = place(one.place) if one.place else "Slack"
    return context(
        ":red_circle:", f"{where}: nothing can be posted, {escape(one.why)}", f"since {when(one.since)}"
    )


def place(given: str) -> str:
    """A channel as its readers see it, be it given by id or by name."""
    return f"<#{given}>" if given.isalnum() else f"*{escape(given)}*"


def _quarantine(at_home: AtHome, config: Config) -> list[Block]:
    if not at_home.quarantined_count:
        return []
    blocks: list[Block] = [divider(), header(f"Quarantine ({at_home.quarantined_count})")]
    for one in at_home.quarantined[:_HELD]:
        blocks += quarantined(one, config)
    return blocks + _more(at_home.quarantined_count, _HELD)


def quarantined(one: Held, config: Config) -> list[Block]:
    """One thing in quarantine, with its replay button."""
    kind = words.QUARANTINE.get(one.kind, one.kind)
    account = escape(words.account(config, one.account))
    again = button("Replay", names.HOME_REPLAY, str(one.id))
    return [
        section(f"*{kind}* · {account} · {when(one.at)}", again),
        context(plain(line(one.reason, 300))),
    ]
