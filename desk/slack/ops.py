"""What the leads' channel is told: failed sends, paused accounts, quarantine, posting. Pure."""

from __future__ import annotations

from crm_store.quarantine import Held
from crm_store.views import FailedSend
from desk import words
from desk.health import Health, Unread
from desk.slack import home
from desk.slack.blocks import Block, Post, context, cut, plain, section
from desk.slack.text import escape, line, when
from desk.slack.thread import fallback
from hub.config import Config


def failed_send(one: FailedSend, config: Config, link: str | None = None) -> Post:
    """A reply that did not go out. link: where its card is in Slack."""
    text = fallback(f"#{one.number}", words.DELIVERIES[one.state][0], "by", words.channel(one.account))
    has = (
        f"{escape(words.agent(config, one.assignee))} has #{one.number}" if one.assignee else "Nobody has it"
    )
    return Post(text, (*home.failed(one, config, link), context(has)))


def account_paused(one: Health) -> Post:
    """An account was paused after a failure, or goes on."""
    if one.paused_until is None:
        return Post(
            fallback(one.title, "sends again"),
            (section(f":large_green_circle: *{escape(one.title)}*: sends again."),),
        )
    until = when(one.paused_until, "{time}")
    blocks: list[Block] = [
        section(
            f":red_circle: *{escape(one.title)}*: paused until {until}. Its replies wait and go out then."
        )
    ]
    blocks += [context(plain(line(one.why, 500)))] if one.why else []
    return Post(fallback(one.title, "is paused:", one.why), tuple(blocks))


def unread(one: Health, trouble: Unread) -> Post:
    """A mailbox, or whatever else we fetch from, cannot be read."""
    told = (
        f":red_circle: *{escape(one.title)}*: not read. What is written to it waits there; nothing is lost."
    )
    small = context(plain(line(trouble.why, 500)), home.unread_times(trouble))
    return Post(fallback(one.title, "is not read:", trouble.why), (section(told), small))


def read_again(one: Health, lasted_s: float) -> Post:
    """It is read again. lasted_s: how long it was not."""
    told = f":large_green_circle: *{escape(one.title)}* is read again, after {words.span(lasted_s)}."
    return Post(fallback(one.title, "is read again"), (section(f"{told} What waited there comes in now."),))


def posting_again(place: str) -> Post:
    """Slack takes posts in a channel again."""
    return Post(
        fallback("Posting works again in", place),
        (section(f":large_green_circle: {home.place(place)} takes posts again; its cards are back there."),),
    )


def quarantined(one: Held, config: Config) -> Post:
    """Something came in that nobody could read."""
    return Post(
        fallback("Quarantine:", words.QUARANTINE.get(one.kind, one.kind)),
        (section(":biohazard_sign: *Into quarantine*"), *home.quarantined(one, config)),
    )


def posting(trouble: str, place: str, cure: str = "", number: int = 0) -> Post:
    """Slack takes nothing where a queue's cards should stand. place: the channel's id or name. number: cards that stand
    here instead."""
    told = f":warning: Nothing can be posted in {home.place(place)}: {escape(cut(trouble, 300))}"
    many = "1 conversation is" if number == 1 else f"{number} conversations are"
    small = [f"{many} shown here instead."] if number else []
    small += [escape(cure)] if cure else []
    return Post(
        fallback("Nothing can be posted in", place), (section(told), *([context(*small)] if small else []))
    )
