"""What agents typed in the thread of a conversation: which note it became, and what is known of it beyond that.

Whether a note went out as a reply, and under which delivery, is asked of the note itself (crm_store/notes.py), never
kept twice: then no crash between two steps can make the two differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from crm_store import desk_posts, notes
from crm_store.desk_threads import Thread
from crm_store.schema import (
    deliveries,
    desk_threads,
    interaction_changes,
    interactions,
    note_keys,
)
from crm_store.schema import desk_posts as posts_table
from hub.ids import Ids

_p = posts_table.c
_t = desk_threads.c
_d = deliveries.c
_n = interactions.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """user: the surface's id of who typed it; agent: whom they were linked to.

    edit: the newest edit (the surface's stamp; '' for none), and text what it reads since (None: as the note does).
    mentions: it speaks to somebody there; locked: it begins with a lock; neither goes to a customer. missing: why
    files of it are not here, one sentence each. wanted: what a reply that went out should read, where its channel
    could not follow.
    """

    user: str = ""
    agent: str = ""
    edit: str = ""
    mentions: bool = False
    locked: bool = False
    removed: bool = False
    missing: tuple[str, ...] = ()
    text: str | None = None
    wanted: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Typed:
    """id: its desk_posts row. ts: the surface's id of it. note_id: the note that it became."""

    id: int
    thread_id: int
    conversation_id: int
    place: str
    thread: str
    ts: str
    note_id: int
    detail: Detail = field(default_factory=Detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """The delivery of a note that went out as a reply."""

    id: int
    state: str
    account: str
    asks: bool
    due_at: datetime


def card_on_its_way(tx: Connection, surface: str, place: str) -> bool:
    """May there be a card of ours in this channel whose id we do not know yet?"""
    query = select(_p.id).where(
        _p.surface == surface, _p.place == place, _p.kind == desk_posts.CARD, _p.posted.is_(None)
    )
    return tx.execute(query.limit(1)).first() is not None


# ----------------------------------------------------------------------------------------------------- what was typed


def note_key(surface: str, place: str, thread: str, ts: str) -> str:
    """The idempotency key of the note that this becomes."""
    return f"{surface}:{place}:{thread}:{ts}"


def said_here(tx: Connection, surface: str, thread_id: int) -> set[int]:
    """What stands in this thread because somebody typed it there: the notes, and the replies that they became.

    A note tells it by its own key and a reply by its note, from the moment in which they are written: whoever draws
    the thread a moment later does not say it again.
    """
    row = tx.execute(
        select(_t.conversation_id, _t.place, _t.thread).where(_t.id == thread_id, _t.surface == surface)
    ).one_or_none()
    if row is None:
        return set()
    typed = select(_p.interaction_id, _p.delivery_id).where(
        _p.surface == surface, _p.thread_id == thread_id, _p.kind == desk_posts.TYPED
    )
    said = {one for pair in tx.execute(typed) for one in pair if one is not None}
    k, x = note_keys.c, interaction_changes.c
    keyed = (
        select(k.interaction_id)
        .join(interactions, _n.id == k.interaction_id)
        .where(
            _n.conversation_id == row.conversation_id,
            k.idem_key.contains(":" + note_key(surface, row.place, row.thread or "", ""), autoescape=True),
        )
    )
    said |= set(tx.execute(keyed).scalars())
    became = select(x.text).where(x.interaction_id.in_(sorted(said)), x.change == notes.SENT)
    return said | {int(reply) for reply in tx.execute(became).scalars()}


def find(tx: Connection, surface: str, place: str, ts: str) -> Typed | None:
    """What was typed there; None for whatever is no note of anybody's."""
    return _one(tx, _p.surface == surface, _p.place == place, _p.posted == ts)


def of_delivery(tx: Connection, surface: str, delivery_id: int) -> Typed | None:
    """What was typed and became this reply."""
    return _one(tx, _p.surface == surface, _p.delivery_id == delivery_id)


def of_thread(tx: Connection, surface: str, thread_id: int) -> list[Typed]:
    """In the order in which it was typed."""
    query = _query().where(_p.surface == surface, _p.thread_id == thread_id).order_by(_p.posted)
    return [_typed(row) for row in tx.execute(query)]


def _query() -> Any:
    return (
        select(posts_table, _t.conversation_id, _t.thread)
        .join(desk_threads, _t.id == _p.thread_id)
        .where(_p.kind == desk_posts.TYPED, _p.interaction_id.is_not(None))
    )


def _one(tx: Connection, *where: Any) -> Typed | None:
    row = tx.execute(_query().where(*where).order_by(_p.id).limit(1)).one_or_none()
    return None if row is None else _typed(row)


def _typed(row: Row[Any]) -> Typed:
    return Typed(
        id=row.id,
        thread_id=row.thread_id,
        conversation_id=row.conversation_id,
        place=row.place,
        thread=row.thread,
        ts=row.posted,
        note_id=row.interaction_id,
        detail=_read(row.detail),
    )


def _read(detail: str) -> Detail:
    said: Mapping[str, Any] = json.loads(detail) if detail else {}
    known = {name: said[name] for name in Detail.__dataclass_fields__ if name in said}
    return Detail(**known | {"missing": tuple(known.get("missing", ()))})


def add(
    tx: Connection,
    ids: Ids,
    surface: str,
    thread: Thread,
    ts: str,
    note_id: int,
    detail: Detail,
    now: datetime,
) -> None:
    """This note was typed there. Twice is once, and the detail of the first time stays."""
    post_id = desk_posts.typed(
        tx,
        ids,
        thread_id=thread.id,
        surface=surface,
        place=thread.place,
        posted=ts,
        now=now,
        interaction_id=note_id,
    )
    tx.execute(update(posts_table).where(_p.id == post_id, _p.detail == "").values(detail=_write(detail)))


def change(tx: Connection, typed: Typed, *, delivery_id: int | None = None, **known: Any) -> Typed:
    """Note what became known. delivery_id: the reply that it is now, for whoever looks from there."""
    row = tx.execute(select(_p.detail).where(_p.id == typed.id).with_for_update()).one()
    detail = replace(_read(row.detail), **known)
    values: dict[str, Any] = {"detail": _write(detail)}
    if delivery_id is not None:
        values["delivery_id"] = delivery_id
    tx.execute(update(posts_table).where(_p.id == typed.id).values(**values))
    return replace(typed, detail=detail)


def _write(detail: Detail) -> str:
    return json.dumps(asdict(detail), ensure_ascii=False)


# ----------------------------------------------------------------------------------------------------- and what of it


def was_sent(tx: Connection, note_id: int) -> bool:
    """Did the note ever become a reply, whatever became of that?"""
    x = interaction_changes.c
    query = select(x.id).where(x.interaction_id == note_id, x.change == notes.SENT)
    return tx.execute(query.limit(1)).first() is not None


def text(tx: Connection, note_id: int) -> str:
    """The note as it reads now. Raises NotFound."""
    return notes.get(tx, note_id).text


def sent(tx: Connection, note_id: int) -> Sent | None:
    """The delivery that carries the note; None while it is a note. Raises NotFound."""
    note = notes.get(tx, note_id)
    if note.sent_as is None:
        return None
    row = tx.execute(select(deliveries).where(_d.interaction_id == note.sent_as)).one_or_none()
    if row is None:
        return None
    return Sent(
        id=row.id,
        state=row.state,
        account=row.account,
        asks=row.state == "held" and row.code is not None,
        due_at=row.due_at,
    )


def seen_inbound(tx: Connection, surface: str, thread_id: int, conversation_id: int, ts: str) -> int | None:
    """The newest of the customer's words that stood in the thread when this was typed.

    A thread shows what stood there when its card went up on the card or below it, so without a post before `ts` it is
    what had come in by the time of the card.
    """
    shown = (
        select(func.max(_p.interaction_id))
        .join(interactions, _n.id == _p.interaction_id)
        .where(
            _p.surface == surface,
            _p.thread_id == thread_id,
            _p.kind != desk_posts.TYPED,
            _p.posted <= ts,  # stamps of Slack's: equally long, so that text compares as numbers do
            _n.direction == "in",
        )
    )
    if (found := tx.execute(shown).scalar()) is not None:
        return int(found)
    card_at = select(_p.at).where(
        _p.surface == surface, _p.thread_id == thread_id, _p.kind == desk_posts.CARD
    )
    at = tx.execute(card_at.limit(1)).scalar()
    first = select(func.max(_n.id)).where(_n.conversation_id == conversation_id, _n.direction == "in")
    if at is not None:
        first = first.where(_n.received_at <= at)
    value = tx.execute(first).scalar()
    return None if value is None else int(value)
