"""Which cards something was written about, whoever wrote it: for what no version tells, and for settled threads.

Slack's poster reads on from where it stopped, and the store alone says where that was.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, Table, func, select

from crm_store.schema import (
    conversation_events,
    conversations,
    cursors,
    deliveries,
    delivery_events,
    desk_threads,
    interaction_changes,
    interactions,
)
from crm_store.schema import desk_posts as desk_posts_table
from crm_store.statements import inserting

_t = desk_threads.c
_c = conversations.c

# Rows are only ever added to these, under ids that grow with time, so "what is new" is a range of a primary key. The
# second statement looks their threads up; as one join, SQLite would rather go through every card there ever was.
_SOURCES: Mapping[str, tuple[Table, Column[int]]] = {
    "deliveries": (delivery_events, delivery_events.c.delivery_id),
    "events": (conversation_events, conversation_events.c.conversation_id),
    "interactions": (interactions, interactions.c.conversation_id),
    "changes": (interaction_changes, interaction_changes.c.interaction_id),
}
# A row's id is made before its commit, and machines' clocks differ: so far back is read again each time.
OVERLAP = 15_000 << 22  # 15 s in ids (hub/ids.py)
_CURSOR = "threads"
_AT_ONCE = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """One page of `changed`. at: where each source was read to. threads: thread -> the newest row that concerns it."""

    at: Mapping[str, int]
    threads: Mapping[int, int]
    more: bool


def changed(tx: Connection, surface: str, since: Mapping[str, int]) -> Changed:
    """Which threads something was written about since. Sources that `since` does not name begin now."""
    reached: dict[str, int] = {}
    threads: dict[int, int] = {}
    more = False
    for source, (table, about) in _SOURCES.items():
        newest = int(tx.scalar(select(func.max(table.c.id))) or 0)
        if source not in since:
            reached[source] = newest
            continue
        query = select(table.c.id, about).where(table.c.id > since[source]).order_by(table.c.id)
        rows = tx.execute(query.limit(_AT_ONCE)).all()
        latest = {about_id: at_id for at_id, about_id in rows if about_id is not None}
        for about_id, thread_id in _threads_of(tx, surface, source, latest) if latest else ():
            threads[thread_id] = max(latest[about_id], threads.get(thread_id, 0))
        full = len(rows) == _AT_ONCE
        more = more or full
        reached[source] = rows[-1].id if full else max(newest, since[source])
    return Changed(at=reached, threads=threads, more=more)


def _threads_of(
    tx: Connection, surface: str, source: str, about: Collection[int]
) -> Iterator[tuple[int, int]]:
    """(what it is about, thread). A delivery's state is shown by its receipt, wherever that hangs, and by the living
    card ("1 not sent"); the rest only where a thread is settled, because an unsettled one is compared with its
    conversation's version anyway."""
    living = (_t.surface == surface, _t.retired_at.is_(None))
    if source == "deliveries":
        p, d = desk_posts_table.c, deliveries.c
        receipts = select(p.delivery_id, p.thread_id).where(
            p.delivery_id.in_(about), p.surface == surface, p.thread_id != 0
        )
        yield from ((row[0], row[1]) for row in tx.execute(receipts))
        of = {row.id: row.conversation_id for row in tx.execute(
            select(d.id, d.conversation_id).where(d.id.in_(about)))}  # fmt: skip
        query = select(_t.conversation_id, _t.id).where(*living, _t.conversation_id.in_(set(of.values())))
    else:
        of = {one: one for one in about}
        if source == "changes":
            n = interactions.c
            query_of = select(n.id, n.conversation_id).where(n.id.in_(about))
            of = {row.id: row.conversation_id for row in tx.execute(query_of)}
        query = (
            select(_t.conversation_id, _t.id)
            .join(conversations, _c.id == _t.conversation_id)
            .where(*living, _t.conversation_id.in_(set(of.values())))
            .where(_t.settled, _t.shown_version != _c.version)
        )
    threads = {row.conversation_id: row.id for row in tx.execute(query)}
    yield from ((one, threads[conversation]) for one, conversation in of.items() if conversation in threads)


def cursor(tx: Connection, surface: str) -> dict[str, int]:
    """How far `changed` was read when that was last kept."""
    c = cursors.c
    query = select(c.value).where(c.account == surface, c.name == _CURSOR)
    value = tx.execute(query).scalar()
    return {str(k): int(v) for k, v in json.loads(value).items()} if value else {}


def keep_cursor(tx: Connection, surface: str, at: Mapping[str, int], now: datetime) -> None:
    """Where the next process begins. Never goes back."""
    known = cursor(tx, surface)
    value = json.dumps({source: max(known.get(source, 0), reached) for source, reached in at.items()})
    statement = inserting(tx, cursors).values(account=surface, name=_CURSOR, value=value, at=now)
    tx.execute(
        statement.on_conflict_do_update(index_elements=["account", "name"], set_={"value": value, "at": now})
    )
