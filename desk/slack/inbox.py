"""From what Slack says to rows of the inbox, and the loop that works them off.

An event is written down before it is acknowledged, under a key that is the same however often and by whichever way
Slack tells it: what somebody typed is (channel, ts), an edit also when and to what. The handlers of the rows stand in
messages.py and owed.py; every one of them bears being run again from its beginning.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import uuid
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection

from crm_store import desk_inbox, desk_typed
from crm_store.desk_inbox import Heard, Told
from desk.slack import names
from desk.slack.context import SlackDesk
from hub import failpoints, log
from hub.errors import Unavailable

MESSAGE: Final = "message"
EDIT: Final = "edit"
DELETE: Final = "delete"
REACTION: Final = "reaction"

# What a person typed; every other subtype is Slack's own or a program's.
# https://docs.slack.dev/reference/events/message#subtypes
_TYPED = (None, "file_share", "me_message", "thread_broadcast")

_SIDE_BY_SIDE = 8
_LEASE_S = 150.0  # longer than one row may take
_ROW_S = 120.0  # files of one message included
_TRIES = 8  # of a row that goes wrong by itself
_POLL_S = 2.0
_log = log.get("slack")


# ------------------------------------------------------------------------------------------------- what Slack says


def read(body: Mapping[str, Any]) -> tuple[Told, ...]:
    """The rows of one event of the Events API; () for what does not concern us."""
    event = body.get("event") or {}
    reader = _READERS.get(str(event.get("type")))
    found = reader(event) if reader is not None else None
    return () if found is None else (found,)


def _message(event: Mapping[str, Any]) -> Told | None:
    kind = event.get("subtype")
    if kind == "message_changed":
        return edit_of(str(event.get("channel")), event.get("message") or {}, event.get("previous_message"))
    if kind == "message_deleted":
        return _deleted(event)
    if kind not in _TYPED:
        return None
    return message_of(str(event.get("channel")), event)


def message_of(place: str, message: Mapping[str, Any]) -> Told | None:
    """What somebody typed in a thread, by an event or as history gives it."""
    if not _by_person(message):
        return None
    ts = str(message["ts"])
    return Told(
        key=message_key(place, ts),
        kind=MESSAGE,
        body=_body(place, ts, message=message),
        subject=subject(place, str(message["thread_ts"])),
    )


def edit_of(place: str, message: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Told | None:
    """An edit by whoever typed it. Links that unfold and languages that are recognised change messages too."""
    edited = (message.get("edited") or {}).get("ts")
    if not edited or not _by_person(message):
        return None
    ts = str(message["ts"])
    return Told(
        key=edit_key(place, message),
        kind=EDIT,
        body=_body(place, ts, message=message, before=before),
        subject=subject(place, str(message["thread_ts"])),
    )


def _deleted(event: Mapping[str, Any]) -> Told | None:
    place, ts, before = (
        str(event.get("channel")),
        str(event.get("deleted_ts") or ""),
        event.get("previous_message"),
    )
    if not ts or (before and not _by_person(before)):
        return None
    thread = str((before or {}).get("thread_ts") or "")
    return deletion_of(place, ts, thread, before)


def deletion_of(place: str, ts: str, thread: str = "", before: Mapping[str, Any] | None = None) -> Told:
    return Told(
        key=f"{place}:{ts}:deleted",
        kind=DELETE,
        body=_body(place, ts, before=before),
        subject=subject(place, thread or ts),
    )


def _reaction(event: Mapping[str, Any]) -> Told | None:
    item = event.get("item") or {}
    if event.get("reaction") != names.SEND_REACTION or item.get("type") != "message":
        return None
    place, ts, user = str(item.get("channel")), str(item.get("ts")), str(event.get("user"))
    return reaction_of(place, ts, user, str(event.get("event_ts") or ""))


def reaction_of(place: str, ts: str, user: str, stamp: str) -> Told:
    """Somebody asks that what stands there be sent. stamp: which of their askings."""
    return Told(
        key=f"{reaction_key(place, ts, user)}{stamp}",
        kind=REACTION,
        body=_body(place, ts, user=user),
        subject=subject(place, ts),
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Told | None]] = {
    "message": _message,
    "reaction_added": _reaction,
}


def _by_person(message: Mapping[str, Any]) -> bool:
    """In a thread, and not from a program: ours or another's, or one that speaks for a person."""
    thread, ts = message.get("thread_ts"), message.get("ts")
    return bool(
        ts
        and thread
        and thread != ts
        and message.get("user")
        and message["user"] != "USLACKBOT"
        and not message.get("bot_id")
        and message.get("subtype") in _TYPED
    )


def message_key(place: str, ts: str) -> str:
    return f"{place}:{ts}"


def edit_key(place: str, message: Mapping[str, Any]) -> str:
    """Slack's stamp of an edit is in whole seconds, so what it reads after it belongs to the key."""
    digest = hashlib.sha256(str(message.get("text")).encode("utf-8", "replace")).hexdigest()[:16]
    return f"{place}:{message['ts']}:{message['edited']['ts']}:{digest}"


def reaction_key(place: str, ts: str, user: str) -> str:
    """What the keys of one person's askings begin with."""
    return f"{place}:{ts}:send:{user}:"


def subject(place: str, thread: str) -> str:
    return f"{place}:{thread}"


def _body(place: str, ts: str, **more: Any) -> str:
    return json.dumps({"place": place, "ts": ts} | more)


async def write_down(desk: SlackDesk, told: Sequence[Told]) -> int:
    """Durable when this returns; how many were not known before. Raises Unavailable; then the caller says no."""
    if not told:
        return 0

    def work(tx: Connection) -> int:
        beside = {one.key: one.subject for one in told if one.kind == MESSAGE}
        ordered = [_in_its_thread(tx, one, beside) for one in told]
        return desk_inbox.put(tx, desk.store.ids, names.SURFACE, ordered, desk.clock())

    new = await desk.do(lambda: desk.store.run(work))
    failpoints.here("slack.after_inbox")
    nudge(desk)
    return new


_loops: weakref.WeakKeyDictionary[AsyncWebClient, weakref.WeakSet[Inbox]] = weakref.WeakKeyDictionary()


def nudge(desk: SlackDesk) -> None:
    """There is something to do for the loops of this process; others find it within two seconds."""
    for loop in _loops.get(desk.client, ()):
        loop.wake()


def _in_its_thread(tx: Connection, one: Told, beside: Mapping[str, str]) -> Told:
    """Slack does not say in which thread a reaction is; it must not overtake the message that it is on."""
    if one.kind not in (REACTION, DELETE):
        return one
    said = json.loads(one.body)
    place, ts = said["place"], said["ts"]
    if one.subject != subject(place, ts):
        return one
    if (known := beside.get(message_key(place, ts))) is not None:
        return replace(one, subject=known)
    if (typed := desk_typed.find(tx, names.SURFACE, place, ts)) is not None:
        return replace(one, subject=subject(place, typed.thread))
    waiting = desk_inbox.waits(tx, names.SURFACE, message_key(place, ts))
    return one if waiting is None else replace(one, subject=waiting.subject)


# --------------------------------------------------------------------------------------------------------- the loop


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """trouble: why nothing came of it. then: what we owe Slack now. forget: it is none of ours; its text goes."""

    trouble: str = ""
    then: tuple[Told, ...] = ()
    forget: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Later:
    """counts: something was wrong with it, so that it is not tried for ever."""

    after_s: float
    why: str = ""
    counts: bool = False


Outcome = Done | Later
Handler = Callable[[SlackDesk, Heard, Mapping[str, Any]], Awaitable[Outcome]]

# The token is no good, or the app is not installed any more: everything waits until somebody has seen to it.
SIGNED_OUT = frozenset(
    ("token_revoked", "token_expired", "account_inactive", "invalid_auth", "not_authed", "org_login_required")
)
_PASSES = frozenset(
    ("ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout")
)


async def run(desk: SlackDesk) -> None:
    """The inbox of a process, until cancelled."""
    await Inbox(desk).run()


class Inbox:
    """One for a process; any number of processes side by side. handlers: kind of row -> what to do about it."""

    def __init__(self, desk: SlackDesk, handlers: Mapping[str, Handler] | None = None) -> None:
        self.desk = desk
        self.owner = uuid.uuid4().hex
        self._handlers = dict(_handlers() if handlers is None else handlers)
        self._wake = asyncio.Event()
        _loops.setdefault(desk.client, weakref.WeakSet()).add(self)

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; what is in hand then is taken up again when its lease ends."""
        while True:
            self._wake.clear()
            try:
                worked = await self.once()
            except Unavailable as error:
                _log.warning("inbox_waits", why=str(error)[:200])
                worked = 0
            if not worked:
                try:
                    await asyncio.wait_for(self._wake.wait(), await self._pause_s())
                except TimeoutError:
                    continue

    async def _pause_s(self) -> float:
        try:
            due = await self.desk.look(lambda tx: desk_inbox.next_due(tx, names.SURFACE))
        except Unavailable:
            return _POLL_S
        ahead = _POLL_S if due is None else (due - self.desk.clock()).total_seconds()
        return min(max(ahead, 0.1), _POLL_S)

    async def once(self) -> int:
        """Work off what is due now, and what becomes due by that; how many rows were taken up."""
        worked = 0
        while rows := await self._claim():
            await asyncio.gather(*(self._handle(row) for row in rows))
            worked += len(rows)
        return worked

    async def _claim(self) -> list[Heard]:
        now = self.desk.clock()

        def work(tx: Connection) -> list[Heard]:
            until = now + timedelta(seconds=_LEASE_S)
            return desk_inbox.claim(tx, names.SURFACE, self.owner, now=now, until=until, limit=_SIDE_BY_SIDE)

        return await self.desk.do(lambda: self.desk.store.run(work))

    async def _handle(self, row: Heard) -> None:
        try:
            outcome = await self._outcome(row)
        except Exception:
            # A bug, or a body nobody foresaw: it must not stop the others.
            _log.exception("inbox_failed", id=row.id, kind=row.kind, tries=row.tries)
            outcome = Later(after_s=2.0**row.tries, why="an error of ours; see the log", counts=True)
        if isinstance(outcome, Later) and outcome.counts and row.tries >= _TRIES:
            _log.error("inbox_given_up", id=row.id, kind=row.kind, why=outcome.why)
            outcome = Done(trouble=f"given up after {row.tries} tries: {outcome.why}")
        await self._note(row, outcome)

    async def _outcome(self, row: Heard) -> Outcome:
        handler = self._handlers.get(row.kind)
        if handler is None:
            return Done(trouble=f"nobody knows what a {row.kind} is")
        try:
            async with asyncio.timeout(_ROW_S):
                return await handler(self.desk, row, json.loads(row.body))
        except Unavailable as error:
            return Later(after_s=self.patience_s(row), why=str(error))
        except SlackApiError as error:
            return _slack_says(error, self.patience_s(row))
        except (aiohttp.ClientError, TimeoutError) as error:
            return Later(after_s=self.patience_s(row), why=f"Slack does not answer ({type(error).__name__})")

    def patience_s(self, row: Heard) -> float:
        """For what is nobody's fault: a second at first, and longer the longer it has lasted, at most a minute."""
        age_s = (self.desk.clock() - row.received_at).total_seconds()
        return min(max(age_s / 2, 1.0), 60.0)

    async def _note(self, row: Heard, outcome: Outcome) -> None:
        desk, now = self.desk, self.desk.clock()

        def work(tx: Connection) -> None:
            if isinstance(outcome, Later):
                due_at = now + timedelta(seconds=outcome.after_s)
                desk_inbox.later(
                    tx, row.id, self.owner, due_at=due_at, trouble=outcome.why, counts=outcome.counts
                )
                return
            desk_inbox.done(
                tx, desk.store.ids, names.SURFACE, row.id, self.owner, now=now,
                trouble=outcome.trouble, forget=outcome.forget, then=outcome.then,
            )  # fmt: skip

        failpoints.here("slack.before_done")
        try:
            await desk.do(lambda: desk.store.run(work))
        except Unavailable as error:  # its lease ends, and it is done again
            _log.warning("inbox_not_noted", id=row.id, why=str(error)[:200])
        if isinstance(outcome, Done) and outcome.trouble:
            _log.info("inbox_refused", id=row.id, kind=row.kind, why=outcome.trouble)


def _slack_says(error: SlackApiError, patience_s: float) -> Outcome:
    """What an error of the Web API means for a row: later where it may pass, else the end of it."""
    code = str(error.response.get("error") or "")
    status = int(getattr(error.response, "status_code", 200) or 200)
    headers = getattr(error.response, "headers", None) or {}
    if status == 429 or code == "ratelimited":
        asked = headers.get("Retry-After") or headers.get("retry-after") or "1"
        return Later(after_s=float(asked) + random.random(), why="Slack asks for patience")  # noqa: S311
    if code in SIGNED_OUT:
        return Later(after_s=60.0, why=f"Slack does not let us in ({code})")
    if status >= 500 or not code or code in _PASSES:
        return Later(after_s=patience_s, why=f"Slack does not answer ({code or status})")
    return Done(trouble=f"Slack refuses it ({code})")


def _handlers() -> Mapping[str, Handler]:
    from desk.slack import messages, owed

    return {**messages.HANDLERS, **owed.HANDLERS}
