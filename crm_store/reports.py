"""Figures for supervisors: how quickly people were answered, how busy agents were, how much came in; and as CSV.

A period is [since, until), aware. Rows are found through their ids, which are ordered by time and never older than
what they tell of, so a report reads from its period's beginning on and nothing before.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, case, func, select, type_coerce

from crm_store.schema import assignments, conversation_events, conversations, interactions, presence_changes
from crm_store.timeline import floor_id
from hub.clock import EPOCH, to_us
from hub.config import Config

_c = conversations.c
_n = interactions.c
_DAY_US = 24 * 3600 * 1_000_000
_BACK = timedelta(days=31)  # how long before the period a status or a claim may have begun that still holds
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for the beginning of a formula


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueReport:
    """One queue over a period. `service_level`: the share, 0 to 1, of those opened within it who were answered in time;
    None where there was none to judge. Who still waits and is not late yet is not judged.

    Times in seconds; None where nobody was answered.
    """

    queue: str
    opened: int
    closed: int
    answered: int
    answered_in_time: int
    late: int
    service_level: float | None
    mean_answer_s: float | None
    longest_answer_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentReport:
    """One agent over a period. here_s: available or busy; handling_s: of that, with at least one conversation;
    occupancy: handling_s / here_s, None where they were not here."""

    agent: str
    claimed: int
    here_s: float
    handling_s: float
    occupancy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """How much was said on a day (UTC) on one of our accounts, in conversations of one queue."""

    day: date
    account: str
    queue: str
    received: int
    sent: int
    notes: int


def queues(
    tx: Connection, config: Config, since: datetime, until: datetime, now: datetime
) -> list[QueueReport]:
    """Every queue that had anything opened or closed in the period, the configured ones first."""
    answered = _figures(tx, config, since, until, now)
    ended: dict[str, int] = dict(tx.execute(_closed(since, until)).all())
    known = [*config.queues, *sorted((answered.keys() | ended.keys()) - config.queues.keys())]
    return [
        _queue_report(key, answered.get(key, {}), ended.get(key, 0))
        for key in known
        if key in answered or key in ended
    ]


def _closed(since: datetime, until: datetime) -> Any:
    e = conversation_events.c
    return (
        select(_c.queue, func.count(e.conversation_id.distinct()))
        .join(conversation_events, e.conversation_id == _c.id)
        .where(e.id >= floor_id(since), e.what == "closed", e.at >= since, e.at < until)
        .group_by(_c.queue)
    )


def _figures(
    tx: Connection, config: Config, since: datetime, until: datetime, now: datetime
) -> dict[str, dict[str, Any]]:
    opened = type_coerce(_c.opened_at, BigInteger)
    took = type_coerce(_c.first_answer_at, BigInteger) - opened
    within: ColumnElement[int] = case(
        {key: int(queue.service_within_s * 1e6) for key, queue in config.queues.items()} or {"": 0},
        value=_c.queue,
        else_=0,
    )
    overdue = _c.first_answer_at.is_(None) & (opened + within < to_us(now))
    query = (
        select(
            _c.queue,
            func.count().label("opened"),
            func.count(_c.first_answer_at).label("answered"),
            func.sum(case((took <= within, 1), else_=0)).label("in_time"),
            func.sum(case((took > within, 1), (overdue, 1), else_=0)).label("late"),
            func.sum(took).label("took"),
            func.max(took).label("longest"),
        )
        .where(_c.id >= floor_id(since), _c.opened_at >= since, _c.opened_at < until)
        .group_by(_c.queue)
    )
    return {row["queue"]: dict(row) for row in tx.execute(query).mappings()}


def _queue_report(key: str, row: Mapping[str, Any], closed: int) -> QueueReport:
    answered = int(row.get("answered") or 0)
    in_time, late = int(row.get("in_time") or 0), int(row.get("late") or 0)
    return QueueReport(
        queue=key,
        opened=int(row.get("opened") or 0),
        closed=closed,
        answered=answered,
        answered_in_time=in_time,
        late=late,
        service_level=in_time / (in_time + late) if in_time + late else None,
        mean_answer_s=float(row["took"]) / answered / 1e6 if answered else None,
        longest_answer_s=float(row["longest"]) / 1e6 if answered else None,
    )


def volumes(tx: Connection, since: datetime, until: datetime) -> list[Volume]:
    """What was said, for each day (UTC), account and queue. The queue is the one the conversation is in now."""
    day = func.floor(type_coerce(_n.received_at, BigInteger) / _DAY_US).label("day")
    if tx.dialect.name == "sqlite":  # its division of integers rounds down by itself
        day = (type_coerce(_n.received_at, BigInteger).op("/")(_DAY_US)).label("day")
    counts = [func.sum(case((_n.direction == direction, 1), else_=0)) for direction in ("in", "out", "note")]
    query = (
        select(day, _n.account, _c.queue, *counts)
        .join(conversations, _c.id == _n.conversation_id)
        .where(_n.id >= floor_id(since), _n.received_at >= since, _n.received_at < until)
        .group_by(day, _n.account, _c.queue)
        .order_by(day, _n.account, _c.queue)
    )
    return [
        Volume(
            day=(EPOCH + timedelta(days=int(number))).date(),
            account=account,
            queue=queue,
            received=int(received),
            sent=int(out),
            notes=int(notes),
        )
        for number, account, queue, received, out, notes in tx.execute(query)
    ]


# ------------------------------------------------------------------------------------------------------- occupancy

Span = tuple[datetime, datetime]


def agents(
    tx: Connection, config: Config, since: datetime, until: datetime, now: datetime
) -> list[AgentReport]:
    """Every configured agent. Time that has not come yet counts for nobody."""
    until = min(until, now)
    here = _here(tx, since, until)
    claimed, handled = _handled(tx, since, until)
    reports = []
    for key in config.agents:
        present = here.get(key, [])
        busy = _both(present, _joined(handled.get(key, [])))
        here_s, handling_s = _seconds(present), _seconds(busy)
        reports.append(
            AgentReport(
                agent=key,
                claimed=claimed.get(key, 0),
                here_s=here_s,
                handling_s=handling_s,
                occupancy=handling_s / here_s if here_s else None,
            )
        )
    return reports


def _here(tx: Connection, since: datetime, until: datetime) -> dict[str, list[Span]]:
    """When each agent was available or busy, within the period."""
    h = presence_changes.c
    query = (
        select(presence_changes)
        .where(h.id >= floor_id(since - _BACK), h.at < until)
        .order_by(h.agent, h.at, h.id)
    )
    changes: dict[str, list[tuple[datetime, bool]]] = {}
    for row in tx.execute(query):
        turns = changes.setdefault(row.agent, [])
        while turns and turns[-1][0] > row.at:
            turns.pop()  # the status was changed before the time came until which it was to hold
        turns.append((row.at, row.status in ("available", "busy")))
        if row.until is not None:
            turns.append((row.until, row.status in ("busy", "away")))  # as crm_store/presence.py has it
    return {
        agent: _clipped(
            [
                (at, turns[n + 1][0] if n + 1 < len(turns) else until)
                for n, (at, here) in enumerate(turns)
                if here
            ],
            since,
            until,
        )
        for agent, turns in changes.items()
    }


def _handled(
    tx: Connection, since: datetime, until: datetime
) -> tuple[dict[str, int], dict[str, list[Span]]]:
    """How many conversations each agent took in the period, and when they had any."""
    a = assignments.c
    query = select(a.agent, a.at, a.ended_at).where(
        a.id >= floor_id(since - _BACK),
        a.kind == "claim",
        a.at < until,
        a.ended_at.is_(None) | (a.ended_at > since),
    )
    claimed: dict[str, int] = {}
    spans: dict[str, list[Span]] = {}
    for agent, at, ended_at in tx.execute(query):
        claimed[agent] = claimed.get(agent, 0) + (at >= since)
        spans.setdefault(agent, []).append((at, ended_at or until))
    return claimed, {agent: _clipped(some, since, until) for agent, some in spans.items()}


def _clipped(spans: Iterable[Span], since: datetime, until: datetime) -> list[Span]:
    cut = ((max(start, since), min(end, until)) for start, end in spans)
    return [(start, end) for start, end in cut if start < end]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same time without overlaps, in order."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return out


def _both(one: Sequence[Span], other: Sequence[Span]) -> list[Span]:
    return [(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) < min(b, d)]


def _seconds(spans: Iterable[Span]) -> float:
    return sum((end - start).total_seconds() for start, end in spans)


# ------------------------------------------------------------------------------------------------------------- CSV


def to_csv(rows: Sequence[Any], columns: Mapping[str, Callable[[Any], Any]] | None = None) -> str:
    """Dataclasses (or anything, with `columns`: heading -> value of a row) as CSV (RFC 4180) with a heading line.

    A text that a spreadsheet would take for a formula is given an apostrophe in front (OWASP, CSV Injection); numbers
    stay numbers, negative ones too. An empty list without `columns` is an empty text.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    if columns is None:
        if not rows:
            return ""
        writer.writerow([field.name for field in fields(rows[0])])
        writer.writerows([_cell(value) for value in astuple(row)] for row in rows)
    else:
        writer.writerow([_cell(heading) for heading in columns])
        writer.writerows([_cell(value(row)) for value in columns.values()] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, int):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    text = str(value).replace("\x00", "")
    return f"'{text}" if text.startswith(_FORMULA) else text
