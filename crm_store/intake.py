"""What became of every journalled entry: the questions producers ask, and what they report of themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, select

from crm_store.db import Store
from crm_store.schema import intake, journalled, producers
from crm_store.statements import inserting
from hub.inlet import ProducerReport

_CHUNK = 1000  # sequence numbers in one question


def known(store: Store, producer: str, seqs: Sequence[int]) -> set[int]:
    """Which of these entries of a producer's have their row of intake, so that its journal may drop them.

    Raises Unavailable where the database does not answer.
    """
    found: set[int] = set()
    with store.read() as tx:
        for start in range(0, len(seqs), _CHUNK):
            chunk = sorted(seqs[start : start + _CHUNK])
            query = select(intake.c.seq).where(intake.c.producer == producer)
            # A run without gaps, which it nearly always is, is a range to the database.
            if chunk[-1] - chunk[0] == len(chunk) - 1:
                query = query.where(intake.c.seq.between(chunk[0], chunk[-1]))
            else:
                query = query.where(intake.c.seq.in_(chunk))
            found.update(tx.execute(query).scalars())
    return found


def report(store: Store, told: ProducerReport) -> None:
    """Note what a producer says of itself. An older report than the one we have changes nothing."""

    def work(tx: Any) -> None:

        def upsert(table: Table, keys: Sequence[str], rows: list[dict[str, Any]]) -> None:
            statement = inserting(tx, table)
            changes = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
            tx.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=changes), rows)

        newest = tx.execute(
            select(producers.c.last_seq, producers.c.reported_at).where(producers.c.producer == told.producer)
        ).one_or_none()
        # Seqs never go back; a clock may be set back, and then says nothing about which report is the newer one.
        if newest is not None and (newest.last_seq, newest.reported_at) > (told.last_seq, told.reported_at):
            return
        upsert(
            producers,
            ("producer",),
            [
                {
                    "producer": told.producer,
                    "host": told.host,
                    "last_seq": told.last_seq,
                    "pending": json.dumps([list(span) for span in told.pending]),
                    "reported_at": told.reported_at,
                }
            ],
        )
        counts = [
            {
                "producer": told.producer,
                "day": day,
                "account": account,
                "entries": entries,
                "pending": pending,
            }
            for (day, account), (entries, pending) in sorted(told.counts.items())
        ]
        if counts:
            upsert(journalled, ("producer", "day", "account"), counts)

    store.run(work)
