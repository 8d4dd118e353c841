"""Live pages over server-sent events: what changed, so that a page fetches itself again.

Notices through Redis are quick and may be lost; a look at the store every few seconds finds what they missed. What is
sent names no content, only topics such as `conversation:42` or `queue`; the page it concerns asks for itself, as its
reader, with its reader's rights. Topics that wait for a slow browser are merged, so nothing grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import redis
from aiohttp import web
from sqlalchemy import Connection, Table, func, select

from crm_store import logins
from crm_store.schema import (
    conversation_events,
    deliveries,
    delivery_events,
    interactions,
    presence_changes,
    quarantine,
)
from desk.web.context import AGENT, DESK, TOKEN, Need, Route, WebDesk
from hub import log, notices
from hub.errors import MainstemError

EVERYTHING = "*"
HEARTBEAT_S = 15.0  # below the 30 to 60 s after which proxies drop a silent connection
POLL_S = 2.0
POLL_WITH_NOTICES_S = 10.0  # while the last notice is not older than
NOTICED_S = 30.0
LISTENERS = 1000  # a process; beyond them pages ask by themselves every ten seconds
LISTENERS_EACH = 12  # an agent's open pages
_MERGED_AT = 50
_REMEMBERED = 500  # what was told last
_DRAWING = timedelta(seconds=5)  # a page is read, and then says when it was drawn
_ROWS = 500
_WINDOW = (
    10_000 << 22
)  # ids of the last ten seconds: a longer transaction commits after younger ids (hub/ids.py)

_log = log.get("desk.live")


@dataclass(eq=False)
class Listener:
    """One open page: the topics it has not been told yet."""

    agent: str
    gone: Callable[[], bool]
    pending: set[str] = field(default_factory=set)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, topics: set[str]) -> None:
        self.pending |= topics
        if len(self.pending) > _MERGED_AT:
            self.pending = {EVERYTHING}
        self.woken.set()


class Live:
    """All open pages of this process. `run` follows notices and the store; `close` ends every stream."""

    def __init__(self, desk: WebDesk) -> None:
        self._desk = desk
        self.listeners: set[Listener] = set()
        self._each: Counter[str] = Counter()
        self._closing = False
        self._noticed_at = -NOTICED_S
        self._followed = Followed()
        self._told: deque[tuple[datetime, set[str]]] = deque(maxlen=_REMEMBERED)

    def tell(self, *topics: str) -> None:
        told = {EVERYTHING} if len(topics) > _MERGED_AT else set(topics)
        self._told.append((self._desk.now(), told))
        for listener in self.listeners:
            listener.tell(told)

    def _missed(self, drawn: datetime) -> set[str]:
        """What was told after a page was drawn and before it listened."""
        since = drawn - _DRAWING
        if len(self._told) == _REMEMBERED and self._told[0][0] > since:
            return {EVERYTHING}
        return set().union(*(topics for at, topics in self._told if at >= since))

    def close(self) -> None:
        self._closing = True
        for listener in self.listeners:
            listener.woken.set()

    @property
    def closing(self) -> bool:
        return self._closing

    def join(self, agent: str, gone: Callable[[], bool], drawn: datetime | None = None) -> Listener | None:
        """A new page; None where there are too many. `gone`: has its browser hung up? `drawn`: when it was.

        Who clicks through pages leaves a trail of streams that nothing was written to yet; those make room first.
        """
        if self._each[agent] >= LISTENERS_EACH or len(self.listeners) >= LISTENERS:
            for old in [one for one in self.listeners if one.gone()]:
                self.leave(old)
        if self._closing or len(self.listeners) >= LISTENERS or self._each[agent] >= LISTENERS_EACH:
            return None
        listener = Listener(agent, gone)
        if drawn is not None and (missed := self._missed(drawn)):
            listener.tell(missed)
        self.listeners.add(listener)
        self._each[agent] += 1
        return listener

    def leave(self, listener: Listener) -> None:
        """Twice is harmless."""
        if listener not in self.listeners:
            return
        self.listeners.discard(listener)
        listener.woken.set()
        self._each[listener.agent] -= 1
        if not self._each[listener.agent]:
            del self._each[listener.agent]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll())
            if self._desk.redis is not None:
                group.create_task(self._listen())

    async def _listen(self) -> None:
        while not self._closing:
            try:
                async for notice in notices.subscribe(self._desk.redis):
                    self._noticed_at = time.monotonic()
                    self.tell(*topics_of(notice))
            except (redis.RedisError, OSError) as error:
                _log.info("notices_lost", error=type(error).__name__)
            await asyncio.sleep(1)

    async def _poll(self) -> None:
        while not self._closing:
            noticed = time.monotonic() - self._noticed_at < NOTICED_S
            await asyncio.sleep(POLL_WITH_NOTICES_S if noticed else POLL_S)
            if not self.listeners:
                self._followed = Followed()  # nobody was told anything: begin again with the next page
                continue
            try:
                topics = await self._desk.read(self._followed.look)
            except MainstemError:
                continue  # a store that is away comes back
            except Exception as error:  # a loop that serves every page must not end with one bad look
                _log.exception("poll_failed", error=type(error).__name__)
                continue
            if topics:
                self.tell(*topics)


LIVE = web.AppKey("live", Live)


def topics_of(notice: notices.Notice) -> set[str]:
    """`conversation:42` for what names its conversations, else the kind alone."""
    if notice.kind == notices.RESYNC:
        return {EVERYTHING}
    named = notice.ids.get("conversation") or notice.ids.get("conversation_id")
    each = named if isinstance(named, list) else [named]
    return {f"{notice.kind}:{one}" for one in each if one} or {notice.kind}


_FOLLOWED: tuple[tuple[str, Table, Any], ...] = (
    ("conversation", conversation_events, conversation_events.c.conversation_id),
    ("conversation", interactions, interactions.c.conversation_id),
    ("delivery", delivery_events, deliveries.c.conversation_id),
    ("presence", presence_changes, None),
    ("quarantine", quarantine, None),
)


class Followed:
    """How far this process has followed the store: a few ids, and which of the latest it has told of."""

    def __init__(self) -> None:
        self._seen: list[set[int]] | None = None
        self._last: list[int] = []

    def look(self, tx: Connection) -> set[str]:
        """The topics of what came since the last look. The first look tells of the latest seconds: who opened a page
        just now may have been drawn it before them, and has heard no notice of them."""
        if self._seen is None:
            self._last = [tx.scalar(select(func.max(table.c.id))) or 0 for _, table, _ in _FOLLOWED]
            self._seen = [set() for _ in _FOLLOWED]
        topics: set[str] = set()
        for at, (kind, table, owner) in enumerate(_FOLLOWED):
            rows = tx.execute(_since(table, owner, self._last[at] - _WINDOW)).all()
            fresh = [row for row in rows if row.id not in self._seen[at]]
            if len(rows) > _ROWS:
                topics.add(EVERYTHING)
            topics |= {f"{kind}:{row.owner}" if row.owner else kind for row in fresh}
            self._last[at] = max([self._last[at], *(row.id for row in rows)])
            self._seen[at] = {row.id for row in rows if row.id > self._last[at] - _WINDOW}
        return topics


def _since(table: Table, owner: Any, after: int) -> Any:
    """The newest rows above `after`, one more than are looked at singly."""
    query = select(table.c.id, (table.c.id - table.c.id if owner is None else owner).label("owner"))
    if owner is not None and owner.table is not table:
        query = query.join(deliveries, deliveries.c.id == delivery_events.c.delivery_id)
    return query.where(table.c.id > after).order_by(table.c.id.desc()).limit(_ROWS + 1)


async def stream(request: web.Request) -> web.StreamResponse:
    """GET /live, with `drawn`: when the page was. Ends when the session does, the process, or the browser goes."""
    desk, live = request.app[DESK], request.app[LIVE]
    transport = request.transport
    drawn = _when(request.query.get("drawn", ""))
    listener = live.join(request[AGENT].key, lambda: transport is None or transport.is_closing(), drawn)
    if listener is None:
        raise web.HTTPServiceUnavailable(text="Too many open pages.", headers={"Retry-After": "30"})
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    try:
        await response.prepare(request)
        # Whoever comes back after a break has missed something.
        await response.write(b'retry: 2000\n\ndata: ["hello"]\n\n')
        while not live.closing and listener in live.listeners:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listener.woken.wait(), HEARTBEAT_S)
            listener.woken.clear()
            topics, listener.pending = sorted(listener.pending), set()
            if not topics and not await _still(desk, request[TOKEN], request[AGENT].key):
                await response.write(b'data: ["bye"]\n\n')
                break
            said = f"data: {json.dumps(topics)}\n\n".encode() if topics else b": still here\n\n"
            await asyncio.wait_for(response.write(said), HEARTBEAT_S)
    except (ConnectionError, TimeoutError):
        pass  # the browser went, or reads no more; it comes again by itself
    finally:
        live.leave(listener)
    return response


def _when(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


async def _still(desk: WebDesk, token: str, agent: str) -> bool:
    try:
        session = await desk.do(logins.find_session, desk.store, token, desk.now(), use=False)
    except MainstemError:
        return True  # the store is away: nothing is shown anyway, and nobody is thrown out for it
    return session is not None and agent in desk.config().agents


ROUTES = (Route("GET", "/live", stream, Need.AGENT),)
