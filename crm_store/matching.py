"""Who may be the same person: evidence weighed, proposals made. Only certain evidence merges by itself.

Certain is one thing alone: a provider vouches that two addresses are one person's, and both addresses are verified
themselves. A `From:` header, a form's e-mail field, an equal name are claims; people decide on those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from crm_store.schema import customers, identities, interactions, merge_proposals
from hub.errors import Conflict, NotFound
from hub.ids import Ids

PROPOSE_FROM = 0.5  # a namesake alone (0.3) is no reason to bother anybody; a claimed address (0.6) is
_NAME_FROM = 90.0  # of 100; token order does not count: "Lee, Ann" is "Ann Lee"
_CANDIDATES = 50

# What each kind of evidence adds, and how it reads.
_WEIGHTS: dict[str, tuple[float, str]] = {
    "vouched": (0.7, "a provider says that the addresses are one person's"),
    "said": (0.6, "one of them said that the other's address is theirs"),
    "claimed": (0.6, "one of them gave the other's address"),
    "name": (0.3, "they have the same name"),
    "local": (0.2, "their mail addresses begin alike"),
}

_p = customers.c
_i = identities.c
_o = merge_proposals.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Why two records may be one person. `score` is at most 1."""

    kinds: tuple[str, ...]
    certain: bool = False

    @property
    def score(self) -> float:
        return min(1.0, round(sum(_WEIGHTS[kind][0] for kind in self.kinds), 3))

    def words(self) -> str:
        return "; ".join(_WEIGHTS[kind][1] for kind in self.kinds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is weighed of one customer. `claims`: addresses that their messages stated."""

    customer_id: int
    name: str
    urns: frozenset[str]
    claims: frozenset[str] = frozenset()


def learned(one_verified: bool, other_verified: bool, *, vouched: bool) -> Evidence:
    """What it is worth that two addresses are said to be one person's. Pure."""
    certain = vouched and one_verified and other_verified
    return Evidence(kinds=("vouched",) if vouched else ("said",), certain=certain)


def weigh(one: Known, other: Known) -> Evidence:
    """The evidence in what is known of two customers; never certain. Pure."""
    kinds = []
    if one.urns & other.claims or other.urns & one.claims or one.claims & other.claims:
        kinds.append("claimed")
    if one.name and other.name:
        from rapidfuzz import fuzz, utils  # 4 MB, for those who compare people

        alike = fuzz.token_sort_ratio(one.name, other.name, processor=utils.default_process)
        if alike >= _NAME_FROM and len(one.name.split()) > 1:
            kinds.append("name")
    if _locals(one) & _locals(other):
        kinds.append("local")
    return Evidence(kinds=tuple(kinds))


def _locals(known: Known) -> set[str]:
    """What stands before the @ of their mail addresses, where it is long enough to mean something."""
    parts = (urn.removeprefix("mailto:").partition("@")[0] for urn in known.urns if urn.startswith("mailto:"))
    return {part for part in parts if len(part) >= 6}


def look(tx: Connection, ids: Ids, customer_ids: Iterable[int], now: datetime) -> list[int]:
    """Weigh these customers against who resembles them in their brand, and propose what is worth a person's look.

    Bounded: at most 50 candidates a customer. Returns the proposals that are new.
    """
    made: list[int] = []
    for customer_id in sorted(set(customer_ids)):
        row = tx.execute(
            select(customers).where(_p.id == customer_id, _p.merged_into.is_(None))
        ).one_or_none()
        if row is None:
            continue
        one = _known(tx, [row])[0]
        others = _known(tx, _candidates(tx, row, one))
        weighed = ((customer_id, other.customer_id, weigh(one, other)) for other in others)
        made += propose(tx, ids, [w for w in weighed if w[2].score >= PROPOSE_FROM], now)
    return made


def _candidates(tx: Connection, row: Row[Any], one: Known) -> Sequence[Row[Any]]:
    """Who has an address that this one claimed, or the same name."""
    wanted: set[int] = set()
    if one.claims:
        query = select(_i.customer_id).where(_i.brand_id == row.brand_id, _i.urn.in_(sorted(one.claims)))
        wanted |= set(tx.execute(query.limit(_CANDIDATES)).scalars())
    if row.name:
        query = select(_p.id).where(_p.brand_id == row.brand_id, _p.name == row.name)
        wanted |= set(tx.execute(query.limit(_CANDIDATES)).scalars())
    wanted.discard(row.id)
    query_rows = select(customers).where(_p.id.in_(sorted(wanted)), _p.merged_into.is_(None))
    return tx.execute(query_rows.limit(_CANDIDATES)).all()


def _known(tx: Connection, rows: Sequence[Row[Any]]) -> list[Known]:
    """Their addresses, and what their latest messages claimed, in two statements."""
    wanted = [row.id for row in rows]
    urns: dict[int, set[str]] = {one: set() for one in wanted}
    owner: dict[int, int] = {}
    query = select(_i.id, _i.customer_id, _i.urn).where(_i.customer_id.in_(wanted))
    for identity_id, customer_id, urn in tx.execute(query):
        urns[customer_id].add(urn)
        owner[identity_id] = customer_id
    claims: dict[int, set[str]] = {one: set() for one in wanted}
    said = (
        select(interactions.c.identity_id, interactions.c.extra)
        .where(interactions.c.identity_id.in_(sorted(owner)), interactions.c.extra.is_not(None))
        .order_by(interactions.c.id.desc())
        .limit(200)
    )
    for identity_id, extra in tx.execute(said):
        claims[owner[identity_id]].update(str(claim) for claim in json.loads(extra).get("claims") or ())
    return [
        Known(
            customer_id=row.id,
            name=row.name,
            urns=frozenset(urns[row.id]),
            claims=frozenset(claims[row.id] - urns[row.id]),
        )
        for row in rows
    ]


def propose(tx: Connection, ids: Ids, pairs: Sequence[tuple[int, int, Evidence]], now: datetime) -> list[int]:
    """Propose merges to people. A pair that was proposed before, or refused, is not proposed again. The new ones."""
    make = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    made = []
    for one, other, evidence in pairs:
        first, second = sorted((one, other))
        if first == second:
            continue
        proposal_id = ids()
        done = tx.execute(
            make(merge_proposals)
            .values(
                id=proposal_id,
                one_id=first,
                other_id=second,
                evidence=json.dumps(dict.fromkeys(evidence.kinds, "")),
                score=evidence.score,
                state="waiting",
                at=now,
            )
            .on_conflict_do_nothing(index_elements=[_o.one_id, _o.other_id])
            .execution_options(preserve_rowcount=True)  # else it is -1 on PostgreSQL
        )
        if done.rowcount == 1:
            made.append(proposal_id)
    return made


def refuse(tx: Connection, proposal_id: int, *, by: str) -> None:
    """They are not the same person; it is not proposed again. Raises NotFound, Conflict when it was settled."""
    done = tx.execute(
        update(merge_proposals)
        .where(_o.id == proposal_id, _o.state == "waiting")
        .values(state="refused", by=by)
    )
    if done.rowcount != 1:
        if tx.execute(select(func.count()).where(_o.id == proposal_id)).scalar_one() == 0:
            raise NotFound("There is no such proposal.")
        raise Conflict("That proposal was settled already.")


def reasons(evidence: str) -> tuple[str, ...]:
    """A stored proposal's evidence in words. It is a JSON object: kind -> what it was seen in (may be empty)."""
    said: dict[str, str] = json.loads(evidence)
    return tuple(
        _WEIGHTS[kind][1] + (f" ({detail})" if detail else "")
        for kind, detail in said.items()
        if kind in _WEIGHTS
    )
