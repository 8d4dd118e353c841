"""Which agents are here, and how much each of them has on hand.

A status may carry until when it holds: "away until 14:00" is available from then on, "available until 17:00" is
offline from then on. Nobody needs to run for that: it is worked out when it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select

from crm_store.schema import conversations, presence, presence_changes
from crm_store.statements import inserting
from hub.errors import Refused
from hub.ids import Ids

STATUSES = ("available", "busy", "away", "offline")
HERE = ("available", "busy")
_AFTER = {"available": "offline", "busy": "available", "away": "available", "offline": "offline"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Presence:
    """`since` and `until` are those of the status as it holds now; `until` None: until it is changed."""

    agent: str
    status: str
    since: datetime | None
    until: datetime | None


def put(
    tx: Connection, ids: Ids, agent: str, status: str, *, now: datetime, until: datetime | None = None
) -> None:
    """Set an agent's status. Raises Refused for a word that is none, and for an `until` that is past."""
    if status not in STATUSES:
        raise Refused(f"A status is {', '.join(STATUSES)}; not {status[:40]!r}.")
    if until is not None and until <= now:
        raise Refused("The time until which this holds is past.")
    values = {"status": status, "since": now, "until": until}
    tx.execute(
        inserting(tx, presence)
        .values(agent=agent, **values)
        .on_conflict_do_update(index_elements=[presence.c.agent], set_=values)
    )
    tx.execute(insert(presence_changes).values(id=ids(), agent=agent, status=status, until=until, at=now))


def everyone(tx: Connection, now: datetime, agents: Iterable[str] | None = None) -> dict[str, Presence]:
    """Every agent who ever set a status (or those asked for), as it holds at `now`."""
    query = select(presence)
    if agents is not None:
        query = query.where(presence.c.agent.in_(sorted(set(agents))))
    found = {}
    for row in tx.execute(query):
        status, since, until = row.status, row.since, row.until
        if until is not None and until <= now:
            status, since, until = _AFTER[status], until, None
        found[row.agent] = Presence(agent=row.agent, status=status, since=since, until=until)
    return found


def of(tx: Connection, agent: str, now: datetime) -> Presence:
    """One agent's; offline where they never said anything."""
    unknown = Presence(agent=agent, status="offline", since=None, until=None)
    return everyone(tx, now, [agent]).get(agent, unknown)


def loads(tx: Connection, agents: Iterable[str]) -> dict[str, int]:
    """How many conversations each of these has on hand: open ones, and those offered to them."""
    wanted = sorted(set(agents))
    counts = dict.fromkeys(wanted, 0)
    c = conversations.c
    open_ones = c.assignee.in_(wanted) & (c.state == "open")
    # asked for by its time as well, which alone has an index
    offers = c.offer_expires_at.is_not(None) & c.offered_to.in_(wanted) & (c.state == "offered")
    for column, which in ((c.assignee, open_ones), (c.offered_to, offers)):
        for agent, count in tx.execute(select(column, func.count()).where(which).group_by(column)):
            counts[agent] += count
    return counts
