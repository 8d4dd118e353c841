"""What desks and the command line read: frozen values, a few bounded statements each, never a query a row.

Times are aware UTC. Names of agents, queues and accounts are their YAML keys; a surface looks their titles up in the
configuration. Texts are the customers' own: whoever shows them escapes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, true

from crm_store import cards, customers, matching, merges, timeline
from crm_store.cards import (
    NEEDS_SOMEBODY,
    Card,
    QueueRow,
    card,
    closed,
    mine,
    of_customer,
    queue_list,
    waiting,
)
from crm_store.customers import Customer, Found, Identity, contains, identities_of
from crm_store.schema import (
    conversation_events,
    conversation_links,
    conversations,
    decisions,
    deliveries,
    identities,
    interactions,
    merge_proposals,
)
from crm_store.schema import customers as customers_table
from crm_store.timeline import Attached, Delivery, Entry
from crm_store.visitor import Past, history_since, wait
from hub.clock import system

__all__ = [
    "Attached", "Card", "ConversationView", "Customer", "CustomerView", "Decided", "Delivery", "Entry", "FailedSend",
    "Found", "Happening", "History", "Hits", "Identity", "MergeRow", "Past", "Proposal", "QueueRow",
    "card", "closed", "conversation", "customer", "failed_sends", "happenings", "history", "history_since",
    "latest_decision", "mine", "of_customer", "proposals", "queue_list", "search", "wait", "waiting",
]  # fmt: skip

HISTORY = 100  # entries a page shows at once
_FAILED_FOR = timedelta(days=14)  # older failures are history, not work
_OF_ALL = 5  # how much more is looked at for somebody who may not see all of it
_SEARCHED = 20_000  # the newest interactions whose text a search looks through: bounded, about 50 ms

_c = conversations.c
_d = deliveries.c
_n = interactions.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """A row of conversation_events: who, what, when, why."""

    id: int
    at: datetime
    by: str
    what: str
    why: str
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """The latest decision of the rules: enough to explain it again (router/explain.py)."""

    id: int
    interaction_id: int
    config_hash: str
    rule: str
    facts_version: int
    facts: dict[str, Any]
    outcome: dict[str, Any]
    text: str  # of the interaction decided on, below its subject, as router/facts.py gave it to the rules
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """Somebody else who may be the same person, with the reasons in words."""

    id: int
    customer_id: int
    customer_name: str
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Entries in the order they happened. `before` asks for the page above; None where there is none."""

    entries: tuple[Entry, ...]
    before: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationView:
    """A conversation's page: the customer's whole history stands in it, on every channel and in every conversation."""

    card: Card
    customer: Customer
    identities: tuple[Identity, ...]
    history: History
    events: tuple[Happening, ...]
    decision: Decided | None
    linked: tuple[Card, ...]
    others: tuple[Card, ...]  # further conversations of the same customer, newest first
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeRow:
    """A merge in which the customer took part; `undone_at` set once it was taken back."""

    id: int
    survivor_id: int
    merged_id: int
    why: str
    by: str
    at: datetime
    undone_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CustomerView:
    """A customer's page. `history` holds what was said with their own addresses, and nothing else."""

    customer: Customer
    identities: tuple[Identity, ...]
    conversations: tuple[Card, ...]
    history: History
    merges: tuple[MergeRow, ...]
    proposals: tuple[Proposal, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hits:
    """What a search found."""

    conversations: tuple[Card, ...]
    customers: tuple[Found, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sees:
    """What somebody may see: the conversations of these queues, and those that `agent` has or is offered."""

    queues: tuple[str, ...]
    agent: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedSend:
    """A delivery that needs somebody: failed, unknown, opted out, or held because the customer wrote."""

    delivery_id: int
    conversation_id: int
    number: int
    account: str
    to_urn: str
    state: str
    code: str | None
    provider_code: str | None
    detail: str
    text: str
    by: str
    assignee: str | None
    at: datetime


def conversation(
    tx: Connection, id_or_number: int | str, *, before: int | None = None, limit: int = HISTORY
) -> ConversationView:
    """A conversation's whole page. `before` (from `history.before`) turns the page upwards. Raises NotFound."""
    the_card = card(tx, id_or_number)
    customer = customers.get(tx, the_card.customer_id)
    addresses = identities_of(tx, customer.id)
    wanted = [address.id for address in addresses]
    entries, above = timeline.page(
        tx, identity_ids=wanted, conversation_id=the_card.conversation_id, before=before, limit=limit
    )
    return ConversationView(
        card=the_card,
        customer=customer,
        identities=addresses,
        history=History(entries=entries, before=above),
        events=happenings(tx, the_card.conversation_id),
        decision=latest_decision(tx, the_card.conversation_id),
        linked=_linked(tx, the_card.conversation_id),
        others=tuple(one for one in of_customer(tx, customer.id) if one.number != the_card.number),
        proposals=proposals(tx, customer.id),
    )


def customer(
    tx: Connection, customer_id: int, *, before: int | None = None, limit: int = HISTORY
) -> CustomerView:
    """A customer's page; whoever was merged is shown as who they are now. Raises NotFound."""
    person = customers.root(tx, customer_id)
    return CustomerView(
        customer=person,
        identities=identities_of(tx, person.id),
        conversations=tuple(of_customer(tx, person.id)),
        history=history(tx, person.id, before=before, limit=limit),
        merges=tuple(
            MergeRow(
                id=row.id,
                survivor_id=row.survivor_id,
                merged_id=row.merged_id,
                why=row.why,
                by=row.by,
                at=row.at,
                undone_at=row.undone_at,
            )
            for row in merges.history(tx, person.id)
        ),
        proposals=proposals(tx, person.id),
    )


def history(tx: Connection, customer_id: int, *, before: int | None = None, limit: int = HISTORY) -> History:
    """What was said with this customer's addresses, on every channel, a page at a time."""
    wanted = [address.id for address in identities_of(tx, customer_id)]
    entries, above = timeline.page(tx, identity_ids=wanted, before=before, limit=limit)
    return History(entries=entries, before=above)


def happenings(tx: Connection, conversation_id: int, limit: int = 200) -> tuple[Happening, ...]:
    """What happened to a conversation, in order; its newest `limit` changes."""
    e = conversation_events.c
    query = select(conversation_events).where(e.conversation_id == conversation_id)
    rows = tx.execute(query.order_by(e.id.desc()).limit(limit)).all()
    return tuple(
        Happening(id=row.id, at=row.at, by=row.by, what=row.what, why=row.why, data=json.loads(row.data))
        for row in reversed(rows)
    )


def latest_decision(tx: Connection, conversation_id: int) -> Decided | None:
    """Why it is where it is, as the rules last saw it; None where no rule ever ran."""
    query = (
        select(decisions, _n.subject, _n.text)
        .outerjoin(interactions, _n.id == decisions.c.interaction_id)
        .where(decisions.c.conversation_id == conversation_id)
        .order_by(decisions.c.id.desc())
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    return Decided(
        id=row.id,
        interaction_id=row.interaction_id,
        config_hash=row.config_hash,
        rule=row.rule,
        facts_version=row.facts_version,
        facts=json.loads(row.facts),
        outcome=json.loads(row.outcome),
        text=f"{row.subject}\n{row.text}" if row.subject else row.text or "",
        at=row.at,
    )


def _linked(tx: Connection, conversation_id: int) -> tuple[Card, ...]:
    k = conversation_links.c
    query = select(k.other_id).where(k.conversation_id == conversation_id)
    return tuple(cards.by_ids(tx, list(tx.execute(query.order_by(k.at.desc()).limit(20)).scalars())))


def proposals(tx: Connection, customer_id: int) -> tuple[Proposal, ...]:
    """Who may be the same person as this customer, the likeliest first."""
    o = merge_proposals.c
    query = (
        select(merge_proposals)
        .where(or_(o.one_id == customer_id, o.other_id == customer_id), o.state == "waiting")
        .order_by(o.score.desc(), o.id)
        .limit(20)
    )
    rows = tx.execute(query).all()
    others = {row.id: row.other_id if row.one_id == customer_id else row.one_id for row in rows}
    now_are = merges.roots_of(tx, others.values())
    p = customers_table.c
    query_names = select(p.id, p.name).where(p.id.in_(sorted(set(now_are.values()))))
    names = dict(tx.execute(query_names).all())
    return tuple(
        Proposal(
            id=row.id,
            customer_id=now_are[others[row.id]],
            customer_name=names.get(now_are[others[row.id]], ""),
            score=row.score,
            reasons=matching.reasons(row.evidence),
        )
        for row in rows
        if now_are[others[row.id]] != customer_id
    )


def search(tx: Connection, text: str, *, sees: Sees | None = None, limit: int = 20) -> Hits:
    """Conversations and customers for what somebody typed: a number, an address, a name, words that were said.

    Every character stands for itself. Words are looked for in the newest interactions and their subjects. sees: who
    asks finds what they may see, however much else there is, and customers of whom they see anything; None: everything.
    """
    may = true() if sees is None else _seen_by(sees)
    people = customers.find(tx, text, limit=limit) if sees is None else _people(tx, text, limit, may)
    found: list[int] = []
    digits = text.strip().removeprefix("#")
    if digits.isascii() and digits.isdigit() and len(digits) <= 12:
        found += tx.execute(select(_c.id).where(_c.number == int(digits))).scalars()
    words = text.replace("\x00", "").strip()[:200]
    if len(words) >= 3:
        said = select(_n.conversation_id, _n.id, _n.text, _n.subject)
        newest = said.order_by(_n.id.desc()).limit(_SEARCHED).subquery()
        query = (
            select(newest.c.conversation_id)
            .join(conversations, _c.id == newest.c.conversation_id)
            .where(or_(contains(newest.c.text, words), contains(newest.c.subject, words)), may)
            .order_by(newest.c.id.desc())
            .limit(5 * limit)
        )
        found += tx.execute(query).scalars()
    for hit in people[:5]:
        found += (one.conversation_id for one in of_customer(tx, hit.customer.id, limit=5))
    wanted = list(dict.fromkeys(found))
    seen = set(tx.execute(select(_c.id).where(_c.id.in_(wanted), may)).scalars())
    wanted = [one for one in wanted if one in seen][:limit]
    by_id = {one.conversation_id: one for one in cards.by_ids(tx, wanted)}
    return Hits(conversations=tuple(by_id[one] for one in wanted if one in by_id), customers=people)


def _seen_by(sees: Sees) -> ColumnElement[bool]:
    return or_(_c.queue.in_(sees.queues), _c.assignee == sees.agent, _c.offered_to == sees.agent)


def _people(tx: Connection, text: str, limit: int, may: ColumnElement[bool]) -> tuple[Found, ...]:
    """Customers of whom at least one conversation may be seen."""
    hits = customers.find(tx, text, limit=_OF_ALL * limit)
    i = identities.c
    theirs = (
        select(i.customer_id)
        .join(interactions, _n.identity_id == i.id)
        .join(conversations, _c.id == _n.conversation_id)
        .where(i.customer_id.in_([hit.customer.id for hit in hits]), may)
    )
    known = set(tx.execute(theirs.distinct()).scalars())
    return tuple(hit for hit in hits if hit.customer.id in known)[:limit]


def failed_sends(
    tx: Connection, agent: str | None = None, *, now: datetime | None = None, limit: int = 100
) -> list[FailedSend]:
    """Sends of the last two weeks that need somebody, newest first: this agent's (they have the conversation, or
    wrote the reply), or everybody's."""
    query = (
        select(deliveries, _c.number, _c.assignee, _n.text)
        .join(conversations, _c.id == _d.conversation_id)
        .join(interactions, _n.id == _d.interaction_id)
        .where(NEEDS_SOMEBODY, _d.updated_at > (now or system()) - _FAILED_FOR)
        .order_by(_d.updated_at.desc(), _d.id.desc())
        .limit(limit)
    )
    if agent is not None:
        query = query.where(or_(_c.assignee == agent, _d.by == f"agent:{agent}"))
    return [
        FailedSend(
            delivery_id=row.id,
            conversation_id=row.conversation_id,
            number=row.number,
            account=row.account,
            to_urn=row.to_urn,
            state=row.state,
            code=row.code,
            provider_code=row.provider_code,
            detail=row.detail,
            text=row.text,
            by=row.by,
            assignee=row.assignee,
            at=row.updated_at,
        )
        for row in tx.execute(query)
    ]
