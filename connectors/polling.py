"""An account that is asked for what came in, for ever: long polling, or the list of what a webhook missed.

One task an account. The cursor is read once; then each look's files and events go on disk together with the new cursor,
and only then comes the next look. So whatever breaks, and wherever, the same is looked at again, and the same things
have the same event keys.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from connectors.base import Accepts, Connector, Cursors, Health, Keeps, Notes, Polls, Wire
from hub import clock as clocks
from hub import log
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable
from hub.model import Cursor

_log = log.get("poll")

NAME = "poll"  # of the cursor
FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 60.0
REFUSED_PAUSE_S, REFUSED_LAST_S = 60.0, 1800.0  # what only a person can cure
BREATH_S = 1.0  # after an empty look that took no time: a server that does not wait is not asked in a circle
NOTE_EVERY_S = 30.0
END_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What every account's task works with. wire: made anew for each look, for its time. rest: tests wait otherwise."""

    cursors: Cursors
    accept: Accepts
    blobs: Keeps
    notes: Notes
    wire: Callable[[], Wire]
    connectors: Mapping[str, Connector]
    clock: clocks.Clock = clocks.system
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep


class Poller:
    """One account's looks. `run` ends by being cancelled, at any moment: what it was at is looked at again."""

    def __init__(self, account: Account, reader: Reader) -> None:
        self.account = account
        self._reader = reader
        self._connector = cast("Polls", reader.connectors[account.connector])
        self._cursor: str | None = None
        self._known = False
        self._pause, self._refused = FIRST_PAUSE_S, REFUSED_PAUSE_S
        self._said: tuple[float, str] = (float("-inf"), "?")
        self.looks = 0

    async def run(self) -> None:
        while True:
            try:
                again_s = await self._look()
                self._pause, self._refused = FIRST_PAUSE_S, REFUSED_PAUSE_S
                await self._note("")
            except SendError as error:
                again_s = self._after(error)
                await self._note(error.detail, again_s)
            except Unavailable as error:
                again_s = self._back_off()
                await self._note(str(error), again_s)
            except Exception as error:
                again_s = LAST_PAUSE_S
                _log.exception("polling failed", account=self.account.key)
                await self._note(f"a fault of ours: {type(error).__name__}", again_s)
            await self._reader.rest(again_s)

    async def _look(self) -> float:
        """One look, all of it on disk; when to look next. Raises SendError, Unavailable."""
        reader, key = self._reader, self.account.key
        if not self._known:
            self._cursor = await reader.cursors.get(key, NAME)
            self._known = True
        began = time.monotonic()
        found = await self._connector.poll(self.account, self._cursor, reader.wire())
        self.looks += 1
        for blob in found.blobs:
            await reader.blobs.aput(blob)
        if found.events:
            at = None if found.cursor is None else Cursor(account=key, name=NAME, value=found.cursor)
            await reader.accept(found.events, at)
        if found.cursor is not None:
            if self._cursor is None and not found.events:
                # Where a source begins must outlive us: a first look after an outage would not go back so far.
                await reader.cursors.begin(key, NAME, found.cursor)
            self._cursor = (
                found.cursor
            )  # later, without events, it is known here only: nothing lies before it
        quick = time.monotonic() - began < BREATH_S
        return max(found.again_s, BREATH_S if quick and not found.events and found.cursor is None else 0.0)

    def _after(self, error: SendError) -> float:
        """What was asked for; else as long as it may take to cure."""
        if error.after_s is not None:
            return max(error.after_s, FIRST_PAUSE_S)
        if error.code is SendCode.CHANNEL_CONFIG and not error.retry:
            wait, self._refused = self._refused, min(self._refused * 2, REFUSED_LAST_S)
            return _spread(wait)
        return self._back_off()

    def _back_off(self) -> float:
        wait, self._pause = self._pause, min(self._pause * 2, LAST_PAUSE_S)
        return _spread(wait)

    async def _note(self, why: str, wait_s: float = 0.0) -> None:
        """Tell the store how it goes: at once when that changed, else now and then. It may be away itself."""
        now = time.monotonic()
        if why == self._said[1] and now - self._said[0] < NOTE_EVERY_S and wait_s < REFUSED_PAUSE_S:
            return
        if why and why != self._said[1]:
            _log.warning(
                "an account cannot be polled", account=self.account.key, why=why, again_s=round(wait_s, 1)
            )
        elif not why and self._said[1] not in ("", "?"):
            _log.info("the account is polled again", account=self.account.key)
        self._said = (now, why)
        at = self._reader.clock()
        health = Health(at=at, why=why, next_at=at + timedelta(seconds=wait_s) if why else None)
        try:
            await self._reader.notes.note(self.account.key, health)
        except Unavailable:
            self._said = (float("-inf"), why)
        except Exception:  # nobody would ask this account any more, and nobody be told
            _log.exception("how polling goes cannot be noted", account=self.account.key)


def _spread(seconds: float) -> float:
    """Those that failed together do not come back together."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, no secret


class Pollers:
    """A task for each account that is polled, as the configuration has them; one that changed begins anew."""

    def __init__(self, reader: Reader, forget: Callable[[str], Awaitable[None]]) -> None:
        """forget: called with the key of an account that is polled no more."""
        self._reader, self._forget = reader, forget
        self._running: dict[str, tuple[Account, asyncio.Task[None]]] = {}

    async def follow(self, wanted: Mapping[str, Account]) -> None:
        """Start and stop what differs. Does nothing where nothing does."""
        over = [key for key, (account, _) in self._running.items() if wanted.get(key) != account]
        await self._end(over)
        for key in over:
            if key not in wanted:
                await self._forget(key)
        for key, account in wanted.items():
            if key not in self._running:
                task = asyncio.create_task(Poller(account, self._reader).run(), name=key)
                self._running[key] = (account, task)

    async def end(self) -> None:
        await self._end(list(self._running))

    async def _end(self, keys: list[str]) -> None:
        tasks = [self._running.pop(key)[1] for key in keys]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)
