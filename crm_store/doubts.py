"""Deliveries in doubt: their sender stopped after the request may have left. Nobody sends one again in silence."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from crm_store import delivery_states as states
from crm_store.delivery_states import Happened, Moved, note
from crm_store.outbox import Claimed, load
from crm_store.parked import lock, name_of
from crm_store.receipts import take_parked
from hub.clock import to_us
from hub.ids import Ids

FIRST_LOOK = timedelta(seconds=5)  # a provider may need a moment to know what it accepted
NEVER = timedelta(days=3650)  # no look any more: it waits for a report or an agent

# The very words of the partial index: SQLite uses one only if its condition stands in the query.
_IN_DOUBT = "state IN ('sending', 'unknown')"
_EXPIRE = f"""
    UPDATE deliveries SET state = 'unknown', code = 'unknown', updated_at = :now, due_at = :look_at,
           detail = 'the sender stopped before it could note what became of it',
           lease_owner = NULL, lease_until = NULL
    WHERE {_IN_DOUBT} AND state = 'sending' AND lease_until < :now RETURNING id, conversation_id, account
"""  # noqa: S608
_LOOK = f"""
    UPDATE deliveries SET due_at = :again WHERE id IN (
        SELECT id FROM deliveries WHERE {_IN_DOUBT} AND state = 'unknown' AND due_at <= :now
        ORDER BY due_at LIMIT :room) AND state = 'unknown' AND due_at <= :now RETURNING id
"""  # noqa: S608


def expire(tx: Connection, ids: Ids, now: datetime) -> list[Moved]:
    """What was being sent under a lease that ended is unknown from now on, unless a report was parked for it."""
    rows = tx.execute(text(_EXPIRE), {"now": to_us(now), "look_at": to_us(now + FIRST_LOOK)}).all()
    if not rows:
        return []
    note(
        tx,
        ids,
        [Happened(delivery_id=r.id, state=states.UNKNOWN, at=now, code=states.UNKNOWN) for r in rows],
    )
    names = [name_of(row.account, row.id) for row in rows]
    lock(tx, names)
    moved = [
        Moved(delivery_id=row.id, conversation_id=row.conversation_id, state=states.UNKNOWN) for row in rows
    ]
    return moved + take_parked(tx, ids, names, now)


def looks(tx: Connection, now: datetime, *, again_after: timedelta, room: int) -> list[Claimed]:
    """Unknown deliveries that may be looked for at their providers now; the same one again only after `again_after`."""
    rows = tx.execute(text(_LOOK), {"now": to_us(now), "again": to_us(now + again_after), "room": room}).all()
    return load(tx, [int(row.id) for row in rows])


def look_no_more(tx: Connection, delivery_id: int, detail: str, now: datetime) -> None:
    """The provider cannot be asked: the delivery waits for a report or for an agent."""
    tx.execute(
        text("UPDATE deliveries SET due_at = :never, detail = :detail WHERE id = :id AND state = 'unknown'"),
        {"id": delivery_id, "never": to_us(now + NEVER), "detail": detail},
    )
