"""The ledger: for any day, per account, journalled = stored + duplicates + quarantined + on the way, missing 0."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, func, select

from crm_store.db import Store
from crm_store.schema import intake, journalled, producers

# The account of what nobody could read: it stands in quarantine, and was journalled under an account that only the edge
# knew. So it is what that account would otherwise miss.
UNREAD = ""
REPLAY = "replay"  # the producer of what quarantine gave back in several pieces; nobody journalled it


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRow:
    """One account's day (UTC, by when the edge answered). `on_the_way`: journalled, not yet in the store."""

    account: str
    journalled: int
    stored: int
    duplicates: int
    quarantined: int
    on_the_way: int
    missing: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """Entries `first` to `last` of a producer's that are neither in the store nor in its journal."""

    producer: str
    first: int
    last: int


def day(store: Store, of: date) -> list[LedgerRow]:
    """The ledger of one day, by account. Producers report every few seconds; what came in since counts as journalled.

    An entry that a producer still called pending, and the store has meanwhile, is no longer on the way.
    """
    start = datetime(of.year, of.month, of.day, tzinfo=UTC)
    with store.read() as tx:
        j = journalled.c
        told = {
            account: (int(entries), int(pending))
            for account, entries, pending in tx.execute(
                select(j.account, func.sum(j.entries), func.sum(j.pending))
                .where(j.day == of.isoformat())
                .group_by(j.account)
            )
        }
        counts: dict[str, dict[str, int]] = {}
        i = intake.c
        for account, outcome, count in tx.execute(
            select(i.account, i.outcome, func.count())
            .where(i.accepted_at >= start, i.accepted_at < start + timedelta(days=1), i.producer != REPLAY)
            .group_by(i.account, i.outcome)
        ):
            counts.setdefault(account, {})[outcome] = count
    unread = sum(counts.pop(UNREAD, {}).values())
    rows = []
    for account in sorted({*told, *counts}):
        row = _row(account, told.get(account, (0, 0)), counts.get(account, {}))
        known = min(unread, row.missing)
        unread -= known
        rows.append(replace(row, quarantined=row.quarantined + known, missing=row.missing - known))
    if unread:  # their producer has not reported yet
        rows.append(_row(UNREAD, (0, 0), {"quarantined": unread}))
    return rows


def _row(account: str, told: tuple[int, int], counts: dict[str, int]) -> LedgerRow:
    entries, pending = told
    done = sum(counts.values())
    entries = max(entries, done)
    on_the_way = min(pending, entries - done)
    return LedgerRow(
        account=account,
        journalled=entries,
        stored=counts.get("stored", 0),
        duplicates=counts.get("duplicate", 0),
        quarantined=counts.get("quarantined", 0),
        on_the_way=on_the_way,
        missing=entries - done - on_the_way,
    )


def gaps(store: Store, limit: int = 100) -> list[Gap]:
    """Entries that are nowhere, over all days, by each producer's own numbers: 1 to its last, less what it still has.

    Reads the whole of intake's key: a question for an operator, not for a loop.
    """
    found: list[Gap] = []
    with store.read() as tx:
        for producer, last_seq, pending in tx.execute(
            select(producers.c.producer, producers.c.last_seq, producers.c.pending).order_by(
                producers.c.producer
            )
        ).all():
            has = [(int(first), int(last)) for first, last in json.loads(pending)]
            for first, last in _holes(tx, producer, last_seq):
                found += [Gap(producer=producer, first=a, last=b) for a, b in _without(first, last, has)]
                if len(found) >= limit:
                    return found[:limit]
    return found


def _holes(tx: Connection, producer: str, last_seq: int) -> list[tuple[int, int]]:
    """The runs of numbers in 1..last_seq without a row."""
    i = intake.c
    before = func.lag(i.seq, 1, 0).over(order_by=i.seq)
    steps = select(i.seq, before.label("before")).where(i.producer == producer, i.seq <= last_seq).subquery()
    holes = [
        (before + 1, seq - 1)
        for seq, before in tx.execute(
            select(steps.c.seq, steps.c.before).where(steps.c.seq > steps.c.before + 1).order_by(steps.c.seq)
        )
    ]
    highest = tx.execute(
        select(func.max(i.seq)).where(i.producer == producer, i.seq <= last_seq)
    ).scalar_one_or_none()
    rest = [((highest or 0) + 1, last_seq)] if (highest or 0) < last_seq else []
    return holes + rest


def _without(first: int, last: int, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """first..last less the spans."""
    out = []
    for begin, end in sorted(spans):
        if end < first or begin > last:
            continue
        if begin > first:
            out.append((first, begin - 1))
        first = max(first, end + 1)
    if first <= last:
        out.append((first, last))
    return out
