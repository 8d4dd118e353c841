"""Deliveries as people and the router handle them: made, undone, released, tried again, settled, reported on.

Every change is one UPDATE with the expected state in its WHERE, so of two that race exactly one wins; False says that
it was the other. crm_store/outbox.py and outcomes.py hold what the sender does; receipts.py what providers report.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, select, update

from crm_store import delivery_states as states
from crm_store.carried import NOTHING, Carried
from crm_store.delivery_states import Happened, Moved, note
from crm_store.receipts import apply_reports, set_parts_aside
from crm_store.schema import deliveries
from crm_store.statements import inserting
from hub.errors import NotFound
from hub.ids import Ids

__all__ = [
    "Moved",
    "apply_reports",
    "cancel",
    "create",
    "release_held",
    "resolve_unknown",
    "retry",
]


def create(
    tx: Connection,
    ids: Ids,
    *,
    interaction_id: int,
    conversation_id: int,
    account: str,
    to_urn: str,
    idem_key: str,
    due_at: datetime,
    by: str,
    now: datetime,
    state: Literal["held", "queued"] = "held",
    code: str | None = None,
    bulk: bool = False,
    carries: Carried = NOTHING,
) -> int:
    """A new delivery's id; with an `idem_key` that is known, the existing one's, and nothing is written.

    A held one goes out at `due_at` unless it was cancelled before; one that is held with a `code`
    (`delivery_states.CUSTOMER_WROTE`) waits for `release_held` however long that takes.
    """
    delivery_id = ids()
    values: dict[str, Any] = {
        "id": delivery_id,
        "interaction_id": interaction_id,
        "conversation_id": conversation_id,
        "account": account,
        "to_urn": to_urn,
        "idem_key": idem_key,
        "state": state,
        "code": code,
        "bulk": bulk,
        "due_at": due_at,
        "created_at": now,
        "updated_at": now,
        "by": by,
        "carries": carries.packed(),
    }
    made = tx.execute(
        inserting(tx, deliveries)
        .values(values)
        .on_conflict_do_nothing(index_elements=[deliveries.c.idem_key])
        .returning(deliveries.c.id)
    )
    if made.first() is None:
        return int(tx.execute(select(deliveries.c.id).where(deliveries.c.idem_key == idem_key)).scalar_one())
    note(tx, ids, [Happened(delivery_id=delivery_id, state=state, at=now, code=code)])
    return delivery_id


def cancel(tx: Connection, ids: Ids, delivery_id: int, *, by: str, now: datetime) -> bool:
    """Undo: it will never go out. False once it is being sent, or ended already."""
    return _move(
        tx,
        ids,
        delivery_id,
        expected=deliveries.c.state.in_((states.HELD, states.QUEUED)),
        to=states.CANCELLED,
        now=now,
        detail=f"by {by}",
        code=None,
        lease_owner=None,
        lease_until=None,
    )


def release_held(tx: Connection, ids: Ids, delivery_id: int, *, by: str, now: datetime) -> bool:
    """Send a held delivery now: the agent confirmed it after the customer had written. False if it is not held."""
    return _move(
        tx,
        ids,
        delivery_id,
        expected=deliveries.c.state == states.HELD,
        to=states.QUEUED,
        now=now,
        detail=f"confirmed by {by}",
        code=None,
        due_at=now,
    )


def retry(tx: Connection, ids: Ids, delivery_id: int, *, by: str, now: datetime) -> bool:
    """Send a failed delivery once more, with all its tries again. False if it is not failed.

    The message goes out whole; the parts of earlier tries stay only to be known again (`receipts.set_parts_aside`).
    """
    moved = _move(
        tx,
        ids,
        delivery_id,
        expected=deliveries.c.state == states.FAILED,
        to=states.QUEUED,
        now=now,
        detail=f"tried again by {by}",
        code=None,
        attempts=0,
        due_at=now,
        tries_from=now,
        lease_owner=None,
        lease_until=None,
    )
    if moved:
        set_parts_aside(tx, delivery_id)
    return moved


_ANSWERS: dict[str, tuple[str, str]] = {
    "sent": (states.SENT, "taken as sent"),
    "again": (states.QUEUED, "sent again"),
    "give up": (states.FAILED, "given up"),
}


def resolve_unknown(
    tx: Connection,
    ids: Ids,
    delivery_id: int,
    how: Literal["sent", "again", "give up"],
    *,
    by: str,
    now: datetime,
) -> bool:
    """What an agent decides of a delivery that may or may not have gone out. False if it is not unknown any more."""
    state, words = _ANSWERS[how]
    values: dict[str, Any] = {"due_at": now, "code": "unknown" if state == states.FAILED else None}
    if state == states.SENT:
        values["sent_at"] = now
    if state == states.QUEUED:
        values |= {"attempts": 0, "tries_from": now}
    moved = _move(
        tx,
        ids,
        delivery_id,
        expected=deliveries.c.state == states.UNKNOWN,
        to=state,
        now=now,
        detail=f"{words} by {by}",
        lease_owner=None,
        lease_until=None,
        **values,
    )
    if moved and state == states.QUEUED:
        set_parts_aside(tx, delivery_id)
    return moved


def _move(
    tx: Connection,
    ids: Ids,
    delivery_id: int,
    *,
    expected: Any,
    to: str,
    now: datetime,
    detail: str,
    **values: Any,
) -> bool:
    """One change of state by a person, if the delivery is still as `expected`. Raises NotFound for a wrong id."""
    done = tx.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, expected)
        .values(state=to, updated_at=now, detail=detail, **values)
    )
    if done.rowcount != 1:
        if tx.execute(select(deliveries.c.id).where(deliveries.c.id == delivery_id)).first() is None:
            raise NotFound(f"There is no delivery {delivery_id}.")
        return False
    note(tx, ids, [Happened(delivery_id=delivery_id, state=to, at=now, detail=detail)])
    return True
