"""What Slack says, as rows of the inbox. Pure.

The key of a row is the same however often and by whichever way Slack tells it: what somebody typed is (channel, ts), an
edit also when and to what. https://docs.slack.dev/reference/events/message
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from crm_store.desk_inbox import Told
from desk.slack import names

MESSAGE: Final = "message"
EDIT: Final = "edit"
DELETE: Final = "delete"
REACTION: Final = "reaction"

# What a person typed; every other subtype is Slack's own or a program's.
# https://docs.slack.dev/reference/events/message#subtypes
_TYPED = (None, "file_share", "me_message", "thread_broadcast")


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
