"""The states of a delivery, which only move forward, and the rows that every move leaves behind.

    held -> queued -> sending -> sent -> delivered -> read
      |        |         |-> unknown      |-> failed, opted_out
      |-> cancelled      |-> queued again (certainly not sent), failed, opted_out

Four moves go back, and only these: `sending -> queued` when it is certain that nothing went out, `unknown -> queued`
when the provider says so or an agent asks for it, `failed -> queued` when an agent asks for it, `sent -> queued` when
the provider reports that nothing of it arrived, and that it may another time (`TRIED_AGAIN`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection

from hub.clock import to_us
from hub.ids import Ids

HELD, QUEUED, SENDING, UNKNOWN = "held", "queued", "sending", "unknown"
SENT, DELIVERED, READ = "sent", "delivered", "read"
FAILED, CANCELLED, OPTED_OUT = "failed", "cancelled", "opted_out"

UNFINISHED = (HELD, QUEUED, SENDING, UNKNOWN)
WENT_OUT = (SENT, DELIVERED, READ)

# What a report may move a part along: the order of hub.model.DeliveryStatus. A failure stands above "read", because
# a mail can bounce after the next server took it, and an agent must hear of that one whichever report came first.
RANK = {SENT: 1, DELIVERED: 2, READ: 3, FAILED: 4, OPTED_OUT: 5}

CUSTOMER_WROTE = "customer_wrote"  # the code of a held delivery that waits for an agent, not for its time

TRIED_AGAIN = "tried_again"  # the code of a queued one that did not arrive; others do not wait behind it
MAX_AGE = timedelta(hours=24)  # an answer that comes later than a day helps nobody

CODE_CHARS = 20
PROVIDER_CODE_CHARS = 80


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that has a new state; for notices after the commit."""

    delivery_id: int
    conversation_id: int
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """One row of `delivery_events`."""

    delivery_id: int
    state: str
    at: datetime
    code: str | None = None
    detail: str = ""


def forward(now: str, reported: str) -> str:
    """The further of two states of a part, whichever was heard of first."""
    return reported if RANK[reported] > RANK[now] else now


def whole(parts: Sequence[str]) -> str:
    """The state of a delivery, of those of its parts: as far as the last of them, but failed if one failed."""
    worst = max(parts, key=RANK.__getitem__)
    if RANK[worst] >= RANK[FAILED]:
        return worst
    return min(parts, key=RANK.__getitem__)


def note(tx: Connection, ids: Ids, happened: Iterable[Happened]) -> None:
    """Write the history of deliveries, in one statement."""
    rows = list(happened)
    put_events(
        tx,
        [
            (event_id, r.delivery_id, r.state, r.code and r.code[:CODE_CHARS], r.detail, to_us(r.at))
            for event_id, r in zip(ids.take(len(rows)), rows, strict=True)
        ],
    )


def put_events(tx: Connection, rows: Sequence[tuple[int, int, str, str | None, str, int]]) -> None:
    """(id, delivery, state, code, detail, at) each, as stored."""
    put(
        tx,
        "INSERT INTO delivery_events (id, delivery_id, state, code, detail, at)",
        ("bigint", "bigint", "text", "text", "text", "bigint"),
        rows,
    )


def put(
    tx: Connection, into: str, kinds: Sequence[str], rows: Sequence[tuple[object, ...]], clash: str = ""
) -> None:
    """INSERT many rows by the driver's quickest way. `kinds`: PostgreSQL's type of each column; times as stored."""
    if not rows:
        return
    if tx.dialect.name == "postgresql":
        arrays = ", ".join(f"CAST(%s AS {kind}[])" for kind in kinds)
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        tx.exec_driver_sql(f"{into} SELECT * FROM unnest({arrays}) {clash}", columns)  # noqa: S608
    else:
        marks = ", ".join("?" * len(kinds))
        tx.exec_driver_sql(f"{into} VALUES ({marks}) {clash}", list(rows))
