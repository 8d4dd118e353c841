"""What a change of a conversation leaves behind: its row of history, its links, and a version that grows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from crm_store.schema import conversation_events, conversation_links, conversations
from crm_store.statements import inserting
from hub.ids import Ids

_c = conversations.c


def link(tx: Connection, pairs: Sequence[tuple[int, int]], why: str, now: datetime) -> None:
    """Show each of a pair on the other. Twice is once."""
    rows = sorted({(a, b) for one, other in pairs if one != other for a, b in ((one, other), (other, one))})
    if not rows:
        return
    tx.execute(
        inserting(tx, conversation_links).on_conflict_do_nothing(),
        [{"conversation_id": a, "other_id": b, "why": why, "at": now} for a, b in rows],
    )


def log(
    tx: Connection,
    ids: Ids,
    conversation_id: int,
    what: str,
    by: str,
    now: datetime,
    why: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """One row of what happened to it: who, what, when, why."""
    tx.execute(
        insert(conversation_events).values(
            id=ids(),
            conversation_id=conversation_id,
            at=now,
            by=by,
            what=what,
            why=why,
            data=json.dumps(data or {}, ensure_ascii=False),
        )
    )


def touch(tx: Connection, conversation_ids: Iterable[int]) -> None:
    """Grow the version of conversations of which something else changed, so that every view of them is redrawn."""
    wanted = sorted(set(conversation_ids))
    if wanted:
        tx.execute(update(conversations).where(_c.id.in_(wanted)).values(version=_c.version + 1))


def tags_json(tags: Iterable[str]) -> str:
    return json.dumps(sorted(set(tags)), ensure_ascii=False)
