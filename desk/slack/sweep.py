"""After an outage: what was typed while nobody listened is read from Slack's own history and put into the inbox.

Under the keys that events have, so that what was heard as well is one. Slack tells events again only while somebody
listens, and not for long; history keeps them. https://docs.slack.dev/reference/methods/conversations.replies (tier 3:
about 50 calls a minute; a thread of up to 1,000 messages is one call)
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection

from crm_store import desk_inbox, desk_threads, desk_typed
from crm_store.desk_inbox import Told
from crm_store.desk_threads import Thread
from crm_store.desk_typed import Typed
from desk.slack import events, gate, inbox, names, taking
from desk.slack.context import SlackDesk
from desk.slack.text import to_plain
from hub import log
from hub.errors import Unavailable

EVERY_S = 900.0  # a safety net under everything else
_CALM_S = 2.0  # several gaps at once are one sweep
_PACE_S = 1.3  # between calls: below tier 3, which others of ours use too
_UNPACED = 20  # calls at once: so few disturb nobody
_PAGE = 1000
_PAGES = 20
_RETRIES = 5
_RECENT_S = 7 * 24 * 3600.0  # what is older was worked off, or was answered otherwise
_CLOSED = timedelta(hours=6)  # how long after its closing a thread is still read: each costs a call
_KEEP = timedelta(days=30)  # what was worked off, in case somebody asks what Slack said
_log = log.get("slack")


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """threads: read whole; failed: not to be had now; found: rows that no event had brought."""

    threads: int
    failed: int
    found: int


async def run(desk: SlackDesk) -> None:
    """The sweep of a process, until cancelled."""
    await Sweep(desk).run()


_sweeps: weakref.WeakKeyDictionary[AsyncWebClient, weakref.WeakSet[Sweep]] = weakref.WeakKeyDictionary()


def want(desk: SlackDesk) -> None:
    """Events may have been missed."""
    for one in _sweeps.get(desk.client, ()):
        one.want()


class Sweep:
    """One for a process; two at once find the same, and it is kept once."""

    def __init__(self, desk: SlackDesk) -> None:
        self._desk = desk
        self._wanted = asyncio.Event()
        _sweeps.setdefault(desk.client, weakref.WeakSet()).add(self)
        self._calls = 0

    def want(self) -> None:
        """Events may have been missed."""
        self._wanted.set()

    async def run(self) -> None:
        """At the start, whenever wanted, and every quarter of an hour, until cancelled."""
        while True:
            self._wanted.clear()
            try:
                swept = await self.once()
                await self._desk.do(lambda: self._desk.store.run(self._forget))
                if swept.found or swept.failed:
                    _log.warning("slack_swept", threads=swept.threads, failed=swept.failed, found=swept.found)
                if swept.failed:
                    self._wanted.set()
            except (Unavailable, SlackApiError, aiohttp.ClientError, TimeoutError) as error:
                _log.warning("sweep_failed", why=type(error).__name__)
                self._wanted.set()
            if self._wanted.is_set():
                await asyncio.sleep(30.0)
                continue
            try:
                await asyncio.wait_for(self._wanted.wait(), EVERY_S)
                await asyncio.sleep(_CALM_S)
            except TimeoutError:
                continue

    def _forget(self, tx: Connection) -> None:
        desk_inbox.forget_before(tx, names.SURFACE, self._desk.clock() - _KEEP)

    async def once(self) -> Swept:
        """Read every open thread. Raises Unavailable where the store does not answer."""
        since = self._desk.clock() - _CLOSED
        threads = await self._desk.look(lambda tx: desk_threads.open_to_words(tx, names.SURFACE, since))
        self._calls, failed, found = 0, 0, 0
        for thread in threads:
            try:
                found += await self._thread(thread)
            except SlackApiError as error:
                code = str(error.response.get("error"))
                if code in inbox.SIGNED_OUT:
                    raise
                gone = code in (
                    "thread_not_found",
                    "channel_not_found",
                    "not_in_channel",
                    "message_not_found",
                )
                failed += not gone
                _log.info("thread_not_swept", place=thread.place, error=code)
            except (aiohttp.ClientError, TimeoutError) as error:
                failed += 1
                _log.info("thread_not_swept", place=thread.place, error=type(error).__name__)
        return Swept(threads=len(threads), failed=failed, found=found)

    async def _thread(self, thread: Thread) -> int:
        found = [one async for one in self._messages(thread)]
        said = [one for one in found if str(one.get("ts")) != thread.thread]
        told = await self._desk.look(lambda tx: self._missed(tx, thread, said))
        return await taking.write_down(self._desk, told)

    async def _messages(self, thread: Thread) -> AsyncIterator[Mapping[str, Any]]:
        cursor = ""
        for _ in range(_PAGES):
            page = await self._ask(channel=thread.place, ts=thread.thread, limit=_PAGE, cursor=cursor)
            for one in page.get("messages") or ():
                yield one
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                return

    async def _ask(self, **args: Any) -> Mapping[str, Any]:
        """In our own pace, and in Slack's where it says one."""
        self._calls += 1
        if self._calls > _UNPACED:
            await asyncio.sleep(_PACE_S)
        for _ in range(_RETRIES):
            try:
                answer = await self._desk.client.conversations_replies(**args)
            except SlackApiError as error:
                if error.response.get("error") != "ratelimited":
                    raise
                headers = getattr(error.response, "headers", None) or {}
                await asyncio.sleep(float(headers.get("Retry-After") or 1.0))
                continue
            return answer.data if isinstance(answer.data, dict) else {}
        raise TimeoutError

    def _missed(self, tx: Connection, thread: Thread, said: list[Mapping[str, Any]]) -> list[Told]:
        """What history shows and nobody told us: messages, their edits, deletions, and the outbox."""
        since = self._desk.clock().timestamp() - _RECENT_S
        recent = [one for one in said if float(str(one.get("ts") or 0)) >= since]
        typed = {one.ts: one for one in desk_typed.of_thread(tx, names.SURFACE, thread.id)}
        messages = [told for one in recent if (told := events.message_of(thread.place, one)) is not None]
        known = desk_inbox.known(tx, names.SURFACE, [told.key for told in messages])
        missed = [told for told in messages if told.key not in known]
        new = {told.key for told in missed}
        for one in recent:
            key = events.message_key(thread.place, str(one["ts"]))
            edit = None if key in new else events.edit_of(thread.place, one)  # a new one is read as it is now
            if edit is not None and self._newer(tx, typed.get(str(one["ts"])), one):
                missed.append(edit)
            missed += self._asked(tx, thread.place, one, typed.get(str(one["ts"])))
        there = {str(one.get("ts")) for one in said}
        missed += [
            events.deletion_of(thread.place, one.ts, one.thread)
            for one in typed.values()
            if one.ts not in there and float(one.ts) >= since and not one.detail.removed
        ]
        told_before = desk_inbox.known(tx, names.SURFACE, [told.key for told in missed])
        return [told for told in missed if told.key not in told_before]

    def _newer(self, tx: Connection, typed: Typed | None, message: Mapping[str, Any]) -> bool:
        """Does it read otherwise than we have it? Slack's stamps of edits are in whole seconds."""
        if typed is None:
            return False
        stamp, detail = str(message["edited"]["ts"]), typed.detail
        if stamp != detail.edit:
            return stamp > detail.edit
        known = desk_typed.text(tx, typed.note_id) if detail.text is None else detail.text
        return to_plain(message, gate.names(self._desk)).text != (
            known if detail.wanted is None else detail.wanted
        )

    @staticmethod
    def _asked(tx: Connection, place: str, message: Mapping[str, Any], typed: Typed | None) -> list[Told]:
        """Outboxes of which no event told. One that had an effect once is not a new wish: it may have been undone."""
        ts = str(message["ts"])
        if typed is not None and desk_typed.was_sent(tx, typed.note_id):
            return []
        users = [
            str(user)
            for one in message.get("reactions") or ()
            if one.get("name") == names.SEND_REACTION
            for user in one.get("users") or ()
        ]
        return [
            events.reaction_of(place, ts, user, "swept")
            for user in users
            if not desk_inbox.begins(tx, names.SURFACE, events.reaction_key(place, ts, user))
        ]
