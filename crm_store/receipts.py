"""What providers report of our messages: set-wise, only ever forward, in any order, before or after our own commit.

A report of a message that we do not know (yet) is parked (crm_store/parked.py); the transaction that commits a send's
ids takes out what was parked for them. What reports make of one delivery is decided in crm_store/reported.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from crm_store import configs, consents, parked, pauses, threads
from crm_store import delivery_states as states
from crm_store.delivery_states import Happened, Moved, note
from crm_store.parked import Name, chunks, name_of
from crm_store.reported import Delivery
from crm_store.schema import (
    conversations,
    deliveries,
    delivery_events,
    delivery_parts,
    identities,
    parked_reports,
)
from crm_store.traces import log, touch
from hub import urn as urns
from hub.ids import Ids
from hub.model import ConsentChanged, DeliveryReported, DeliveryStatus

TROUBLES = ("dead", "full")  # codes of a failure that say something of the address
_PARTS_AT_MOST = 100  # of one try; no channel splits a message into as many


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
    parked.lock(tx, [name for report in reports for name in parked.names(report)])
    found = _by_external_id(tx, [r for r in reports if r.external_id])
    wanted = set(found.values()) | {r.delivery_id for r in reports if r.delivery_id is not None}
    known = _lock_deliveries(tx, wanted)
    if any(report.recipient for report in reports):
        _tell_others(tx, known.values())
    early = []
    for report in reports:
        by_id = found.get((report.account, report.external_id or ""))
        delivery = known.get(by_id if by_id is not None else report.delivery_id or 0)
        if delivery is None or delivery.account != report.account or not delivery.hears(report):
            early.append(report)
    parked.put(tx, ids, early)
    return _write(tx, ids, list(known.values()), now)


def take_parked(tx: Connection, ids: Ids, names: Iterable[Name], now: datetime) -> list[Moved]:
    """Apply what was parked under these names; the caller holds their locks and has written the parts."""
    return apply_reports(tx, ids, parked.take(tx, names), now)


def take_late(tx: Connection, ids: Ids, now: datetime, limit: int = 500) -> list[Moved]:
    """The sweeper's look: reports that are parked although what they speak of is there."""
    p, parts, d = parked_reports.c, delivery_parts.c, deliveries.c
    by_part = select(p.account, p.external_id).join(
        delivery_parts, (parts.account == p.account) & (parts.external_id == p.external_id)
    )
    names = {Name(account=a, external_id=e) for a, e in tx.execute(by_part.limit(limit))}
    ours = select(p.account, p.external_id).where(p.external_id.like("#%")).order_by(p.id).limit(limit)
    by_id = {int(e[1:]): a for a, e in tx.execute(ours) if e[1:].isdecimal()}
    for chunk in chunks(sorted(by_id)):
        heard = select(d.id).where(
            d.id.in_(chunk), d.state.not_in((states.SENDING, states.CANCELLED)), d.attempts > 0
        )
        names |= {name_of(by_id[delivery_id], delivery_id) for delivery_id in tx.execute(heard).scalars()}
    if not names:
        return []
    parked.lock(tx, names)
    return take_parked(tx, ids, sorted(names, key=lambda n: (n.account, n.external_id)), now)


def _by_external_id(tx: Connection, reports: Sequence[DeliveryReported]) -> dict[tuple[str, str], int]:
    """(account, external id) -> delivery, for the parts that are known."""
    by_account: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        by_account[report.account].add(report.external_id or "")
    c = delivery_parts.c
    found: dict[tuple[str, str], int] = {}
    for account, external_ids in sorted(by_account.items()):
        for chunk in chunks(sorted(external_ids)):
            rows = tx.execute(
                select(c.external_id, c.delivery_id).where(c.account == account, c.external_id.in_(chunk))
            )
            found |= {(account, external_id): delivery_id for external_id, delivery_id in rows}
    return found


def _lock_deliveries(tx: Connection, wanted: set[int]) -> dict[int, Delivery]:
    """The deliveries with their parts, as they are once nobody else can change them."""
    d, p = deliveries.c, delivery_parts.c
    found: dict[int, Delivery] = {}
    for chunk in chunks(sorted(wanted)):
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
            found[row.id] = Delivery(
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


def _tell_others(tx: Connection, known: Iterable[Delivery]) -> None:
    """Only who takes part may have had a copy: any other recipient that a bounce names is where the address led to."""
    people = threads.people(tx, sorted({delivery.conversation_id for delivery in known}))
    for delivery in known:
        delivery.others = frozenset(people.get(delivery.conversation_id, ()))


def _write(tx: Connection, ids: Ids, changed: Sequence[Delivery], now: datetime) -> list[Moved]:
    moved, history = [], []
    _addresses(tx, ids, changed, now)
    _write_parts(tx, [delivery for delivery in changed if delivery.told is not None], now)
    for delivery in changed:
        told = delivery.told
        if told is None:
            continue
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
    for happened in history:
        if happened.code == states.TRIED_AGAIN:
            set_parts_aside(tx, happened.delivery_id)
    note(tx, ids, history)
    return moved


def _write_parts(tx: Connection, heard: Sequence[Delivery], now: datetime) -> None:
    """All parts anew, of those that something was said of."""
    c = delivery_parts.c
    part_rows = [
        {
            "delivery_id": delivery.id,
            "part": number,
            "account": delivery.account,
            "external_id": external_id,
            "state": state,
            "at": now,
        }
        for delivery in heard
        for number, (external_id, state) in delivery.parts.items()
    ]
    if not part_rows:
        return
    for chunk in chunks(sorted({delivery.id for delivery in heard if delivery.parts})):
        tx.execute(delete(delivery_parts).where(c.delivery_id.in_(chunk), c.part >= 0))
    for delivery in heard:
        if delivery.mistaken is not None:
            mine = (c.delivery_id == delivery.id, c.part == delivery.mistaken)
            tx.execute(delete(delivery_parts).where(*mine))
    tx.execute(insert(delivery_parts), part_rows)


def _moved(delivery: Delivery, state: str) -> Moved:
    return Moved(delivery_id=delivery.id, conversation_id=delivery.conversation_id, state=state)


def _times(tx: Connection, delivery_id: int) -> int:
    """How often it has gone out anew since reports said that it did not arrive."""
    e = delivery_events.c
    query = select(func.count()).where(e.delivery_id == delivery_id, e.code == states.TRIED_AGAIN)
    return int(tx.execute(query).scalar_one())


def _once_more(
    tx: Connection, delivery: Delivery, told: DeliveryReported, at: datetime, now: datetime
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


def _rest(tx: Connection, delivery: Delivery, told: DeliveryReported, now: datetime) -> None:
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


def _addresses(tx: Connection, ids: Ids, changed: Sequence[Delivery], now: datetime) -> None:
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


def _opted_out(tx: Connection, ids: Ids, delivery: Delivery, told: DeliveryReported, now: datetime) -> None:
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
