"""What an answer does to its conversation, and what is left of that once it is undone. Callers hold its row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, func, or_, select, type_coerce
from sqlalchemy.exc import IntegrityError

from crm_store import conversations as talk
from crm_store import notes
from crm_store.delivery_states import CUSTOMER_WROTE
from crm_store.schema import conversation_events, conversations, deliveries, interactions
from hub.clock import from_us, to_us
from hub.ids import Ids

_c = conversations.c
_n = interactions.c


def answered(
    tx: Connection, ids: Ids, conversation_id: int, *, by: str, now: datetime, then: str, delivery_id: int
) -> None:
    """A reply was made: nobody waits any longer; `then` "wait" gives the customer the turn."""
    values: dict[str, Any] = {
        "waiting_since": None,
        "last_at": now,
        "first_answer_at": func.coalesce(
            type_coerce(_c.first_answer_at, BigInteger), to_us(now), type_=BigInteger
        ),
    }
    if then == "wait":
        values |= {"state": "pending", "snoozed_until": None}
    talk.set_if(tx, conversation_id, _c.state.in_(talk.HELD), **values)
    talk.log(tx, ids, conversation_id, "answered", by, now, data={"delivery": delivery_id, "then": then})


def undone(tx: Connection, ids: Ids, delivery: Row[Any], *, by: str, now: datetime) -> None:
    """Its conversation is as it was before the reply, as far as nothing happened since."""
    extra = tx.execute(select(_n.extra).where(_n.id == delivery.interaction_id)).scalar_one()
    reply: Mapping[str, Any] = json.loads(extra or "{}").get("reply", {})
    if (note_id := reply.get("note")) is not None:
        notes.unsent(tx, ids, note_id, by=by, now=now)
    if delivery.code == CUSTOMER_WROTE:  # it had changed nothing yet
        talk.touch(tx, [delivery.conversation_id])
        return
    _unanswered(
        tx,
        ids,
        delivery.conversation_id,
        since=_time(reply.get("waiting_since")),
        was=reply.get("state", "open"),
        until=_time(reply.get("snoozed_until")),
        then=reply.get("then", "leave"),
        by=by,
        now=now,
        delivery_id=delivery.id,
    )


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _unanswered(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    *,
    since: datetime | None,
    was: str,
    until: datetime | None,
    then: str,
    by: str,
    now: datetime,
    delivery_id: int,
) -> None:
    """A reply was undone: what it had changed becomes what it was, as far as nothing happened since.

    since, was, until: its `waiting_since`, `state` and `snoozed_until` before the reply.
    """
    row = talk.get(tx, conversation_id, lock=True)
    values: dict[str, Any] = {}
    waits = since is not None and not _answered_since(tx, conversation_id, delivery_id)
    if waits and since is not None and row.state != "snoozed" and (row.waiting_since or now) > since:
        values["waiting_since"] = since
        if row.rank_at is not None:  # handed on meanwhile
            values["rank_at"] = talk.rank(now, since=since)
    at, others_at = _answers(tx, conversation_id, delivery_id)
    if at is not None and row.first_answer_at == at:
        values["first_answer_at"] = others_at
    before: dict[str, Any] = {"state": was if was == "pending" else "open"}
    if was == "snoozed" and until is not None:
        before = {"state": was, "snoozed_until": until}
    if then == "wait" and row.state == "pending":
        values |= before
    if then != "close" or row.state != "closed":
        talk.set_if(tx, conversation_id, _c.state == row.state, **values)
    elif _stands_again(tx, row, **values, **before):
        if row.assignee is not None:
            talk.assign(tx, ids, conversation_id, row.assignee, "claim", now)
    else:  # the customer goes on elsewhere; this one stays closed
        values.pop("waiting_since", None)
        talk.set_if(tx, conversation_id, _c.state == row.state, **values)
    talk.log(tx, ids, conversation_id, "reply_undone", by, now, data={"delivery": delivery_id})


def _stands_again(tx: Connection, row: Row[Any], **values: Any) -> bool:
    """Open again what was closed, unless another conversation has its place, or takes it at this moment."""
    if row.home is not None and tx.execute(select(_c.id).where(_c.slot == row.home)).first():
        return False
    values |= {"slot": row.home, "closed_at": None, "disposition": None}
    try:
        with tx.begin_nested():
            return talk.set_if(tx, row.id, _c.state == row.state, **values)
    except IntegrityError:
        return False


def _answers(
    tx: Connection, conversation_id: int, delivery_id: int
) -> tuple[datetime | None, datetime | None]:
    """When this reply answered (one that was held, when it was confirmed), and when the first of the others did that
    was not undone. None of them did where we began: nobody waited for a first answer."""
    e, d = conversation_events.c, deliveries.c
    query = select(e.what, e.at, e.data).where(
        e.conversation_id == conversation_id, e.what.in_(("begun", "answered"))
    )
    happened = tx.execute(query).all()
    if any(one.what == "begun" for one in happened):
        return None, None
    answered_at = {int(json.loads(one.data)["delivery"]): one.at for one in happened}
    undone = select(d.id).where(d.conversation_id == conversation_id, d.state == "cancelled")
    others = answered_at.keys() - {delivery_id, *tx.execute(undone).scalars()}
    return answered_at.get(delivery_id), min((answered_at[one] for one in others), default=None)


def _answered_since(tx: Connection, conversation_id: int, delivery_id: int) -> bool:
    """Is there a later reply that went out, or will?"""
    d = deliveries.c
    later = select(d.id).where(
        d.conversation_id == conversation_id,
        d.id > delivery_id,
        d.state != "cancelled",
        or_(d.state != "held", d.code.is_(None)),
    )
    return tx.execute(later.limit(1)).first() is not None
