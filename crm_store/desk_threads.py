"""Where conversations are shown on a surface that is a view (Slack): their cards, which of them are behind, and what
changed that a card or a thread shows.

`shown_version` is the conversation's version as drawn last, with nothing in flight. A change that grows no version (a
delivery's state) makes it negative, lower each time, so that who drew before the change cannot say afterwards that
everything is shown. A thread with nothing left to draw is settled and costs no look any more; `changed` finds what
happens to it later.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    and_,
    case,
    exists,
    false,
    func,
    or_,
    select,
    text,
    update,
)

from crm_store import desk_posts
from crm_store.schema import (
    conversation_events,
    conversations,
    desk_threads,
    interactions,
)
from crm_store.statements import inserting
from crm_store.timeline import floor_id
from hub.ids import Ids

_t = desk_threads.c
_c = conversations.c

SHOWN_STATES = ("waiting", "offered", "open", "pending")  # a snoozed one gets a card when it wakes
FRESH = ("woken", "reopened")  # after these it stands anew in its channel


@dataclass(frozen=True, kw_only=True, slots=True)
class Thread:
    """A card and what hangs below it. thread: the card's own id there; None until it is posted."""

    id: int
    conversation_id: int
    surface: str
    place: str
    thread: str | None
    shown_version: int
    at: datetime
    retired_at: datetime | None
    retired_why: str | None
    settled: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """A thread, and its conversation as it is now."""

    thread: Thread
    version: int
    queue: str
    state: str


def _thread(row: Row[Any]) -> Thread:
    return Thread(
        id=row.id,
        conversation_id=row.conversation_id,
        surface=row.surface,
        place=row.place,
        thread=row.thread,
        shown_version=row.shown_version,
        at=row.at,
        retired_at=row.retired_at,
        retired_why=row.retired_why,
        settled=row.settled,
    )


# ------------------------------------------------------------------------------------------------------- look-ups


def get(tx: Connection, thread_id: int, *, lock: bool = False) -> Thread | None:
    query = select(desk_threads).where(_t.id == thread_id)
    row = tx.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _thread(row)


def living(tx: Connection, surface: str, conversation_id: int) -> Thread | None:
    """Where a conversation stands now; None: nowhere."""
    row = tx.execute(
        select(desk_threads).where(
            _t.surface == surface, _t.conversation_id == conversation_id, _t.retired_at.is_(None)
        )
    ).one_or_none()
    return None if row is None else _thread(row)


def at(tx: Connection, surface: str, place: str, thread: str) -> Thread | None:
    """What stands there, by the card's own id: living or a tombstone, the newest where several claim it; None where
    nothing of ours does."""
    row = tx.execute(
        select(desk_threads)
        .where(_t.surface == surface, _t.place == place, _t.thread == thread)
        .order_by(_t.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _thread(row)


def open_to_words(tx: Connection, surface: str, since: datetime) -> list[Thread]:
    """Those in which people may still type and expect something of it, the newest first: what is not done with, sleeps,
    or was closed since then. However many were ever closed costs nothing."""
    query = select(desk_threads).where(_t.surface == surface, _t.thread.is_not(None))
    found = {row.id: _thread(row) for row in tx.execute(query.where(text("NOT desk_threads.settled")))}
    e = conversation_events.c
    closed = select(e.conversation_id).where(e.id >= floor_id(since), e.what == "closed")
    asleep = select(_c.id).where(_c.snoozed_until.is_not(None))
    for late in (closed, asleep):
        shown = query.where(_t.conversation_id.in_(late), _t.retired_at.is_(None))
        found |= {row.id: _thread(row) for row in tx.execute(shown)}
    return [found[key] for key in sorted(found, reverse=True)]


def unsettled(tx: Connection, surface: str, *, after: int = 0, limit: int = 500) -> list[Behind]:
    """Every thread that may still change, a page at a time by id."""
    query = _with_conversation(surface).where(_t.id > after).order_by(_t.id).limit(limit)
    return [_behind(row) for row in tx.execute(query)]


def behind(
    tx: Connection, surface: str, *, among: Collection[int] | None = None, after: int = 0, limit: int = 500
) -> list[Behind]:
    """Threads that do not show what the store says, oldest first; of these conversations where `among` is given.

    One look at every unsettled thread, by an index that holds no other: closed conversations cost nothing.
    """
    query = (
        _with_conversation(surface)
        .where(_t.shown_version != _c.version, _t.id > after)
        .order_by(_t.id)
        .limit(limit)
    )
    if among is not None:
        query = query.where(_t.conversation_id.in_(sorted(among)))
    return [_behind(row) for row in tx.execute(query)]


def _with_conversation(surface: str) -> Any:
    return (
        select(desk_threads, _c.version, _c.queue, _c.state)
        .join(conversations, _c.id == _t.conversation_id)
        .where(_t.surface == surface, text("NOT desk_threads.settled"))  # as its partial index says it
    )


def _behind(row: Row[Any]) -> Behind:
    return Behind(thread=_thread(row), version=row.version, queue=row.queue, state=row.state)


def settled_behind(tx: Connection, surface: str, among: Collection[int]) -> list[int]:
    """The settled living threads of these conversations that do not show what the store says now."""
    query = (
        select(_t.id)
        .join(conversations, _c.id == _t.conversation_id)
        .where(
            _t.surface == surface,
            _t.conversation_id.in_(sorted(among)),
            _t.retired_at.is_(None),
            _t.settled,
            _t.shown_version != _c.version,
        )
    )
    return list(tx.execute(query).scalars())


def unshown(
    tx: Connection,
    surface: str,
    queues: Sequence[str],
    *,
    among: Collection[int] | None = None,
    limit: int = 500,
) -> list[tuple[int, str]]:
    """(conversation, queue) of what stands in these queues without a card that is looked after; longest there first."""
    if not queues:
        return []
    here = exists().where(
        _t.surface == surface,
        _t.conversation_id == _c.id,
        _t.retired_at.is_(None),
        text("NOT desk_threads.settled"),
    )
    query = (
        select(_c.id, _c.queue)
        .where(_c.queue.in_(list(queues)), _c.state.in_(SHOWN_STATES), ~here)
        .order_by(_c.id)
        .limit(limit)
    )
    if among is not None:
        query = query.where(_c.id.in_(sorted(among)))
    return [(row.id, row.queue) for row in tx.execute(query)]


def stands_anew(tx: Connection, thread: Thread) -> str | None:
    """Why a living card belongs to the past: `woken` or `reopened` since it was made; None: it does not."""
    e = conversation_events.c
    query = (
        select(e.what)
        .where(e.conversation_id == thread.conversation_id, e.id > thread.id, e.what.in_(FRESH))
        .order_by(e.id.desc())
        .limit(1)
    )
    return tx.execute(query).scalar_one_or_none()


# --------------------------------------------------------------------------------------------------------- changes


def open_card(
    tx: Connection, ids: Ids, surface: str, conversation_id: int, place: str, now: datetime
) -> int | None:
    """A living thread with the intent to post its card; its id. None where the conversation has one already, or where
    something happened to it by a clock that is ahead of ours (`stands_anew` compares ids): then in a moment.

    The card's row names the interaction that the card quotes; what was said since then hangs below it.
    """
    e = conversation_events.c
    thread_id = ids()
    happened = tx.execute(select(func.max(e.id)).where(e.conversation_id == conversation_id)).scalar()
    if happened is not None and happened >= thread_id:
        return None
    made = tx.execute(
        inserting(tx, desk_threads)
        .values(
            id=thread_id,
            conversation_id=conversation_id,
            surface=surface,
            place=place,
            shown_version=0,
            at=now,
        )
        .on_conflict_do_nothing(
            index_elements=[_t.surface, _t.conversation_id], index_where=text("retired_at IS NULL")
        )
        .returning(_t.id)
    ).first()
    if made is None:
        return None
    anchor = _quoted(tx, conversation_id)
    card = desk_posts.Wanted(kind=desk_posts.CARD, ref=str(conversation_id), interaction_id=anchor)
    desk_posts.intend(tx, ids, thread_id, surface, place, [card], now)
    return thread_id


def _quoted(tx: Connection, conversation_id: int) -> int | None:
    """The customer's first word that nobody answered, else their last; None where they never wrote."""
    n = interactions.c
    here = select(n.id).where(n.conversation_id == conversation_id)
    answered = tx.scalar(here.where(n.direction == "out").order_by(n.id.desc()).limit(1)) or 0
    said = here.where(n.direction == "in")
    first = tx.scalar(said.where(n.id > answered).order_by(n.id).limit(1))
    return first or tx.scalar(said.order_by(n.id.desc()).limit(1))


def retire(tx: Connection, thread_id: int, why: str, now: datetime) -> bool:
    """It moved on: the card is to become a tombstone, and another may be opened. False where it was so already."""
    done = tx.execute(
        update(desk_threads)
        .where(_t.id == thread_id, _t.retired_at.is_(None))
        .values(retired_at=now, retired_why=why, settled=False, shown_version=_lower())
    )
    return done.rowcount == 1


def posted(tx: Connection, thread_id: int, thread: str) -> None:
    """The card stands there, under this id."""
    tx.execute(update(desk_threads).where(_t.id == thread_id).values(thread=thread))


def shown(tx: Connection, thread_id: int, *, was: int, version: int, settled: bool) -> bool:
    """Everything is drawn as of `version`; False where something changed since `was` was read, so that it is not."""
    done = tx.execute(
        update(desk_threads)
        .where(_t.id == thread_id, _t.shown_version == was)
        .values(shown_version=version, settled=settled)
    )
    return done.rowcount == 1


def touch(tx: Connection, thread_ids: Collection[int]) -> None:
    """They are to be looked at again, whatever version they show."""
    if thread_ids:
        tx.execute(
            update(desk_threads)
            .where(_t.id.in_(sorted(thread_ids)))
            .values(settled=False, shown_version=_lower())
        )


def touch_place(tx: Connection, surface: str, place: str, *, retired_since: datetime | None = None) -> int:
    """The same for the living ones of a channel, and those that became tombstones since; how many they are."""
    late = _t.retired_at >= retired_since if retired_since is not None else false()
    done = tx.execute(
        update(desk_threads)
        .where(_t.surface == surface, _t.place == place)
        .where(or_(and_(_t.retired_at.is_(None), _t.settled.is_(False)), late))
        .values(settled=False, shown_version=_lower())
    )
    return int(done.rowcount)


def moved_since(tx: Connection, thread: Thread) -> bool:
    """Was its conversation transferred since the card was made?"""
    e = conversation_events.c
    query = select(e.id).where(
        e.conversation_id == thread.conversation_id, e.id > thread.id, e.what == "transferred"
    )
    return tx.execute(query.limit(1)).first() is not None


def settle(tx: Connection, thread_id: int) -> None:
    """Nothing is left to draw."""
    tx.execute(update(desk_threads).where(_t.id == thread_id).values(settled=True))


def _lower() -> Any:
    return case((_t.shown_version > 0, -1), else_=_t.shown_version - 1)
