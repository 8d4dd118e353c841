"""What was said, as people read it: interactions with their attachments, changes and deliveries.

Seven statements for any number of entries, two more where something is quoted. Pages go by id, which grows in the
order of the stream; within a page entries stand by the time of their timeline, then by id.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, union

from crm_store import media
from crm_store.carried import NOTHING, Carried, unpack
from crm_store.cited import Cited, cited
from crm_store.media import Expected
from crm_store.revisions import Revision, of
from crm_store.schema import (
    conversations,
    deliveries,
    identities,
    interaction_attachments,
    interaction_changes,
    interactions,
)
from hub.clock import from_us, to_us
from hub.ids import EPOCH_MS

_n = interactions.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """A file of an interaction; its bytes are in the blob store."""

    position: int
    sha256: str
    name: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What became of an outbound interaction. `due_at` of a held one: until when it can be undone.

    asks: it is held until an agent confirms it, because the customer had written meanwhile. carries: what went with it:
    a template in its text's stead, answers to tap, whether everybody reads it.
    """

    id: int
    state: str
    account: str
    to_urn: str
    due_at: datetime
    code: str | None
    provider_code: str | None
    detail: str
    attempts: int
    sent_at: datetime | None
    asks: bool
    carries: Carried = NOTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One interaction. `text` is as it reads now; `first_text` as it was first said, where it was edited.

    claimed: its sender's address is verified, and this time nobody vouches that it came from there.
    deleted: taken back by who said it. withdrawn: a reply of ours that was undone before it went out.
    sent_as: of a note: the reply (its interaction) that it became; pages leave such a note out.
    revisions: changes of a reply that went out, in their order, and what became of each. `text` and `deleted` are as
    the customer has it: they change only once a revision is done.
    expected: files that it has at its provider and that are not here: still to come, or never.
    proof, quoted, participants: of a mail (hub.model.MessageReceived says what each is).
    cites: the earlier message that it quotes. raw: the request as it came is kept (sha256).
    """

    id: int
    conversation_id: int
    number: int
    direction: str  # in, out, note
    form: str
    text: str
    first_text: str | None
    subject: str | None
    account: str
    urn: str
    identity_id: int
    sender_name: str
    by: str
    at: datetime
    received_at: datetime
    automatic: bool
    claimed: bool
    fields: tuple[tuple[str, str], ...]
    language: str | None
    deleted: bool
    withdrawn: bool
    reactions: tuple[str, ...]
    attachments: tuple[Attached, ...]
    delivery: Delivery | None
    sent_as: int | None = None
    revisions: tuple[Revision, ...] = ()
    proof: str = ""
    quoted: str = ""
    participants: tuple[str, ...] = ()
    expected: tuple[Expected, ...] = ()
    cites: Cited | None = None
    raw: str | None = None


def made_at(some_id: int) -> datetime:
    """When an id of ours was made, to the millisecond."""
    return from_us(((some_id >> 22) + EPOCH_MS) * 1000)


def floor_id(at: datetime) -> int:
    """No id that was made at `at` or later is smaller."""
    return max(0, to_us(at) // 1000 - EPOCH_MS) << 22


def page(
    tx: Connection,
    *,
    identity_ids: Sequence[int] = (),
    conversation_id: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> tuple[tuple[Entry, ...], int | None]:
    """The newest `limit` entries below `before` of these addresses and of this conversation, in their order.

    The second value asks for the page above; None where there is none.
    """
    limit = max(1, min(limit, 500))
    sources: list[ColumnElement[bool]] = []
    if identity_ids:
        sources.append(_n.identity_id.in_(identity_ids))
    if conversation_id is not None:
        sources.append(_n.conversation_id == conversation_id)
    if not sources:
        return (), None
    picks = []
    for source in sources:
        query = select(_n.id).where(source)
        if before is not None:
            query = query.where(_n.id < before)
        picks.append(select(query.order_by(_n.id.desc()).limit(limit + 1).subquery().c.id))
    picked = (union(*picks) if len(picks) > 1 else picks[0]).subquery()
    wanted = list(tx.execute(select(picked.c.id).order_by(picked.c.id.desc()).limit(limit + 1)).scalars())
    more = len(wanted) > limit
    wanted = wanted[:limit]
    found = tuple(entry for entry in entries(tx, wanted) if entry.sent_as is None)
    return found, (wanted[-1] if more else None)


def entries(tx: Connection, interaction_ids: Sequence[int]) -> tuple[Entry, ...]:
    """These interactions, in the order of their timeline."""
    if not interaction_ids:
        return ()
    rows = tx.execute(
        select(interactions, identities.c.urn, conversations.c.number)
        .join(identities, identities.c.id == _n.identity_id)
        .join(conversations, conversations.c.id == _n.conversation_id)
        .where(_n.id.in_(interaction_ids))
        .order_by(_n.at, _n.id)
    ).all()
    files = files_of(tx, [row.id for row in rows if row.attachments])
    coming = media.expected(tx, [row.id for row in rows if row.direction == "in"])
    changes = _changes(tx, interaction_ids)
    sends = _deliveries(tx, [row.id for row in rows if row.direction == "out"])
    cites = cited(tx, rows)
    revised = of(tx, [delivery.id for delivery in sends.values()])
    return tuple(
        replace(
            _entry(row, files[row.id], coming.get(row.id, ()), changes[row.id], sends.get(row.id), revised),
            cites=cites.get(row.id),
        )
        for row in rows
    )


def to_be(entry: Entry) -> str:
    """What the customer will read once everything is carried out that was asked for."""
    asked = [r.text for r in entry.revisions if r.change == "edit" and r.state in ("queued", "sending")]
    return asked[-1] if asked else entry.text


def _entry(
    row: Row[Any],
    files: list[Attached],
    coming: tuple[Expected, ...],
    changes: list[Row[Any]],
    delivery: Delivery | None,
    revised: Mapping[int, tuple[Revision, ...]],
) -> Entry:
    extra = json.loads(row.extra) if row.extra else {}
    edits = [change.text for change in changes if change.change == "edit"]
    sends = [change.text for change in changes if change.change in ("sent", "unsent")]
    return Entry(
        id=row.id,
        conversation_id=row.conversation_id,
        number=row.number,
        direction=row.direction,
        form=row.form,
        text=edits[-1] if edits else row.text,
        first_text=row.text if edits else None,
        subject=row.subject,
        account=row.account,
        urn=row.urn,
        identity_id=row.identity_id,
        sender_name=row.sender_name,
        by=row.by,
        at=row.at,
        received_at=row.received_at,
        automatic=bool(extra.get("automatic")),
        claimed=bool(extra.get("claimed")),
        fields=tuple((str(name), str(value)) for name, value in _pairs(extra.get("fields"))),
        language=extra.get("language"),
        deleted=row.deleted,
        withdrawn=delivery is not None and delivery.state == "cancelled",
        reactions=_reactions(changes),
        attachments=tuple(files),
        delivery=delivery,
        sent_as=int(sends[-1]) if sends and sends[-1] else None,
        revisions=revised.get(delivery.id, ()) if delivery is not None else (),
        proof=str(extra.get("proof") or ""),
        quoted=str(extra.get("quoted") or ""),
        participants=tuple(str(urn) for urn in extra.get("participants") or ()),
        expected=coming,
        raw=row.blob if row.direction == "in" else None,
    )


def _pairs(fields: Any) -> list[tuple[Any, Any]]:
    if isinstance(fields, dict):
        return list(fields.items())
    return [(pair[0], pair[1]) for pair in fields or ()]


def files_of(tx: Connection, wanted: Sequence[int]) -> defaultdict[int, list[Attached]]:
    """The files of these interactions, in their order."""
    found: defaultdict[int, list[Attached]] = defaultdict(list)
    if wanted:
        a = interaction_attachments.c
        query = select(interaction_attachments).where(a.interaction_id.in_(wanted))
        for row in tx.execute(query.order_by(a.interaction_id, a.position)):
            found[row.interaction_id].append(
                Attached(
                    position=row.position,
                    sha256=row.sha256,
                    name=row.name,
                    content_type=row.content_type,
                    size_bytes=row.size_bytes,
                )
            )
    return found


def _reactions(changes: list[Row[Any]]) -> tuple[str, ...]:
    """The newest is how it stands: a customer who chose another, or took it back, meant the earlier one no more."""
    newest = [change.text for change in changes if change.change == "reaction"][-1:]
    return tuple(text for text in newest if text)


def _changes(tx: Connection, wanted: Sequence[int]) -> defaultdict[int, list[Row[Any]]]:
    found: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    x = interaction_changes.c
    query = select(interaction_changes).where(x.interaction_id.in_(wanted)).order_by(x.at, x.id)
    for row in tx.execute(query):
        found[row.interaction_id].append(row)
    return found


def _deliveries(tx: Connection, wanted: Sequence[int]) -> dict[int, Delivery]:
    if not wanted:
        return {}
    rows = tx.execute(select(deliveries).where(deliveries.c.interaction_id.in_(wanted)))
    return {row.interaction_id: delivery_of(row) for row in rows}


def delivery_of(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        state=row.state,
        account=row.account,
        to_urn=row.to_urn,
        due_at=row.due_at,
        code=row.code,
        provider_code=row.provider_code,
        detail=row.detail,
        attempts=row.attempts,
        sent_at=row.sent_at,
        asks=row.state == "held" and row.code is not None,
        carries=unpack(row.carries),
    )
