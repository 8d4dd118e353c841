"""What the owner of an address allows us to send there. By address, never by customer: a merge changes nothing here.

Two scopes, each with its own last word. A withheld "all" blocks every send; a withheld "marketing" blocks bulk alone.
Giving "all" again does not give a withheld "marketing" again: that takes a word of its own.

Where a brand honours a stop on all channels (`opt_outs: customer`), the word is kept with the scope "everywhere" too.
It blocks every address that is the same customer's now, but for those whose owner has said "start" since.

Who has blocked one account of ours in the provider's app has asked for nothing elsewhere: that word has a scope of its
own for each account (`here`). It holds for what goes out over that account, until they write to it again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import structs
from sqlalchemy import Connection, insert, update

from crm_store.schema import consent_changes, consents, identities
from crm_store.statements import inserting
from crm_store.statements import rows as rows_of
from hub.ids import Ids
from hub.model import ConsentChanged

SCOPES = ("all", "marketing")
SHARED = ("tel:", "wa:")  # schemes that accounts of several channels reach: a block of one is not of all
EVERYWHERE = "everywhere"
_WITHHELD = "SELECT urn FROM consents WHERE brand_id = :brand AND urn {texts} AND NOT granted AND scope"
_ELSEWHERE = """
    UNION SELECT i.urn FROM identities i
    JOIN identities o ON o.customer_id = i.customer_id AND o.brand_id = i.brand_id
    JOIN consents k ON k.brand_id = o.brand_id AND k.urn = o.urn AND k.scope = 'everywhere' AND NOT k.granted
    WHERE i.brand_id = :brand AND i.urn {texts} AND NOT EXISTS (SELECT 1 FROM consents m
        WHERE m.brand_id = i.brand_id AND m.urn = i.urn AND m.scope = 'all' AND m.granted AND m.at > k.at)
"""
_HERE = """
    SELECT k.urn, k.account FROM consents k
    WHERE k.brand_id = :brand AND k.urn {texts} AND k.scope LIKE 'here:%' AND NOT k.granted AND NOT EXISTS (
        SELECT 1 FROM identities i JOIN interactions n ON n.identity_id = i.id
        WHERE i.brand_id = k.brand_id AND i.urn = k.urn AND n.account = k.account AND n.direction = 'in'
        AND n.received_at > k.at)
"""
_BLOCKED = {
    "all": f"{_WITHHELD} = 'all' {_ELSEWHERE}",
    "marketing": f"{_WITHHELD} IN ('all', 'marketing') {_ELSEWHERE}",
}

_k = consents.c


def here(account: str) -> str:
    """The scope of a block of this one account; of an account's name the column has no room."""
    return f"here:{zlib.crc32(account.encode()):08x}"


def _on_one_channel(_brand: str) -> bool:
    return False


def apply(
    tx: Connection,
    ids: Ids,
    rows: Sequence[ConsentChanged],
    brand_of: Callable[[str], str],
    by: str,
    now: datetime,
    everywhere: Callable[[str], bool] = _on_one_channel,
) -> None:
    """Take in changes, two statements for any number. The last word counts, by the time it was received; of two at
    the same moment the withholding one. Every change is kept in consent_changes.

    everywhere: does this brand honour a stop on all of the customer's addresses?
    """
    if not rows:
        return
    rows = [
        *rows,
        *(
            structs.replace(row, scope=EVERYWHERE)
            for row in rows
            if row.scope == "all" and not row.granted and everywhere(brand_of(row.account))
        ),
    ]
    latest: dict[tuple[str, str, str], dict[str, Any]] = {}
    changes = []
    for row, row_id in zip(rows, ids.take(len(rows)), strict=True):
        brand = brand_of(row.account)
        values = {
            "brand_id": brand,
            "urn": row.urn,
            "scope": row.scope,
            "granted": row.granted,
            "wording": row.wording[:500],
            "account": row.account,
            "at": min(row.received_at, now),
            "by": by,
        }
        changes.append({"id": row_id, **values})
        key = (brand, row.urn, row.scope)
        if key not in latest or _order(values) >= _order(latest[key]):
            latest[key] = values
    tx.execute(insert(consent_changes), changes)
    statement = inserting(tx, consents)
    new = statement.excluded
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=[_k.brand_id, _k.urn, _k.scope],
            set_={name: new[name] for name in ("granted", "wording", "account", "at", "by")},
            where=(_k.at < new.at) | ((_k.at == new.at) & _k.granted),
        ),
        [latest[key] for key in sorted(latest)],
    )
    _unblock(tx, latest)


def _unblock(tx: Connection, latest: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> None:
    """Who starts again is not blocked any more: that was what the provider said after they had stopped us."""
    i = identities.c
    again: dict[str, list[str]] = {}
    for (brand, urn, scope), values in sorted(latest.items()):
        if scope == "all" and values["granted"]:
            again.setdefault(brand, []).append(urn)
    for brand, urns in again.items():
        mine = (i.brand_id == brand, i.urn.in_(urns), i.trouble == "blocked")
        tx.execute(update(identities).where(*mine).values(trouble=None))
        stops = (_k.brand_id == brand, _k.urn.in_(urns), _k.scope == EVERYWHERE, _k.granted.is_(False))
        tx.execute(update(consents).where(*stops).values(granted=True))


def _order(values: dict[str, Any]) -> tuple[datetime, bool]:
    return values["at"], not values["granted"]


def blocked(
    tx: Connection, brand_id: str, urns: Iterable[str], scope: str = "all", account: str | None = None
) -> set[str]:
    """Which of these addresses must not be written to (over `account`, where one is named). scope: "all" for replies,
    "marketing" for bulk."""
    wanted = sorted(set(urns))
    found = {row[0] for row in rows_of(tx, _BLOCKED[scope], brand=brand_id, texts=wanted)}
    if account is not None:
        found |= {urn for urn, of in blocks(tx, brand_id, wanted) if of == account}
    return found


def blocks(tx: Connection, brand_id: str, urns: Iterable[str]) -> set[tuple[str, str]]:
    """(address, account of ours): who has blocked which, and has not written to it since."""
    found = rows_of(tx, _HERE, brand=brand_id, texts=sorted(set(urns)))
    return {(urn, account) for urn, account in found}
