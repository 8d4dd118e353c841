"""What providers report of our messages: set-wise, only ever forward, in any order, before or after our own commit.

A report of a message that we do not know (yet) is parked in `parked_reports`; the transaction that commits a send's
ids takes out what was parked for them. Neither may miss the other, so on PostgreSQL both first lock the names of
the messages they speak of (advisory locks, in order); on SQLite there is one writer at a time.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, tuple_, update

from crm_store import configs, consents, pauses, threads
from crm_store import delivery_states as states
from crm_store.delivery_states import Happened, Moved, note
from crm_store.schema import (
    conversations,
    deliveries,
    delivery_events,
    delivery_parts,
    identities,
    parked_reports,
)
from crm_store.statements import run
from crm_store.traces import log, touch
from hub import urn as urns
from hub.clock import from_us, to_us
from hub.ids import Ids
from hub.model import ConsentChanged, DeliveryReported, DeliveryStatus

TROUBLES = ("dead", "full")  # codes of a failure that say something of the address
KIND = "report"  # the table also holds edits and reactions that came too early
_LOCK_CLASS = 0x6D73  # advisory locks of ours: "ms"
_LOCKS = 512  # names share so many locks; PostgreSQL has room for some thousands in all transactions together
_ANY_PARKED = "SELECT id FROM parked_reports LIMIT 1"
_CHUNK = 400  # names in one IN (...)
_PARTS_AT_MOST = 100  # of one try; no channel splits a message into as many
_ARRIVED = {states.DELIVERED, states.READ}


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


def apply_reports(
    tx: Connection, ids: Ids, reports: Sequence[DeliveryReported], now: datetime
) -> list[Moved]:
    """Move deliveries on as providers report, or park what is not known (yet). Twice is as once.

    A delivery is delivered when all its parts are, and failed when one is. One that is `unknown`, waits to be tried
    again, or was given up without any id of the provider's, went out after all if the provider reports on it by our id.

    What certainly did not arrive, and may another time (`DeliveryReported.again`), is queued once more: only where all
    of it was one part of which nobody ever said that it arrived, and not after MAX_AGE.
    """
    if not reports:
        return []
    lock(tx, [name for report in reports for name in _names(report)])
    found = _by_external_id(tx, [r for r in reports if r.external_id])
    wanted = set(found.values()) | {r.delivery_id for r in reports if r.delivery_id is not None}
    known = _lock_deliveries(tx, wanted)
    if any(report.recipient for report in reports):
        _tell_others(tx, known.values())
    parked = []
    for report in reports:
        by_id = found.get((report.account, report.external_id or ""))
        delivery = known.get(by_id if by_id is not None else report.delivery_id or 0)
        if delivery is None or delivery.account != report.account or not delivery.hears(report):
            parked.append(report)
    _park(tx, ids, parked)
    return _write(tx, ids, known.values(), now)


def take_parked(tx: Connection, ids: Ids, names: Iterable[Name], now: datetime) -> list[Moved]:
    """Apply what was parked under these names; the caller holds their locks and has written the parts."""
    if run(tx, _ANY_PARKED).first() is None:  # nearly always
        return []
    rows = _parked(tx, list(names))
    if not rows:
        return []
    tx.execute(delete(parked_reports).where(parked_reports.c.id.in_([row.id for row in rows])))
    return apply_reports(tx, ids, [_decode(row) for row in rows], now)


def take_late(tx: Connection, ids: Ids, now: datetime, limit: int = 500) -> list[Moved]:
    """The sweeper's look: reports that are parked although what they speak of is there."""
    p, parts, d = parked_reports.c, delivery_parts.c, deliveries.c
    by_part = select(p.account, p.external_id).join(
        delivery_parts, (parts.account == p.account) & (parts.external_id == p.external_id)
    )
    names = {Name(account=a, external_id=e) for a, e in tx.execute(by_part.limit(limit))}
    ours = select(p.account, p.external_id).where(p.external_id.like("#%")).order_by(p.id).limit(limit)
    by_id = {int(e[1:]): a for a, e in tx.execute(ours) if e[1:].isdecimal()}
    for chunk in _chunks(sorted(by_id)):
        heard = select(d.id).where(
            d.id.in_(chunk), d.state.not_in((states.SENDING, states.CANCELLED)), d.attempts > 0
        )
        names |= {name_of(by_id[delivery_id], delivery_id) for delivery_id in tx.execute(heard).scalars()}
    if not names:
        return []
    lock(tx, names)
    return take_parked(tx, ids, sorted(names, key=lambda n: (n.account, n.external_id)), now)


def forget_parked(tx: Connection, before: datetime) -> int:
    """Drop what was parked before `before`, of whatever kind; how many."""
    return tx.execute(delete(parked_reports).where(parked_reports.c.at < before)).rowcount


# ------------------------------------------------------------------------------------------ a delivery in memory


@dataclass(slots=True)
class _Delivery:
    """A locked delivery and its parts, on which reports are played before anything is written."""

    id: int
    conversation_id: int
    account: str
    to_urn: str
    state: str
    attempts: int
    parts: dict[int, tuple[str, str]]  # number -> (external id, state)
    had_parts: bool
    given_up: dict[str, int]  # external ids of tries that were repeated, and their parts' numbers
    tries_from: datetime
    others: frozenset[str] = frozenset()  # who may have had a copy
    told: DeliveryReported | None = None
    proven: bool = False  # our own id came back in a report: it went out
    arrived: bool = False  # some of it did, by whatever report
    mistaken: int | None = None  # the number of a part that was given up, and has arrived after all
    delays: list[DeliveryReported] = field(default_factory=list)  # it is still on its way
    copies: list[DeliveryReported] = field(default_factory=list)  # about somebody who was to have a copy

    def hears(self, report: DeliveryReported) -> bool:
        """Play one report. False: it must wait until the send that it speaks of has been committed."""
        if report.recipient != self.to_urn and report.recipient in self.others:
            if self.state != states.SENDING:
                self.copies.append(report)
            return self.state != states.SENDING
        numbers = [
            n for n, (external_id, _) in self.parts.items() if external_id == (report.external_id or None)
        ]
        if not numbers:
            if report.external_id in self.given_up and self.state != states.SENDING:
                self._recall(report)
                return True
            if not self._may_have_gone():
                return False
            self.proven = True
            numbers = list(self.parts) if report.external_id is None else []
            if not numbers:
                number = max(self.parts, default=-1) + 1
                self.parts[number] = (report.external_id or "", states.SENT)
                numbers = [number]
        for number in numbers:
            external_id, state = self.parts[number]
            self.arrived = self.arrived or {state, report.status.value} & _ARRIVED != set()
            self.parts[number] = (external_id, states.forward(state, report.status.value))
        if report.status is DeliveryStatus.SENT and report.detail:
            self.delays.append(report)
        if self.told is None or states.RANK[report.status.value] >= states.RANK[self.told.status.value]:
            self.told = report
        return True

    def _recall(self, report: DeliveryReported) -> None:
        """It waits to be sent anew, and what was given up has arrived after all: then it is that one that counts."""
        if report.status.value in _ARRIVED and self.state == states.QUEUED and not self.parts:
            name = report.external_id or ""
            self.mistaken = self.given_up.pop(name)
            self.parts = {0: (name, report.status.value)}
            self.told, self.arrived, self.proven = report, True, True

    def again_at(self, now: datetime, done: int) -> datetime | None:
        """When it goes out anew, after `done` times already; None: not at all, so it has failed."""
        told = self.told
        if told is None or told.status is not DeliveryStatus.FAILED or done >= told.again:
            return None
        if self.state != states.SENT or self.arrived or len(self.parts) != 1:
            return None
        at = now + timedelta(seconds=told.again_s * 4**done)
        return at if at - self.tries_from <= states.MAX_AGE else None

    def _may_have_gone(self) -> bool:
        if self.state in (states.SENDING, states.CANCELLED):
            return False
        return self.state not in (states.HELD, states.QUEUED) or self.attempts > 0

    def becomes(self) -> str:
        """The state after all reports."""
        if not self.parts or self.told is None:
            return self.state
        now = states.whole([state for _, state in self.parts.values()])
        if self.state in states.WENT_OUT:
            return states.forward(self.state, now)
        if self.proven and not (self.state in (states.FAILED, states.OPTED_OUT) and self.had_parts):
            return now
        return self.state


def _names(report: DeliveryReported) -> list[Name]:
    names = []
    if report.external_id:
        names.append(Name(account=report.account, external_id=report.external_id))
    if report.delivery_id is not None:
        names.append(name_of(report.account, report.delivery_id))
    return names


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))


def _by_external_id(tx: Connection, reports: Sequence[DeliveryReported]) -> dict[tuple[str, str], int]:
    """(account, external id) -> delivery, for the parts that are known."""
    by_account: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        by_account[report.account].add(report.external_id or "")
    c = delivery_parts.c
    found: dict[tuple[str, str], int] = {}
    for account, external_ids in sorted(by_account.items()):
        for chunk in _chunks(sorted(external_ids)):
            rows = tx.execute(
                select(c.external_id, c.delivery_id).where(c.account == account, c.external_id.in_(chunk))
            )
            found |= {(account, external_id): delivery_id for external_id, delivery_id in rows}
    return found


def _lock_deliveries(tx: Connection, wanted: set[int]) -> dict[int, _Delivery]:
    """The deliveries with their parts, as they are once nobody else can change them."""
    d, p = deliveries.c, delivery_parts.c
    found: dict[int, _Delivery] = {}
    for chunk in _chunks(sorted(wanted)):
        rows = tx.execute(
            select(
                d.id, d.conversation_id, d.account, d.to_urn, d.state, d.attempts, d.tries_from, d.created_at
            )
            .where(d.id.in_(chunk))
            .order_by(d.id)
            .with_for_update()
        ).all()
        parts: dict[int, dict[int, tuple[str, str]]] = defaultdict(dict)
        for delivery_id, part, external_id, state in tx.execute(
            select(p.delivery_id, p.part, p.external_id, p.state).where(p.delivery_id.in_(chunk))
        ):
            parts[delivery_id][part] = (external_id, state)
        for row in rows:
            mine = {number: part for number, part in parts[row.id].items() if number >= 0}
            given_up = {name: number for number, (name, _) in parts[row.id].items() if number < 0}
            found[row.id] = _Delivery(
                row.id,
                row.conversation_id,
                row.account,
                row.to_urn,
                row.state,
                row.attempts,
                mine,
                bool(mine),
                given_up,
                row.tries_from or row.created_at,
            )
    return found


def _tell_others(tx: Connection, known: Iterable[_Delivery]) -> None:
    """Only who takes part may have had a copy: any other recipient that a bounce names is where the address led to."""
    people = threads.people(tx, sorted({delivery.conversation_id for delivery in known}))
    for delivery in known:
        delivery.others = frozenset(people.get(delivery.conversation_id, ()))


def _write(tx: Connection, ids: Ids, changed: Iterable[_Delivery], now: datetime) -> list[Moved]:
    moved, history = [], []
    part_rows: list[dict[str, Any]] = []
    changed = list(changed)
    _addresses(tx, ids, changed, now)
    for delivery in changed:
        told = delivery.told
        if told is None:
            continue
        part_rows += [
            {
                "delivery_id": delivery.id,
                "part": number,
                "account": delivery.account,
                "external_id": external_id,
                "state": state,
                "at": now,
            }
            for number, (external_id, state) in delivery.parts.items()
        ]
        state = delivery.becomes()
        if state == states.FAILED != delivery.state:
            _rest(tx, delivery, told, now)
            again_at = delivery.again_at(now, _times(tx, delivery.id) if told.again else 0)
            if again_at is not None:
                history.append(_once_more(tx, delivery, told, again_at, now))
                moved.append(_moved(delivery, states.QUEUED))
                continue
        if state == delivery.state:
            history += [
                Happened(delivery_id=delivery.id, state=state, at=now, detail=report.detail)
                for report in delivery.delays
            ]
            continue
        bad = state in (states.FAILED, states.OPTED_OUT)
        values: dict[str, Any] = {"state": state, "updated_at": now, "lease_owner": None, "lease_until": None}
        if delivery.state not in states.WENT_OUT:
            values["sent_at"] = told.reported_at or now
        values["code"] = ("opted_out" if state == states.OPTED_OUT else "rejected") if bad else None
        values["provider_code"] = (told.code or "")[: states.PROVIDER_CODE_CHARS] or None
        values["detail"] = told.detail
        tx.execute(update(deliveries).where(deliveries.c.id == delivery.id).values(values))
        moved.append(_moved(delivery, state))
        history.append(
            Happened(
                delivery_id=delivery.id, state=state, at=now, code=values["code"], detail=told.detail or ""
            )
        )
    if part_rows:
        c = delivery_parts.c
        touched = sorted({row["delivery_id"] for row in part_rows})
        for chunk in _chunks(touched):
            tx.execute(delete(delivery_parts).where(c.delivery_id.in_(chunk), c.part >= 0))
        for delivery in changed:
            if delivery.mistaken is not None:
                mine = (c.delivery_id == delivery.id, c.part == delivery.mistaken)
                tx.execute(delete(delivery_parts).where(*mine))
        tx.execute(insert(delivery_parts), part_rows)
        for happened in history:
            if happened.code == states.TRIED_AGAIN:
                set_parts_aside(tx, happened.delivery_id)
    note(tx, ids, history)
    return moved


def _moved(delivery: _Delivery, state: str) -> Moved:
    return Moved(delivery_id=delivery.id, conversation_id=delivery.conversation_id, state=state)


def _times(tx: Connection, delivery_id: int) -> int:
    """How often it has gone out anew since reports said that it did not arrive."""
    e = delivery_events.c
    query = select(func.count()).where(e.delivery_id == delivery_id, e.code == states.TRIED_AGAIN)
    return int(tx.execute(query).scalar_one())


def _once_more(
    tx: Connection, delivery: _Delivery, told: DeliveryReported, at: datetime, now: datetime
) -> Happened:
    detail = f"{told.detail}; tried again at {at:%H:%M} UTC"
    values: dict[str, Any] = {
        "state": states.QUEUED,
        "code": states.TRIED_AGAIN,
        "provider_code": (told.code or "")[: states.PROVIDER_CODE_CHARS] or None,
        "detail": detail,
        "due_at": at,
        "updated_at": now,
        "lease_owner": None,
        "lease_until": None,
    }
    tx.execute(update(deliveries).where(deliveries.c.id == delivery.id).values(values))
    return Happened(
        delivery_id=delivery.id, state=states.QUEUED, at=now, code=states.TRIED_AGAIN, detail=detail
    )


def _rest(tx: Connection, delivery: _Delivery, told: DeliveryReported, now: datetime) -> None:
    """What failed by the account's trouble would fail for everybody: it rests, as after a send that was refused so. A
    report that comes late says nothing of now."""
    until = told.received_at + timedelta(seconds=told.rest_s)
    if told.rest_s and until > now:
        pauses.pause(tx, delivery.account, until, told.detail, now)


def set_parts_aside(tx: Connection, delivery_id: int) -> None:
    """Parts of tries that were given up get numbers below 0: what is still said of them is not said of the new one."""
    c = delivery_parts.c
    lowest = tx.execute(select(func.min(c.part)).where(c.delivery_id == delivery_id)).scalar() or 0
    shift = _PARTS_AT_MOST - min(lowest, 0)
    tx.execute(
        update(delivery_parts).where(c.delivery_id == delivery_id, c.part >= 0).values(part=c.part - shift)
    )


def _addresses(tx: Connection, ids: Ids, changed: Sequence[_Delivery], now: datetime) -> None:
    """What failures say of the addresses themselves; and copies that did not arrive, which fail no delivery."""
    marks: dict[tuple[int, str], str] = {}
    for delivery in changed:
        told = delivery.told
        if told is not None and told.status is DeliveryStatus.OPTED_OUT:
            if not told.here_alone:
                marks[delivery.conversation_id, delivery.to_urn] = "blocked"
            _opted_out(tx, ids, delivery, told, now)
        if told is not None and told.status is DeliveryStatus.FAILED and told.code in TROUBLES:
            marks[delivery.conversation_id, delivery.to_urn] = told.code
        for report in delivery.copies:
            if report.status is DeliveryStatus.FAILED:
                if report.code in TROUBLES:
                    marks[delivery.conversation_id, report.recipient or ""] = report.code
                data = {"to": urns.display(report.recipient or ""), "delivery": delivery.id}
                log(tx, ids, delivery.conversation_id, "copy_failed", "system", now, report.detail, data)
                touch(tx, [delivery.conversation_id])
    c = conversations.c
    for (conversation_id, urn), trouble in sorted(marks.items()):
        mark(tx, select(c.brand_id).where(c.id == conversation_id).scalar_subquery(), urn, trouble)


def _opted_out(tx: Connection, ids: Ids, delivery: _Delivery, told: DeliveryReported, now: datetime) -> None:
    """The provider says that the recipient has stopped us: as good as their own word, and kept like it. Who has blocked
    this account alone has said nothing of the others."""
    c = conversations.c
    brand: str = tx.execute(select(c.brand_id).where(c.id == delivery.conversation_id)).scalar_one()
    said = ConsentChanged(
        account=delivery.account,
        event_key=told.event_key,
        received_at=told.received_at,
        urn=delivery.to_urn,
        granted=False,
        scope=consents.here(delivery.account) if told.here_alone else "all",
        wording=told.detail,
    )
    everywhere = configs.honours_everywhere(tx)
    consents.apply(tx, ids, [said], lambda _account: brand, "system", now, everywhere)


def mark(tx: Connection, brand: Any, urn: str, trouble: str) -> None:
    """Note on the address, whoever says that it is theirs, why nothing reaches it."""
    i = identities.c
    wanted = i.urn.in_((urn, urns.unproved(urn)))
    tx.execute(update(identities).where(i.brand_id == brand, wanted).values(trouble=trouble))


# ------------------------------------------------------------------------------------------------------ parking


def _park(tx: Connection, ids: Ids, reports: Sequence[DeliveryReported]) -> None:
    if not reports:
        return
    tx.execute(
        insert(parked_reports),
        [
            {
                "id": row_id,
                "account": report.account,
                "external_id": name.external_id,
                "event": _encode(report),
                "at": report.received_at,
            }
            for row_id, report in zip(ids.take(len(reports)), reports, strict=True)
            for name in _names(report)[-1:]
        ],
    )


def _parked(tx: Connection, names: Sequence[Name]) -> list[Any]:
    p = parked_reports.c
    rows: list[Any] = []
    for chunk in _chunks(names):
        rows += tx.execute(
            select(p.id, p.account, p.external_id, p.event)
            .where(tuple_(p.account, p.external_id).in_([(n.account, n.external_id) for n in chunk]))
            .order_by(p.id)
        ).all()
    return [row for row in rows if json.loads(row.event).get("kind") == KIND]


def _encode(report: DeliveryReported) -> str:
    return json.dumps(
        {
            "kind": KIND,
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


def _decode(row: Any) -> DeliveryReported:
    kept = json.loads(row.event)
    report = DeliveryReported(
        account=row.account,
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
    )
    return (
        report if kept["reported_at"] is None else replace(report, reported_at=from_us(kept["reported_at"]))
    )
