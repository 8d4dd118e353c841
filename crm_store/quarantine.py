"""What could not be read waits here, with its bytes and a replay button.

unreadable  verified bytes that no parser understood (an `Unreadable` event)
poison      an event on which the router failed five times, alone
newer       written by a newer Mainstem; an upgrade reads it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from crm_store.batch import run
from crm_store.db import Store
from crm_store.ledger import REPLAY
from crm_store.schema import intake, intake_tries, quarantine
from hub.errors import NotFound, Refused
from hub.ids import Ids
from hub.model import Cursor, Entry, Event

UNREADABLE, POISON, NEWER = "unreadable", "poison", "newer"
WAITING, REPLAYED, DROPPED = "waiting", "replayed", "dropped"

_q = quarantine.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """One thing in quarantine. `entry`: the journalled bytes; `blob`: sha256 of the raw request, where kept."""

    id: int
    account: str
    kind: str
    reason: str
    state: str
    at: datetime
    producer: str | None
    seq: int | None
    entry: bytes | None
    blob: str | None
    replayed_at: datetime | None
    by: str | None


def put(
    tx: Connection,
    ids: Ids,
    *,
    producer: str,
    seq: int,
    account: str,
    event_key: str,
    event_kind: str,
    kind: str,
    reason: str,
    raw: bytes,
    accepted_at: datetime,
    now: datetime,
    blob: str | None = None,
) -> None:
    """Set an entry aside, with its row of intake. Twice is once. An event whose key is taken was told before: it is a
    duplicate, and ends there."""
    account, event_key, event_kind = _clean(account)[:80], _clean(event_key), _clean(event_kind)[:24]
    place = (intake.c.producer == producer, intake.c.seq == seq)
    if tx.execute(select(intake.c.seq).where(*place)).first() is not None:
        return
    taken = tx.execute(
        select(intake.c.seq).where(
            intake.c.account == account, intake.c.event_key == event_key, intake.c.outcome != "duplicate"
        )
    ).first()
    tx.execute(
        insert(intake).values(
            producer=producer, seq=seq, account=account, event_key=event_key, kind=event_kind,
            outcome="duplicate" if taken else "quarantined", accepted_at=accepted_at, stored_at=now,
        )
    )  # fmt: skip
    tx.execute(delete(intake_tries).where(intake_tries.c.producer == producer, intake_tries.c.seq == seq))
    if not taken:
        tx.execute(
            insert(quarantine).values(
                id=ids(), producer=producer, seq=seq, account=account, kind=kind, reason=_clean(reason), entry=raw,
                blob=blob, state=WAITING, at=now,
            )
        )  # fmt: skip


def _clean(text: str) -> str:
    """PostgreSQL's text has no NUL; what brings one must be kept all the more."""
    return text.replace("\x00", "\ufffd")


def listed(store: Store, *, state: str | None = WAITING, limit: int = 100) -> list[Held]:
    """What waits, newest first; in any state with None."""
    query = select(quarantine).order_by(_q.id.desc()).limit(limit)
    with store.read() as tx:
        return [
            read_row(row) for row in tx.execute(query if state is None else query.where(_q.state == state))
        ]


def count(store: Store) -> int:
    """How many wait."""
    with store.read() as tx:
        waiting = select(func.count()).select_from(quarantine).where(_q.state == WAITING)
        return int(tx.execute(waiting).scalar_one())


def show(store: Store, held_id: int) -> Held:
    """Raises NotFound."""
    with store.read() as tx:
        return read_row(_row(tx, held_id))


def drop(store: Store, held_id: int, by: str, now: datetime) -> None:
    """Nobody needs it. Its bytes stay. Raises NotFound, or Refused where it no longer waits."""

    def work(tx: Connection) -> None:
        _take(tx, held_id, DROPPED, by, now)

    store.run(work)


def replay(
    store: Store,
    held_id: int,
    by: str,
    accept: Callable[[Connection, Sequence[Entry]], None],
    *,
    reparse: Callable[[Held], Sequence[tuple[Event, Cursor | None]]],
    now: datetime,
) -> int:
    """Read it once more and handle what it says, in one transaction; how many events it was.

    reparse: the events in it by today's code (raises what it likes; nothing is written then). accept: what the router
    does with a batch, in our transaction. Exactly once, however often it is clicked: the row's state is changed first,
    and whoever finds it changed gets Refused. The first event takes the entry's own place in intake, so that the ledger
    still counts it once. Raises NotFound.
    """
    events = list(reparse(show(store, held_id)))

    def work(tx: Connection) -> int:
        held = _take(tx, held_id, REPLAYED, by, now)
        places = [(REPLAY, number) for number in store.ids.take(len(events))] if events else []
        if events and held.producer is not None and held.seq is not None:
            places[0] = (held.producer, held.seq)
            row = tx.execute(
                select(intake.c.accepted_at).where(
                    intake.c.producer == held.producer, intake.c.seq == held.seq
                )
            ).one_or_none()
            tx.execute(delete(intake).where(intake.c.producer == held.producer, intake.c.seq == held.seq))
        else:
            row = None
        entries = [
            Entry(
                producer=producer,
                seq=seq,
                accepted_at=row.accepted_at if row is not None else held.at,
                event=event,
                cursor=cursor,
                raw=held.entry or b"",
            )
            for (producer, seq), (event, cursor) in zip(places, events, strict=True)
        ]
        if entries:
            accept(tx, entries)
        return len(entries)

    return run(store, work)


def _take(tx: Connection, held_id: int, state: str, by: str, now: datetime) -> Held:
    """Compare and set; whoever comes second finds it taken."""
    changed = tx.execute(
        update(quarantine)
        .where(_q.id == held_id, _q.state == WAITING)
        .values(state=state, by=by, replayed_at=now)
    ).rowcount
    held = read_row(_row(tx, held_id))
    if not changed:
        raise Refused(f"It was {held.state} already, by {held.by}.")
    return held


def _row(tx: Connection, held_id: int) -> Row[Any]:
    row = tx.execute(select(quarantine).where(_q.id == held_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is nothing with the number {held_id} in quarantine.")
    return row


def read_row(row: Row[Any]) -> Held:
    """A row of the table, all of it."""
    return Held(**{name: row._mapping[name] for name in Held.__dataclass_fields__})
