"""Revisions as the sender sees them: claimed under a lease once their reply has gone out, carried out, noted.

A revision whose maker died is made again: it leaves the same text however often it is made. One whose reply did not go
out after all is done in the store.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, and_, exists, func, insert, or_, select, text, update

from crm_store import answers, conversations, deliveries, outbox, pauses
from crm_store import delivery_states as states
from crm_store.delivery_states import Moved
from crm_store.outbox import Claimed
from crm_store.revisions import DELETE, DONE, DROPPED, EDIT, FAILED, QUEUED, SENDING, note_change, rewrite
from crm_store.schema import REVISION_TO_DO, delivery_parts, interactions, revisions
from crm_store.schema import deliveries as deliveries_table
from hub.ids import Ids

_r = revisions.c
_d = deliveries_table.c
_n = interactions.c
_TO_DO = text(f"revisions.{REVISION_TO_DO}")  # in the index's own words, or SQLite does not use it
_CLEAR = _d.state.not_in((states.SENDING, states.UNKNOWN))  # it went out, or certainly did not


@dataclass(frozen=True, kw_only=True, slots=True)
class ToDo:
    """A revision to be carried out now, with the delivery whose message it changes (`text` as it is to read)."""

    id: int
    delivery: Claimed
    number: int
    change: str
    attempts: int
    created_at: datetime
    external_ids: tuple[str, ...]
    sent_at: datetime | None
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What became of one try. state: done, queued (again, at `due_at`), failed. counted: False gives the try back."""

    todo: ToDo
    state: str
    at: datetime
    due_at: datetime | None = None
    code: str | None = None
    provider_code: str | None = None
    detail: str = ""
    counted: bool = True
    external_ids: tuple[str, ...] = ()


def waiting(tx: Connection, now: datetime) -> dict[str, int]:
    """How many there is something to do about, by account. Those whose reply is in doubt wait until it is not."""
    due = or_(and_(_r.state == QUEUED, _r.due_at <= now), and_(_r.state == SENDING, _r.lease_until < now))
    query = select(_r.account, func.count()).join(deliveries_table, _d.id == _r.delivery_id)
    rows = tx.execute(query.where(_TO_DO, due, _CLEAR).group_by(_r.account))
    return {str(account): int(count) for account, count in rows}


def next_due(tx: Connection, accounts: Iterable[str], now: datetime) -> datetime | None:
    """When the next one of these accounts may be carried out, or the next lease ends; None where nothing waits.

    A paused account's time is the end of its pause.
    """
    kind = _r.due_at.type
    first = func.min(func.coalesce(_r.lease_until, _r.due_at, type_=kind), type_=kind)
    query = select(_r.account, first).join(deliveries_table, _d.id == _r.delivery_id)
    rows = tx.execute(
        query.where(_TO_DO, _CLEAR, _r.account.in_(sorted(accounts))).group_by(_r.account)
    ).all()
    if not rows:
        return None
    stopped = pauses.paused(tx, now)
    times: list[datetime] = [max(at, stopped.get(account, at)) for account, at in rows]
    return min(times)


def expire(tx: Connection, now: datetime) -> None:
    """Whoever was at it has died: it is made again, which leaves what it would have left."""
    tx.execute(
        update(revisions)
        .where(_TO_DO, _r.state == SENDING, _r.lease_until < now)
        .values(state=QUEUED, lease_owner=None, lease_until=None, updated_at=now)
    )


def settle(tx: Connection, ids: Ids, now: datetime) -> list[Moved]:
    """Those whose reply did not go out after all are done in the store; their deliveries.

    One that is still to go out is changed or undone where it waits; one that failed gets its new words, for the day
    somebody sends it again.
    """
    ended = (states.HELD, states.QUEUED, states.FAILED, states.OPTED_OUT, states.CANCELLED)
    picked = (
        select(_r.id, _r.conversation_id)
        .join(deliveries_table, _d.id == _r.delivery_id)
        .where(_TO_DO, _r.state == QUEUED, _d.state.in_(ended))
    )
    found = tx.execute(picked).all()
    if not found:
        return []
    conversations.hold(tx, {row.conversation_id for row in found})
    moved = []
    query = select(revisions).where(_r.id.in_([row.id for row in found]), _r.state == QUEUED)
    for row in tx.execute(query.order_by(_r.id).with_for_update()).all():
        delivery = tx.execute(select(deliveries_table).where(_d.id == row.delivery_id)).one()
        if delivery.state not in ended:
            continue
        how = _in_the_store(tx, ids, row, delivery, now)
        tx.execute(update(revisions).where(_r.id == row.id).values(state=DROPPED, detail=how, updated_at=now))
        conversations.touch(tx, [row.conversation_id])
        moved.append(
            Moved(delivery_id=row.delivery_id, conversation_id=row.conversation_id, state=delivery.state)
        )
    return moved


def _in_the_store(tx: Connection, ids: Ids, row: Row[Any], delivery: Row[Any], now: datetime) -> str:
    """Do it without the provider; what happened, in words."""
    if row.change == EDIT:
        among = (states.HELD, states.QUEUED, states.FAILED, states.OPTED_OUT)
        if rewrite(tx, ids, delivery, row.text, by=row.by, now=now, among=among):
            return "the reply had not gone out, and was changed before it does"
        return "the reply was undone"
    if deliveries.cancel(tx, ids, delivery.id, by=row.by, now=now):
        answers.undone(tx, ids, delivery, by=row.by, now=now)
        return "the reply had not gone out, and was undone"
    return "the reply had not gone out"


def claim(
    tx: Connection, rooms: Mapping[str, int], *, owner: str, now: datetime, lease: timedelta
) -> list[ToDo]:
    """Mark as `sending` up to `rooms[account]` that are due and whose reply has gone out; the oldest first.

    Of a delivery's only the first that is not finished. Committed before a request leaves.
    """
    other = revisions.alias("other")
    earlier = exists().where(
        other.c.delivery_id == _r.delivery_id,
        other.c.number < _r.number,
        other.c.state.in_((QUEUED, SENDING)),
    )
    claimed: list[Row[Any]] = []
    for account, room in sorted(rooms.items()):
        due = (
            select(_r.id)
            .join(deliveries_table, _d.id == _r.delivery_id)
            .where(
                _TO_DO,
                _r.state == QUEUED,
                _r.account == account,
                _r.due_at <= now,
                _d.state.in_(states.WENT_OUT),
                ~earlier,
            )
            .order_by(_r.due_at, _r.id)
            .limit(room)
            .with_for_update(skip_locked=True, of=revisions)
        )
        picked = list(tx.execute(due).scalars())
        if picked:
            claimed += tx.execute(
                update(revisions)
                .where(_r.id.in_(picked), _r.state == QUEUED)
                .values(
                    state=SENDING,
                    attempts=_r.attempts + 1,
                    lease_owner=owner,
                    lease_until=now + lease,
                    updated_at=now,
                )
                .returning(revisions)
            ).all()
    return _loaded(tx, claimed)


def _loaded(tx: Connection, claimed: Sequence[Row[Any]]) -> list[ToDo]:
    if not claimed:
        return []
    wanted = [row.delivery_id for row in claimed]
    of_delivery = {delivery.id: delivery for delivery in outbox.load(tx, wanted)}
    sent_at = dict(tx.execute(select(_d.id, _d.sent_at).where(_d.id.in_(wanted))).all())
    parts: defaultdict[int, tuple[str, ...]] = defaultdict(tuple)
    p = delivery_parts.c
    query = select(p.delivery_id, p.external_id).where(p.delivery_id.in_(wanted), p.part >= 0)
    for delivery_id, external_id in tx.execute(query.order_by(p.delivery_id, p.part)):
        parts[delivery_id] += (external_id,)
    return [
        ToDo(
            id=row.id,
            delivery=_reading(of_delivery[row.delivery_id], row),
            number=row.number,
            change=row.change,
            attempts=row.attempts,
            created_at=row.created_at,
            external_ids=parts[row.delivery_id],
            sent_at=sent_at[row.delivery_id],
            by=row.by,
        )
        for row in sorted(claimed, key=lambda row: row.id)
    ]


def _reading(delivery: Claimed, row: Row[Any]) -> Claimed:
    return msgspec.structs.replace(delivery, text=row.text) if row.change == EDIT else delivery


def finish(tx: Connection, ids: Ids, ended: Sequence[Ended], *, owner: str, now: datetime) -> list[Ended]:
    """Note what became of tries; those that counted. A success counts even where the lease was lost meanwhile."""
    if not ended:
        return []
    conversations.hold(tx, {one.todo.delivery.conversation_id for one in ended})
    counted = []
    for one in ended:
        mine = (
            _r.state.in_((SENDING, QUEUED))
            if one.state == DONE
            else and_(_r.state == SENDING, _r.lease_owner == owner)
        )
        done = tx.execute(
            update(revisions)
            .where(_r.id == one.todo.id, mine)
            .values(
                state=one.state,
                due_at=one.due_at or one.at,
                attempts=_r.attempts - (0 if one.counted else 1),
                code=one.code and one.code[: states.CODE_CHARS],
                provider_code=one.provider_code and one.provider_code[: states.PROVIDER_CODE_CHARS],
                detail=one.detail,
                lease_owner=None,
                lease_until=None,
                updated_at=now,
            )
        )
        if done.rowcount == 1:
            counted.append(one)
            _aftermath(tx, ids, one, now)
    return counted


_EVENTS = {(EDIT, DONE): "reply_revised", (DELETE, DONE): "reply_withdrawn"}


def _aftermath(tx: Connection, ids: Ids, one: Ended, now: datetime) -> None:
    """The history reads as the customer's does from now on."""
    delivery, todo = one.todo.delivery, one.todo
    if one.state == DONE:
        text = delivery.text if todo.change == EDIT else ""
        note_change(tx, ids, delivery.interaction_id, delivery.account, todo.change, text, by=todo.by, at=now)
        if todo.change == DELETE:
            tx.execute(update(interactions).where(_n.id == delivery.interaction_id).values(deleted=True))
        _more_parts(tx, one, now)
    what = _EVENTS.get((todo.change, one.state), "revision_failed" if one.state == FAILED else None)
    if what is not None:
        data = {"delivery": delivery.id, "change": todo.change} | ({"code": one.code} if one.code else {})
        conversations.log(tx, ids, delivery.conversation_id, what, todo.by, now, data=data)
    conversations.touch(tx, [delivery.conversation_id])


def _more_parts(tx: Connection, one: Ended, now: datetime) -> None:
    """A longer text may need more of the provider's messages than the first."""
    new = [name for name in one.external_ids if name not in one.todo.external_ids]
    if not new:
        return
    p = delivery_parts.c
    last = tx.execute(select(func.max(p.part)).where(p.delivery_id == one.todo.delivery.id)).scalar()
    first = 0 if last is None else max(last, -1) + 1
    tx.execute(
        insert(delivery_parts),
        [
            {
                "delivery_id": one.todo.delivery.id,
                "part": part,
                "account": one.todo.delivery.account,
                "external_id": name,
                "state": states.SENT,
                "at": now,
            }
            for part, name in enumerate(new, first)
        ],
    )
