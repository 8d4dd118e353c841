"""A batch's way into the store: one transaction, or, where its data will not go in, each entry alone.

Whose fault a failure is decides what follows. The database is away, full or locked: nobody's; `Unavailable` rises,
nothing is counted, the caller keeps the batch. Two transactions met: the batch is repeated (crm_store/batch.py).
Anything else is the data's, or a bug that the data found: each entry is handled alone, an entry that fails alone five
times goes to quarantine, and all others go on.

An entry that kills the process leaves nobody to count it. So one that was read before and not acknowledged (`suspect`)
is handled alone with its try written down first; the fifth time it is not tried any more.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from crm_store import (
    autoreplies,
    batch,
    consents,
    customers,
    intake,
    interactions,
    media,
    quarantine,
    receipts,
    threads,
    traces,
    watermarks,
)
from crm_store.batch_plan import Plan
from crm_store.db import Store
from crm_store.schema import intake_tries
from hub import failpoints
from hub.clock import Clock, system
from hub.codec import KINDS
from hub.config import Config
from hub.errors import MainstemError, NewerVersion, Unavailable
from hub.ids import Ids
from hub.log import get
from hub.model import Entry
from router import asking, attach
from router.calendars import open_now
from router.rules import RuleSet
from router.threads import Mailboxes

MAX_TRIES = 5
_PAUSE_S = (
    0.05  # doubled after each failure alone: 0.75 s in all, longer than a new configuration takes to arrive
)
_REASON_CHARS = 500
_MANY = 256  # entries from which it is worth while to write some while others are planned
_IDS = 4  # an entry needs two to six; taken one by one they cost as much as reading it

log = get("router")

Place = tuple[str, int]  # (producer, seq)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bad:
    """A journalled entry whose bytes cannot be decoded by this version."""

    producer: str
    seq: int
    accepted_at: datetime
    raw: bytes
    error: Exception


@dataclass(slots=True)
class Handled:
    """What came of it, for notices and wake-ups: ids of what changed."""

    conversations: set[int] = field(default_factory=set)
    queues: set[str] = field(default_factory=set)
    deliveries: set[int] = field(default_factory=set)
    entries: int = 0
    duplicates: int = 0
    quarantined: int = 0
    files: bool = False  # some are to be fetched, or a name is

    def add(self, other: Handled) -> None:
        self.conversations |= other.conversations
        self.queues |= other.queues
        self.deliveries |= other.deliveries
        self.entries += other.entries
        self.duplicates += other.duplicates
        self.quarantined += other.quarantined
        self.files |= other.files


class Handler:
    """Handles entries against one store. One thread at a time.

    rules, config: what holds now; asked once a batch. wish: router/consent.py's. sleep: between tries of one entry.
    """

    def __init__(
        self,
        store: Store,
        *,
        rules: Callable[[], RuleSet],
        config: Callable[[], Config],
        wish: attach.Wish,
        clock: Clock = system,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store, self.rules, self.config = store, rules, config
        self.wish, self.clock, self.sleep = wish, clock, sleep
        self.rest: Callable[[], None] = _nothing  # called where this thread is about to wait for the database
        self._mailboxes = Mailboxes(config())
        self._written: set[Place] = set()  # whose next try stands in the store already

    def setting(self, entries: int) -> attach.Setting:
        rules, config, now = self.rules(), self.config(), self.clock()
        if self._mailboxes.hash != config.hash:
            self._mailboxes = Mailboxes(config)
        hours = {
            key: open_now(config.calendars[key], now) for key in rules.calendars if key in config.calendars
        }
        return attach.Setting(
            config=config,
            rules=rules,
            calendars_open=hours,
            wish=self.wish,
            ids=_ahead(self.store.ids, _IDS * entries),
            now=now,
            mailboxes=self._mailboxes,
        )

    def accept(self, tx: Connection, entries: Sequence[Entry]) -> Handled:
        """Handle these entries in the caller's transaction: look up, decide, write each table once."""
        setting = self.setting(len(entries))
        wanted = asking.keys(entries, setting)
        known = batch.look_up(tx, wanted)
        if wanted.threads:
            known.threads = threads.look_up(tx, wanted.threads, asking.claimed(known, wanted))
        if wanted.albums:
            known.albums = media.known_albums(tx, wanted.albums)
        homes = asking.homes(known, entries, setting)
        talks = [call.conversation_id for call in known.calls.values()]
        talks += [album.conversation_id for album in known.albums.values()]
        talks += asking.answered(known, wanted)
        if homes or talks:
            batch.look_up_homes(tx, known, homes, talks)
        if away := asking.away(known, wanted, homes):
            batch.look_up_homes(tx, known, sorted(away))
        if len(entries) >= _MANY and not self.store.postgresql:  # docs/decisions/0008
            with batch.Early(tx) as early:
                plan = attach.plan(known, entries, setting, early)
        else:
            plan = attach.plan(known, entries, setting)
        if self.store.postgresql:
            self.rest()  # its work is the server's; SQLite's is ours, and the commit alone leaves us the interpreter
        batch.write(tx, plan)
        handled = _told(plan)
        self._rest(tx, plan, setting, handled)
        return handled

    def _rest(self, tx: Connection, plan: Plan, setting: attach.Setting, handled: Handled) -> None:
        """What other rooms' tables take of it; asked only where the batch has such events."""
        ids, now = self.store.ids, setting.now

        def brand_of(account: str) -> str:
            return setting.account(account).brand

        if plan.people or plan.names:
            threads.write(tx, plan.people, plan.names)
        if plan.pieces:
            media.add_pieces(tx, plan)
        if plan.links:
            traces.link(tx, plan.links, "reference", now)
        if plan.learned:
            customers.learn(tx, ids, plan.learned, brand_of, now)
        if plan.arrived and (early := batch.parked(tx, plan.arrived)):
            handled.conversations.update(interactions.unpark(tx, ids, early, now).conversation_ids)
        if plan.changes:
            handled.conversations.update(
                interactions.apply_changes(tx, ids, plan.changes, now).conversation_ids
            )
        if plan.consents:
            brands = setting.config.brands
            consents.apply(
                tx, ids, plan.consents, brand_of, "customer", now,
                everywhere=lambda brand: brand in brands and brands[brand].opt_outs == "customer",
            )  # fmt: skip
        if plan.reports:
            reports = watermarks.told_apart(tx, plan.reports, brand_of)
            for moved in receipts.apply_reports(tx, ids, reports, now):
                handled.deliveries.add(moved.delivery_id)
                handled.conversations.add(moved.conversation_id)
        if plan.autos:
            limit = setting.config.auto_per_hour
            handled.deliveries.update(autoreplies.answer(tx, ids, plan.autos, brand_of, limit, now))

    # ------------------------------------------------------------------------------------------ transactions

    def batch(self, entries: Sequence[Entry]) -> Handled:
        """All of them in one transaction; alone, one by one, if that fails on the data. Raises Unavailable."""
        if not entries:
            return Handled()
        try:
            with _uncollected():
                return self._once(entries)
        except Unavailable:
            raise
        except Exception as error:
            log.warning("batch.failed", entries=len(entries), error=_reason(error))
        return self.each(entries, suspect=False)

    def each(self, entries: Sequence[Entry], *, suspect: bool) -> Handled:
        """One by one, in order. Raises Unavailable; what was handled by then stays handled."""
        handled = Handled()
        for entry in entries:
            handled.add(self.alone(entry, suspect=suspect))
        return handled

    def alone(self, entry: Entry, *, suspect: bool) -> Handled:
        place = (entry.producer, entry.seq)
        tries = self._tries(place) if suspect else 0
        if suspect and not tries and self._known(place):
            return Handled(entries=1)
        while True:
            if tries >= MAX_TRIES:
                return self._set_aside(entry, tries)
            if suspect and place not in self._written:
                tries = self._count(place, "the router did not come back from it")
                self._written.add(place)
            try:
                handled = self._once([entry], forget=place if suspect or tries else None)
                self._written.discard(place)
                return handled
            except Unavailable:
                raise
            except Exception as error:
                if place not in self._written or not suspect:
                    tries = self._count(place, _reason(error))
                else:
                    self._explain(place, _reason(error))
                self._written.discard(place)
                log.warning(
                    "entry.failed", producer=place[0], seq=place[1], tries=tries, error=_reason(error)
                )
            if tries < MAX_TRIES:
                self.sleep(_PAUSE_S * 2 ** (tries - 1))

    def _once(self, entries: Sequence[Entry], forget: Place | None = None) -> Handled:
        def work(tx: Connection) -> Handled:
            handled = self.accept(tx, entries)
            if forget is not None:
                tx.execute(delete(intake_tries).where(*_at(forget)))
            self.rest()
            failpoints.here("router.before_commit")
            return handled

        return batch.run(self.store, work)

    # ------------------------------------------------------------------------------------ tries and quarantine

    def _known(self, place: Place) -> bool:
        return bool(intake.known(self.store, place[0], [place[1]]))

    def _tries(self, place: Place) -> int:
        with self.store.read() as tx:
            found = tx.execute(select(intake_tries.c.tries).where(*_at(place))).scalar_one_or_none()
        return int(found or 0)

    def _count(self, place: Place, why: str) -> int:
        def work(tx: Connection) -> int:
            now = self.clock()
            had = tx.execute(select(intake_tries.c.tries).where(*_at(place))).scalar_one_or_none()
            if had is None:
                tx.execute(
                    insert(intake_tries).values(
                        producer=place[0], seq=place[1], tries=1, error=why, last_at=now
                    )
                )
                return 1
            tx.execute(update(intake_tries).where(*_at(place)).values(tries=had + 1, error=why, last_at=now))
            return int(had) + 1

        return batch.run(self.store, work)

    def _explain(self, place: Place, why: str) -> None:
        batch.run(
            self.store, lambda tx: tx.execute(update(intake_tries).where(*_at(place)).values(error=why))
        )

    def _set_aside(self, entry: Entry, tries: int) -> Handled:
        with self.store.read() as tx:
            why = tx.execute(
                select(intake_tries.c.error).where(*_at((entry.producer, entry.seq)))
            ).scalar_one_or_none()
        self._put(
            producer=entry.producer,
            seq=entry.seq,
            account=entry.event.account,
            event_key=entry.event.event_key,
            event_kind=KINDS[type(entry.event)],
            kind=quarantine.POISON,
            reason=f"failed {tries} times alone: {why or 'no reason was noted'}",
            raw=entry.raw,
            accepted_at=entry.accepted_at,
            blob=entry.event.blob,
        )
        log.error("entry.quarantined", producer=entry.producer, seq=entry.seq, account=entry.event.account)
        return Handled(entries=1, quarantined=1)

    def bad(self, entry: Bad) -> Handled:
        """Set aside what cannot be decoded. Raises Unavailable."""
        account, event_key, kind = peek(entry.raw)
        newer = isinstance(entry.error, NewerVersion)
        self._put(
            producer=entry.producer,
            seq=entry.seq,
            account=account,
            event_key=event_key or f"{entry.producer}:{entry.seq}",
            event_kind=kind or "unknown",
            kind=quarantine.NEWER if newer else quarantine.POISON,
            reason=_reason(entry.error),
            raw=entry.raw,
            accepted_at=entry.accepted_at,
        )
        log.error("entry.undecodable", producer=entry.producer, seq=entry.seq, newer=newer)
        return Handled(entries=1, quarantined=1)

    def _put(self, **values: Any) -> None:
        now = self.clock()
        batch.run(self.store, lambda tx: quarantine.put(tx, self.store.ids, now=now, **values))


def _nothing() -> None: ...


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles meanwhile: a batch makes tens of thousands of objects and no cycle, and looking through them
    again and again cost 7 to 17 µs a message of 70. The next one after the batch finds them gone."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _ahead(ids: Ids, count: int) -> Callable[[], int]:
    """Ids one by one, the first `count` of them taken at once."""
    return chain(ids.take(count), iter(ids, None)).__next__


def peek(raw: bytes) -> tuple[str, str, str]:
    """(account, event key, kind) of bytes that this version cannot read, as far as they show; else empty."""
    try:
        data = msgspec.msgpack.decode(raw)
        event = data.get("event") or {}
        said = (event.get("account"), event.get("event_key"), data.get("kind"))
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        return "", "", ""
    account, event_key, kind = (value.replace("\x00", "") if isinstance(value, str) else "" for value in said)
    return account[:80], event_key, kind[:24]


def _told(plan: Plan) -> Handled:
    return Handled(
        conversations=set(plan.touched),
        queues={c.queue for c in plan.touched.values() if c.touched > 1 or c.number is not None},
        entries=plan.entries,
        duplicates=plan.duplicates,
        quarantined=plan.quarantined,
        files=plan.nameless or bool(plan.rows["media"]),
    )


def _at(place: Place) -> tuple[Any, Any]:
    return intake_tries.c.producer == place[0], intake_tries.c.seq == place[1]


def _reason(error: Exception) -> str:
    """One line for people, without what a customer said: a driver's error may quote the row it failed on."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, MainstemError):
        return str(original)[:_REASON_CHARS]
    diag = getattr(original, "diag", None)
    words = getattr(diag, "message_primary", None) or str(original).splitlines()[0] if str(original) else ""
    return f"{type(original).__name__}: {words}"[:_REASON_CHARS]
