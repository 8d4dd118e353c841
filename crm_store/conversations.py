"""How a conversation changes its state: always one UPDATE with the expected state in its WHERE, so that of any number
of people who try at once one succeeds and the others are told who was faster.

Every change grows `version` and leaves a row in `conversation_events` in the same transaction; who was offered or had
the conversation stands in `assignments`. `rank_at` is set exactly while a conversation is waiting or offered.
`by` is the actor (`agent:bo`, `rule:vip`, `system`). `name` turns an agent's key into what people call them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    and_,
    cast,
    func,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy import insert as plain_insert
from sqlalchemy.exc import IntegrityError

from crm_store import presence
from crm_store.schema import assignments, conversations
from crm_store.traces import link as link  # so that who changes conversations needs one name
from crm_store.traces import log as log
from crm_store.traces import tags_json as tags_json
from crm_store.traces import touch as touch
from hub.clock import to_us
from hub.errors import Conflict, NotFound
from hub.ids import Ids

Name = Callable[[str], str]
LIVE = ("waiting", "offered", "open", "pending", "snoozed")  # everything but closed
HELD = ("open", "pending", "snoozed")  # the states in which an agent may have it
NUMBERS_BELOW = 1 << 40  # human numbers count from 1001; ids begin far above this

_c = conversations.c
_CLEAR_OFFER: dict[str, Any] = {"offered_to": None, "offer_expires_at": None}


def key(name: str) -> str:
    """An agent's name where nobody knows a better one."""
    return name


def get(tx: Connection, conversation_id: int, *, lock: bool = False) -> Row[Any]:
    """The row, locked until the transaction ends if so asked (SQLite's writers are alone anyway). Raises NotFound."""
    query = select(conversations).where(_c.id == conversation_id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound("There is no such conversation.")
    return row


def hold(tx: Connection, conversation_ids: Iterable[int]) -> None:
    """Lock them until the transaction ends: everybody takes conversations before what stands in them, and in this
    order, so that nobody waits for each other."""
    wanted = sorted(set(conversation_ids))
    tx.execute(select(_c.id).where(_c.id.in_(wanted)).order_by(_c.id).with_for_update()).all()


def find(tx: Connection, id_or_number: int | str) -> int:
    """The id of the conversation that is named by its id or by its human number ("1042", "#1042"). Raises NotFound."""
    text = str(id_or_number).strip().removeprefix("#")
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise NotFound(f"{str(id_or_number)[:40]!r} is no conversation number.")
    number = int(text)
    column = _c.number if number < NUMBERS_BELOW else _c.id
    found = tx.execute(select(_c.id).where(column == number)).scalar_one_or_none()
    if found is None:
        raise NotFound(f"There is no conversation #{text}.")
    return int(found)


def claim(
    tx: Connection, ids: Ids, conversation_id: int, agent: str, *, now: datetime, name: Name = key
) -> None:
    """Give a waiting conversation to `agent`, or one that is offered to them. Raises Conflict naming who was faster."""
    free = or_(_c.state == "waiting", and_(_c.state == "offered", _c.offered_to == agent))
    changed = set_if(tx, conversation_id, free, state="open", assignee=agent, rank_at=None, **_CLEAR_OFFER)
    if not changed:
        raise _lost(tx, conversation_id, name)
    _end(tx, conversation_id, "accepted", now)
    assign(tx, ids, conversation_id, agent, "claim", now)
    log(tx, ids, conversation_id, "claimed", f"agent:{agent}", now)


def offer(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    agent: str,
    *,
    expires_at: datetime,
    by: str,
    now: datetime,
    name: Name = key,
) -> None:
    """Put a waiting conversation to `agent`; it keeps its place meanwhile. Raises Conflict."""
    values = {"state": "offered", "offered_to": agent, "offer_expires_at": expires_at}
    if not set_if(tx, conversation_id, _c.state == "waiting", **values):
        raise _lost(tx, conversation_id, name)
    assign(tx, ids, conversation_id, agent, "offer", now)
    log(tx, ids, conversation_id, "offered", by, now, data={"to": agent})


def decline(
    tx: Connection, ids: Ids, conversation_id: int, agent: str, *, now: datetime, name: Name = key
) -> None:
    """The agent does not take what is offered to them: back to its place. Raises Conflict."""
    mine = and_(_c.state == "offered", _c.offered_to == agent)
    if not set_if(tx, conversation_id, mine, state="waiting", **_CLEAR_OFFER):
        raise _lost(tx, conversation_id, name)
    _end(tx, conversation_id, "declined", now)
    log(tx, ids, conversation_id, "declined", f"agent:{agent}", now)


def expire_offers(tx: Connection, ids: Ids, now: datetime, limit: int = 100) -> list[int]:
    """Take back the offers nobody accepted in time; their conversations wait on where they stood."""
    due = and_(_c.state == "offered", _c.offer_expires_at.is_not(None), _c.offer_expires_at <= now)
    rows = tx.execute(
        select(_c.id, _c.offered_to).where(due).order_by(_c.id).limit(limit).with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        set_if(tx, row.id, due, state="waiting", **_CLEAR_OFFER)
        _end(tx, row.id, "expired", now)
        log(tx, ids, row.id, "offer_expired", "system", now, data={"to": row.offered_to})
    return [row.id for row in rows]


def release(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    *,
    by: str,
    now: datetime,
    why: str = "",
    only: str | None = None,
    name: Name = key,
) -> None:
    """Back into its queue, ranked by the first message not yet answered. `only`: the agent who must have it."""
    expected: ColumnElement[bool] = _c.state.in_(HELD)
    if only is not None:
        expected = and_(expected, _c.assignee == only)
    values = {"state": "waiting", "assignee": None, "rank_at": rank(now), "snoozed_until": None}
    if not set_if(tx, conversation_id, expected, **values):
        raise _lost(tx, conversation_id, name)
    _end(tx, conversation_id, "released", now)
    log(tx, ids, conversation_id, "released", by, now, why)


def transfer(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    queue: str,
    *,
    head_start_s: float,
    by: str,
    reason: str,
    now: datetime,
    to_agent: str | None = None,
    offer_until: datetime | None = None,
    name: Name = key,
) -> None:
    """Into another queue, or to another agent as an offer. It waits on since when it waited before. Raises Conflict.

    head_start_s: of its priority, as configured now. With `to_agent`, `offer_until` says how long the offer stands.
    """
    before = get(tx, conversation_id, lock=True)
    values: dict[str, Any] = {
        "state": "offered" if to_agent else "waiting",
        "queue": queue,
        "assignee": None,
        "offered_to": to_agent,
        "offer_expires_at": offer_until if to_agent else None,
        "snoozed_until": None,
        "head_start_s": head_start_s,
        "rank_at": rank(now, head_start_s),
    }
    if not set_if(tx, conversation_id, _c.state.in_(LIVE), **values):
        raise _lost(tx, conversation_id, name)
    _end(tx, conversation_id, "transferred", now)
    if to_agent:
        assign(tx, ids, conversation_id, to_agent, "offer", now)
    data = {"from": before.queue, "to": queue} | ({"agent": to_agent} if to_agent else {})
    log(tx, ids, conversation_id, "transferred", by, now, reason, data)


def snooze(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    *,
    until: datetime,
    by: str,
    now: datetime,
    why: str = "",
    name: Name = key,
) -> None:
    """Out of sight until then; its place is cleared. Whoever has it keeps it. Raises Conflict."""
    values = {"state": "snoozed", "snoozed_until": until, "rank_at": None, "waiting_since": None}
    if not set_if(tx, conversation_id, _c.state.in_(LIVE), **values, **_CLEAR_OFFER):
        raise _lost(tx, conversation_id, name)
    _end(tx, conversation_id, "snoozed", now, kind="offer")
    log(tx, ids, conversation_id, "snoozed", by, now, why, {"until": until.isoformat()})


def wake(tx: Connection, ids: Ids, now: datetime, limit: int = 100) -> list[int]:
    """Wake what was snoozed until now: to the agent who has it unless they are offline, else into its queue,
    ranked from the waking. Returns the conversations woken."""
    due = and_(_c.state == "snoozed", _c.snoozed_until.is_not(None), _c.snoozed_until <= now)
    rows = tx.execute(
        select(_c.id, _c.assignee).where(due).order_by(_c.id).limit(limit).with_for_update(skip_locked=True)
    ).all()
    agents = {row.assignee for row in rows if row.assignee}
    here = {a for a, is_now in presence.everyone(tx, now, agents).items() if is_now.status != "offline"}
    for row in rows:
        kept = row.assignee in here
        place: dict[str, Any] = (
            {"state": "open"}
            if kept
            else {"state": "waiting", "assignee": None, "rank_at": rank(now, since=now)}
        )
        set_if(tx, row.id, due, snoozed_until=None, waiting_since=now, **place)
        if not kept:
            _end(tx, row.id, "snoozed", now)
        log(tx, ids, row.id, "woken", "system", now)
    return [row.id for row in rows]


def close(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    *,
    by: str,
    now: datetime,
    disposition: str | None = None,
    tags: Iterable[str] = (),
    why: str = "",
    name: Name = key,
) -> None:
    """The matter is done. Its slot is free, so a next message opens another. Raises Conflict where it is closed."""
    before = get(tx, conversation_id, lock=True)
    values = {
        "state": "closed",
        "slot": None,
        "closed_at": now,
        "rank_at": None,
        "waiting_since": None,
        "snoozed_until": None,
        "disposition": disposition,
        "tags": tags_json([*json.loads(before.tags), *tags]),
    }
    if not set_if(tx, conversation_id, _c.state.in_(LIVE), **values, **_CLEAR_OFFER):
        raise _lost(tx, conversation_id, name)
    _end(tx, conversation_id, "closed", now)
    log(tx, ids, conversation_id, "closed", by, now, why, {"disposition": disposition})


def reopen(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    *,
    by: str,
    now: datetime,
    agent: str | None = None,
    queue: str | None = None,
    why: str = "",
    name: Name = key,
) -> None:
    """A closed conversation goes on, where it stood: with `agent`, else in its queue, or in `queue` from now on.

    Raises Conflict when another open conversation of the customer stands there.
    """
    slot = get(tx, conversation_id, lock=True).home
    if slot is not None:
        holder = tx.execute(
            select(_c.number).where(_c.slot == slot, _c.id != conversation_id)
        ).scalar_one_or_none()
        if holder is not None:
            raise Conflict(f"The customer has another open conversation, #{holder}; go on there.")
    values: dict[str, Any] = {"slot": slot, "closed_at": None, "disposition": None, "assignee": agent}
    values |= {"state": "open"} if agent else {"state": "waiting", "rank_at": rank(now, since=now)}
    if queue is not None:
        values["queue"] = queue
    try:
        with tx.begin_nested():
            changed = set_if(tx, conversation_id, _c.state == "closed", **values)
    except IntegrityError:
        raise Conflict("The customer wrote meanwhile and has another open conversation.") from None
    if not changed:
        raise _lost(tx, conversation_id, name)
    if agent:
        assign(tx, ids, conversation_id, agent, "claim", now)
    log(tx, ids, conversation_id, "reopened", by, now, why)


def tag(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    by: str,
    now: datetime,
) -> tuple[str, ...]:
    """Add and remove tags; what it now has. Nothing is written when that changes nothing."""
    before = get(tx, conversation_id, lock=True)
    had = set(json.loads(before.tags))
    has = (had | set(add)) - set(remove)
    if has != had:
        set_if(tx, conversation_id, _c.id == conversation_id, tags=tags_json(has))
        log(tx, ids, conversation_id, "tagged", by, now, data={"tags": sorted(has)})
    return tuple(sorted(has))


def set_if(tx: Connection, conversation_id: int, expected: ColumnElement[bool], **values: Any) -> bool:
    """Change it if it is still as expected; False where somebody was faster."""
    statement = (
        update(conversations)
        .where(_c.id == conversation_id, expected)
        .values(version=_c.version + 1, **values)
    )
    return tx.execute(statement).rowcount == 1


def rank(
    now: datetime, head_start_s: float | None = None, *, since: datetime | None = None
) -> ColumnElement[int]:
    """The place in the queue: since when it waits (now, where nothing is unanswered) less the head start."""
    start: Any = (
        to_us(since) if since else func.coalesce(type_coerce(_c.waiting_since, BigInteger), to_us(now))
    )
    head: Any = _c.head_start_s if head_start_s is None else head_start_s
    return cast(start - head * 1_000_000, BigInteger)


def assign(tx: Connection, ids: Ids, conversation_id: int, agent: str, kind: str, now: datetime) -> None:
    """The row that says since when it is offered to an agent (kind "offer"), or theirs ("claim")."""
    values = {"id": ids(), "conversation_id": conversation_id, "agent": agent, "kind": kind, "at": now}
    tx.execute(plain_insert(assignments).values(**values))


def _end(tx: Connection, conversation_id: int, how: str, now: datetime, *, kind: str | None = None) -> None:
    a = assignments.c
    open_ones = [a.conversation_id == conversation_id, a.ended_at.is_(None)]
    if kind is not None:
        open_ones.append(a.kind == kind)
    tx.execute(update(assignments).where(*open_ones).values(ended_at=now, ended_how=how))


def _lost(tx: Connection, conversation_id: int, name: Name) -> Conflict | NotFound:
    """Why a compare-and-set found another state, in one sentence."""
    row = tx.execute(select(conversations).where(_c.id == conversation_id)).one_or_none()
    if row is None:
        return NotFound("There is no such conversation.")
    if row.state == "offered":
        return Conflict(f"#{row.number} is offered to {name(row.offered_to)}.")
    if row.state == "closed":
        return Conflict(f"#{row.number} is closed.")
    if row.state == "waiting":
        return Conflict(f"#{row.number} is waiting in the queue {row.queue}; nobody has it.")
    if row.assignee:
        return Conflict(f"{name(row.assignee)} was faster: #{row.number} is with them.")
    return Conflict(f"#{row.number} is {row.state}.")
