"""What becomes of notes: kept once however often a surface says them, changed, removed, sent on as a reply.

A note's first text stays where it was, as everybody's does; every change is a row of its own (interaction_changes):
`edit`, `delete`, `sent` (its text is the id of the reply that it became) and `unsent` (that reply was undone).
Callers hold the conversation's row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from crm_store import conversations as talk
from crm_store.schema import interaction_changes, interactions, note_keys
from hub.errors import NotFound
from hub.ids import Ids

EDIT, DELETE, SENT, UNSENT = "edit", "delete", "sent", "unsent"

_n = interactions.c
_x = interaction_changes.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A note as it reads now. sent_as: the reply (its interaction) that it became, while that is not undone."""

    id: int
    conversation_id: int
    account: str
    text: str
    by: str
    deleted: bool
    sent_as: int | None


def of_key(tx: Connection, key: str) -> int | None:
    """The note that was kept with this key."""
    k = note_keys.c
    return tx.execute(select(k.interaction_id).where(k.idem_key == key)).scalar_one_or_none()


def keep_key(tx: Connection, key: str, note_id: int, now: datetime) -> None:
    tx.execute(insert(note_keys).values(idem_key=key, interaction_id=note_id, at=now))


def get(tx: Connection, note_id: int) -> Note:
    """Raises NotFound for what is no note."""
    row = tx.execute(select(interactions).where(_n.id == note_id, _n.direction == "note")).one_or_none()
    if row is None:
        raise NotFound("There is no such note.")
    text, sent = row.text, None
    changes = select(_x.change, _x.text).where(_x.interaction_id == note_id).order_by(_x.at, _x.id)
    for change, said in tx.execute(changes):
        if change == EDIT:
            text = said
        elif change in (SENT, UNSENT):
            sent = int(said) if change == SENT else None
    return Note(
        id=row.id,
        conversation_id=row.conversation_id,
        account=row.account,
        text=text,
        by=row.by,
        deleted=row.deleted,
        sent_as=sent,
    )


def edit(tx: Connection, ids: Ids, note: Note, text: str, *, by: str, now: datetime) -> None:
    _changed(tx, ids, note, EDIT, text, by=by, now=now)


def remove(tx: Connection, ids: Ids, note: Note, *, by: str, now: datetime) -> None:
    _changed(tx, ids, note, DELETE, "", by=by, now=now)
    tx.execute(update(interactions).where(_n.id == note.id).values(deleted=True))


def sent(tx: Connection, ids: Ids, note: Note, reply_id: int, *, by: str, now: datetime) -> None:
    """It is a reply from now on; histories show that one, and not the note again."""
    _changed(tx, ids, note, SENT, str(reply_id), by=by, now=now)


def unsent(tx: Connection, ids: Ids, note_id: int, *, by: str, now: datetime) -> None:
    """Its reply was undone: it is a note again."""
    _changed(tx, ids, get(tx, note_id), UNSENT, "", by=by, now=now)


def _changed(tx: Connection, ids: Ids, note: Note, change: str, text: str, *, by: str, now: datetime) -> None:
    tx.execute(
        insert(interaction_changes).values(
            id=ids(),
            interaction_id=note.id,
            account=note.account,
            external_id="",
            change=change,
            text=text,
            by=by,
            at=now,
        )
    )
    talk.touch(tx, [note.conversation_id])
