"""Files that customers sent and that are still at their provider: fetched, looked at, kept, shown.

A file is claimed under a lease, fetched by its channel's connector, judged by its bytes (connectors/media.py), written
to the blob store, and only then named in the store, in one transaction with its state. So a crash anywhere leaves a
row that falls due again and at most a blob that nobody names; fetching twice changes nothing twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from connectors import CONNECTORS
from connectors import media as looks
from connectors.base import Connector, Fetched, FetchError, Fetches, Wire
from crm_store import media
from crm_store.db import Store
from crm_store.media import DONE, FAILED, REFUSED, WAITING, Due, Ended
from hub import clock, failpoints, log
from hub.config import Account
from hub.errors import SendError, Unavailable
from hub.model import Attachment
from hub.text import storable
from workers.flight import Flight

_log = log.get("fetch")

GIVE_UP = timedelta(days=1)  # after the message came; most providers keep a file much longer
PER_ACCOUNT = 8  # in flight: one provider that hangs holds up no other
AT_ONCE = 40
POLL_S = 0.5  # how soon a file that nobody announced is seen while others are at work
FETCH_S = 75.0  # one try, with whatever the connector must ask first
ROOM_S = 30.0  # how long a claimed file may wait for memory
MEMORY_BYTES = 256 * 1024 * 1024  # of files in flight, by what their providers say of their size
UNSAID_BYTES = 16 * 1024 * 1024  # what a file counts whose provider says nothing
_LEASE = timedelta(seconds=FETCH_S + ROOM_S + 15.0)
_BACK_OFF_S = (5.0, 15.0, 60.0, 180.0, 600.0, 1800.0, 3600.0)
_SPREAD = 0.25  # of a wait, either way: those that failed together do not come back together
_FULL_S = 60.0  # until a disk or bucket that does not take anything is tried again
_PICTURED = ("image", "video", "audio", "voice", "sticker")  # kinds that are never a page of text


class Keeper(Protocol):
    """Where the bytes go (hub/blobs)."""

    async def aput(self, data: bytes) -> str: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What a run did. next_due: when the next file may be fetched; None where none waits."""

    tried: int
    next_due: datetime | None


class Fetching:
    """The files of one store. `run` may be called once; it ends when nothing is due and `others` say no."""

    def __init__(
        self,
        store: Store,
        accounts: Callable[[], Mapping[str, Account]],
        *,
        wire: Callable[[], Wire],
        blobs: Keeper,
        owner: str,
        connectors: Mapping[str, Connector] = CONNECTORS,
        tell: Callable[[list[Ended]], None] = lambda ended: None,
        now: clock.Clock = clock.system,
        stopping: Callable[[], bool] = lambda: False,
        poll_s: float = POLL_S,
        fetch_s: float = FETCH_S,
    ) -> None:
        self._store, self._accounts, self._wire, self._blobs = store, accounts, wire, blobs
        self._connectors, self._tell, self._now = connectors, tell, now
        self._stopping, self._poll_s, self._fetch_s = stopping, poll_s, fetch_s
        self._owner = f"{owner}:{time.monotonic_ns():x}"[-80:]
        self._flying: Counter[str] = Counter()
        self._flight: Flight[Ended] = Flight()
        self._room = _Room(MEMORY_BYTES)
        self._tried = 0

    async def run(self, others: Callable[[], bool] = lambda: False) -> Done:
        """Fetch what is due, and what falls due while `others` are at work or files are in flight."""
        due: datetime | None = None
        failures = 0
        try:
            while True:
                closing = self._stopping()
                try:
                    claimed, due = await asyncio.to_thread(self._turn, closing)
                    failures = 0
                except Unavailable as error:
                    failures += 1
                    if failures == 1:
                        _log.warning("store away", error=str(error))
                    if closing or (failures > 3 and not (self._flight.tasks or others())):
                        break
                    await asyncio.sleep(min(self._poll_s * 2**failures, 5.0))
                    continue
                for one in claimed:
                    self._start(one)
                if closing and not self._flight.ended:
                    break
                idle = not (self._flight or claimed)
                if idle and not (others() or (due is not None and due <= self._now())):
                    break
                await self._flight.rest(self._poll_s)
        finally:
            await self._flight.close()
        return Done(tried=self._tried, next_due=due)

    # ------------------------------------------------------------------------------------------------- at the store

    def _turn(self, closing: bool) -> tuple[list[Due], datetime | None]:
        """Note what ended, and claim what is due. Looks without writing while there is nothing to do."""
        ids, now, accounts = self._store.ids, self._now(), self._accounts()
        ended = list(self._flight.ended)
        with self._store.read() as tx:
            waiting = {} if closing else media.waiting(tx, now)
        left = AT_ONCE - sum(self._flying.values())
        rooms: dict[str, int] = {}
        for account, count in sorted(waiting.items()):
            room = min(count, PER_ACCOUNT - self._flying[account], left)
            if room > 0 and account in accounts:
                rooms[account] = room
                left -= room
        claimed: list[Due] = []
        if ended or rooms:

            def work(tx: Connection) -> tuple[list[Ended], list[Due]]:
                told = media.finish(tx, ids, ended, owner=self._owner, now=now)
                return told, media.claim(tx, rooms, owner=self._owner, now=now, lease=_LEASE)

            told, claimed = self._store.run(work)
            del self._flight.ended[: len(ended)]
            if told:
                failpoints.here("fetch.after_note")
                self._tell(told)
        with self._store.read() as tx:
            return claimed, media.next_due(tx, accounts)

    # ------------------------------------------------------------------------------------------------------ the files

    def _start(self, due: Due) -> None:
        if not self._tried:
            failpoints.here("fetch.after_claim")
        self._tried += 1
        self._flying[due.account] += 1
        self._flight.start(self._bring(due))

    async def _bring(self, due: Due) -> None:
        size = due.media.size_bytes or UNSAID_BYTES
        try:
            async with asyncio.timeout(ROOM_S):
                await self._room.enter(size)
        except TimeoutError:
            self._end(due, Ended(due=due, state=WAITING, due_at=self._now() + timedelta(seconds=_SPREAD)))
            return
        try:
            self._end(due, await self._try(due))
        finally:
            self._room.leave(size)

    def _end(self, due: Due, ended: Ended) -> None:
        self._flight.ended.append(ended)
        self._flying[due.account] -= 1
        self._flight.woken.set()

    async def _try(self, due: Due) -> Ended:
        """One try. Raises nothing but cancellation: whatever goes wrong has an outcome."""
        try:
            verdict, data = await self._fetch(due)
            if verdict.refused:
                _log.info("file refused", interaction=due.interaction_id, account=due.account)
                return Ended(due=due, state=REFUSED, why=verdict.refused)
            sha256 = await self._blobs.aput(data)
            failpoints.here("fetch.after_blob")
        except FetchError as error:
            return judge(due, error, self._now())
        except Unavailable as error:
            _log.warning("cannot be kept", error=str(error))
            later = self._now() + timedelta(seconds=_spread(_FULL_S))
            return Ended(due=due, state=WAITING, due_at=later, why="There is no room for the file here now.")
        except Exception as error:
            _log.exception("fetch broke", interaction=due.interaction_id, account=due.account)
            broke = FetchError(f"The channel's connector broke: {type(error).__name__}.", retry=True)
            return judge(due, broke, self._now())
        file = Attachment(
            sha256=sha256, content_type=verdict.content_type, size_bytes=len(data), name=verdict.name
        )
        return Ended(due=due, state=DONE, file=file)

    async def _fetch(self, due: Due) -> tuple[looks.Verdict, bytes]:
        if due.gone:
            raise FetchError("The message was taken back before its file came.")
        account = self._accounts().get(due.account)
        connector = _fetches(self._connectors.get(due.account.partition("/")[0]))
        if account is None:
            raise FetchError("The account it came to is not there at the moment.", retry=True, after_s=60.0)
        if connector is None:
            raise FetchError("This channel has no files that can be fetched.")
        try:
            async with asyncio.timeout(self._fetch_s):
                fetched = await connector.fetch(due.media, account, self._wire())
        except TimeoutError:
            raise FetchError(f"The file did not come within {self._fetch_s:g} seconds.", retry=True) from None
        except SendError as error:  # a connector's first question, by the helpers that its sends use
            raise FetchError(f"The file did not come: {error.detail}.", error.retry, error.after_s) from None
        return await asyncio.to_thread(look_at, due, fetched), fetched.data


def _fetches(connector: object) -> Fetches | None:
    return connector if isinstance(connector, Fetches) else None


def look_at(due: Due, fetched: Fetched) -> looks.Verdict:
    """What the bytes are. Raises FetchError where they cannot be the file that the message spoke of."""
    if not fetched.data:
        raise FetchError("What came in place of the file is empty.", retry=True)
    if due.media.kind in _PICTURED and looks.is_page(fetched.data):
        raise FetchError("What came in place of the file is a page of the provider's.", retry=True)
    heard = due.media.kind in ("audio", "voice") or due.media.content_type.startswith("audio/")
    name = fetched.name or due.media.name
    return looks.inspect(name, fetched.data, kind="audio" if heard else due.media.kind)


def judge(due: Due, error: FetchError, now: datetime) -> Ended:
    """What becomes of a file whose try ended so: again after a while, for a day, where that may help."""
    why = storable(error.why)  # a provider's words may be among it
    if not error.retry:
        return Ended(due=due, state=FAILED, why=why)
    wait_s = _spread(_BACK_OFF_S[min(due.tries - 1, len(_BACK_OFF_S) - 1)])
    again = now + timedelta(seconds=max(wait_s, error.after_s or 0.0))
    if again - due.at > GIVE_UP:
        return Ended(due=due, state=FAILED, why=f"{why} It was tried for a day.")
    return Ended(due=due, state=WAITING, due_at=again, why=why)


def _spread(wait_s: float) -> float:
    return wait_s * random.uniform(1 - _SPREAD, 1 + _SPREAD)  # noqa: S311 - spreads load, no secret


class _Room:
    """So many bytes of memory; who does not fit waits, and the first to wait is the first to enter."""

    def __init__(self, size: int) -> None:
        self._size, self._left = size, size
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def enter(self, size: int) -> None:
        need = min(size, self._size)
        async with self._changed:
            await self._changed.wait_for(lambda: self._left >= need)
            self._left -= need

    def leave(self, size: int) -> None:
        self._left += min(size, self._size)
        task = asyncio.ensure_future(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
