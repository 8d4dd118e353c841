"""Who takes which conversation next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, union_all

from crm_store import conversations as talk
from crm_store import presence
from crm_store.schema import conversations
from hub.errors import Refused
from hub.ids import Ids

_PAGES = (50, 500, 5000)  # how many of each queue are looked at; more only where skills are missing

_c = conversations.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A waiting conversation as `take_next` weighs it."""

    id: int
    queue: str
    skills: frozenset[str]


def take_next(
    tx: Connection,
    ids: Ids,
    agent: str,
    *,
    queues: Sequence[str],
    skills: Sequence[str],
    limit: int,
    now: datetime,
) -> tuple[int, str] | None:
    """Claim the waiting conversation of these queues with the lowest `rank_at` whose skills the agent has.

    Returns it and its queue; None where none fits. Raises Refused at the agent's limit. Two calls of one agent follow
    one another, so that the limit holds; calls of different agents pass over what the other holds (SKIP LOCKED).
    """
    if tx.dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"next:{agent}", 0))))
    load = presence.loads(tx, [agent])[agent]
    if load >= limit:
        raise Refused(f"You have {load} open conversations, and {limit} at once is your limit.")
    has = frozenset(skills)
    for page in _PAGES:
        found = waiting(tx, queues, page)
        fit = [one for one in found if one.skills <= has]
        if fit:
            taken = _free(tx, [one.id for one in fit])
            if taken is None:
                return None  # every one that fits is being taken by somebody at this moment
            talk.claim(tx, ids, taken, agent, now=now)
            return taken, next(one.queue for one in fit if one.id == taken)
        if len(found) < page:
            return None
    return None


def waiting(tx: Connection, queues: Sequence[str], limit: int) -> list[Candidate]:
    """The first `limit` of each of these queues, all in the order of their rank; each queue read off its index."""
    if not queues:
        return []
    picks = []
    for queue in sorted(set(queues)):
        best = (
            select(_c.id, _c.queue, _c.skills, _c.rank_at)
            .where(_c.queue == queue, _c.state == "waiting")
            .order_by(_c.rank_at, _c.id)
            .limit(limit)
            .subquery()
        )
        picks.append(select(best.c.id, best.c.queue, best.c.skills, best.c.rank_at))
    every = union_all(*picks).subquery()
    rows = tx.execute(select(every).order_by(every.c.rank_at, every.c.id)).all()
    return [Candidate(id=row.id, queue=row.queue, skills=frozenset(json.loads(row.skills))) for row in rows]


def _free(tx: Connection, wanted: list[int]) -> int | None:
    """The first of these that still waits and that nobody else is taking, locked."""
    query = (
        select(_c.id)
        .where(_c.id.in_(wanted[:200]), _c.state == "waiting")
        .order_by(_c.rank_at, _c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    return tx.execute(query).scalar_one_or_none()
