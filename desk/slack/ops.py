"""What the leads' channel is told: failed sends, paused accounts, quarantine, posting. Pure."""

from __future__ import annotations

from crm_store.quarantine import Held
from crm_store.views import FailedSend
from desk import words
from desk.slack import home
from desk.slack.blocks import Block, Post, context, cut, plain, section
from desk.slack.look import Health
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


def quarantined(one: Held, config: Config) -> Post:
    """Something came in that nobody could read."""
    return Post(
        fallback("Quarantine:", words.QUARANTINE.get(one.kind, one.kind)),
        (section(":biohazard_sign: *Into quarantine*"), *home.quarantined(one, config)),
    )


def posting(trouble: str, place: str, cure: str = "", number: int = 0) -> Post:
    """Slack takes nothing where a queue's cards should stand. place: the channel's id or name. number: cards that stand
    here instead."""
    where = f"<#{place}>" if place.isalnum() else f"*{escape(place)}*"
    told = f":warning: Nothing can be posted in {where}: {escape(cut(trouble, 300))}"
    many = "1 conversation is" if number == 1 else f"{number} conversations are"
    small = [f"{many} shown here instead."] if number else []
    small += [escape(cure)] if cure else []
    return Post(
        fallback("Nothing can be posted in", place), (section(told), *([context(*small)] if small else []))
    )
