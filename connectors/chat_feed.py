"""What a visitor has not seen yet: the visitor's stream in Redis, and behind it the store through History.

Three things make it whole. The stream is read from where the browser stopped. The store is asked when a browser comes,
and again after anything that may have lost entries. And both name a message by the same number, so that it goes out
once on a connection, and the browser shows it once whatever comes. A change of a message goes out under its number,
with the change's own beside it: the highest counts, wherever it came from.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from connectors import visitor, webchat
from connectors.base import PastMessage
from connectors.edge import Edge
from hub import log
from hub.errors import MainstemError
from hub.redis import GONE

STORE_PAGE = 200
STORE_PAGES = 20  # 4,000 messages; nobody scrolls farther in a chat window
ASKED_AFTER_LOSS = 3  # a send may reach the stream just before it is lost and the store a moment after
_POSITION = re.compile(r"\d{1,15}-\d{1,15}")
_log = log.get("chat")


@dataclass
class Place:
    """How far one connection has come.

    epoch and pos: of the stream, both empty before the first look. after: the newest interaction of the store's.
    ask_store: how many more times the store is to be asked. waits: the visitor wrote and has no answer yet.
    shown: the messages that went out, and which change of each.
    """

    epoch: str = ""
    pos: str = ""
    after: int = 0
    ask_store: int = 1
    again: bool = False
    waits: bool = False
    greeted: bool = False
    shown: dict[int, int] = field(default_factory=dict)


class Feed:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    async def news(self, place: Place, account: str, who: str) -> list[PastMessage | visitor.Line] | None:
        """What goes out now, in order, with `place` moved on. None: nothing, and the browser need not be told.

        Where Redis or the store does not answer, what the other one has goes out, and the next sweep asks again.
        """
        lines = await self._from_stream(place, account, who)
        past = await self._from_store(place, account, who)
        found: dict[int, PastMessage | visitor.Line] = {}
        both: list[PastMessage | visitor.Line] = [*past, *lines]
        for item in both:
            known = found.get(item.seq)
            if known is None or item.change > known.change:
                found[item.seq] = item
        fresh = [item for item in found.values() if item.change > place.shown.get(item.seq, -1)]
        fresh.sort(key=_when)
        place.shown.update((item.seq, item.change) for item in fresh)
        if any(isinstance(item, visitor.Line) or item.direction == "out" for item in fresh):
            place.waits = False
        if not fresh and place.greeted:
            return None
        place.greeted = True
        return fresh

    async def _from_stream(self, place: Place, account: str, who: str) -> list[visitor.Line]:
        redis = self._edge.redis
        try:
            after = place.pos if _POSITION.fullmatch(place.pos) else "0"
            now, entries = await visitor.look(redis, account, who, after)
            if now != place.epoch:
                # A new browser, or Redis forgot: everything from both, and the store more than once.
                place.ask_store = max(place.ask_store, ASKED_AFTER_LOSS if place.epoch else 1)
                place.again = True
                place.epoch, place.pos = now, ""
                if after != "0":
                    entries = await visitor.read(redis, account, who)
        except GONE as error:
            _log.warning("stream away", account=account, why=type(error).__name__)
            place.ask_store = max(place.ask_store, 1)
            return []
        if entries:
            place.pos = entries[-1][0]
        return [line for _, line in entries]

    async def _from_store(self, place: Place, account: str, who: str) -> list[PastMessage]:
        history = self._edge.history
        if history is None or not place.ask_store:
            return []
        after = 0 if place.again else place.after
        out: list[PastMessage] = []
        try:
            for _ in range(STORE_PAGES):
                rows = await history.since(account, f"webchat:{who}", after, STORE_PAGE)
                out += rows
                if len(rows) < STORE_PAGE:
                    break
                after = rows[-1].seq
        except (OSError, TimeoutError, MainstemError) as error:
            _log.warning("store away", account=account, why=type(error).__name__)
            return out
        place.ask_store -= 1
        place.again = place.ask_store > 0
        place.after = max([place.after, *(m.seq for m in out)])
        return out

    async def nudges(self) -> AsyncIterator[tuple[str, str]]:
        """(account, visitor) of every message put into a visitor's stream; ("", "") after the line was cut."""
        pause_s = 0.1
        while True:
            try:
                async with self._edge.redis.pubsub(ignore_subscribe_messages=True) as line:
                    await line.subscribe(visitor.NUDGES)
                    yield "", ""
                    pause_s = 0.1
                    while True:
                        # Well below a blocking read's time-out, which redis-py would take for a dead connection.
                        said = await line.get_message(timeout=2.0)
                        if said is not None:
                            account, _, who = said["data"].decode("utf-8", "replace").partition(" ")
                            yield account, who
            except GONE as error:
                _log.warning("nudges away", why=type(error).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 5.0)


def _when(item: PastMessage | visitor.Line) -> tuple[float, int]:
    return (item.at_ms / 1000 if isinstance(item, visitor.Line) else item.at.timestamp(), item.seq)


def shown(item: PastMessage | visitor.Line, who: str, secret: str) -> dict[str, Any]:
    """A message as its visitor's browser gets it."""
    if isinstance(item, visitor.Line):
        out: dict[str, Any] = {"dir": "out", "text": item.text, "at": item.at_ms, "by": item.by}
        files = item.files
    else:
        out = {
            "dir": item.direction,
            "text": item.text,
            "at": int(item.at.timestamp() * 1000),
            "by": item.author_name,
        }
        if item.client_id:
            out["cid"] = item.client_id.rpartition(":")[2]
        files = [visitor.File(sha, name, size, kind) for sha, name, size, kind in item.attachments]
    if item.change:
        out["change"] = item.change
    if item.gone:
        out |= {"gone": True, "text": ""}
        files = []
    out["id"] = webchat.seal(secret, who, item.seq)
    if files:
        out["files"] = [
            {"name": f.name, "size": f.size_bytes, "file": webchat.file_ref(secret, who, f)} for f in files
        ]
    return out
