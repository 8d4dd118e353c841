"""What a customer's message quotes: an earlier one, theirs or ours, by the provider's id of it. Two statements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, tuple_

from crm_store.carried import PLAIN
from crm_store.schema import deliveries, delivery_parts, interactions

_n = interactions.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Cited:
    """The message that was quoted, as it was first said; id None: it never came here."""

    id: int | None = None
    direction: str = ""
    by: str = ""
    sender_name: str = ""
    text: str = ""
    deleted: bool = False


NOT_HERE = Cited()


def cited(tx: Connection, rows: Iterable[Row[Any]]) -> dict[int, Cited]:
    """Interaction -> what it quotes, for those that quote. Mails and our own channels say it in other ways."""
    asks = {
        row.id: (row.account, row.in_reply_to)
        for row in rows
        if row.direction == "in" and row.in_reply_to and not row.account.startswith(PLAIN)
    }
    if not asks:
        return {}
    named = sorted(set(asks.values()))
    columns = (_n.id, _n.direction, _n.by, _n.sender_name, _n.text, _n.deleted)
    p, d = delivery_parts.c, deliveries.c
    theirs = select(_n.account, _n.external_id, *columns).where(
        tuple_(_n.account, _n.external_id).in_(named), _n.direction == "in"
    )
    ours = (
        select(p.account, p.external_id, *columns)
        .join(deliveries, d.id == p.delivery_id)
        .join(interactions, _n.id == d.interaction_id)
        .where(tuple_(p.account, p.external_id).in_(named))
    )
    found = {
        (row.account, row.external_id): Cited(
            id=row.id,
            direction=row.direction,
            by=row.by,
            sender_name=row.sender_name,
            text=row.text,
            deleted=row.deleted,
        )
        for query in (theirs, ours)
        for row in tx.execute(query)
    }
    return {some_id: found.get(name, NOT_HERE) for some_id, name in asks.items()}
