"""Deliveries in doubt: their sender stopped after the request may have left. Nobody sends one again in silence."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from crm_store import delivery_states as states
from crm_store.delivery_states import Happened, Moved, note
from crm_store.outbox import Claimed, load
from crm_store.parked import lock, name_of
from crm_store.receipts import take_parked
from crm_store.schema import DELIVERY_IN_DOUBT
from crm_store.statements import rows
from hub.clock import to_us
from hub.ids import Ids

FIRST_LOOK = timedelta(seconds=5)  # a provider may need a moment to know what it accepted
NEVER = timedelta(days=3650)  # no look any more: it waits for a report or an agent

_ENDED = f"SELECT id, account FROM deliveries WHERE {DELIVERY_IN_DOUBT} AND state = 'sending' AND lease_until < :now"  # noqa: S608
_EXPIRE = """
    UPDATE deliveries SET state = 'unknown', code = 'unknown', updated_at = :now, due_at = :look_at,
           detail = 'the sender stopped before it could note what became of it',
           lease_owner = NULL, lease_until = NULL
    WHERE id {ids} AND state = 'sending' AND lease_until < :now RETURNING id, conversation_id, account
"""
_LOOK = f"""
    UPDATE deliveries SET due_at = :again WHERE id IN (
        SELECT id FROM deliveries WHERE {DELIVERY_IN_DOUBT} AND state = 'unknown' AND due_at <= :now
        ORDER BY due_at LIMIT :room) AND state = 'unknown' AND due_at <= :now RETURNING id
"""  # noqa: S608


def expire(tx: Connection, ids: Ids, now: datetime) -> list[Moved]:
    """What was being sent under a lease that ended is unknown from now on, unless a report was parked for it.

    Names are locked before rows, as by whoever notes an end or a report: who still knows what became of it comes first.
    """
    ended = rows(tx, _ENDED, now=to_us(now))
    if not ended:
        return []
    lock(tx, [name_of(account, delivery_id) for delivery_id, account in ended])
    ids_of = [delivery_id for delivery_id, _ in ended]
    gone = rows(tx, _EXPIRE, ids=ids_of, now=to_us(now), look_at=to_us(now + FIRST_LOOK))
    note(
        tx,
        ids,
        [Happened(delivery_id=row[0], state=states.UNKNOWN, at=now, code=states.UNKNOWN) for row in gone],
    )
    moved = [
        Moved(delivery_id=delivery_id, conversation_id=conversation_id, state=states.UNKNOWN)
        for delivery_id, conversation_id, _ in gone
    ]
    names = [name_of(account, delivery_id) for delivery_id, _, account in gone]
    return moved + take_parked(tx, ids, names, now)


def looks(tx: Connection, now: datetime, *, again_after: timedelta, room: int) -> list[Claimed]:
    """Unknown deliveries that may be looked for at their providers now; the same one again only after `again_after`."""
    found = rows(tx, _LOOK, now=to_us(now), again=to_us(now + again_after), room=room)
    return load(tx, [row[0] for row in found])


def look_no_more(tx: Connection, delivery_id: int, detail: str, now: datetime) -> None:
    """The provider cannot be asked: the delivery waits for a report or for an agent."""
    tx.execute(
        text("UPDATE deliveries SET due_at = :never, detail = :detail WHERE id = :id AND state = 'unknown'"),
        {"id": delivery_id, "never": to_us(now + NEVER), "detail": detail},
    )
