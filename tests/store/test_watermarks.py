"""Reports that name no message but a time until which all arrived, or was read (Messenger's watermarks)."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from crm_store import deliveries, outbox, outcomes, schema, watermarks
from crm_store.db import Store
from hub import parts
from hub.model import DeliveryReported, DeliveryStatus
from tests.workers.office import START, Office

LEASE = timedelta(seconds=90)
ANN, BO = "webhook:ann", "webhook:bo"


@pytest.fixture
def office(store: Store) -> Office:
    return Office(store)


def watermark(office: Office, status: str, whose: str = ANN, **before: float) -> DeliveryReported:
    return DeliveryReported(
        account="webhook/main",
        event_key=f"{whose}-{status}-{before}",
        received_at=START,
        status=DeliveryStatus(status),
        recipient=whose,
        until=office.now - timedelta(**before),
    )


def tell(office: Office, *reports: DeliveryReported) -> None:
    def work(tx: sa.Connection) -> None:
        found = watermarks.told_apart(tx, reports, lambda _: "acme")
        assert all(report.until is None for report in found)
        deliveries.apply_reports(tx, office.store.ids, found, office.now)

    office.store.run(work)


def sent(office: Office, *conversations: int, names: tuple[str, ...] = ()) -> list[int]:
    """A reply in each, gone out now."""
    made = [office.reply(conversation) for conversation in conversations]

    def work(tx: sa.Connection) -> None:
        for claimed in outbox.claim(tx, {"webhook/main": 10}, owner="w", now=office.now, lease=LEASE):
            outbox.begin(tx, [claimed.id], owner="w", now=office.now, lease=LEASE)
            ids = names or (f"x{claimed.id}",)
            done = outcomes.Outcome(delivery=claimed, state="sent", at=office.now, sent_ids=ids)
            outcomes.finish(tx, office.store.ids, [done], owner="w", now=office.now)

    office.store.run(work)
    return made


def test_all_that_went_before_it_is_moved_and_nothing_after(office: Office) -> None:
    ann, bo = office.conversation(ANN), office.conversation(BO)
    [first] = sent(office, ann, names=("a", "b"))
    [other] = sent(office, bo)
    office.later(minutes=1)
    [second] = sent(office, ann)
    tell(office, watermark(office, "delivered", seconds=30))
    assert [office.state(d) for d in (first, second, other)] == ["delivered", "sent", "sent"]
    assert office.parts(first) == {"a": "delivered", "b": "delivered"}
    tell(office, watermark(office, "read"), watermark(office, "read"))
    assert [office.state(d) for d in (first, second, other)] == ["read", "read", "sent"]


def test_it_counts_whoever_they_turn_out_to_be(office: Office) -> None:
    """A merge gives the address to another customer; what was said before stays where it is."""
    [made] = sent(office, office.conversation(ANN))
    merged = sa.update(schema.identities).where(schema.identities.c.urn == ANN).values(customer_id=7)
    office.store.run(lambda tx: tx.execute(merged))
    tell(office, watermark(office, "read"))
    assert office.state(made) == "read"


def test_one_in_the_same_breath_as_our_commit_counts(office: Office) -> None:
    [made] = sent(office, office.conversation(ANN))
    tell(office, watermark(office, "read", seconds=2))
    assert office.state(made) == "read"


def test_it_moves_nothing_back_and_nobody_elses(office: Office) -> None:
    [made] = sent(office, office.conversation(ANN))
    tell(office, watermark(office, "read"))
    tell(office, watermark(office, "delivered"))
    tell(office, watermark(office, "failed"))
    tell(office, watermark(office, "read", "webhook:nobody"))
    assert office.state(made) == "read"


def test_one_persons_watermarks_are_handled_in_order(office: Office) -> None:
    """Whose events share a part of the stream are handled by one router."""
    one, other = watermark(office, "read"), watermark(office, "read", hours=1)
    assert parts.part_of(one) == parts.part_of(other)
