"""Replies that are changed or taken back: before they went out in the store alone, afterwards at the customer's.

A revision is a row that the sender carries out, once its reply has gone out, and in the order of its numbers. What
stands in the history changes only when it was carried out: until then the customer sees the first text, and so do we.
crm_store/revision_work.py holds what the sender does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from crm_store import conversations
from crm_store import delivery_states as states
from crm_store.outbox import Claimed
from crm_store.schema import deliveries as deliveries_table
from crm_store.schema import interaction_changes, interactions, revisions
from hub.ids import Ids

EDIT, DELETE = "edit", "delete"
QUEUED, SENDING, DONE, FAILED, DROPPED = "queued", "sending", "done", "failed", "dropped"
DRAFT = "draft"  # a change of what never went out: the words that nobody saw

_r = revisions.c
_d = deliveries_table.c
_n = interactions.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """One change of a reply that went out, as desks show it. `text` is what the customer is to see.

    state: queued, sending, done; failed (code, detail: why); dropped (a later one took its place).
    """

    id: int
    delivery_id: int
    number: int
    change: str
    text: str
    state: str
    code: str | None
    detail: str
    by: str
    created_at: datetime
    updated_at: datetime


def of_key(tx: Connection, key: str) -> Row[Any] | None:
    """The revision that was made with this key."""
    return tx.execute(select(revisions).where(_r.idem_key == key)).one_or_none()


def of(tx: Connection, delivery_ids: Sequence[int]) -> defaultdict[int, tuple[Revision, ...]]:
    """The revisions of these deliveries, in their order."""
    found: defaultdict[int, tuple[Revision, ...]] = defaultdict(tuple)
    if delivery_ids:
        query = select(revisions).where(_r.delivery_id.in_(delivery_ids))
        for row in tx.execute(query.order_by(_r.delivery_id, _r.number)):
            found[row.delivery_id] += (
                Revision(
                    id=row.id,
                    delivery_id=row.delivery_id,
                    number=row.number,
                    change=row.change,
                    text=row.text,
                    state=row.state,
                    code=row.code,
                    detail=row.detail,
                    by=row.by,
                    created_at=row.created_at,
                    updated_at=row.updated_at,
                ),
            )
    return found


def add(
    tx: Connection,
    ids: Ids,
    delivery: Row[Any],
    change: str,
    text: str,
    *,
    idem_key: str,
    by: str,
    now: datetime,
) -> int:
    """A revision to be carried out; its id. Those of its delivery that were not begun are dropped for it.

    Callers hold the conversation's row and have looked for the key.
    """
    tx.execute(
        update(revisions)
        .where(_r.delivery_id == delivery.id, _r.state == QUEUED)
        .values(state=DROPPED, detail="a later change took its place", updated_at=now)
    )
    last = tx.execute(select(func.max(_r.number)).where(_r.delivery_id == delivery.id)).scalar() or 0
    revision_id = ids()
    tx.execute(
        insert(revisions).values(
            id=revision_id,
            delivery_id=delivery.id,
            conversation_id=delivery.conversation_id,
            account=delivery.account,
            number=last + 1,
            change=change,
            text=text,
            idem_key=idem_key,
            state=QUEUED,
            due_at=now,
            created_at=now,
            updated_at=now,
            by=by,
        )
    )
    conversations.touch(tx, [delivery.conversation_id])
    return revision_id


def rewrite(
    tx: Connection,
    ids: Ids,
    delivery: Row[Any] | Claimed,
    text: str,
    *,
    by: str,
    now: datetime,
    due_at: datetime | None = None,
    among: Sequence[str] = (states.HELD, states.QUEUED),
) -> bool:
    """Other words for a reply that has not gone out. False once it is being sent.

    A sender that has it in hand loses its lease, so that it cannot send the first words; they stay as a `draft`.
    """
    values: dict[str, Any] = {"lease_owner": None, "lease_until": None, "updated_at": now}
    if due_at is not None:
        values["due_at"] = due_at
    done = tx.execute(
        update(deliveries_table).where(_d.id == delivery.id, _d.state.in_(among)).values(**values)
    )
    if done.rowcount != 1:
        return False
    _retext(tx, ids, delivery.interaction_id, delivery.account, text, by=by, now=now)
    conversations.touch(tx, [delivery.conversation_id])
    return True


def renew(tx: Connection, ids: Ids, delivery: Row[Any], *, by: str, now: datetime) -> None:
    """A reply that is sent once more goes out as it reads now, not as it read when it was first sent."""
    x = interaction_changes.c
    newest = (
        select(x.text)
        .where(x.interaction_id == delivery.interaction_id, x.change == EDIT)
        .order_by(x.at.desc(), x.id.desc())
        .limit(1)
    )
    text = tx.execute(newest).scalar_one_or_none()
    if text is not None:
        _retext(tx, ids, delivery.interaction_id, delivery.account, text, by=by, now=now)


def _retext(
    tx: Connection, ids: Ids, interaction_id: int, account: str, text: str, *, by: str, now: datetime
) -> None:
    was = tx.execute(select(_n.text).where(_n.id == interaction_id)).scalar_one()
    if was == text:
        return
    note_change(tx, ids, interaction_id, account, DRAFT, was, by=by, at=now)
    tx.execute(update(interactions).where(_n.id == interaction_id).values(text=text))


def note_change(
    tx: Connection,
    ids: Ids,
    interaction_id: int,
    account: str,
    change: str,
    text: str,
    *,
    by: str,
    at: datetime,
) -> None:
    tx.execute(
        insert(interaction_changes).values(
            id=ids(),
            interaction_id=interaction_id,
            account=account,
            external_id="",
            change=change,
            text=text,
            by=by,
            at=at,
        )
    )
