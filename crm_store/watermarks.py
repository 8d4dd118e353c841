"""Reports that name no message: "all that went to them until then" (`DeliveryReported.until`), one for each message.

Only what is committed as sent is found. A watermark that overtakes the commit of the send it speaks of finds nothing to
move; the next one, which speaks of that message too, does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta

from msgspec import structs
from sqlalchemy import Connection

from crm_store.statements import rows
from hub.clock import to_us
from hub.model import DeliveryReported, DeliveryStatus

# The provider stamps a message while our request is on its way; what we keep is when its answer was committed.
SLACK = timedelta(seconds=5)
_NEWEST = 500  # of an address's words and ours to it; what is older was never going to be reported
_BEFORE = {DeliveryStatus.DELIVERED: ("sent",), DeliveryStatus.READ: ("sent", "delivered")}
_PARTS = """
    SELECT p.external_id FROM (
        SELECT id FROM interactions
        WHERE identity_id = (SELECT id FROM identities WHERE brand_id = :brand AND urn = :urn)
        ORDER BY id DESC LIMIT :newest) n
    JOIN deliveries d ON d.interaction_id = n.id
    JOIN delivery_parts p ON p.delivery_id = d.id AND p.part >= 0
    WHERE d.account = :account AND d.to_urn = :urn AND d.sent_at <= :until AND d.state {texts}
"""


def told_apart(
    tx: Connection, reports: Sequence[DeliveryReported], brand_of: Callable[[str], str]
) -> list[DeliveryReported]:
    """The same reports, with one for each message in place of those that name none. brand_of: an account's brand."""
    found: list[DeliveryReported] = []
    for report in reports:
        if report.until is None:
            found.append(report)
            continue
        found += (
            structs.replace(report, external_id=name, until=None) for name in _names(tx, report, brand_of)
        )
    return found


def _names(tx: Connection, report: DeliveryReported, brand_of: Callable[[str], str]) -> Iterable[str]:
    states = _BEFORE.get(report.status, ())
    if report.until is None or not report.recipient or not states:
        return ()
    parts = rows(
        tx,
        _PARTS,
        brand=brand_of(report.account),
        urn=report.recipient,
        account=report.account,
        until=to_us(report.until + SLACK),
        texts=list(states),
        newest=_NEWEST,
    )
    return sorted({external_id for (external_id,) in parts if external_id})
