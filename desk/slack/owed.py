"""What we owe Slack after something was typed there: marks on it, and sentences that one person sees.

Each is a row of the inbox, written in the transaction that finishes what it follows from, under a key that names its
cause: it survives a crash, waits as long as Slack asks for, holds nothing else up, and is done once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from slack_sdk.errors import SlackApiError
from sqlalchemy import Connection, select

from crm_store.desk_inbox import Heard, Told
from crm_store.desk_typed import Typed
from crm_store.schema import deliveries
from desk.slack import names
from desk.slack.blocks import Post, plain
from desk.slack.context import SlackDesk
from desk.slack.outcome import Done, Handler, Later, Outcome
from desk.slack.text import escape

MARK: Final = "mark"
TELL: Final = "tell"
TICK: Final = "tick"

_TOLD_S = 600.0  # a sentence that comes later than that helps nobody
_TICK_FOR = timedelta(days=2)  # how long a reply's fate is awaited; its receipt below shows it for ever
_GONE = ("sent", "delivered", "read")
_FINE = ("already_reacted", "no_reaction")


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Where somebody reads a sentence that only they see."""

    place: str
    thread: str
    user: str


def mark(typed: Typed, name: str, *, cause: str, on: bool = True) -> Told:
    """A reaction of ours on what was typed, put there or taken away."""
    return Told(
        key=f"mark:{typed.place}:{typed.ts}:{name}:{'on' if on else 'off'}:{cause}",
        kind=MARK,
        body=json.dumps({"place": typed.place, "ts": typed.ts, "name": name, "on": on}),
        subject=f"mark:{typed.place}:{typed.ts}",
    )


def tick(typed: Typed, delivery_id: int, due_at: datetime) -> Told:
    """The mark that says "sent", once it is. due_at: not before that can be."""
    return Told(
        key=f"tick:{typed.place}:{typed.ts}:{delivery_id}",
        kind=TICK,
        body=json.dumps({"place": typed.place, "ts": typed.ts, "delivery": delivery_id}),
        due_at=due_at,
    )


def sentence(row: Heard, to: Person, text: str) -> Told:
    """Tell somebody what became of what they did."""
    return _tell(f"tell:{row.id}", to, text, [{"type": "section", "text": plain(text)}])


def said(typed: Typed, text: str, *, cause: str) -> Told:
    """Tell whoever typed it."""
    return _tell(
        f"tell:{typed.place}:{typed.ts}:{cause}",
        _author(typed),
        text,
        [{"type": "section", "text": plain(text)}],
    )


def ask(typed: Typed, post: Post, *, cause: str) -> Told:
    """A question to whoever typed it."""
    return _tell(f"ask:{typed.place}:{typed.ts}:{cause}", _author(typed), "", list(post.blocks), post.text)


def _author(typed: Typed) -> Person:
    return Person(place=typed.place, thread=typed.thread, user=typed.detail.user)


def _tell(key: str, to: Person, text: str, blocks: list[dict[str, Any]], fallback: str | None = None) -> Told:
    body = {
        "place": to.place,
        "thread": to.thread,
        "user": to.user,
        "text": escape(text[:300]) if fallback is None else fallback,
        "blocks": blocks,
    }
    return Told(key=key, kind=TELL, body=json.dumps(body))


# ----------------------------------------------------------------------------------------------------------- handlers


async def marked(desk: SlackDesk, row: Heard, body: Mapping[str, Any]) -> Outcome:
    """https://docs.slack.dev/reference/methods/reactions.add (tier 3)"""
    await _react(desk, body, body["name"], on=body["on"])
    return Done()


async def _react(desk: SlackDesk, body: Mapping[str, Any], name: str, *, on: bool) -> None:
    call = desk.client.reactions_add if on else desk.client.reactions_remove
    try:
        await call(channel=body["place"], timestamp=body["ts"], name=name)
    except SlackApiError as error:
        if error.response.get("error") not in _FINE:
            raise


async def told(desk: SlackDesk, row: Heard, body: Mapping[str, Any]) -> Outcome:
    """https://docs.slack.dev/reference/methods/chat.postEphemeral (tier 4)"""
    if (desk.clock() - row.received_at).total_seconds() > _TOLD_S:
        return Done(trouble="too late to be told")
    await desk.client.chat_postEphemeral(
        channel=body["place"],
        user=body["user"],
        thread_ts=body["thread"],
        text=body["text"],
        blocks=body["blocks"],
    )
    return Done()


async def ticked(desk: SlackDesk, row: Heard, body: Mapping[str, Any]) -> Outcome:
    """Look what became of the reply: a tick when it went out, the lock again when it was undone."""
    delivery = await desk.look(lambda tx: _delivery(tx, body["delivery"]))
    if delivery is None:
        return Done(trouble="the reply is gone")
    if delivery.state in _GONE:
        await _react(desk, body, names.SENT_MARK, on=True)
        return Done()
    if delivery.state == "cancelled":
        await _react(desk, body, names.INTERNAL_MARK, on=True)
        return Done()
    now = desk.clock()
    if now - row.received_at > _TICK_FOR:
        return Done()
    ahead_s = (delivery.due_at - now).total_seconds() if delivery.state == "held" else 0.0
    age_s = (now - row.received_at).total_seconds()
    return Later(after_s=min(max(ahead_s + 0.5, age_s / 10, 1.0), 60.0))


def _delivery(tx: Connection, delivery_id: int) -> Any:
    d = deliveries.c
    return tx.execute(select(d.state, d.due_at).where(d.id == delivery_id)).one_or_none()


HANDLERS: dict[str, Handler] = {MARK: marked, TELL: told, TICK: ticked}
