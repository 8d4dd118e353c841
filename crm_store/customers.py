"""Customers and their addresses: found, shown, changed by people, and learned of by events.

A customer who was merged into another stays as a row; `root` says who they are now. `identities.customer_id` is the
only pointer from an address to a person, and only crm_store/merges.py moves it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from crm_store import consents as consent
from crm_store import matching, merges
from crm_store.batch_plan import NEVER_US
from crm_store.conversations import hold, touch
from crm_store.schema import consents, conversations, customers, identities, interactions
from crm_store.statements import inserting
from hub import urn as urns
from hub.clock import to_us
from hub.errors import NotFound, Refused
from hub.ids import Ids
from hub.model import IdentityLearned

KINDS = ("person", "organisation")
STAGES = ("lead", "customer")
_TEXT_CHARS = 200  # a tier, a tag, a name that somebody types
_NOTES_CHARS = 10_000
_NEWEST = 200  # interactions among which the conversations of a customer are found that a view may show

_p = customers.c
_i = identities.c


@dataclass(frozen=True, kw_only=True, slots=True)
class Customer:
    """A person or an organisation. `merged_into`: who they are now, if they were merged."""

    id: int
    brand: str
    kind: str
    stage: str
    name: str
    tier: str | None
    tags: tuple[str, ...]
    language: str | None
    preferred_channel: str | None
    notes: str
    merged_into: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """One address. `verified`: a channel vouched for it; otherwise it is only claimed. `opted_out`: scopes withheld."""

    id: int
    urn: str
    verified: bool
    name: str
    trouble: str | None
    opted_out: tuple[str, ...]
    first_seen_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A search hit: the customer and the addresses that show who it is (at most five)."""

    customer: Customer
    urns: tuple[str, ...]


def has_urn(tx: Connection, wanted: Iterable[str]) -> ColumnElement[bool]:
    """An identity has one of these addresses, of whichever brand. The index is on brand and address, so the brands are
    walked through in it first: a step a brand, where reading every address would be the other way."""
    first = select(func.min(_i.brand_id).label("brand")).cte("brands", recursive=True)
    later = select(func.min(_i.brand_id)).where(_i.brand_id > first.c.brand).correlate(first)
    brands = first.union_all(select(later.scalar_subquery()).where(first.c.brand.is_not(None)))
    known = tx.execute(select(brands.c.brand).where(brands.c.brand.is_not(None))).scalars()
    return _i.brand_id.in_(list(known)) & _i.urn.in_(sorted(wanted))


def get(tx: Connection, customer_id: int) -> Customer:
    """Raises NotFound. The row as it is: one that was merged says into whom."""
    row = tx.execute(select(customers).where(_p.id == customer_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such customer.")
    return person(row)


def root(tx: Connection, customer_id: int) -> Customer:
    """Who this customer is now, merges followed. Raises NotFound."""
    return get(tx, merges.root_of(tx, customer_id))


def of_identity(tx: Connection, identity_id: int) -> Customer:
    """Whose address that is now. Raises NotFound."""
    query = select(customers).join(identities, _i.customer_id == _p.id).where(_i.id == identity_id)
    row = tx.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such address.")
    return person(row)


def identity(tx: Connection, brand: str, urn: str) -> Row[Any] | None:
    """The address's row; `urn` is normalised."""
    return tx.execute(select(identities).where(_i.brand_id == brand, _i.urn == urn)).one_or_none()


def person(row: Row[Any]) -> Customer:
    return Customer(
        id=row.id,
        brand=row.brand_id,
        kind=row.kind,
        stage=row.stage,
        name=row.name,
        tier=row.tier,
        tags=tuple(json.loads(row.tags)),
        language=row.language,
        preferred_channel=row.preferred_channel,
        notes=row.notes,
        merged_into=row.merged_into,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def identities_of(tx: Connection, customer_id: int, limit: int = 100) -> tuple[Identity, ...]:
    """The customer's addresses, last used first, each with what its owner opted out of."""
    n = interactions.c
    last = select(func.max(n.id)).where(n.identity_id == _i.id).scalar_subquery()
    rows = tx.execute(
        select(identities)
        .where(_i.customer_id == customer_id)
        .order_by(last.desc().nulls_last(), _i.id)
        .limit(limit)
    ).all()
    withheld: dict[tuple[str, str], list[str]] = {}
    if rows:
        brand, addresses = rows[0].brand_id, [urns.bare(row.urn) for row in rows]
        found = tx.execute(
            select(consents.c.urn, consents.c.scope).where(
                consents.c.brand_id == brand,
                consents.c.urn.in_(addresses),
                consents.c.granted.is_(False),
                consents.c.scope.in_(consent.SCOPES),
            )
        )
        for urn, scope in found:
            withheld.setdefault((brand, urn), []).append(scope)
        for urn in consent.blocked(tx, brand, addresses):  # by what they said elsewhere, too
            if "all" not in withheld.get((brand, urn), ()):
                withheld.setdefault((brand, urn), []).append("all")
    return tuple(
        Identity(
            id=row.id,
            urn=row.urn,
            verified=row.verified,
            name=row.name,
            trouble=row.trouble,
            opted_out=tuple(sorted(withheld.get((row.brand_id, urns.bare(row.urn)), ()))),
            first_seen_at=row.first_seen_at,
        )
        for row in rows
    )


def escape_like(text: str) -> str:
    r"""`text` with LIKE's own characters made plain; for `.like(..., escape="\\")`."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_CAPITALS = str.maketrans(ascii_uppercase, ascii_lowercase)


def contains(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Is `text` a part of it, in small letters or capitals? Some databases (SQLite, PostgreSQL in the locale C) know
    those of ASCII alone; there it is found as typed, and in the spellings that names and sentences have."""
    spelt = (text, text.lower(), text.upper(), text.title(), text.capitalize())
    parts = sorted({escape_like(one.translate(_CAPITALS)) for one in spelt})
    return or_(*(func.lower(column).like(f"%{part}%", escape="\\") for part in parts))


def find(tx: Connection, text: str, *, brand: str | None = None, limit: int = 20) -> tuple[Found, ...]:
    """Customers by an address, a conversation number ("#1042") or a part of a name; the surest hits first.

    Every character of `text` stands for itself. Whoever was merged is found as who they are now.
    """
    text = text.replace("\x00", "").strip()[:_TEXT_CHARS]
    if not text:
        return ()
    hits = [*_by_number(tx, text), *_by_urn(tx, text, limit), *_by_name(tx, text, limit)]
    now_are = merges.roots_of(tx, hits)
    wanted = list(dict.fromkeys(now_are[hit] for hit in hits))[: 2 * limit]
    rows = {row.id: row for row in tx.execute(select(customers).where(_p.id.in_(wanted)))}
    kept = [wanted_id for wanted_id in wanted if wanted_id in rows]
    kept = [one for one in kept if brand is None or rows[one].brand_id == brand][:limit]
    addresses: dict[int, list[str]] = {}
    query = select(_i.customer_id, _i.urn).where(_i.customer_id.in_(kept)).order_by(_i.id)
    for customer_id, urn in tx.execute(query):
        addresses.setdefault(customer_id, []).append(urn)
    return tuple(Found(customer=person(rows[one]), urns=tuple(addresses.get(one, ())[:5])) for one in kept)


def _by_number(tx: Connection, text: str) -> list[int]:
    digits = text.removeprefix("#")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12):
        return []
    query = (
        select(_i.customer_id)
        .join(conversations, conversations.c.identity_id == _i.id)
        .where(conversations.c.number == int(digits))
    )
    return list(tx.execute(query).scalars())


def _by_urn(tx: Connection, text: str, limit: int) -> list[int]:
    """An address as people write it ("Ann@Example.com", "+1 555 123 4567") or as a URN; whole, or a part of it."""
    spellings = {text, text.lower()}
    for guess in (text, f"mailto:{text}", f"tel:{text}"):
        try:
            spellings.add(urns.normalise(guess))
        except ValueError:
            continue
    exact = select(_i.customer_id).where(has_urn(tx, spellings)).limit(limit)
    found = list(tx.execute(exact).scalars())
    if found or len(text) < 3:
        return found
    query = select(_i.customer_id).where(contains(_i.urn, text)).limit(limit)
    return list(tx.execute(query).scalars())


def _by_name(tx: Connection, text: str, limit: int) -> list[int]:
    query = select(_p.id).where(contains(_p.name, text)).order_by(_p.updated_at.desc()).limit(limit)
    return list(tx.execute(query).scalars())


def change(tx: Connection, customer_id: int, *, by: str, now: datetime, **values: Any) -> Customer:
    """Set any of name, tier, tags, language, preferred_channel, kind, stage, notes. Raises NotFound, Refused."""
    clean = {field: _checked(field, value) for field, value in values.items()}
    shown = shown_with(tx, customer_id)
    hold(tx, shown)
    done = tx.execute(update(customers).where(_p.id == customer_id).values(updated_at=now, by=by, **clean))
    if done.rowcount != 1:
        raise NotFound("There is no such customer.")
    touch(tx, shown)
    return get(tx, customer_id)


def shown_with(tx: Connection, customer_id: int) -> list[int]:
    """The conversations of theirs whose cards show them, that are not closed: of their newest interactions."""
    newest = (
        select(interactions.c.conversation_id)
        .join(identities, identities.c.id == interactions.c.identity_id)
        .where(identities.c.customer_id == customer_id)
        .order_by(interactions.c.id.desc())
        .limit(_NEWEST)
    )
    wanted = list(dict.fromkeys(tx.execute(newest).scalars()))
    c = conversations.c
    return list(tx.execute(select(c.id).where(c.id.in_(wanted), c.state != "closed")).scalars())


def _checked(field: str, value: Any) -> Any:
    if field == "tags":
        tags = sorted({str(tag).strip() for tag in value} - {""})
        if any(len(tag) > _TEXT_CHARS for tag in tags) or len(tags) > 50:
            raise Refused("At most 50 tags of at most 200 characters.")
        return json.dumps(tags, ensure_ascii=False)
    if field in ("kind", "stage"):
        known = KINDS if field == "kind" else STAGES
        if value not in known:
            raise Refused(f"A customer's {field} is {' or '.join(known)}, not {str(value)[:40]!r}.")
        return value
    limits = {"name": _TEXT_CHARS, "tier": 40, "language": 12, "preferred_channel": 40, "notes": _NOTES_CHARS}
    if field not in limits:
        raise Refused(f"A customer has no {field!r} that could be set.")
    text = "" if value is None else str(value).replace("\x00", "").strip()
    if len(text) > limits[field]:
        raise Refused(f"A customer's {field.replace('_', ' ')} has at most {limits[field]} characters.")
    return text if field in ("name", "notes") else text or None


def learn(
    tx: Connection,
    ids: Ids,
    learned: Sequence[IdentityLearned],
    brand_of: Callable[[str], str],
    now: datetime,
) -> set[int]:
    """Take in that two addresses are said to be one person's; the customers that it concerned.

    Known address and new one, vouched for: the new one joins the customer. Two known customers: merged only where the
    evidence is certain (crm_store/matching.py), proposed otherwise. A mere claim about a new address makes a lead of
    its own and a proposal: nobody gets into a record by claiming its owner's address. Twice is once.
    """
    touched: set[int] = set()
    for event in sorted(learned, key=lambda e: (e.urn, e.other)):
        brand = brand_of(event.account)
        one = identity(tx, brand, event.urn)
        other = identity(tx, brand, event.other)
        if one is None and other is not None:
            one, other = other, one
            event_urn, event_other = event.other, event.urn
        else:
            event_urn, event_other = event.urn, event.other
        if one is None:
            one = newcomer(tx, ids, brand, event_urn, verified=event.verified, name=event.name, now=now)
        if other is None:
            only_claimed = not one.verified and to_us(one.last_seen_at) == NEVER_US
            if event.verified and not only_claimed:  # a claim does not collect its owner's other addresses
                other = _add_identity(
                    tx, ids, brand, event_other, one.customer_id, verified=True, name=event.name, now=now
                )
            else:
                other = newcomer(
                    tx, ids, brand, event_other, verified=event.verified, name=event.name, now=now
                )
        touched |= {one.customer_id, other.customer_id}
        if one.customer_id == other.customer_id:
            if event.verified and not (one.verified and other.verified):
                tx.execute(update(identities).where(_i.id.in_([one.id, other.id])).values(verified=True))
            continue
        reasons = matching.learned(one.verified, other.verified, vouched=event.verified)
        if reasons.certain:
            merges.merge(
                tx,
                ids,
                survivor=one.customer_id,
                merged=other.customer_id,
                why=reasons.words(),
                by="system",
                now=now,
            )
        else:
            matching.propose(tx, ids, one.customer_id, other.customer_id, reasons, now)
    return touched


def newcomer(
    tx: Connection,
    ids: Ids,
    brand: str,
    urn: str,
    *,
    verified: bool,
    name: str,
    now: datetime,
    by: str = "system",
) -> Row[Any]:
    """The address's row, with a new lead for its owner; where somebody made it at this very moment, theirs."""
    customer_id = ids()
    tx.execute(
        insert(customers).values(
            id=customer_id, brand_id=brand, name=name[:_TEXT_CHARS], created_at=now, updated_at=now, by=by
        )
    )
    row = _add_identity(tx, ids, brand, urn, customer_id, verified=verified, name=name, now=now)
    if row.customer_id != customer_id:
        tx.execute(delete(customers).where(_p.id == customer_id))
    return row


def _add_identity(
    tx: Connection,
    ids: Ids,
    brand: str,
    urn: str,
    customer_id: int,
    *,
    verified: bool,
    name: str,
    now: datetime,
) -> Row[Any]:
    """The address's row, made if it is new; whoever made it first keeps it."""
    tx.execute(
        inserting(tx, identities)
        .values(
            id=ids(),
            brand_id=brand,
            urn=urn,
            customer_id=customer_id,
            verified=verified,
            name=name[:_TEXT_CHARS],
            first_seen_at=now,
            last_seen_at=now,
        )
        .on_conflict_do_nothing(index_elements=[_i.brand_id, _i.urn])
    )
    row = identity(tx, brand, urn)
    assert row is not None
    return row
