"""What producers report of themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from crm_store import intake
from crm_store.db import Store
from crm_store.schema import journalled, producers
from hub.inlet import ProducerReport

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "last_seq, later, kept",
    [(11, timedelta(hours=-1), 11), (10, timedelta(seconds=-1), 10), (9, timedelta(seconds=-1), 10)],
    ids=["a clock that was set back", "a report that was late", "an old one"],
)
def test_an_older_report_changes_nothing_but_a_clock_set_back_hides_none(
    store: Store, last_seq: int, later: timedelta, kept: int
) -> None:
    for number, at in ((10, NOW), (last_seq, NOW + later)):
        counts = {("2026-11-22", "webhook/main"): (number, 0 if at == NOW else 1)}
        told = ProducerReport(producer="p", host="h", last_seq=number, reported_at=at, counts=counts)
        intake.report(store, told)
    with store.read() as tx:
        assert tx.execute(select(producers.c.last_seq)).scalar_one() == kept
        assert tx.execute(select(journalled.c.entries)).scalar_one() == kept
