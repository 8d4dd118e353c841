"""Conversations as they stand in lists, and queues as they stand at the moment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, or_, select

from crm_store import presence
from crm_store.conversations import find
from crm_store.schema import conversations, customers, deliveries, identities, interactions
from hub.config import Config
from hub.errors import NotFound

PREVIEW_CHARS = 160

_c = conversations.c
_d = deliveries.c

NEEDS_SOMEBODY = or_(
    _d.state.in_(("failed", "unknown", "opted_out")), and_(_d.state == "held", _d.code.is_not(None))
)


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
    """A conversation in a list. `failed`: deliveries of it that need somebody; `preview`: the customer's last words."""

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


def queue_list(tx: Connection, config: Config, now: datetime) -> list[QueueRow]:
    """Every configured queue in the configuration's order, and any other in which conversations still stand."""
    counts: dict[str, dict[str, int]] = {}
    oldest: dict[str, datetime] = {}
    query = (
        select(_c.queue, _c.state, func.count(), func.min(_c.waiting_since, type_=_c.waiting_since.type))
        .where(_c.state != "closed")
        .group_by(_c.queue, _c.state)
    )
    for queue, state, count, since in tx.execute(query):
        counts.setdefault(queue, {})[state] = count
        if since is not None and state in ("waiting", "offered"):
            oldest[queue] = min(since, oldest.get(queue, since))
    late = _late(tx, config, now)
    here = {who.agent for who in presence.everyone(tx, now).values() if who.status in presence.HERE}
    rows = []
    for key in [*config.queues, *sorted(counts.keys() - config.queues.keys())]:
        queue_config = config.queues.get(key)
        count_of = counts.get(key, {})
        rows.append(
            QueueRow(
                key=key,
                title=queue_config.title if queue_config else key,
                waiting=count_of.get("waiting", 0),
                offered=count_of.get("offered", 0),
                open=count_of.get("open", 0),
                pending=count_of.get("pending", 0),
                snoozed=count_of.get("snoozed", 0),
                late=late.get(key, 0),
                longest_wait_s=(now - oldest[key]).total_seconds() if key in oldest else 0.0,
                service_within_s=queue_config.service_within_s if queue_config else 0.0,
                agents_here=sum(
                    1 for agent in config.agents.values() if key in agent.queues and agent.key in here
                ),
            )
        )
    return rows


def _late(tx: Connection, config: Config, now: datetime) -> dict[str, int]:
    """How many wait for longer than their queue's service level allows. One statement for all queues."""
    limits = [
        and_(_c.queue == queue.key, _c.waiting_since < now - timedelta(seconds=queue.service_within_s))
        for queue in config.queues.values()
    ]
    if not limits:
        return {}
    query = select(_c.queue, func.count()).where(_c.state.in_(("waiting", "offered")), or_(*limits))
    return dict(tx.execute(query.group_by(_c.queue)).all())


def waiting(tx: Connection, queue: str, limit: int = 50) -> list[Card]:
    """Who waits in a queue, in the order in which they will be answered; those being offered keep their place."""
    query = _cards().where(_c.queue == queue, _c.state.in_(("waiting", "offered")))
    return _listed(tx, query.order_by(_c.rank_at, _c.id).limit(limit))


def mine(tx: Connection, agent: str, limit: int = 200) -> list[Card]:
    """What an agent has, and what is offered to them: the longest unanswered first, then the latest."""
    has = and_(_c.assignee == agent, _c.state.in_(("open", "pending", "snoozed")))
    query = _cards().where(or_(has, and_(_c.offered_to == agent, _c.state == "offered")))
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
    return [_card(row) for row in tx.execute(query)]


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
