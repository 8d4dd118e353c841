"""Reports of messages that we do not know (yet), kept until the transaction that commits a send's ids takes them out.

Neither may miss the other, so on PostgreSQL both first lock the names of the messages they speak of (advisory locks, in
order); on SQLite there is one writer at a time.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, insert, select, text, tuple_

from crm_store.schema import parked_reports
from crm_store.statements import run
from hub import log
from hub.clock import from_us, to_us
from hub.ids import Ids
from hub.model import DeliveryReported, DeliveryStatus

T = TypeVar("T")

_log = log.get("reports")

_KIND = "report"  # the table also holds edits and reactions that came too early
_LOCK_CLASS = 0x6D73  # advisory locks of ours: "ms"
_LOCKS = 512  # names share so many locks; PostgreSQL has room for some thousands in all transactions together
_ANY = "SELECT id FROM parked_reports LIMIT 1"
_CHUNK = 400  # names in one IN (...)


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """What a provider, or we ourselves (`#delivery id`), call a message of ours on an account."""

    account: str
    external_id: str


def name_of(account: str, delivery_id: int) -> Name:
    """Our own name for a delivery: reports that carry our id are parked under it."""
    return Name(account=account, external_id=f"#{delivery_id}")


def lock(tx: Connection, names: Iterable[Name]) -> None:
    """Wait until no other transaction is reporting on, or committing the ids of, any of these; held to the commit."""
    if tx.dialect.name != "postgresql":
        return
    keys = sorted({zlib.crc32(f"{n.account}\n{n.external_id}".encode()) % _LOCKS for n in names})
    if keys:
        tx.execute(
            text(
                "SELECT pg_advisory_xact_lock(:class, key) FROM unnest(CAST(:keys AS integer[])) AS t (key)"
            ),
            {"class": _LOCK_CLASS, "keys": keys},
        )


def names(report: DeliveryReported) -> list[Name]:
    """What it may be parked under; the last is the surest."""
    found = []
    if report.external_id:
        found.append(Name(account=report.account, external_id=report.external_id))
    if report.delivery_id is not None:
        found.append(name_of(report.account, report.delivery_id))
    return found


def put(tx: Connection, ids: Ids, reports: Sequence[DeliveryReported]) -> None:
    """Keep reports of what is not known (yet), each under the surest name that it gives; one without is of no use."""
    rows = [
        {
            "id": row_id,
            "account": report.account,
            "external_id": name.external_id,
            "event": _encode(report),
            "at": report.received_at,
        }
        for row_id, report in zip(ids.take(len(reports)), reports, strict=True)
        for name in names(report)[-1:]
    ]
    if rows:
        tx.execute(insert(parked_reports), rows)


def take(tx: Connection, wanted: Iterable[Name]) -> list[DeliveryReported]:
    """What was parked under these names, which the caller has locked; it is parked no more."""
    if run(tx, _ANY).first() is None:  # nearly always
        return []
    p = parked_reports.c
    rows: list[Any] = []
    for chunk in chunks(list(wanted)):
        rows += tx.execute(
            select(p.id, p.account, p.external_id, p.event)
            .where(tuple_(p.account, p.external_id).in_([(n.account, n.external_id) for n in chunk]))
            .order_by(p.id)
        ).all()
    found = {row.id: report for row in rows if (report := _read(row)) is not None}
    if found:
        tx.execute(delete(parked_reports).where(p.id.in_(list(found))))
    return list(found.values())


def forget(tx: Connection, before: datetime) -> int:
    """Drop what was parked before `before`, of whatever kind; how many."""
    return tx.execute(delete(parked_reports).where(parked_reports.c.at < before)).rowcount


def chunks(values: Sequence[T]) -> Iterable[Sequence[T]]:
    """Few enough for one IN (...)."""
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))


def _encode(report: DeliveryReported) -> str:
    return json.dumps(
        {
            "kind": _KIND,
            "event_key": report.event_key,
            "received_at": to_us(report.received_at),
            "status": report.status.value,
            "external_id": report.external_id,
            "delivery_id": report.delivery_id,
            "code": report.code,
            "detail": report.detail,
            "recipient": report.recipient,
            "again": report.again,
            "again_s": report.again_s,
            "rest_s": report.rest_s,
            "here_alone": report.here_alone,
            "reported_at": None if report.reported_at is None else to_us(report.reported_at),
        }
    )


def _read(row: Any) -> DeliveryReported | None:
    """None for another kind's; and for what cannot be read, which stays where it is and holds no sending up."""
    try:
        kept = json.loads(row.event)
        return _decode(row.account, kept) if kept.get("kind") == _KIND else None
    except (ValueError, LookupError, TypeError, AttributeError):
        _log.exception("a parked report cannot be read", id=row.id, account=row.account)
        return None


def _decode(account: str, kept: Any) -> DeliveryReported:
    return DeliveryReported(
        account=account,
        event_key=kept["event_key"],
        received_at=from_us(kept["received_at"]),
        status=DeliveryStatus(kept["status"]),
        external_id=kept["external_id"],
        delivery_id=kept["delivery_id"],
        code=kept["code"],
        detail=kept["detail"],
        recipient=kept.get("recipient"),
        again=kept.get("again", 0),
        again_s=kept.get("again_s", 60.0),
        rest_s=kept.get("rest_s", 0.0),
        here_alone=kept.get("here_alone", False),
        reported_at=None if kept["reported_at"] is None else from_us(kept["reported_at"]),
    )
