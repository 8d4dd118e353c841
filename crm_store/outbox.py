"""The outbox as the sender sees it: claim what is due under a lease, mark it as being sent, note what became of it.

A turn of the sender is one transaction: outcomes of what finished, marks for what starts, claims of what is due next.
`sending` is committed before a request leaves. Whoever dies afterwards leaves a lease that ends, and the delivery is
then `unknown`: it is looked for at the provider where that can be asked, and otherwise shown to an agent.

Statements here are written by hand for both databases (times in microseconds, as stored): this is the way of every
message, and costs 80 µs of it instead of 300 on SQLite.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, select, text

from crm_store import delivery_states as states
from crm_store.delivery_states import Happened, Moved, note, put
from crm_store.pauses import paused
from crm_store.receipts import Name, lock, name_of, take_parked
from crm_store.schema import interaction_attachments
from hub.clock import from_us, to_us
from hub.ids import Ids
from hub.model import Attachment

UNKNOWN_HOLDS = timedelta(seconds=60)  # how long an unknown delivery holds its conversation's next one back

# The very words of the partial index: SQLite uses one only if its condition stands in the query.
_IN_DOUBT = "state IN ('sending', 'unknown')"
_UNFINISHED = "state IN ('held', 'queued', 'sending', 'unknown')"

# What may be claimed. Behind an earlier unfinished one of its conversation a delivery waits, but a reply never waits
# for bulk, nothing waits for one that an agent must confirm first, and for an unknown one only a minute.
_DUE = f"""
    q.account = {{account}} AND q.{_UNFINISHED} AND q.state IN ('held', 'queued')
    AND q.due_at <= :due_by AND (q.lease_until IS NULL OR q.lease_until < :now)
    AND NOT (q.state = 'held' AND q.code IS NOT NULL)
    AND NOT EXISTS (
        SELECT 1 FROM deliveries e
        WHERE e.conversation_id = q.conversation_id AND e.id < q.id AND e.{_UNFINISHED}
        AND NOT (e.state = 'held' AND e.code IS NOT NULL)
        AND NOT (e.state = 'unknown' AND e.updated_at <= :held_from)
        AND (q.bulk OR NOT e.bulk))
    ORDER BY q.bulk, q.due_at, q.id
"""  # noqa: S608 - constants only
_LEASE = "UPDATE deliveries SET lease_owner = :owner, lease_until = :until"
_CLAIM_POSTGRESQL = f"""
    WITH due AS (
        SELECT d.id FROM unnest(CAST(:accounts AS text[]), CAST(:rooms AS integer[])) AS a (account, room)
        CROSS JOIN LATERAL (
            SELECT q.id FROM deliveries q WHERE {_DUE.format(account="a.account")}
            LIMIT a.room FOR UPDATE OF q SKIP LOCKED) AS d)
    {_LEASE} FROM due WHERE deliveries.id = due.id RETURNING deliveries.id
"""  # noqa: S608
_CLAIM_SQLITE = f"""
    {_LEASE} WHERE id IN (SELECT q.id FROM deliveries q WHERE {_DUE.format(account=":account")} LIMIT :room)
    RETURNING id
"""  # noqa: S608

_LOAD = """
    SELECT d.id, d.interaction_id, d.conversation_id, d.account, d.to_urn, d.idem_key, d.bulk, d.attempts,
           d.due_at, COALESCE(d.tries_from, d.created_at) AS tries_from, d.updated_at, i.identity_id, i.text,
           i.subject, i.in_reply_to, i.sender_name, i.attachments, i.at, c.brand_id, c.thread,
           l.external_id AS last_external_id, l.account AS last_account
    FROM deliveries d
    JOIN interactions i ON i.id = d.interaction_id
    JOIN conversations c ON c.id = d.conversation_id
    LEFT JOIN interactions l ON l.id = c.last_inbound_id
    WHERE d.id {among} ORDER BY d.bulk, d.due_at, d.id
"""
_BEGIN = """
    UPDATE deliveries SET state = 'sending', attempts = attempts + 1, lease_until = :until, updated_at = :now
    WHERE id {among} AND lease_owner = :owner AND due_at <= :now AND state IN ('held', 'queued') RETURNING id
"""
_SENT = """
    UPDATE deliveries SET state = :state, sent_at = :now, updated_at = :now, code = NULL, provider_code = NULL,
           detail = '', lease_owner = NULL, lease_until = NULL
    WHERE id {among} AND state IN ('sending', 'unknown', 'queued', 'held', 'failed') RETURNING id
"""
_NOT_SENT = """
    UPDATE deliveries SET state = :state, due_at = :due_at, updated_at = :now, code = :code,
           provider_code = :provider_code, detail = :detail, attempts = attempts - :uncounted,
           lease_owner = NULL, lease_until = NULL
    WHERE id = :id AND state = :expected AND (lease_owner = :owner OR :expected = 'unknown')
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """A delivery with all that its send needs. `last_inbound`: (account, the provider's id) of the customer's last."""

    id: int
    conversation_id: int
    interaction_id: int
    identity_id: int
    brand: str
    account: str
    to_urn: str
    idem_key: str
    bulk: bool
    attempts: int
    due_at: datetime
    tries_from: datetime
    updated_at: datetime
    text: str
    subject: str | None
    thread: str | None
    in_reply_to: str | None
    author_name: str
    written_at: datetime
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one try.

    state: sent, delivered, read; queued (again, at `due_at`); failed, opted_out, unknown.
    counted: False gives the try back (the provider asked for patience). expected: `unknown` when a look settled it.
    sent_ids: the provider's ids of the parts that went out, which may be some even where the whole failed.
    """

    delivery: Claimed
    state: str
    at: datetime
    sent_ids: tuple[str, ...] = ()
    due_at: datetime | None = None
    code: str | None = None
    provider_code: str | None = None
    detail: str = ""
    counted: bool = True
    expected: str = states.SENDING


def _among(tx: Connection, ids: Sequence[int]) -> tuple[str, Any]:
    """The SQL for "is one of :ids", and the value to bind."""
    if tx.dialect.name == "postgresql":
        return "= ANY(CAST(:ids AS bigint[]))", list(ids)
    return "IN (SELECT value FROM json_each(:ids))", json.dumps(ids)


_said = cache(text)  # reading a statement's parameters takes longer than running it


def _on(tx: Connection, statement: str, ids: Sequence[int], **values: Any) -> Any:
    among, bound = _among(tx, ids)
    return tx.execute(_said(statement.format(among=among)), {"ids": bound, **values})


# --------------------------------------------------------------------------------------------------------- claim


def claim(
    tx: Connection,
    rooms: Mapping[str, int],
    *,
    owner: str,
    now: datetime,
    lease: timedelta,
    stopped: Mapping[str, datetime] | None = None,
    ahead: timedelta = timedelta(0),
) -> list[Claimed]:
    """Lease up to `rooms[account]` deliveries that are due, or will be within `ahead`; replies first, then by age.

    Of every conversation only the lowest unfinished one. Accounts that are paused (`stopped`, where the caller has
    looked) give nothing.
    """
    stopped = paused(tx, now) if stopped is None else stopped
    open_now = sorted((a, room) for a, room in rooms.items() if room > 0 and a not in stopped)
    if not open_now:
        return []
    values = {
        "owner": owner,
        "now": to_us(now),
        "until": to_us(now + lease),
        "held_from": to_us(now - UNKNOWN_HOLDS),
        "due_by": to_us(now + ahead),
    }
    if tx.dialect.name == "postgresql":
        accounts, sizes = [a for a, _ in open_now], [room for _, room in open_now]
        rows = tx.execute(_said(_CLAIM_POSTGRESQL), {**values, "accounts": accounts, "rooms": sizes})
        return load(tx, [int(row.id) for row in rows])
    claimed: list[int] = []
    for account, room in open_now:
        rows = tx.execute(_said(_CLAIM_SQLITE), {**values, "account": account, "room": room})
        claimed += [int(row.id) for row in rows]
    return load(tx, claimed)


def load(tx: Connection, delivery_ids: Sequence[int]) -> list[Claimed]:
    """These deliveries with their messages, replies before bulk, oldest first."""
    if not delivery_ids:
        return []
    rows = _on(tx, _LOAD, delivery_ids).all()
    files = _attachments(tx, [row.interaction_id for row in rows if row.attachments])
    return [
        Claimed(
            id=row.id,
            conversation_id=row.conversation_id,
            interaction_id=row.interaction_id,
            identity_id=row.identity_id,
            brand=row.brand_id,
            account=row.account,
            to_urn=row.to_urn,
            idem_key=row.idem_key,
            bulk=bool(row.bulk),
            attempts=row.attempts,
            due_at=from_us(row.due_at),
            tries_from=from_us(row.tries_from),
            updated_at=from_us(row.updated_at),
            text=row.text,
            subject=row.subject,
            thread=row.thread,
            in_reply_to=row.in_reply_to
            or (row.last_external_id if row.last_account == row.account else None),
            author_name=row.sender_name,
            written_at=from_us(row.at),
            attachments=files.get(row.interaction_id, ()),
        )
        for row in rows
    ]


def _attachments(tx: Connection, interactions: Sequence[int]) -> dict[int, tuple[Attachment, ...]]:
    found: dict[int, tuple[Attachment, ...]] = {}
    if not interactions:
        return found
    a = interaction_attachments.c
    rows = tx.execute(
        select(a.interaction_id, a.sha256, a.content_type, a.size_bytes, a.name)
        .where(a.interaction_id.in_(interactions))
        .order_by(a.interaction_id, a.position)
    )
    for interaction_id, sha256, content_type, size_bytes, name in rows:
        file = Attachment(sha256=sha256, content_type=content_type, size_bytes=size_bytes, name=name)
        found[interaction_id] = (*found.get(interaction_id, ()), file)
    return found


def give_back(tx: Connection, delivery_ids: Sequence[int], owner: str) -> None:
    """End the leases of what was claimed and not begun."""
    if delivery_ids:
        _on(
            tx,
            "UPDATE deliveries SET lease_owner = NULL, lease_until = NULL"
            " WHERE id {among} AND lease_owner = :owner AND state IN ('held', 'queued')",
            delivery_ids,
            owner=owner,
        )


def next_due(tx: Connection, accounts: Sequence[str], now: datetime) -> datetime | None:
    """When the next delivery of these accounts may be sent, the next unknown one looked for, or the next lease of one
    that is being sent ends, so that its sender's death is noticed; None: nothing waits.

    A paused account's time is the end of its pause. What somebody has claimed does not count. Deliveries behind an
    earlier one of their conversation count with their own time, so this may be too early, never too late.
    """
    stopped = paused(tx, now)
    times: list[datetime] = []
    for account in accounts:
        for bulk in (False, True):
            first = tx.execute(
                _said(
                    f"SELECT q.due_at FROM deliveries q WHERE q.account = :account AND q.bulk = :bulk"  # noqa: S608
                    f" AND q.{_UNFINISHED} AND q.state IN ('held', 'queued')"
                    " AND (q.lease_until IS NULL OR q.lease_until < :now)"
                    " AND NOT (q.state = 'held' AND q.code IS NOT NULL) ORDER BY q.due_at LIMIT 1"
                ),
                {"account": account, "bulk": bulk, "now": to_us(now)},
            ).scalar()
            if first is not None:
                times.append(max(from_us(first), stopped.get(account, from_us(first))))
    for column, state in (("due_at", "unknown"), ("lease_until", "sending")):
        look = tx.execute(
            _said(f"SELECT min({column}) FROM deliveries WHERE {_IN_DOUBT} AND state = '{state}'")  # noqa: S608
        ).scalar()
        if look is not None:
            times.append(from_us(look))
    return min(times, default=None)


# ------------------------------------------------------------------------------------------------------- begin


def begin(
    tx: Connection, delivery_ids: Sequence[int], *, owner: str, now: datetime, lease: timedelta
) -> set[int]:
    """Mark as `sending` what is still ours to send, and which that is. An undone one is not among them any more."""
    if not delivery_ids:
        return set()
    rows = _on(tx, _BEGIN, delivery_ids, owner=owner, now=to_us(now), until=to_us(now + lease))
    return {int(row.id) for row in rows}


def refuse(tx: Connection, ids: Ids, outcomes: Sequence[Outcome], owner: str) -> list[Moved]:
    """End, without a try, what was claimed and must not go out (opted out, too long, window closed)."""
    moved = []
    for outcome in outcomes:
        done = tx.execute(
            text(
                "UPDATE deliveries SET state = :state, updated_at = :now, code = :code, detail = :detail,"
                " lease_owner = NULL, lease_until = NULL"
                " WHERE id = :id AND lease_owner = :owner AND state IN ('held', 'queued')"
            ),
            {
                "id": outcome.delivery.id,
                "owner": owner,
                "state": outcome.state,
                "now": to_us(outcome.at),
                "code": outcome.code,
                "detail": outcome.detail,
            },
        )
        if done.rowcount == 1:
            moved.append(outcome)
    return noted(tx, ids, moved)


# ------------------------------------------------------------------------------------------------------- finish


def finish(
    tx: Connection, ids: Ids, outcomes: Sequence[Outcome], *, owner: str, now: datetime
) -> list[Moved]:
    """Note what became of tries. A success counts even where the lease was lost meanwhile; a failure does not."""
    if not outcomes:
        return []
    names = [name for outcome in outcomes for name in _names(outcome)]
    lock(tx, names)
    done: list[Outcome] = []
    by_state: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.state in states.WENT_OUT:
            by_state[outcome.state].append(outcome)
        elif _not_sent(tx, outcome, owner):
            done.append(outcome)
    for state, sent in sorted(by_state.items()):
        rows = _on(tx, _SENT, sorted(o.delivery.id for o in sent), state=state, now=to_us(now))
        moved = {int(row.id) for row in rows}
        done += [outcome for outcome in sent if outcome.delivery.id in moved]
    _insert_parts(tx, outcomes)
    result = noted(tx, ids, done)
    return result + take_parked(tx, ids, names, now)


def _not_sent(tx: Connection, outcome: Outcome, owner: str) -> bool:
    due_at = outcome.due_at or outcome.at
    row = tx.execute(
        _said(_NOT_SENT),
        {
            "id": outcome.delivery.id,
            "owner": owner,
            "state": outcome.state,
            "expected": outcome.expected,
            "now": to_us(outcome.at),
            "due_at": to_us(due_at),
            "code": outcome.code and outcome.code[: states.CODE_CHARS],
            "provider_code": outcome.provider_code and outcome.provider_code[: states.PROVIDER_CODE_CHARS],
            "detail": outcome.detail,
            "uncounted": 0 if outcome.counted else 1,
        },
    )
    return row.rowcount == 1


def _names(outcome: Outcome) -> list[Name]:
    account = outcome.delivery.account
    ours = name_of(account, outcome.delivery.id)
    return [ours, *(Name(account=account, external_id=e) for e in outcome.sent_ids)]


def _insert_parts(tx: Connection, outcomes: Sequence[Outcome]) -> None:
    rows = [
        (
            outcome.delivery.id,
            part,
            outcome.delivery.account,
            external_id,
            outcome.state if outcome.state in states.WENT_OUT else states.SENT,
            to_us(outcome.at),
        )
        for outcome in outcomes
        for part, external_id in enumerate(outcome.sent_ids)
    ]
    if not rows:
        return
    put(
        tx,
        "INSERT INTO delivery_parts (delivery_id, part, account, external_id, state, at)",
        ("bigint", "smallint", "text", "text", "text", "bigint"),
        rows,
        "ON CONFLICT (delivery_id, part) DO NOTHING",
    )


def noted(tx: Connection, ids: Ids, done: Sequence[Outcome]) -> list[Moved]:
    note(
        tx,
        ids,
        [
            Happened(delivery_id=o.delivery.id, state=o.state, at=o.at, code=o.code, detail=o.detail)
            for o in done
        ],
    )
    return [
        Moved(delivery_id=o.delivery.id, conversation_id=o.delivery.conversation_id, state=o.state)
        for o in done
    ]
