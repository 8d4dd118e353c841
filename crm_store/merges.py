"""Two records that are one person become one, and apart again.

Merges form a forest: an active merge is an edge from the merged customer to the survivor, made when neither was merged
into anybody. Whoever stands at the top owns every address born below. So an unmerge, in whatever order, cuts one edge
and gives the cut-off top exactly those addresses that were born in its tree and not cut off before; interactions
belong to their address and follow it. Conversations stay; those of both are linked.

The place a next message continues (`home`, `slot`) names a customer, so it follows the address too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Update, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from crm_store import batch
from crm_store import conversations as talk
from crm_store.schema import conversations, customers, identities, merge_moves, merge_proposals, merges
from hub.errors import Conflict, NotFound, Refused
from hub.ids import Ids

_p = customers.c
_i = identities.c
_m = merges.c
_c = conversations.c

_LINKED = 20  # open conversations of each that are shown on the other's; more helps nobody


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What a merge did. `new` False: they had been one already, and nothing was written."""

    id: int
    survivor_id: int
    merged_id: int
    identity_ids: tuple[int, ...]
    conversation_ids: tuple[int, ...]
    new: bool = True


def roots_of(tx: Connection, customer_ids: Iterable[int]) -> dict[int, int]:
    """Who each of these customers is now. One statement for each level of merging."""
    above: dict[int, int | None] = {}
    ask = set(customer_ids)
    wanted = sorted(ask)
    while ask:
        query = select(_p.id, _p.merged_into).where(_p.id.in_(sorted(ask)))
        found = dict(tx.execute(query).all())
        above |= {one: found.get(one) for one in ask}
        ask = {parent for parent in found.values() if parent is not None} - above.keys()
    tops = {}
    for one in wanted:
        top = one
        while (parent := above.get(top)) is not None:
            top = parent
        tops[one] = top
    return tops


def root_of(tx: Connection, customer_id: int) -> int:
    """Who this customer is now; themselves where they were never merged."""
    return roots_of(tx, [customer_id])[customer_id]


def merge(
    tx: Connection,
    ids: Ids,
    *,
    survivor: int,
    merged: int,
    why: str,
    by: str,
    now: datetime,
) -> Merged:
    """Make `merged` and `survivor` one. They are first resolved to who they are now; a merge twice is one.

    Raises NotFound, and Refused where they belong to two brands.
    """
    batch.keep_out(tx)  # nobody opens a conversation under the old owner meanwhile
    top, child = _lock_roots(tx, survivor, merged)
    if top.id == child.id:
        return _known(tx, survivor, merged, top.id)
    if top.brand_id != child.brand_id:
        raise Refused("They belong to two brands; a customer is one brand's.")
    moved = list(
        tx.execute(
            select(_i.id).where(_i.customer_id == child.id).order_by(_i.id).with_for_update()
        ).scalars()
    )
    merge_id = ids()
    tx.execute(
        insert(merges).values(
            id=merge_id, survivor_id=top.id, merged_id=child.id, why=why[:500], by=by, at=now
        )
    )
    if moved:
        rows = [{"merge_id": merge_id, "identity_id": i, "from_customer_id": child.id} for i in moved]
        tx.execute(insert(merge_moves), rows)
        _point(tx, moved, top.id)
    tx.execute(update(customers).where(_p.id == child.id).values(merged_into=top.id, updated_at=now, by=by))
    tx.execute(update(customers).where(_p.id == top.id).values(updated_at=now, by=by))
    touched = _rehome(tx, child.id, top.id, moved)  # waits for those that are being reopened
    mine = _open_of(tx, _tree(tx, top.id) - _tree(tx, child.id))
    theirs = _open_of(tx, _tree(tx, child.id))
    talk.link(tx, [(a, b) for a in mine for b in theirs], "merged", now)
    touched = sorted({*touched, *mine, *theirs})
    talk.touch(tx, touched)
    for conversation_id in touched:
        data = {"merge": merge_id, "survivor": top.id, "merged": child.id}
        talk.log(tx, ids, conversation_id, "merged", by, now, why[:500], data)
    _settle_proposals(tx, top.id, child.id, by)
    return Merged(
        id=merge_id,
        survivor_id=top.id,
        merged_id=child.id,
        identity_ids=tuple(moved),
        conversation_ids=tuple(touched),
    )


def unmerge(tx: Connection, ids: Ids, merge_id: int, *, by: str, now: datetime) -> Merged:
    """Take one merge back: the addresses it brought go back, wherever further merges carried them since.

    Raises NotFound, and Conflict when it was taken back before.
    """
    row = tx.execute(select(merges).where(_m.id == merge_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such merge.")
    batch.keep_out(tx)
    _lock_roots(tx, row.survivor_id, row.merged_id)
    undone = tx.execute(
        update(merges).where(_m.id == merge_id, _m.undone_at.is_(None)).values(undone_at=now, undone_by=by)
    )
    if undone.rowcount != 1:
        raise Conflict("That merge was taken back already.")
    child, top = int(row.merged_id), root_of(tx, row.survivor_id)
    tx.execute(update(customers).where(_p.id == child).values(merged_into=None, updated_at=now, by=by))
    back = _born_in(tx, merge_id, _tree(tx, child))
    _point(tx, back, child)
    touched = _rehome(tx, top, child, back, apart=True)
    talk.touch(tx, touched)
    for conversation_id in touched:
        data = {"merge": merge_id, "survivor": top, "merged": child}
        talk.log(tx, ids, conversation_id, "unmerged", by, now, data=data)
    return Merged(
        id=merge_id,
        survivor_id=top,
        merged_id=child,
        identity_ids=tuple(back),
        conversation_ids=tuple(touched),
    )


def history(tx: Connection, customer_id: int) -> Sequence[Row[Any]]:
    """Every merge in which this customer took part, newest first, undone ones too."""
    query = select(merges).where((_m.survivor_id == customer_id) | (_m.merged_id == customer_id))
    return tx.execute(query.order_by(_m.id.desc()).limit(100)).all()


def _lock_roots(tx: Connection, one: int, other: int) -> tuple[Row[Any], Row[Any]]:
    """The rows of who both are now, locked in the order of their ids, so that two merges cannot make a ring."""
    while True:
        tops = roots_of(tx, [one, other])
        query = select(customers).where(_p.id.in_(sorted(set(tops.values())))).order_by(_p.id)
        rows = {row.id: row for row in tx.execute(query.with_for_update())}
        if tops[one] not in rows or tops[other] not in rows:
            raise NotFound("There is no such customer.")
        if all(row.merged_into is None for row in rows.values()):
            return rows[tops[one]], rows[tops[other]]


def _known(tx: Connection, survivor: int, merged: int, top: int) -> Merged:
    if survivor == merged:
        raise Refused("That is one and the same customer already.")
    query = select(merges).where(
        _m.undone_at.is_(None), _m.merged_id.in_([survivor, merged]), _m.survivor_id.is_not(None)
    )
    row = tx.execute(query.order_by(_m.id.desc()).limit(1)).one()
    return Merged(
        id=row.id, survivor_id=top, merged_id=row.merged_id, identity_ids=(), conversation_ids=(), new=False
    )


def _tree(tx: Connection, top: int) -> set[int]:
    """`top` and everybody merged into them, directly or not. One statement a level."""
    tree, level = {top}, {top}
    while level:
        query = select(_m.merged_id).where(_m.survivor_id.in_(sorted(level)), _m.undone_at.is_(None))
        level = set(tx.execute(query).scalars()) - tree
        tree |= level
    return tree


def _born_in(tx: Connection, merge_id: int, tree: set[int]) -> list[int]:
    """Which of the addresses that this merge moved were first anybody's of `tree`."""
    moved = list(
        tx.execute(select(merge_moves.c.identity_id).where(merge_moves.c.merge_id == merge_id)).scalars()
    )
    query = (
        select(merge_moves.c.identity_id, merge_moves.c.from_customer_id)
        .where(merge_moves.c.identity_id.in_(moved))
        .order_by(merge_moves.c.merge_id)
    )
    born: dict[int, int] = {}
    for identity_id, customer_id in tx.execute(query):
        born.setdefault(identity_id, customer_id)
    return sorted(identity_id for identity_id, customer_id in born.items() if customer_id in tree)


def _point(tx: Connection, identity_ids: Sequence[int], customer_id: int) -> None:
    if identity_ids:
        tx.execute(update(identities).where(_i.id.in_(identity_ids)).values(customer_id=customer_id))


def _kin(tx: Connection, customer_id: int) -> set[int]:
    """Everybody who was ever tied to this customer by merges, undone ones too: under whom a conversation of theirs
    may have been opened."""
    kin, level = {customer_id}, {customer_id}
    while level:
        wanted = sorted(level)
        query = select(_m.survivor_id, _m.merged_id).where(
            or_(_m.survivor_id.in_(wanted), _m.merged_id.in_(wanted))
        )
        level = {one for pair in tx.execute(query) for one in pair} - kin
        kin |= level
    return kin


def _open_of(tx: Connection, customer_ids: set[int]) -> list[int]:
    query = select(_c.id).where(_c.customer_id.in_(sorted(customer_ids)), _c.state != "closed")
    return list(tx.execute(query.order_by(_c.id.desc()).limit(_LINKED)).scalars())


def _rehome(
    tx: Connection, old: int, new: int, identity_ids: Sequence[int], *, apart: bool = False
) -> list[int]:
    """Let the conversations of these addresses stand where their owner's next message looks for them.

    Where an open one stands there already, it gets a slot of its own (`x:<id>`): it goes on, but a next message
    continues the other. One that was opened while they were one is, after an unmerge, whose address it is.
    """
    if not identity_ids:
        return []
    rows = tx.execute(
        select(_c.id, _c.slot, _c.home, _c.customer_id)
        .where(_c.identity_id.in_(identity_ids), _c.customer_id.in_(sorted(_kin(tx, new))))
        .order_by(_c.id)
        .with_for_update()
    ).all()
    return [row.id for row in rows if _stand(tx, row, old, new, apart=apart)]


def _stand(tx: Connection, row: Any, old: int, new: int, *, apart: bool) -> bool:
    values: dict[str, Any] = {"customer_id": new} if apart and row.customer_id == old else {}
    mine = update(conversations).where(_c.id == row.id)
    if row.home == f"c:{old}":  # homes by account or thread name no customer
        values["home"] = home = f"c:{new}"
        if row.slot is not None:
            if _takes(tx, mine.values(**values, slot=home), home):
                return True
            values["slot"] = f"x:{row.id}"
    if not values:
        return row.slot is not None
    tx.execute(mine.values(**values))
    return True


def _takes(tx: Connection, change: Update, slot: str) -> bool:
    """Make the change that takes this slot. False where another has it, or is reopened there at this moment."""
    if tx.execute(select(_c.id).where(_c.slot == slot)).first() is not None:
        return False
    try:
        with tx.begin_nested():
            tx.execute(change)
    except IntegrityError:
        return False
    return True


def _settle_proposals(tx: Connection, one: int, other: int, by: str) -> None:
    pair = sorted((one, other))
    tx.execute(
        update(merge_proposals)
        .where(merge_proposals.c.one_id == pair[0], merge_proposals.c.other_id == pair[1])
        .values(state="merged", by=by)
    )
