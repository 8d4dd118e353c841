"""The router's loop: a batch from its parts of the stream, into the store, then the news of it, then the receipt.

Read, commit, tell, acknowledge, in this order for each batch: a crash between any two comes to nothing worse than the
batch coming again, and the store knows what it has. A database or a stream that is away is waited for, with the batch
in hand and nothing counted against it; the parts stay leased meanwhile.

Under a backlog two batches are on their way at once: while one is handled, the one before is told of and acknowledged
and the one after is read, in a thread beside (hub/stream.py). Batches are written one after the other all the same.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import redis

from crm_store.db import Store
from hub import failpoints, jobs, notices
from hub.clock import Clock, from_us, system
from hub.config import Config
from hub.errors import NewerVersion, Unavailable
from hub.log import get
from hub.stream import Batch, Reader
from router import consent
from router.attach import Wish
from router.handle import Bad, Handled, Handler
from router.rules import RuleSet

BATCH = 256
# Where a read comes back full, the next may be larger: more of them share the commit, and the pages that it writes. On
# SQLite 4,096 take 0.25 s, which another writer may have to wait; they cost 8 µs a message less than 1,024. On
# PostgreSQL 2,048 take 0.16 s and hold the rows of their conversations as long; they cost 8 µs a message less than
# 1,024, half of it the server's, and 4,096 no less.
BACKLOG = {"sqlite": 4096, "postgresql": 2048}
_BACK_OFF_S = (0.1, 0.3, 1.0, 2.0, 5.0)
_NAMED = 500  # conversations in one notice; beyond that the viewers look at everything anyway

log = get("router")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """One batch, for metrics: how many entries, what they came to, and how long it took from read to receipt."""

    entries: int
    duplicates: int
    quarantined: int
    seconds: float


class Router:
    """One router. `once` is one turn of the loop; a batch that could not be handled stays in hand for the next."""

    def __init__(
        self,
        handler: Handler,
        reader: Reader,
        client: redis.Redis | None,
        wake: Callable[[str], None],
        count: Callable[[Counted], None] = lambda _: None,
    ) -> None:
        self.handler, self.reader, self.client = handler, reader, client
        self.wake, self.count = wake, count
        handler.rest = reader.rest
        self.in_hand: Batch | None = None
        self._unfinished: Callable[[], None] = _nothing
        self.size = BATCH

    def once(self, *, wait: bool = True, ahead: bool = True) -> int:
        """Read and handle one batch; how many entries it had. Raises Unavailable, with the batch kept in hand.

        ahead: under a backlog, the next batch is read while this one is handled.
        """
        batch = self.in_hand or self._next(wait=wait, ahead=ahead)
        if batch is None:
            return 0
        self.in_hand = batch
        started = time.perf_counter()
        handled = self._handle(batch)
        failpoints.here("router.after_commit")
        self.in_hand = None
        self._unfinished = partial(self._end, batch, handled, started)
        if not self.reader.ahead:
            self._finish()
        return len(batch)

    def _next(self, *, wait: bool, ahead: bool) -> Batch | None:
        """The next batch; with a backlog behind it, the one after it is begun, and the last one's end goes along."""
        batch = self.reader.read(self.size, wait=wait)
        if not batch:
            self._finish()
            if batch.ids:
                self.reader.ack(batch)  # nothing of ours in it
            self.size = BATCH
            return None
        failpoints.here("router.after_read")
        backlog = len(batch) >= self.size
        self.size = min(self.size * 2, BACKLOG[self.handler.store.dialect]) if backlog else BATCH
        if backlog and ahead and self.reader.can_read_ahead:
            self.reader.read_ahead(self.size, self._left())
        else:
            self._finish()
        return batch

    def _finish(self) -> None:
        self._left()()

    def _left(self) -> Callable[[], None]:
        """What is left of the batch before, if anything is: the news of it, and its receipt. Taken by the loop's own
        thread, so that it is that batch's, however late another thread comes to it."""
        end, self._unfinished = self._unfinished, _nothing
        return end

    def _end(self, batch: Batch, handled: Handled, started: float) -> None:
        self._tell(handled)
        failpoints.here("router.after_enqueue")
        self.reader.ack(batch)
        self.count(
            Counted(
                entries=len(batch),
                duplicates=handled.duplicates,
                quarantined=handled.quarantined,
                seconds=time.perf_counter() - started,
            )
        )

    def _handle(self, batch: Batch) -> Handled:
        handled = Handled()
        for unread in batch.unread:
            error = NewerVersion(unread.reason) if unread.newer else ValueError(unread.reason)
            handled.add(
                self.handler.bad(
                    Bad(
                        producer=unread.producer,
                        seq=unread.seq,
                        accepted_at=from_us(unread.accepted_us),
                        raw=unread.raw,
                        error=error,
                    )
                )
            )
        if batch.again:
            handled.add(self.handler.each(batch.entries, suspect=True))
        else:
            handled.add(self.handler.batch(batch.entries))
        return handled

    def _tell(self, handled: Handled) -> None:
        """Wake-ups and notices. They may be lost: whoever needs them looks at the store anyway, only later."""
        if handled.deliveries:
            self.wake(jobs.DELIVER)  # a report settled what held the conversation's next reply back
            notices.publish(self.client, notices.DELIVERY, delivery=sorted(handled.deliveries)[:_NAMED])
        if handled.files:
            self.wake(jobs.FETCH)
        if handled.conversations:
            named = sorted(handled.conversations)[:_NAMED]
            notices.publish(self.client, notices.CONVERSATION, conversation=named)
        if handled.queues:
            notices.publish(self.client, notices.QUEUE, queue=sorted(handled.queues))
        if handled.quarantined:
            notices.publish(self.client, notices.QUARANTINE, count=handled.quarantined)


def run(
    store: Store,
    client: redis.Redis,
    rules: Callable[[], RuleSet],
    config: Callable[[], Config],
    wake: Callable[[str], None],
    stop: threading.Event,
    reader: Reader,
    *,
    clock: Clock = system,
    wish: Wish = consent.wish,
    count: Callable[[Counted], None] = lambda _: None,
) -> None:
    """Route until `stop` is set. The batch in hand is finished first; then the parts are let go.

    wake: given a job's name after the commit (hub.jobs.enqueue with its client); it must not raise. reader: is closed.
    """
    handler = Handler(
        store, rules=rules, config=config, wish=wish, clock=clock, sleep=lambda s: _wait(stop, s)
    )
    router = Router(handler, reader, client, wake, count)
    failures = 0
    try:
        # What is read ahead is finished before the end: left behind, it would come again as suspect, one by one.
        while not stop.is_set() or (reader.ahead and not failures):
            try:
                router.once(ahead=not stop.is_set())
            except Unavailable as error:
                if failures == 0:
                    log.warning("waiting", why=str(error))
                longest = _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
                failures += 1
                stop.wait(random.uniform(longest / 2, longest))  # noqa: S311 - spreads routers, no secret
                continue
            if failures:
                log.info("going on", failures=failures)
            failures = 0
    finally:
        if router.in_hand is not None:
            reader.give_up(router.in_hand)
        reader.close()


def once(
    store: Store,
    reader: Reader,
    rules: Callable[[], RuleSet],
    config: Callable[[], Config],
    *,
    client: redis.Redis | None = None,
    wake: Callable[[str], None] = lambda _: None,
    clock: Clock = system,
    wish: Wish = consent.wish,
) -> int:
    """One batch without waiting for one, for tests; how many entries it had. Raises Unavailable."""
    handler = Handler(store, rules=rules, config=config, wish=wish, clock=clock)
    return Router(handler, reader, client, wake).once(wait=False, ahead=False)


def _nothing() -> None: ...


def _wait(stop: threading.Event, seconds: float) -> None:
    stop.wait(seconds)
