"""Newcomers whose channel's messages bear no name, and how far their providers have been asked what they are called.

How far stands as a cursor of each account (schema: cursors), the id of the identity that was asked about last: ids grow
with time, so no newcomer needs a row of their own, and nothing is written for those who come with a name. Whoever moves
it first asks, so of many processes one does, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from crm_store import conversations, customers
from crm_store.schema import cursors, identities, interactions
from crm_store.schema import customers as people
from crm_store.statements import inserting
from hub.urn import channel_of

NAME = "names"
_A_MINUTE = (
    60_000 << 22
)  # in ids (hub/ids.py): what is written by then may still be on its way into the store
_BEFORE = 360 * _A_MINUTE  # where an account begins: those of the last six hours

_c = cursors.c
_i = identities.c
_n = interactions.c


def asked(tx: Connection, account: str) -> int | None:
    """How far this account's newcomers have been asked about; None where that has not begun."""
    found = tx.execute(select(_c.value).where(_c.account == account, _c.name == NAME)).scalar()
    return None if found is None else int(found)


def begin(tx: Connection, account: str, now: datetime) -> int:
    """Where asking begins, unless it has."""
    row = {"account": account, "name": NAME, "value": str(_newest(tx) - _BEFORE), "at": now}
    tx.execute(inserting(tx, cursors).values(row).on_conflict_do_nothing())
    return asked(tx, account) or 0


def waiting(tx: Connection, account: str, after: int, limit: int) -> Sequence[tuple[int, str]]:
    """(identity, address) of those after `after` who came by this account and have no name, oldest first."""
    came_by = select(_n.account).where(_n.identity_id == _i.id).order_by(_n.id).limit(1).correlate(identities)
    query = (
        select(_i.id, _i.urn)
        .join(people, people.c.id == _i.customer_id)
        .where(
            _i.id > after,
            _i.urn.startswith(f"{channel_of(account)}:"),
            people.c.name == "",
            came_by.scalar_subquery() == account,
        )
        .order_by(_i.id)
        .limit(limit)
    )
    return [(int(identity), str(urn)) for identity, urn in tx.execute(query)]


def move(tx: Connection, account: str, had: int, to: int, now: datetime) -> bool:
    """False: somebody else has moved it."""
    mine = (_c.account == account, _c.name == NAME, _c.value == str(had))
    return tx.execute(update(cursors).where(*mine).values(value=str(to), at=now)).rowcount == 1


def later(tx: Connection, had: int) -> int | None:
    """Where to look from on when nobody waits after `had`; None: there is as good."""
    to = _newest(tx) - _A_MINUTE
    return to if to > had + _A_MINUTE else None


def call(tx: Connection, identity_id: int, name: str, now: datetime) -> list[int]:
    """Their name, where there is none by now: what people wrote stays. The conversations that look different."""
    row = tx.execute(select(_i.customer_id).where(_i.id == identity_id)).one()
    shown = customers.shown_with(tx, row.customer_id)
    conversations.hold(tx, shown)
    tx.execute(update(identities).where(_i.id == identity_id, _i.name == "").values(name=name))
    nameless = (people.c.id == row.customer_id, people.c.name == "")
    if tx.execute(update(people).where(*nameless).values(name=name, updated_at=now)).rowcount != 1:
        return []
    conversations.touch(tx, shown)
    return shown


def _newest(tx: Connection) -> int:
    return int(tx.execute(select(func.max(_i.id))).scalar() or 0)
