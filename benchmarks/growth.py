"""growth: what a routed message costs with 1,000,000 customers known, against 10,000.

Both stores are loaded in bulk once; then, in turns, each routes the same number of messages of people drawn at random
from those it knows, each the first of a conversation or the next.
"""

from __future__ import annotations

import argparse
import atexit
import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import func, select, text

from benchmarks import workload
from benchmarks.common import Bench, Figures, LedgerBroken, folder, postgresql
from benchmarks.routing import route
from crm_store import batch_sqlite
from crm_store.batch_plan import COLUMNS
from crm_store.db import Store
from crm_store.migrate import migrate
from crm_store.schema import intake
from hub.clock import to_us
from hub.codec import encode
from hub.ids import EPOCH_MS
from hub.model import Entry, MessageReceived
from tests.servers.valkey import Valkey

_CHUNK = 50_000
_open = ExitStack()
atexit.register(_open.close)


def people(count: int) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Rows of customers and identities, known for a year, their ids ascending as in life."""
    year_ago = workload.START - timedelta(days=365)
    at, step = to_us(year_ago), 365 * 86_400_000 // count
    first = (at // 1000 - EPOCH_MS) << 22
    for number in range(count):
        customer = first + (number * step << 22)
        seen = at + number * step * 1000
        yield (
            (customer, "main", f"Customer {number}", None, seen, seen, "customer"),
            (customer + 1, "main", urn(number, count), customer, True, f"Customer {number}", seen, seen),
        )


def urn(number: int, count: int) -> str:
    """Addresses in no order, as chat ids are: each is used once."""
    return f"webchat:v{number * 7_368_787 % count:08d}"


def load(url: str, count: int) -> None:
    migrate(url)
    store = Store.open(url)
    rows = people(count)
    done = 0
    while done < count:
        customers, identities = zip(*(next(rows) for _ in range(min(_CHUNK, count - done))), strict=True)
        with store.begin() as tx:
            driver: Any = tx.connection.driver_connection
            for table, some in (("customers", customers), ("identities", identities)):
                _insert(store, driver, table, some)
        done += len(customers)
    settle = (
        ("VACUUM ANALYZE", "CHECKPOINT")
        if store.postgresql
        else ("ANALYZE",)  # closing writes SQLite's log back
    )
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in settle:
            connection.execute(text(statement))
    store.close()


def _insert(store: Store, driver: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if store.postgresql:
        from crm_store import batch_postgresql

        batch_postgresql.insert(driver, table, COLUMNS[table], rows)
    else:
        batch_sqlite.insert(driver, table, COLUMNS[table], rows)


def messages(count: int, known: int, turn: int) -> list[Entry]:
    pick = random.Random(turn)
    entries = []
    for seq, number in enumerate((pick.randrange(known) for _ in range(count)), turn * count + 1):
        at = workload.START + seq * workload.EVERY
        event = MessageReceived(
            account="webchat/main",
            event_key=f"g{seq}",
            external_id=f"g{seq}",
            received_at=at,
            sender=urn(number, known),
            sender_name="Ann",
            text=" ".join(pick.choices(workload.FILLER, k=34)),
            verified=True,
        )
        entries.append(Entry(producer="growth", seq=seq, accepted_at=at, event=event, raw=encode(event)))
    return entries


@lru_cache
def stores(database: str, small: int, large: int) -> tuple[str, str]:
    """The two stores, loaded once for all repetitions."""
    if database == "sqlite":
        path = _open.enter_context(folder("growth"))
        urls = (f"sqlite:///{path / 'small.db'}", f"sqlite:///{path / 'large.db'}")
    else:
        server = _open.enter_context(postgresql())
        urls = (server.create("small"), server.create("large"))
    load(urls[0], small)
    load(urls[1], large)
    return urls


@lru_cache
def valkey() -> Valkey:
    return _open.enter_context(Valkey())


_turns: dict[str, int] = {}


def cost(url: str, count: int, known: int) -> float:
    """Seconds a message."""
    turn = _turns[url] = _turns.get(url, 0) + 1
    entries = messages(count, known, turn)
    seconds = route(url, valkey().url, entries)
    store = Store.open(url)
    with store.read() as tx:
        stored = tx.execute(
            select(func.count()).where(intake.c.seq >= entries[0].seq, intake.c.outcome == "stored")
        ).scalar_one()
    store.close()
    if stored != count:
        raise LedgerBroken(f"{count} were journalled, and {stored} are in the store")
    return seconds / count


def run(options: argparse.Namespace) -> Figures:
    """In turns, a few thousand messages each, so that the machine's mood is in both."""
    figures: Figures = {}
    for database in ("sqlite", "postgresql") if options.database == "both" else (options.database,):
        small, large = stores(database, options.small, options.large)
        turns = [
            (cost(small, options.messages, options.small), cost(large, options.messages, options.large))
            for _ in range(options.turns)
        ]
        figures |= {
            f"ratio_{database}": statistics.median(many / few for few, many in turns),
            f"us_small_{database}": statistics.median(few for few, _ in turns) * 1e6,
            f"us_large_{database}": statistics.median(many for _, many in turns) * 1e6,
        }
    return figures


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=5_000, metavar="N", help="of one turn")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="of one repetition")
    parser.add_argument("--small", type=int, default=10_000, metavar="N", help="customers known")
    parser.add_argument("--large", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--database", choices=("both", "sqlite", "postgresql"), default="both")


BENCH = Bench(
    name="growth",
    about="what a routed message costs with a million customers known, against ten thousand",
    run=run,
    aims={"ratio_sqlite": "at most 1.5", "ratio_postgresql": "at most 1.25"},
    options=_options,
)

if __name__ == "__main__":
    BENCH.main()
