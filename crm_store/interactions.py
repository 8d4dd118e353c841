"""What was said, as it is written: replies and notes of ours, and changes to what was said before.

An edit, a deletion or a reaction is a row of its own; the first text stays where it was. A change that overtakes its
message is parked and applied once the message is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, tuple_, update

from crm_store import conversations as talk
from crm_store.schema import (
    deliveries,
    delivery_parts,
    interaction_attachments,
    interaction_changes,
    interactions,
    parked_reports,
)
from hub.clock import from_us, to_us
from hub.ids import Ids
from hub.model import Attachment, Change, MessageChanged

_n = interactions.c
_PARKED = "message_changed"  # how our rows in parked_reports are known from delivery reports
_PAIRS = 200  # pairs in one look-up; far below what either database takes as parameters


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What `apply_changes` did: the conversations to redraw, and how many changes wait for their message."""

    conversation_ids: tuple[int, ...]
    parked: int


def add_outbound(
    tx: Connection,
    ids: Ids,
    *,
    conversation_id: int,
    identity_id: int,
    account: str,
    text: str,
    by: str,
    now: datetime,
    author_name: str = "",
    subject: str | None = None,
    in_reply_to: str | None = None,
    attachments: Sequence[Attachment] = (),
    extra: Mapping[str, Any] | None = None,
) -> int:
    """A message of ours to that address; its id. The delivery that carries it is made beside it."""
    interaction_id = _add(
        tx,
        ids,
        conversation_id=conversation_id,
        identity_id=identity_id,
        account=account,
        direction="out",
        form="message",
        text=text,
        subject=subject,
        in_reply_to=in_reply_to,
        sender_name=author_name,
        by=by,
        extra=json.dumps(extra, ensure_ascii=False) if extra else None,
        attachments=len(attachments),
        at=now,
        received_at=now,
    )
    _attach(tx, interaction_id, attachments)
    return interaction_id


def _attach(tx: Connection, interaction_id: int, attachments: Sequence[Attachment]) -> None:
    if not attachments:
        return
    tx.execute(
        insert(interaction_attachments),
        [
            {
                "interaction_id": interaction_id,
                "position": position,
                "sha256": file.sha256,
                "name": file.name,
                "content_type": file.content_type,
                "size_bytes": file.size_bytes,
            }
            for position, file in enumerate(attachments)
        ],
    )


def add_note(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    text: str,
    *,
    by: str,
    now: datetime,
    author_name: str = "",
    attachments: Sequence[Attachment] = (),
) -> int:
    """A note that only colleagues see; its id. Raises NotFound."""
    row = talk.get(tx, conversation_id)
    note_id = _add(
        tx,
        ids,
        conversation_id=conversation_id,
        identity_id=row.identity_id,
        account=row.account,
        direction="note",
        form="note",
        text=text,
        sender_name=author_name,
        by=by,
        attachments=len(attachments),
        at=now,
        received_at=now,
    )
    _attach(tx, note_id, attachments)
    talk.touch(tx, [conversation_id])
    return note_id


def _add(tx: Connection, ids: Ids, **values: Any) -> int:
    interaction_id = ids()
    tx.execute(insert(interactions).values(id=interaction_id, **values))
    return interaction_id


def apply_changes(tx: Connection, ids: Ids, changes: Sequence[MessageChanged], now: datetime) -> Applied:
    """Take in edits, deletions and reactions; those whose message is not here yet are parked. Set-wise.

    A customer changes only what came in; a reaction may be to a message of ours. Each event is given once: the router's
    UNIQUE event key sees to that.
    """
    known = _messages(tx, {(change.account, change.external_id) for change in changes})
    rows, parked, deleted, touched = [], [], set(), set()
    for change in changes:
        message = known.get((change.account, change.external_id))
        if message is None:
            parked.append(change)
            continue
        interaction_id, conversation_id, direction = message
        if direction != "in" and change.change is not Change.REACTION:
            continue  # nobody but us takes our words back
        rows.append(_change_row(ids(), change, interaction_id))
        touched.add(conversation_id)
        if change.change is Change.DELETE:
            deleted.add(interaction_id)
    if rows:
        tx.execute(insert(interaction_changes), rows)
    if deleted:
        tx.execute(update(interactions).where(_n.id.in_(sorted(deleted))).values(deleted=True))
    talk.touch(tx, touched)
    if parked:
        tx.execute(insert(parked_reports), [_park_row(ids(), change, now) for change in parked])
    return Applied(conversation_ids=tuple(sorted(touched)), parked=len(parked))


def unpark(tx: Connection, ids: Ids, arrived: Iterable[tuple[str, str]], now: datetime) -> Applied:
    """Apply what was parked for these (account, external id), which have just been stored."""
    pairs = sorted(set(arrived))
    changes: list[MessageChanged] = []
    taken: list[int] = []
    r = parked_reports.c
    for start in range(0, len(pairs), _PAIRS):
        query = (
            select(parked_reports)
            .where(tuple_(r.account, r.external_id).in_(pairs[start : start + _PAIRS]))
            .where(r.event.like(f'{{"kind": "{_PARKED}"%'))
            .order_by(r.id)
            .with_for_update()
        )
        for row in tx.execute(query):
            taken.append(row.id)
            changes.append(_unparked(row.account, row.external_id, row.event))
    if not taken:
        return Applied(conversation_ids=(), parked=0)
    tx.execute(delete(parked_reports).where(r.id.in_(taken)))
    return apply_changes(tx, ids, changes, now)


def _messages(tx: Connection, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, int, str]]:
    """(account, external id) -> (interaction, conversation, direction), of theirs and of ours."""
    pairs = sorted(wanted)
    found: dict[tuple[str, str], tuple[int, int, str]] = {}
    for start in range(0, len(pairs), _PAIRS):
        some = pairs[start : start + _PAIRS]
        p = delivery_parts.c
        ours = (
            select(p.account, p.external_id, _n.id, _n.conversation_id, _n.direction)
            .join(deliveries, deliveries.c.id == p.delivery_id)
            .join(interactions, _n.id == deliveries.c.interaction_id)
            .where(tuple_(p.account, p.external_id).in_(some))
        )
        theirs = select(_n.account, _n.external_id, _n.id, _n.conversation_id, _n.direction).where(
            tuple_(_n.account, _n.external_id).in_(some), _n.external_id.is_not(None)
        )
        for query in (ours, theirs):
            for account, external_id, interaction_id, conversation_id, direction in tx.execute(query):
                found[(account, external_id)] = (interaction_id, conversation_id, direction)
    return found


def _change_row(row_id: int, change: MessageChanged, interaction_id: int) -> dict[str, Any]:
    return {
        "id": row_id,
        "interaction_id": interaction_id,
        "account": change.account,
        "external_id": change.external_id,
        "change": change.change.value,
        "text": change.text,
        "by": "customer",
        "at": change.sent_at or change.received_at,
    }


def _park_row(row_id: int, change: MessageChanged, now: datetime) -> dict[str, Any]:
    event = {
        "kind": _PARKED,
        "event_key": change.event_key,
        "received_at": to_us(change.received_at),
        "sender": change.sender,
        "change": change.change.value,
        "text": change.text,
        "sent_at": to_us(change.sent_at) if change.sent_at else None,
    }
    return {
        "id": row_id,
        "account": change.account,
        "external_id": change.external_id,
        "event": json.dumps(event, ensure_ascii=False),
        "at": now,
    }


def _unparked(account: str, external_id: str, event: str) -> MessageChanged:
    said = json.loads(event)
    return MessageChanged(
        account=account,
        external_id=external_id,
        event_key=said["event_key"],
        received_at=from_us(said["received_at"]),
        sender=said["sender"],
        change=Change(said["change"]),
        text=said["text"],
        sent_at=from_us(said["sent_at"]) if said["sent_at"] is not None else None,
    )
