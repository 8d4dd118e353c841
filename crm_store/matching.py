"""Who may be the same person: what evidence is worth, and proposals. Only certain evidence merges by itself.

Certain is one thing alone: a provider vouches that two addresses are one person's, and both addresses are verified
themselves. A `From:` header or a form's e-mail field is a claim; people decide on those.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from crm_store.schema import merge_proposals
from crm_store.statements import inserting
from hub.errors import Conflict, NotFound
from hub.ids import Ids

# What each kind of evidence is worth, of 1, and how it reads.
_WORTH: dict[str, tuple[float, str]] = {
    "vouched": (0.7, "a provider says that the addresses are one person's"),
    "said": (0.6, "one of them said that the other's address is theirs"),
    "claimed": (0.6, "one of them gave the other's address"),
}

_o = merge_proposals.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Why two records may be one person."""

    kind: str
    certain: bool = False

    @property
    def score(self) -> float:
        return _WORTH[self.kind][0]

    def words(self) -> str:
        return _WORTH[self.kind][1]


def learned(one_verified: bool, other_verified: bool, *, vouched: bool) -> Evidence:
    """What it is worth that two addresses are said to be one person's. Pure."""
    certain = vouched and one_verified and other_verified
    return Evidence(kind="vouched" if vouched else "said", certain=certain)


def propose(tx: Connection, ids: Ids, one: int, other: int, evidence: Evidence, now: datetime) -> None:
    """Propose a merge to people. A pair that was proposed before, or refused, is not proposed again."""
    first, second = sorted((one, other))
    tx.execute(
        inserting(tx, merge_proposals)
        .values(
            id=ids(),
            one_id=first,
            other_id=second,
            evidence=json.dumps({evidence.kind: ""}),
            score=evidence.score,
            state="waiting",
            at=now,
        )
        .on_conflict_do_nothing(index_elements=[_o.one_id, _o.other_id])
    )


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
        _WORTH[kind][1] + (f" ({detail})" if detail else "")
        for kind, detail in said.items()
        if kind in _WORTH
    )
