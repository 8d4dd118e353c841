"""What becomes due in conversations: the snoozed wake, offers nobody accepted and claims nobody works on go back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from crm_store import conversations
from crm_store.db import Store
from crm_store.schema import assignments
from crm_store.schema import conversations as table
from hub import clock, notices
from hub.config import Queue
from hub.ids import Ids
from workers import context

_AT_ONCE = 100  # in one transaction
Step = Callable[[Connection, Ids, datetime, int], list[int]]


def look(store: Store, queues: Mapping[str, Queue], now: datetime) -> list[int]:
    """Do all that is due; the conversations that changed. Twice, or by two processes at once, is as once."""
    ids = store.ids
    changed: list[int] = []
    steps: list[Step] = [conversations.wake, conversations.expire_offers]
    for step in steps:
        while True:
            some = store.run(lambda tx, step=step: step(tx, ids, now, _AT_ONCE))  # type: ignore[misc]
            changed += some
            if len(some) < _AT_ONCE:
                break
    for queue in queues.values():
        if queue.idle_s is not None:
            cutoff = now - timedelta(seconds=queue.idle_s)
            changed += _give_back(store, ids, queue.key, cutoff, now)
    return changed


def _give_back(store: Store, ids: Ids, queue: str, cutoff: datetime, now: datetime) -> list[int]:
    """Claims whose customer has waited since before `cutoff`, as long as the agent has had them."""
    c, a = table.c, assignments.c
    claimed_at = (
        select(func.max(a.at)).where(a.conversation_id == c.id, a.ended_at.is_(None)).scalar_subquery()
    )
    idle = (
        select(c.id, c.assignee)
        .where(
            c.state == "open",
            c.queue == queue,
            c.waiting_since.is_not(None),
            c.waiting_since <= cutoff,
            func.coalesce(claimed_at, c.opened_at) <= cutoff,
        )
        .order_by(c.id)
        .limit(_AT_ONCE)
    )

    def work(tx: Connection) -> list[int]:
        rows = tx.execute(idle.with_for_update(of=table, skip_locked=True)).all()
        for row in rows:
            conversations.release(
                tx, ids, row.id, by="system", now=now, why="no answer in time", only=row.assignee
            )
        return [row.id for row in rows]

    return store.run(work)


def run(held: context.Context) -> None:
    """One look over a process's store, and notices of what changed."""
    for conversation in look(held.store, held.config().queues, clock.system()):
        notices.publish(held.redis, notices.CONVERSATION, conversation=conversation)
