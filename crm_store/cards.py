"""Conversations as they stand in lists, and queues as they stand at the moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    Select,
    case,
    func,
    select,
    text,
    type_coerce,
    union_all,
)

from crm_store import media, presence, schema
from crm_store.conversations import HELD, LIVE, find
from crm_store.media import Expected
from crm_store.schema import conversations, customers, deliveries, identities, interactions
from crm_store.timeline import Attached, files_of
from hub.clock import to_us
from hub.config import Config, Queue
from hub.errors import NotFound

PREVIEW_CHARS = 160

_c = conversations.c
_d = deliveries.c

NEEDS_SOMEBODY = text(f"({schema.NEEDS_SOMEBODY})")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRow:
    """One queue as it stands. `late`: waiting for longer than its service level allows."""

    key: str
    title: str
    waiting: int
    offered: int
    open: int
    pending: int
    snoozed: int
    late: int
    longest_wait_s: float
    service_within_s: float
    agents_here: int  # agents of this queue who are available or busy


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A conversation in a list. `failed`: deliveries of it that need somebody; `preview`: the customer's last words.

    files, expected: where there are no words and no subject, what the customer sent instead, as in timeline.Entry.
    """

    conversation_id: int
    number: int
    brand: str
    queue: str
    state: str
    priority: str
    subject: str
    preview: str
    account: str
    identity_id: int  # the address they wrote from last
    urn: str
    customer_id: int  # who they are now, merges followed
    customer_name: str
    customer_tier: str | None
    tags: tuple[str, ...]
    skills: tuple[str, ...]
    waiting_since: datetime | None
    rank_at: datetime | None
    assignee: str | None
    offered_to: str | None
    offer_expires_at: datetime | None
    snoozed_until: datetime | None
    disposition: str | None
    opened_at: datetime
    closed_at: datetime | None
    last_at: datetime
    last_inbound_id: int | None
    version: int
    failed: int = 0
    files: tuple[Attached, ...] = ()
    expected: tuple[Expected, ...] = ()


def queue_list(tx: Connection, config: Config, now: datetime) -> list[QueueRow]:
    """Every configured queue in the configuration's order, and any other in which conversations still stand."""
    counted: dict[str, dict[str, Row[Any]]] = {}
    # Two statements: only so does either database go by its index, past a million closed ones.
    known = _c.queue.in_(list(config.queues)) & _c.state.in_(LIVE)
    live = select(_c.id).where(_c.slot > "", _c.queue.not_in(list(config.queues)), _c.state != "closed")
    unknown = _c.id.in_(live)
    for which in (known, unknown):
        for row in tx.execute(_counts(config, now).where(which)):
            counted.setdefault(row.queue, {})[row.state] = row
    here = {who.agent for who in presence.everyone(tx, now).values() if who.status in presence.HERE}
    agents = {key: {a.key for a in config.agents.values() if key in a.queues} for key in config.queues}
    order = [*config.queues, *sorted(counted.keys() - config.queues.keys())]
    return [
        _queue_row(config.queues.get(key), key, counted.get(key, {}), len(agents.get(key, set()) & here), now)
        for key in order
    ]


def _counts(config: Config, now: datetime) -> Select[Any]:
    limits = {key: now - timedelta(seconds=queue.service_within_s) for key, queue in config.queues.items()}
    limit = case({key: to_us(at) for key, at in limits.items()} or {"": 0}, value=_c.queue, else_=0)
    late = func.sum(case((type_coerce(_c.waiting_since, BigInteger) < limit, 1), else_=0))
    oldest = func.min(_c.waiting_since, type_=_c.waiting_since.type)
    columns = (_c.queue, _c.state, func.count().label("number"), late.label("late"), oldest.label("oldest"))
    return select(*columns).group_by(_c.queue, _c.state)


def _queue_row(
    queue: Queue | None, key: str, counted: Mapping[str, Row[Any]], agents_here: int, now: datetime
) -> QueueRow:
    standing = [counted[state] for state in ("waiting", "offered") if state in counted]
    oldest = min((row.oldest for row in standing if row.oldest is not None), default=now)
    number = {state: int(row.number) for state, row in counted.items()}
    return QueueRow(
        key=key,
        title=queue.title if queue else key,
        waiting=number.get("waiting", 0),
        offered=number.get("offered", 0),
        open=number.get("open", 0),
        pending=number.get("pending", 0),
        snoozed=number.get("snoozed", 0),
        late=sum(int(row.late) for row in standing),
        longest_wait_s=(now - oldest).total_seconds(),
        service_within_s=queue.service_within_s if queue else 0.0,
        agents_here=agents_here,
    )


def waiting(tx: Connection, queue: str, limit: int = 50) -> list[Card]:
    """Who waits in a queue, in the order in which they will be answered; those being offered keep their place."""
    firsts = [
        select(_c.id).where(_c.queue == queue, _c.state == state).order_by(_c.rank_at, _c.id).limit(limit)
        for state in ("waiting", "offered")
    ]
    picked = union_all(*(select(first.subquery().c.id) for first in firsts))
    return _listed(tx, _cards().where(_c.id.in_(picked)).order_by(_c.rank_at, _c.id).limit(limit))


def mine(tx: Connection, agent: str, limit: int = 200) -> list[Card]:
    """What an agent has, and what is offered to them: the longest unanswered first, then the latest."""
    has = select(_c.id).where(_c.assignee == agent, _c.state.in_(HELD))
    offered = select(_c.id).where(
        _c.offer_expires_at.is_not(None), _c.offered_to == agent, _c.state == "offered"
    )
    query = _cards().where(_c.id.in_(union_all(has, offered)))
    cards = _listed(tx, query.order_by(_c.last_at.desc()).limit(limit))
    unanswered = [one for one in cards if one.waiting_since is not None]
    unanswered.sort(key=lambda one: one.waiting_since or one.last_at)
    return unanswered + [one for one in cards if one.waiting_since is None]


def closed(tx: Connection, agent: str, limit: int = 20) -> list[Card]:
    """What an agent closed last; it can be reopened."""
    query = _cards().where(_c.assignee == agent, _c.state == "closed")
    return _listed(tx, query.order_by(_c.closed_at.desc()).limit(limit))


def card(tx: Connection, id_or_number: int | str) -> Card:
    """One conversation as it stands in lists. Raises NotFound."""
    found = _listed(tx, _cards().where(_c.id == find(tx, id_or_number)))
    if not found:
        raise NotFound("There is no such conversation.")
    return found[0]


def of_customer(tx: Connection, customer_id: int, limit: int = 20) -> list[Card]:
    """The conversations that the addresses of this customer last wrote in, newest first."""
    query = (
        select(interactions.c.conversation_id)
        .join(identities, identities.c.id == interactions.c.identity_id)
        .where(identities.c.customer_id == customer_id)
        .order_by(interactions.c.id.desc())
        .limit(20 * limit)
    )
    ids = list(dict.fromkeys(tx.execute(query).scalars()))[:limit]
    return by_ids(tx, ids)


def by_ids(tx: Connection, ids: list[int]) -> list[Card]:
    """These conversations, newest first."""
    return _listed(tx, _cards().where(_c.id.in_(ids)).order_by(_c.id.desc())) if ids else []


def _cards() -> Select[Any]:
    failed = (
        select(func.count())
        .where(_d.conversation_id == _c.id, NEEDS_SOMEBODY)
        .correlate(conversations)
        .scalar_subquery()
    )
    return (
        select(
            conversations,
            customers.c.id.label("owner_id"),
            customers.c.name.label("owner_name"),
            customers.c.tier.label("owner_tier"),
            identities.c.name.label("identity_name"),
            identities.c.urn.label("urn"),
            func.substr(interactions.c.text, 1, PREVIEW_CHARS).label("preview"),
            failed.label("failed"),
        )
        .join(identities, identities.c.id == _c.identity_id)
        .join(customers, customers.c.id == identities.c.customer_id)
        .outerjoin(interactions, interactions.c.id == _c.last_inbound_id)
    )


def _listed(tx: Connection, query: Select[Any]) -> list[Card]:
    cards = [_card(row) for row in tx.execute(query)]
    silent = [one.last_inbound_id for one in cards if not (one.preview or one.subject)]
    ids = [message for message in silent if message is not None]
    if not ids:
        return cards
    files, coming = files_of(tx, ids), media.expected(tx, ids)
    return [
        replace(one, files=tuple(files.get(last, ())), expected=coming.get(last, ()))
        if (last := one.last_inbound_id) in ids
        else one
        for one in cards
    ]


def _card(row: Row[Any]) -> Card:
    return Card(
        conversation_id=row.id,
        number=row.number,
        brand=row.brand_id,
        queue=row.queue,
        state=row.state,
        priority=row.priority,
        subject=row.subject,
        preview=row.preview or "",
        account=row.account,
        identity_id=row.identity_id,
        urn=row.urn,
        customer_id=row.owner_id,
        customer_name=row.owner_name or row.identity_name,
        customer_tier=row.owner_tier,
        tags=tuple(json.loads(row.tags)),
        skills=tuple(json.loads(row.skills)),
        waiting_since=row.waiting_since,
        rank_at=row.rank_at,
        assignee=row.assignee,
        offered_to=row.offered_to,
        offer_expires_at=row.offer_expires_at,
        snoozed_until=row.snoozed_until,
        disposition=row.disposition,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        last_at=row.last_at,
        last_inbound_id=row.last_inbound_id,
        version=row.version,
        failed=row.failed,
    )
