"""What a surface (Slack) told us, written down before it is acknowledged, and worked off once.

The UNIQUE (surface, key) makes a thing that is told twice one row. Of one subject the oldest unfinished row is done
first; rows of different subjects go side by side, in any number of processes: a row is leased by one UPDATE with what
was expected of it in its WHERE. What we still owe the surface for it (a mark, a sentence to somebody) is a row too,
written in the transaction that finishes the first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select, text, update

from crm_store.schema import desk_inbox
from crm_store.statements import inserting
from hub.ids import Ids

_i = desk_inbox.c
_WAITS = text("desk_inbox.done_at IS NULL")  # in the very words of the indexes
_BATCH = 200
_SUBJECT_CHARS = 120
_TROUBLE_CHARS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Something to be written down. key: the same thing always has the same. body: JSON.

    subject: what it is about; '' for what stands in no order. due_at: not before then.
    """

    key: str
    kind: str
    body: str
    subject: str = ""
    due_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A row in hand. tries: how often it was taken up, this time included."""

    id: int
    key: str
    kind: str
    body: str
    subject: str
    received_at: datetime
    tries: int
    trouble: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What waits, since when, and how much of it had to be tried more than once."""

    waiting: int
    oldest: datetime | None
    troubled: int


def put(tx: Connection, ids: Ids, surface: str, told: Sequence[Told], now: datetime) -> int:
    """Write them down; how many were not known. What is known stays as it is, finished or not."""
    if not told:
        return 0
    rows = [
        {
            "id": row_id,
            "surface": surface,
            "key": one.key,
            "kind": one.kind,
            "body": one.body,
            "subject": one.subject[:_SUBJECT_CHARS],
            "received_at": now,
            "due_at": one.due_at,
        }
        for row_id, one in zip(ids.take(len(told)), told, strict=True)
    ]
    made = tx.execute(
        inserting(tx, desk_inbox)
        .values(rows)
        .on_conflict_do_nothing(index_elements=["surface", "key"])
        .returning(_i.id)
    )
    return len(made.all())


def known(tx: Connection, surface: str, keys: Collection[str]) -> set[str]:
    """Those of `keys` that were told before, finished or not."""
    some, found = sorted(set(keys)), set[str]()
    for start in range(0, len(some), _BATCH):
        query = select(_i.key).where(_i.surface == surface, _i.key.in_(some[start : start + _BATCH]))
        found.update(tx.execute(query).scalars())
    return found


def begins(tx: Connection, surface: str, prefix: str) -> bool:
    """Was something told whose key begins like this?"""
    query = select(_i.id).where(_i.surface == surface, _i.key.startswith(prefix, autoescape=True))
    return tx.execute(query.limit(1)).first() is not None


def waits(tx: Connection, surface: str, key: str) -> Heard | None:
    """The row of this key while it is unfinished."""
    row = tx.execute(
        select(desk_inbox).where(_i.surface == surface, _i.key == key, _i.done_at.is_(None))
    ).one_or_none()
    return None if row is None else _heard(row)


def claim(
    tx: Connection, surface: str, owner: str, *, now: datetime, until: datetime, limit: int
) -> list[Heard]:
    """Up to `limit` rows that are due and are the first of their subject, in their order; ours until then.

    A try is counted in this transaction: what kills its process does not kill one after the other for ever.
    """
    earlier = desk_inbox.alias("earlier")
    first = ~(
        select(earlier.c.id)
        .where(
            earlier.c.surface == surface,
            earlier.c.subject == _i.subject,
            earlier.c.subject != "",
            text("earlier.done_at IS NULL"),
            earlier.c.id < _i.id,
        )
        .exists()
    )
    free = or_(_i.lease_until.is_(None), _i.lease_until <= now)
    due = or_(_i.due_at.is_(None), _i.due_at <= now)
    query = select(_i.id).where(_i.surface == surface, _WAITS, free, due, first).order_by(_i.id).limit(limit)
    if tx.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True, of=desk_inbox)
    wanted = list(tx.execute(query).scalars())
    if not wanted:
        return []
    taken = tx.execute(
        update(desk_inbox)
        .where(_i.id.in_(wanted), _i.done_at.is_(None), free)
        .values(lease_owner=owner, lease_until=until, tries=_i.tries + 1)
        .returning(desk_inbox)
    ).all()
    return sorted((_heard(row) for row in taken), key=lambda one: one.id)


def _heard(row: Row[Any]) -> Heard:
    return Heard(
        id=row.id,
        key=row.key,
        kind=row.kind,
        body=row.body,
        subject=row.subject,
        received_at=row.received_at,
        tries=row.tries,
        trouble=row.trouble,
    )


def done(
    tx: Connection,
    ids: Ids,
    surface: str,
    row_id: int,
    owner: str,
    *,
    now: datetime,
    trouble: str = "",
    forget: bool = False,
    then: Sequence[Told] = (),
) -> bool:
    """It is finished, and `then` is to be done in its wake. False: another process has it, and nothing was written.

    forget: its body is nothing of ours and is not kept.
    """
    values: dict[str, Any] = {
        "done_at": now,
        "trouble": trouble[:_TROUBLE_CHARS],
        "lease_owner": None,
        "lease_until": None,
    }
    if forget:
        values["body"] = "{}"
    mine = update(desk_inbox).where(_i.id == row_id, _i.lease_owner == owner, _i.done_at.is_(None))
    if tx.execute(mine.values(**values)).rowcount != 1:
        return False
    put(tx, ids, surface, then, now)
    return True


def later(
    tx: Connection, row_id: int, owner: str, *, due_at: datetime, trouble: str = "", counts: bool = True
) -> None:
    """Not now. counts False: nothing was wrong with it, so that the try does not count."""
    values: dict[str, Any] = {
        "due_at": due_at,
        "trouble": trouble[:_TROUBLE_CHARS],
        "lease_owner": None,
        "lease_until": None,
    }
    if not counts:
        values["tries"] = _i.tries - 1
    tx.execute(
        update(desk_inbox)
        .where(_i.id == row_id, _i.lease_owner == owner, _i.done_at.is_(None))
        .values(**values)
    )


def next_due(tx: Connection, surface: str) -> datetime | None:
    """When the first of what waits may be done, leases and moments that have come included; None: nothing waits.

    It may name a moment that has passed for what stands behind an earlier one of its subject.
    """
    due = func.coalesce(_i.lease_until, _i.due_at, _i.received_at, type_=_i.received_at.type)
    return tx.execute(
        select(func.min(due, type_=_i.received_at.type)).where(_i.surface == surface, _WAITS)
    ).scalar()


def backlog(tx: Connection, surface: str) -> Backlog:
    """For doctor and metrics."""
    row = tx.execute(
        select(
            func.count().label("waiting"),
            func.min(_i.received_at, type_=_i.received_at.type).label("oldest"),
            func.count().filter(_i.tries > 1).label("troubled"),
        ).where(_i.surface == surface, _WAITS)
    ).one()
    return Backlog(waiting=row.waiting, oldest=row.oldest, troubled=row.troubled)


GIVEN_UP = "given up"  # a trouble that begins like this: what was said had no effect, and is kept


def given_up(tx: Connection, surface: str) -> int:
    """How much was given up for good. Reads all that is kept: a question for doctor, not for a scrape."""
    query = select(func.count()).where(_lost(surface))
    return int(tx.execute(query).scalar_one())


def again(tx: Connection, surface: str) -> int:
    """Take up once more what was given up, after its cause was mended; how many."""
    values = {"done_at": None, "tries": 0, "due_at": None, "trouble": ""}
    return tx.execute(update(desk_inbox).where(_lost(surface)).values(**values)).rowcount


def _lost(surface: str) -> ColumnElement[bool]:
    return and_(_i.surface == surface, _i.done_at.is_not(None), _i.trouble.startswith(GIVEN_UP))


def forget_before(tx: Connection, surface: str, before: datetime, limit: int = 5000) -> int:
    """Delete what was finished before then; how many. What is unfinished or was given up stays, however old."""
    finished = [_i.surface == surface, _i.done_at < before, ~_i.trouble.startswith(GIVEN_UP)]
    old = select(_i.id).where(*finished).order_by(_i.id).limit(limit)
    return tx.execute(delete(desk_inbox).where(_i.id.in_(old))).rowcount
