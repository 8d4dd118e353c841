"""Every message of a surface that stands for something of ours: written down before it is posted, posted once.

A row is leased by one UPDATE with what was expected of it in its WHERE, so of any number of posters one has it. `tries`
counts what may have arrived: a row with tries and without `posted` is looked for by its uuid before it is posted again.
`lease_until` without an owner is a time to wait until.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Row,
    and_,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    text,
    type_coerce,
    update,
)

from crm_store.schema import desk_posts, desk_threads
from crm_store.statements import inserting
from hub.clock import to_us
from hub.ids import Ids

_p = desk_posts.c
_t = desk_threads.c

CARD, TYPED, NOTICE = "card", "typed", "notice"
NO_THREAD = 0  # thread_id of a notice


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be posted, in the order in which it stands. ref: of what; unique with its kind in its thread."""

    kind: str
    ref: str
    interaction_id: int | None = None
    delivery_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """A row. posted: the surface's id of the message. drawn: a hash of what it shows; '' where it is to be drawn."""

    id: int
    thread_id: int
    surface: str
    place: str
    kind: str
    ref: str
    uuid: str
    posted: str | None
    drawn: str
    interaction_id: int | None
    delivery_id: int | None
    tries: int
    lease_owner: str | None
    lease_until: datetime | None
    at: datetime
    posted_at: datetime | None


def _post(row: Row[Any]) -> Post:
    return Post(
        id=row.id,
        thread_id=row.thread_id,
        surface=row.surface,
        place=row.place,
        kind=row.kind,
        ref=row.ref,
        uuid=row.uuid,
        posted=row.posted,
        drawn=row.drawn,
        interaction_id=row.interaction_id,
        delivery_id=row.delivery_id,
        tries=row.tries,
        lease_owner=row.lease_owner,
        lease_until=row.lease_until,
        at=row.at,
        posted_at=row.posted_at,
    )


# --------------------------------------------------------------------------------------------------------- intents


def intend(
    tx: Connection,
    ids: Ids,
    thread_id: int,
    surface: str,
    place: str,
    wanted: Sequence[Wanted],
    now: datetime,
) -> int:
    """Write down what is to be posted, and how many of it were not known. Their ids grow in the order given.

    The caller holds the thread's row where order matters, and knows that `ids` is ahead of its newest post
    (`newest`): posts of a thread go up in the order of their ids.
    """
    if not wanted:
        return 0
    rows = [
        {
            "id": post_id,
            "thread_id": thread_id,
            "surface": surface,
            "place": place,
            "kind": one.kind,
            "ref": one.ref,
            "uuid": str(uuid.uuid4()),
            "interaction_id": one.interaction_id,
            "delivery_id": one.delivery_id,
            "at": now,
        }
        for post_id, one in zip(ids.take(len(wanted)), wanted, strict=True)
    ]
    made = tx.execute(
        inserting(tx, desk_posts)
        .values(rows)
        .on_conflict_do_nothing(index_elements=["surface", "thread_id", "kind", "ref"])
        .returning(_p.id)
    )
    return len(made.all())


def typed(
    tx: Connection,
    ids: Ids,
    *,
    thread_id: int,
    surface: str,
    place: str,
    posted: str,
    now: datetime,
    interaction_id: int | None = None,
    delivery_id: int | None = None,
) -> int:
    """What an agent typed in a thread: it stands there already, and is never posted by us. Its row; twice is once.

    interaction_id: the note or the reply that it became; the poster shows that one nowhere else in this thread.
    """
    values: dict[str, Any] = {
        "id": ids(),
        "thread_id": thread_id,
        "surface": surface,
        "place": place,
        "kind": TYPED,
        "ref": posted,
        "uuid": str(uuid.uuid4()),
        "posted": posted,
        "interaction_id": interaction_id,
        "delivery_id": delivery_id,
        "at": now,
        "posted_at": now,
    }
    known = {k: v for k, v in values.items() if k in ("interaction_id", "delivery_id") and v is not None}
    statement = inserting(tx, desk_posts).values(values)
    key = ["surface", "thread_id", "kind", "ref"]
    if known:
        statement = statement.on_conflict_do_update(index_elements=key, set_=known)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    tx.execute(statement)
    found = select(_p.id).where(
        _p.surface == surface, _p.thread_id == thread_id, _p.kind == TYPED, _p.ref == posted
    )
    return int(tx.execute(found).scalar_one())


# -------------------------------------------------------------------------------------------------------- look-ups


def get(tx: Connection, post_id: int) -> Post | None:
    row = tx.execute(select(desk_posts).where(_p.id == post_id)).one_or_none()
    return None if row is None else _post(row)


def by_posted(tx: Connection, surface: str, place: str, posted: str) -> Post | None:
    """The row of a message that stands there, by the surface's id of it."""
    row = tx.execute(
        select(desk_posts)
        .where(_p.surface == surface, _p.place == place, _p.posted == posted)
        .order_by(_p.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else _post(row)


def of_thread(tx: Connection, surface: str, thread_id: int) -> list[Post]:
    """Everything of a thread, in its order: the card, what hangs below it, and what agents typed."""
    query = select(desk_posts).where(_p.surface == surface, _p.thread_id == thread_id)
    return [_post(row) for row in tx.execute(query.order_by(_p.id))]


def newest(tx: Connection, surface: str, thread_id: int) -> int:
    """The highest id in a thread; 0 where it is empty."""
    query = select(func.max(_p.id)).where(_p.surface == surface, _p.thread_id == thread_id)
    return int(tx.execute(query).scalar() or 0)


def _free(now: datetime) -> Any:
    return or_(_p.lease_until.is_(None), _p.lease_until <= now)


def places(tx: Connection, surface: str) -> dict[str, int]:
    """Where something waits to be posted, and how much."""
    query = select(_p.place, func.count().label("number")).where(
        _p.surface == surface, text("posted IS NULL")
    )
    return {row.place: row.number for row in tx.execute(query.group_by(_p.place))}


def next_unposted(tx: Connection, surface: str, place: str, now: datetime) -> Post | None:
    """What goes up next in this channel: notices and cards first, oldest first; then of each thread whose card stands
    there its oldest, unless somebody has that one in hand. None: nothing may be posted now."""
    earlier = desk_posts.alias("earlier").c
    first_of_its_thread = ~exists().where(
        earlier.surface == _p.surface,
        earlier.thread_id == _p.thread_id,
        earlier.posted.is_(None),
        earlier.id < _p.id,
    )
    top = _p.kind.in_((CARD, NOTICE))
    query = (
        select(desk_posts)
        .outerjoin(desk_threads, _t.id == _p.thread_id)
        .where(
            _p.surface == surface,
            text("desk_posts.posted IS NULL"),
            _p.place == place,
            _free(now),
            or_(top, and_(_t.thread.is_not(None), first_of_its_thread)),
        )
        .order_by(case((top, 0), else_=1), _p.id)
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else _post(row)


def unposted_in(tx: Connection, surface: str, thread_id: int) -> bool:
    """Does something of this thread wait to be posted, or is it in flight?"""
    query = select(_p.id).where(_p.surface == surface, _p.thread_id == thread_id, _p.posted.is_(None))
    return tx.execute(query.limit(1)).first() is not None


# --------------------------------------------------------------------------------------------------------- leases


def lease(tx: Connection, post: Post, owner: str, *, now: datetime, until: datetime) -> bool:
    """This poster alone draws it until then; False where another has it, posted it or drew it since it was read.

    A try is counted for one that is not posted yet, in this transaction: before the request leaves.
    """
    expected = [_p.id == post.id, _free(now), _p.drawn == post.drawn]
    expected.append(_p.posted.is_(None) if post.posted is None else _p.posted == post.posted)
    values: dict[str, Any] = {"lease_owner": owner, "lease_until": until}
    if post.posted is None:
        values["tries"] = _p.tries + 1
    return tx.execute(update(desk_posts).where(*expected).values(**values)).rowcount == 1


def done(tx: Connection, post_id: int, owner: str, *, posted: str, drawn: str, now: datetime) -> bool:
    """It stands there, and shows this. False where another poster noted it first (ours is one too many), or our lease
    ended and it was redrawn since: then it is to be looked at again."""
    finished = tx.execute(
        update(desk_posts)
        .where(_p.id == post_id, or_(_p.posted.is_(None), and_(_p.posted == posted, _p.lease_owner == owner)))
        .values(
            posted=posted,
            drawn=drawn,
            lease_owner=None,
            lease_until=None,
            posted_at=func.coalesce(type_coerce(_p.posted_at, BigInteger), to_us(now), type_=BigInteger),
        )
    )
    return finished.rowcount == 1


def give_back(
    tx: Connection, post_id: int, owner: str, *, again_at: datetime | None = None, arrived: bool = True
) -> None:
    """End a lease without a result. arrived False: it is certain that the request had no effect, so nothing needs to
    be looked for; again_at: nobody tries before."""
    values: dict[str, Any] = {"lease_owner": None, "lease_until": again_at}
    if not arrived:
        values["tries"] = case((_p.posted.is_(None), _p.tries - 1), else_=_p.tries)
    tx.execute(update(desk_posts).where(_p.id == post_id, _p.lease_owner == owner).values(**values))


def prepared(tx: Connection, post_id: int, owner: str, drawn: str) -> bool:
    """Keep what is to be found again should we die now (a file's id at the surface), in `drawn` of an unposted row."""
    mine = [_p.id == post_id, _p.lease_owner == owner, _p.posted.is_(None)]
    return tx.execute(update(desk_posts).where(*mine).values(drawn=drawn)).rowcount == 1


def drop(tx: Connection, post_id: int) -> None:
    """It will not be posted: what it stood in has moved on. A posted one stays."""
    tx.execute(delete(desk_posts).where(_p.id == post_id, _p.posted.is_(None)))


def drop_unbegun(tx: Connection, surface: str, thread_id: int) -> None:
    """The same for all of a thread that nobody has tried to post; what may have arrived stays, to be looked for."""
    mine = [_p.surface == surface, _p.thread_id == thread_id, _p.posted.is_(None)]
    tx.execute(delete(desk_posts).where(*mine, _p.tries == 0))


def again(tx: Connection, post_id: int, posted: str) -> bool:
    """It does not stand there any more (somebody deleted it): to be posted anew, under a new uuid."""
    values: dict[str, Any] = {"posted": None, "drawn": "", "tries": 0, "uuid": str(uuid.uuid4())}
    done_ = tx.execute(
        update(desk_posts)
        .where(_p.id == post_id, _p.posted == posted)
        .values(**values, lease_owner=None, lease_until=None, posted_at=None)
    )
    return done_.rowcount == 1


def undrawn(tx: Connection, post_id: int) -> None:
    """What it shows is not known: it is to be drawn."""
    tx.execute(update(desk_posts).where(_p.id == post_id).values(drawn=""))


def drop_all(tx: Connection, surface: str, thread_id: int) -> None:
    """What of a thread is not posted will not be: there is nothing to post it below."""
    tx.execute(
        delete(desk_posts).where(_p.surface == surface, _p.thread_id == thread_id, _p.posted.is_(None))
    )
