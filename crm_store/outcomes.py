"""What became of a try, and of what was never tried: noted in the store, each step forward once.

A delivery is claimed and begun in crm_store/outbox.py; whoever did so says here how it ended. Statements are written
by hand for both databases, as there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from crm_store import delivery_states as states
from crm_store.delivery_states import CODE_CHARS, PROVIDER_CODE_CHARS, Moved, put, put_events
from crm_store.outbox import Claimed
from crm_store.parked import Name, lock, name_of
from crm_store.receipts import take_parked
from crm_store.statements import rows, run
from hub.clock import to_us
from hub.ids import Ids

_REFUSE = """
    UPDATE deliveries SET state = :state, updated_at = :now, code = :code, detail = :detail,
           lease_owner = NULL, lease_until = NULL
    WHERE id = :id AND lease_owner = :owner AND state IN ('held', 'queued')
"""
_SENT = """
    UPDATE deliveries SET state = :state, sent_at = :now, updated_at = :now, code = NULL, provider_code = NULL,
           detail = '', lease_owner = NULL, lease_until = NULL
    WHERE id {ids} AND state IN ('sending', 'unknown', 'queued', 'held', 'failed') RETURNING id
"""
_SENT_BUT = "UPDATE deliveries SET detail = :detail WHERE id = :id"
_NOT_SENT = """
    UPDATE deliveries SET state = :state, due_at = :due_at, updated_at = :now, code = :code,
           provider_code = :provider_code, detail = :detail, attempts = attempts - :uncounted,
           lease_owner = NULL, lease_until = NULL
    WHERE id = :id AND state = :expected AND (lease_owner = :owner OR :expected = 'unknown')
"""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one try.

    state: sent, delivered, read; queued (again, at `due_at`); failed, opted_out, unknown.
    counted: False gives the try back (the provider asked for patience). expected: `unknown` when a look settled it.
    here_alone: of opted_out: they have blocked this account of ours alone.
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
    here_alone: bool = False


def refuse(tx: Connection, ids: Ids, outcomes: Sequence[Outcome], owner: str) -> list[Moved]:
    """End, without a try, what was claimed and must not go out (opted out, too long, window closed)."""
    moved = []
    for outcome in outcomes:
        done = run(
            tx,
            _REFUSE,
            id=outcome.delivery.id,
            owner=owner,
            state=outcome.state,
            now=to_us(outcome.at),
            code=outcome.code,
            detail=outcome.detail,
        )
        if done.rowcount == 1:
            moved.append(outcome)
    return _noted(tx, ids, moved)


def finish(
    tx: Connection, ids: Ids, outcomes: Sequence[Outcome], *, owner: str, now: datetime
) -> list[Moved]:
    """Note what became of tries. A success counts even where the lease was lost meanwhile; a failure does not."""
    if not outcomes:
        return []
    lock(tx, _names(outcomes))
    done: list[Outcome] = []
    by_state: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.state in states.WENT_OUT:
            by_state[outcome.state].append(outcome)
        elif _not_sent(tx, outcome, owner):
            done.append(outcome)
    for state, sent in sorted(by_state.items()):
        wanted = sorted(outcome.delivery.id for outcome in sent)
        moved = {row[0] for row in rows(tx, _SENT, ids=wanted, state=state, now=to_us(now))}
        done += [outcome for outcome in sent if outcome.delivery.id in moved]
        for outcome in sent:
            if outcome.detail and outcome.delivery.id in moved:  # rare: some of the others did not get theirs
                run(tx, _SENT_BUT, id=outcome.delivery.id, detail=outcome.detail)
    _insert_parts(tx, outcomes)
    result = _noted(tx, ids, done)
    return result + take_parked(tx, ids, _names(outcomes), now)


def _not_sent(tx: Connection, outcome: Outcome, owner: str) -> bool:
    done = run(
        tx,
        _NOT_SENT,
        id=outcome.delivery.id,
        owner=owner,
        state=outcome.state,
        expected=outcome.expected,
        now=to_us(outcome.at),
        due_at=to_us(outcome.due_at or outcome.at),
        code=outcome.code and outcome.code[:CODE_CHARS],
        provider_code=outcome.provider_code and outcome.provider_code[:PROVIDER_CODE_CHARS],
        detail=outcome.detail,
        uncounted=0 if outcome.counted else 1,
    )
    return bool(done.rowcount == 1)


def _names(outcomes: Sequence[Outcome]) -> Iterator[Name]:
    """What reports may call them, one by one: who needs none of them does not wait for them."""
    for outcome in outcomes:
        account = outcome.delivery.account
        yield name_of(account, outcome.delivery.id)
        for external_id in outcome.sent_ids:
            yield Name(account=account, external_id=external_id)


def _insert_parts(tx: Connection, outcomes: Sequence[Outcome]) -> None:
    put(
        tx,
        "INSERT INTO delivery_parts (delivery_id, part, account, external_id, state, at)",
        ("bigint", "smallint", "text", "text", "text", "bigint"),
        [
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
        ],
        "ON CONFLICT (delivery_id, part) DO NOTHING",
    )


def _noted(tx: Connection, ids: Ids, done: Sequence[Outcome]) -> list[Moved]:
    put_events(
        tx,
        [
            (event_id, o.delivery.id, o.state, o.code and o.code[:CODE_CHARS], o.detail, to_us(o.at))
            for event_id, o in zip(ids.take(len(done)), done, strict=True)
        ],
    )
    return [
        Moved(delivery_id=o.delivery.id, conversation_id=o.delivery.conversation_id, state=o.state)
        for o in done
    ]
