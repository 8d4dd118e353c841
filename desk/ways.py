"""What an agent is told of a channel while writing: its window, answers to tap, and what goes with the words.

Both desks read a form or a modal into `Written`; `composed` makes of it what `Actions.reply` is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from crm_store.cards import Card
from crm_store.carried import Carried
from desk import prepared, windows
from hub.config import CannedReply, Config
from hub.configreplies import CHOICE_CHARS
from hub.errors import Refused
from hub.limits import Limits
from hub.urn import channel_of
from router.choose import Choice, Option

MOST_CHOICES = 20  # beyond them nobody reads a numbered list either


# ------------------------------------------------------------------------------------------------------ the window


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Until when free text goes the way that the customer came; None: they have not written there yet. title: of the
    account, since there may be several of a channel."""

    title: str
    until: datetime | None
    templates: bool

    def open(self, now: datetime) -> bool:
        return self.until is not None and self.until > now


def window(tx: Connection, card: Card, config: Config, limits: Mapping[str, Limits]) -> Window | None:
    """Of the way by which a conversation is answered unless its agent chooses; None where there is no window."""
    account, known = config.accounts.get(card.account), limits.get(channel_of(card.account))
    if account is None or known is None:
        return None
    found = windows.standings(tx, card.conversation_id, [(card.identity_id, account)], limits)
    stands = found.get((card.identity_id, account.key))
    if stands is None or not stands.limited:
        return None
    return Window(title=account.title, until=stands.until, templates=known.templates)


# ------------------------------------------------------------------------------------------------- ready-made replies


def ready(config: Config, queue: str) -> list[CannedReply]:
    """The ready-made replies that a conversation of this queue is offered."""
    return [reply for reply in config.replies.values() if not reply.queues or queue in reply.queues]


def approved_for(reply: CannedReply, account: str | None) -> bool:
    """Has the provider of this account approved it?"""
    return account is not None and prepared.approved_text(reply, account) is not None


def offered(replies: Iterable[CannedReply], option: Option | None) -> list[CannedReply]:
    """Those that can go this way: where the window is closed, only what is approved there."""
    if option is None or not option.template:
        return list(replies)
    return [reply for reply in replies if approved_for(reply, option.account)]


@dataclass(frozen=True, slots=True)
class Instead:
    """What can be done where the window has closed: the best other way, and what still goes this one."""

    way: Option | None
    replies: tuple[CannedReply, ...]


def instead(choice: Choice, replies: Iterable[CannedReply], account: str, urn: str) -> Instead:
    other = next(
        (one for one in choice.options if one.usable and (one.account, one.urn) != (account, urn)), None
    )
    shut = next(
        (one for one in choice.options if one.template and (one.account, one.urn) == (account, urn)), None
    )
    return Instead(other, tuple(offered(replies, shut)) if shut is not None else ())


# ------------------------------------------------------------------------------------------------- answers to tap


def taps(typed: str) -> tuple[str, ...]:
    """Answers to tap as somebody typed them, one a line, each once. Raises Refused for too many, or too long ones."""
    found = tuple(dict.fromkeys(line for line in map(_one_line, typed.splitlines()) if line))
    if len(found) > MOST_CHOICES:
        raise Refused(f"At most {MOST_CHOICES} answers to tap; these are {len(found)}.")
    if (longest := max(map(len, found), default=0)) > CHOICE_CHARS:
        raise Refused(f"An answer to tap has at most {CHOICE_CHARS} characters; one of these has {longest}.")
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


def tappable(choices: Sequence[str], limits: Limits | None) -> bool:
    """Can they be tapped there, all of them? Else they go as a numbered list."""
    return (
        limits is not None
        and len(choices) <= limits.choices
        and all(len(choice) <= limits.choice_chars for choice in choices)
    )


def taps_said(choices: Sequence[str], channel: str, limits: Limits | None) -> str:
    """What becomes of so many answers to tap on a channel; empty where there are none."""
    if not choices:
        return ""
    count = f"{len(choices)} answer{'s' if len(choices) != 1 else ''} to tap"
    if tappable(choices, limits):
        return f"{count}."
    if limits is None or not limits.choices:
        return f"{channel} has nothing to tap: they go as a numbered list below the text."
    if len(choices) > limits.choices:
        return f"{count}; {channel} takes {limits.choices}: they go as a numbered list below the text."
    return f"{channel} takes {limits.choice_chars} characters in each: they go as a numbered list below the text."


# ------------------------------------------------------------------------------------------------- what goes out


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What stands in a form or modal. ready: a ready-made reply's key; places: what its places are filled with."""

    text: str = ""
    ready: str = ""
    places: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    public: bool = False
    cc: tuple[str, ...] | None = field(default=None)


def composed(written: Written, config: Config, queue: str, way: Option | None) -> tuple[str, Carried]:
    """The words, and what goes with them. way: None, where the agent did not choose. Raises Refused.

    Where only a template goes, the ready-made reply is it; elsewhere its words stand below what was typed.
    """
    if written.public and (way is None or not way.public):
        raise Refused("They wrote nothing there that could be answered in public.")
    reply = next((one for one in ready(config, queue) if one.key == written.ready), None)
    if reply is None:
        if written.ready:
            raise Refused("That ready-made reply is not there any more.")
        return written.text, Carried(choices=written.choices, public=written.public, cc=written.cc)
    said = prepared.filled(reply, written.places)
    if way is None or not way.template or way.account is None:
        text = f"{written.text.rstrip()}\n\n{said}" if written.text.strip() else said
        choices = written.choices or reply.choices
        return text, Carried(choices=choices, public=written.public, cc=written.cc)
    if written.text.strip():
        raise Refused(
            f"Only the approved text can go by {way.title} now. Take out the rest, or choose another way."
        )
    return said, prepared.carried(reply, way.account, written.places, as_template=True)
