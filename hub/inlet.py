"""The way in, as the edge sees it: `accept` returns once the events are on disk; `run` brings them to the routers.

Every journalled entry stays until the store says that it has its row of `intake`. That question, asked every few
seconds, is all there is to recovery: what the store has is cut; what it has not and the stream has lost is sent again;
what still waits in the stream is left alone, however long the backlog.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import redis
import redis.asyncio

from hub import clock as clocks
from hub import failpoints, log
from hub.codec import encode
from hub.errors import Unavailable
from hub.journal import Journal, New
from hub.model import Cursor, Event
from hub.parts import part_of
from hub.redis import stop_if_cancelled
from hub.writer import Writer

_log = log.get("inlet")

EVERY_S = 3.0
_CHUNK = 1024  # entries in one question to the store
_CHUNKS = 48  # in one round: 49,000 entries, 16,000 a second, and the rest in the next
_AHEAD = 64  # seqs not yet given out, that the store must not know
CHECK_S, CHECK_EVERY_S = 10.0, 1.0  # for how long a store that is away is asked, and how often


@dataclass(frozen=True, kw_only=True, slots=True)
class ProducerReport:
    """What a producer says of itself for the ledger. Counts are since the folder was made, never since the start.

    pending: (first, last) spans of seqs still in the journal; beyond a hundred the last one covers the rest.
    counts: (day, account) -> (entries, of which pending); only those that changed since the last report that arrived.
    """

    producer: str
    host: str
    last_seq: int
    reported_at: datetime
    pending: list[tuple[int, int]] = field(default_factory=list)
    counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


class Receipts(Protocol):
    """What the store says of journalled entries. Both raise Unavailable where it does not answer."""

    async def known(self, producer: str, seqs: Sequence[int]) -> set[int]: ...

    async def report(self, report: ProducerReport) -> None: ...


class Inlet:
    """One per journal. `redis`: a client of its own (hub.redis.connect_writer); `every_s`: between two recoveries."""

    def __init__(
        self,
        journal: Journal,
        redis: redis.asyncio.Redis,
        receipts: Receipts,
        clock: clocks.Clock = clocks.system,
        *,
        every_s: float = EVERY_S,
        host: str | None = None,
    ) -> None:
        self._journal, self._receipts, self._clock = journal, receipts, clock
        self._every_s = every_s
        self._host = host or socket.gethostname()
        self.writer = Writer(journal, redis, self._known)
        journal.listener = self._journalled
        self._asked_to = 0  # where the last round of questions stopped
        self._settled_below = 0  # entries that were journalled before the last round
        self._reported: dict[tuple[str, str], tuple[int, int]] = {}
        self._opened_at = journal.next_seq
        self._store_away = False

    async def accept(self, events: Sequence[Event], cursor: Cursor | None = None) -> None:
        """Returns when every one of `events` would survive a power cut, all or none. `cursor` goes with the last.

        Raises Unavailable when the journal cannot be written; nothing was kept then. A cursor without events is
        dropped: its source is read from the same place again.
        """
        accepted_us = clocks.to_us(self._clock())
        last = len(events) - 1
        new = [
            New(e.account, accepted_us, encode(e, cursor if at == last else None), part_of(e))
            for at, e in enumerate(events)
        ]
        if new:
            await self._journal.append(new)

    async def run(self) -> None:
        """Send and recover until cancelled."""
        for damage in self._journal.damage:
            _log.error(
                "the journal is damaged",
                file=damage.file,
                offset=damage.offset,
                size_bytes=damage.size_bytes,
                seqs=list(damage.seqs),
            )
        await self._check_name()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.writer.run(), name="stream writer")
            group.create_task(self._recover_for_ever(), name="recovery")

    def _journalled(self, first: int, entries: list[New]) -> None:
        failpoints.here("web.after_journal")
        self.writer.push(first, entries)

    # --------------------------------------------------------------------------------------------------- recovery

    async def _recover_for_ever(self) -> None:
        while True:
            stop_if_cancelled()
            await asyncio.sleep(self._every_s)
            try:
                await self.recover()
                await self.report()
                self._store_is(away=False)
            except Unavailable as error:
                self._store_is(away=True, error=error)
            except (redis.RedisError, OSError):
                continue  # the writer says so, once
            except Exception:
                _log.exception("recovery failed; it goes on with the next round")

    async def recover(self) -> None:
        """One round: cut what the store has, send again what is nowhere. Raises Unavailable or RedisError.

        Only entries that were there before the last round are asked for; younger ones are on their way.
        """
        below = min(self._settled_below, self.writer.next)
        self._settled_below = self._journal.next_seq
        after = self._asked_to
        for _ in range(_CHUNKS):
            seqs = self._journal.pending_seqs(after, below, _CHUNK)
            if not seqs:
                after = 0
                break
            known = await self._known(seqs)
            self._journal.cut(known)
            missing = await self.writer.missing([seq for seq in seqs if seq not in known])
            if missing:
                _log.warning("sending again what the stream lost", entries=len(missing), first_seq=missing[0])
                self.writer.send_again(missing)
            after = seqs[-1]
        self._asked_to = after

    async def report(self) -> None:
        """Tell the store what was journalled. Raises Unavailable."""
        counts = self._journal.counts()
        await self._receipts.report(
            ProducerReport(
                producer=self._journal.producer,
                host=self._host,
                last_seq=self._journal.next_seq - 1,
                reported_at=self._clock(),
                pending=self._journal.pending_spans(),
                counts={key: count for key, count in counts.items() if self._reported.get(key) != count},
            )
        )
        self._reported = counts

    async def _known(self, seqs: Sequence[int]) -> set[int]:
        return await self._receipts.known(self._journal.producer, seqs)

    async def _check_name(self) -> None:
        """Ask the store, before anything is sent, whether it knows entries that we never wrote.

        It does where the folder is older than what came out of it: restored from a copy, or on a disk that forgot.
        New entries would then be taken for those, and cut. The folder gets a new name, and all that is in it is sent
        again. A store that does not answer for a while is not waited for.
        """
        ahead = range(self._opened_at, self._opened_at + _AHEAD)
        old = self._journal.producer
        until = time.monotonic() + CHECK_S
        while self._opened_at > 1 and time.monotonic() < until:
            try:
                if await self._receipts.known(old, ahead):
                    self._journal.rename()
                    _log.error(
                        "the journal is older than the store", producer=old, now=self._journal.producer
                    )
                return
            except Unavailable as error:
                self._store_is(away=True, error=error)
                await asyncio.sleep(CHECK_EVERY_S)

    def _store_is(self, *, away: bool, error: Exception | None = None) -> None:
        if away and not self._store_away:
            _log.warning("the store does not answer; entries stay in the journal", error=str(error))
        self._store_away = away
