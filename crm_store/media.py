"""Files that are still at their provider: written with their message, claimed by a worker, and what became of each.

A row is claimed by moving its `due_at` to the end of the lease, so whoever dies leaves a row that falls due by itself.
Bytes are in the blob store before `arrived` names them; the row's state decides which of two fetchers was first.
Albums, too: messages that a provider sends in pieces, and which interaction the first piece became.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, tuple_, union_all, update
from sqlalchemy import text as sql

from crm_store import conversations
from crm_store.batch_plan import Album, Plan
from crm_store.schema import MEDIA_UNFINISHED, albums, interaction_attachments, interactions, media
from hub.ids import Ids
from hub.model import Attachment, Media

WAITING, FETCHING, DONE, FAILED, REFUSED = "waiting", "fetching", "done", "failed", "refused"
UNFINISHED = (WAITING, FETCHING)

_m = media.c
_n = interactions.c
_UNFINISHED = sql(f"media.{MEDIA_UNFINISHED}")  # in the index's own words, or SQLite does not use it
_PAIRS = 200  # pairs in one look-up; far below what either database takes as parameters
_WHY_CHARS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A file to be fetched now. `tries` counts this one; `at` is when the message that named it was stored.

    gone: its message was taken back meanwhile.
    """

    interaction_id: int
    position: int
    conversation_id: int
    account: str
    media: Media
    tries: int
    at: datetime
    gone: bool

    @property
    def key(self) -> tuple[int, int]:
        return self.interaction_id, self.position


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What became of one try. state: done (with its `file`), waiting (again, at `due_at`), failed or refused.

    why: one sentence for people, without secrets.
    """

    due: Due
    state: str
    file: Attachment | None = None
    due_at: datetime | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """A file of a message that is not here: still to come (waiting, fetching), or never (failed, refused).

    name, content_type, size_bytes are what the provider says of it, and nobody has seen its bytes.
    """

    position: int
    kind: str
    name: str
    content_type: str
    size_bytes: int | None
    state: str
    why: str

    @property
    def coming(self) -> bool:
        return self.state in UNFINISHED


# ----------------------------------------------------------------------------------------------------------- albums


def known_albums(tx: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Album]:
    """Those of these (account, album) of which a piece is stored, by their key."""
    found: dict[tuple[str, str], Album] = {}
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), _PAIRS):
        query = (
            select(albums.c.account, albums.c.album, _n.id, _n.conversation_id, _n.text)
            .join(interactions, _n.id == albums.c.interaction_id)
            .where(tuple_(albums.c.account, albums.c.album).in_(wanted[start : start + _PAIRS]))
        )
        for account, album, interaction, conversation, text in tx.execute(query):
            found[account, album] = Album(interaction, conversation, text, 0)
    if found:
        taken = _next_positions(tx, [album.id for album in found.values()])
        for album in found.values():
            album.files = taken.get(album.id, 0)
    return found


def _next_positions(tx: Connection, interaction_ids: Collection[int]) -> dict[int, int]:
    a = interaction_attachments.c
    both = union_all(
        select(a.interaction_id, a.position).where(a.interaction_id.in_(interaction_ids)),
        select(_m.interaction_id, _m.position).where(_m.interaction_id.in_(interaction_ids)),
    ).subquery()
    query = select(both.c.interaction_id, func.max(both.c.position) + 1).group_by(both.c.interaction_id)
    return {int(interaction): int(position) for interaction, position in tx.execute(query)}


def add_pieces(tx: Connection, plan: Plan) -> None:
    """What later pieces of albums add to their interactions beside rows: files that came with them, a caption."""
    for interaction, (text, files) in sorted(plan.pieces.items()):
        if files:
            tx.execute(
                update(interactions).where(_n.id == interaction).values(attachments=_n.attachments + files)
            )
        if text:
            tx.execute(update(interactions).where(_n.id == interaction, _n.text == "").values(text=text))


def forget_albums(tx: Connection, before: datetime) -> int:
    """A piece that comes later than this is a message of its own."""
    return tx.execute(delete(albums).where(albums.c.at < before)).rowcount


# --------------------------------------------------------------------------------------------------------- fetching


def waiting(tx: Connection, now: datetime) -> dict[str, int]:
    """How many files may be fetched now, by account."""
    rows = tx.execute(
        select(_m.account, func.count()).where(_UNFINISHED, _m.due_at <= now).group_by(_m.account)
    )
    return {str(account): int(count) for account, count in rows}


def next_due(tx: Connection, accounts: Iterable[str]) -> datetime | None:
    """When the next file of these accounts may be fetched, or the next lease ends; None where none waits."""
    query = select(func.min(_m.due_at, type_=_m.due_at.type)).where(
        _UNFINISHED, _m.account.in_(sorted(accounts))
    )
    found: datetime | None = tx.execute(query).scalar()
    return found


def homeless(tx: Connection, accounts: Collection[str], before: datetime) -> list[Ended]:
    """Those that are due since `before` over an account that is no longer there: failed, as `finish` takes them."""
    rows = tx.execute(
        select(media)
        .where(_UNFINISHED, _m.account.not_in(sorted(accounts)), _m.due_at <= before)
        .order_by(_m.due_at)
        .limit(_PAIRS)
        .with_for_update(skip_locked=True)
    ).all()
    return [
        Ended(
            due=due,
            state=FAILED,
            why=f"The account {due.account} is not there or cannot work: mainstem doctor says why.",
        )
        for due in _loaded(tx, rows)
    ]


def claim(
    tx: Connection, rooms: Mapping[str, int], *, owner: str, now: datetime, lease: timedelta
) -> list[Due]:
    """Lease up to `rooms[account]` files that are due, the oldest first. Committed before a request leaves."""
    claimed: list[Row[Any]] = []
    for account, room in sorted(rooms.items()):
        picked = tx.execute(
            select(_m.interaction_id, _m.position)
            .where(_UNFINISHED, _m.account == account, _m.due_at <= now)
            .order_by(_m.due_at, _m.interaction_id, _m.position)
            .limit(room)
            .with_for_update(skip_locked=True)
        ).all()
        for start in range(0, len(picked), _PAIRS):
            some = [(row.interaction_id, row.position) for row in picked[start : start + _PAIRS]]
            claimed += tx.execute(
                update(media)
                .where(tuple_(_m.interaction_id, _m.position).in_(some), _m.state.in_(UNFINISHED))
                .values(
                    state=FETCHING,
                    tries=_m.tries + 1,
                    lease_owner=owner,
                    lease_until=now + lease,
                    due_at=now + lease,
                )
                .returning(media)
            ).all()
    return _loaded(tx, claimed)


def _loaded(tx: Connection, claimed: Sequence[Row[Any]]) -> list[Due]:
    if not claimed:
        return []
    wanted = {row.interaction_id for row in claimed}
    homes = {
        row.id: row
        for row in tx.execute(select(_n.id, _n.conversation_id, _n.deleted).where(_n.id.in_(wanted)))
    }
    return [
        Due(
            interaction_id=row.interaction_id,
            position=row.position,
            conversation_id=homes[row.interaction_id].conversation_id,
            account=row.account,
            media=Media(
                ref=row.ref,
                kind=row.kind,
                content_type=row.content_type,
                size_bytes=row.size_bytes,
                name=row.name,
            ),
            tries=row.tries,
            at=row.at,
            gone=homes[row.interaction_id].deleted,
        )
        for row in sorted(claimed, key=lambda row: (row.interaction_id, row.position))
        if row.interaction_id in homes
    ]


def finish(
    tx: Connection, ids: Ids, ended: Sequence[Ended], *, owner: str | None, now: datetime
) -> list[Ended]:
    """Note what became of tries; those that changed what people see.

    A file counts whoever brought it, the first time; that it did not come counts only from who holds the lease.
    owner None: from who holds the row's lock.
    """
    if not ended:
        return []
    conversations.hold(tx, {one.due.conversation_id for one in ended})
    told = []
    for one in sorted(ended, key=lambda one: one.due.key):
        row = and_(_m.interaction_id == one.due.interaction_id, _m.position == one.due.position)
        anybodys = one.state == DONE or owner is None
        mine = _m.state.in_(UNFINISHED) if anybodys else _m.lease_owner == owner
        values: dict[str, Any] = {
            "state": one.state,
            "why": one.why[:_WHY_CHARS],
            "lease_owner": None,
            "lease_until": None,
        }
        if one.due_at is not None:
            values["due_at"] = one.due_at
        done = tx.execute(update(media).where(row, mine, _m.state.in_(UNFINISHED)).values(values))
        if done.rowcount != 1:
            continue
        if one.file is not None:
            _attach(tx, one.due, one.file)
        told.append(one)
    for conversation, what in sorted(
        {(o.due.conversation_id, _EVENTS[o.state]) for o in told if o.state in _EVENTS}
    ):
        conversations.log(
            tx, ids, conversation, what, "system", now
        )  # live pages that no notice reached see it
    conversations.touch(tx, sorted({one.due.conversation_id for one in told}))
    return told


_EVENTS = {DONE: "file_came", FAILED: "file_missing", REFUSED: "file_missing"}


def _attach(tx: Connection, due: Due, file: Attachment) -> None:
    tx.execute(
        insert(interaction_attachments).values(
            interaction_id=due.interaction_id,
            position=due.position,
            sha256=file.sha256,
            name=file.name,
            content_type=file.content_type[:120],
            size_bytes=file.size_bytes,
        )
    )
    tx.execute(update(interactions).where(_n.id == due.interaction_id).values(attachments=_n.attachments + 1))


# ----------------------------------------------------------------------------------------------------------- looking


def expected(tx: Connection, interaction_ids: Sequence[int]) -> dict[int, tuple[Expected, ...]]:
    """The files of these messages that are not here, by message, in their order."""
    found: dict[int, tuple[Expected, ...]] = {}
    if not interaction_ids:
        return found
    query = select(media).where(_m.interaction_id.in_(interaction_ids), _m.state != DONE)
    for row in tx.execute(query.order_by(_m.interaction_id, _m.position)):
        one = Expected(
            position=row.position,
            kind=row.kind,
            name=row.name,
            content_type=row.content_type,
            size_bytes=row.size_bytes,
            state=row.state,
            why=row.why,
        )
        found[row.interaction_id] = (*found.get(row.interaction_id, ()), one)
    return found


def standing(tx: Connection) -> tuple[int, datetime | None]:
    """How many files are still to come, and since when the oldest is waited for."""
    query = select(func.count(), func.min(_m.at, type_=_m.at.type)).where(_UNFINISHED)
    count, oldest = tx.execute(query).one()
    return int(count), oldest
