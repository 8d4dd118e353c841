"""growth: what a routed message costs with 1,000,000 customers known, against 10,000.

In turns, each of the two stores routes the same number of messages, of people drawn at random from those it knows, and
each opens a conversation: so both do the same, and only what is known differs. (Drawn again and again, ten thousand
soon all have one, and their store only continues.) As many that the same process routed before are not counted. The
large store is loaded for every repetition, the small one for every turn.
"""

from __future__ import annotations

import argparse
import atexit
import itertools
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
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
    """Of people who wrote in no turn before, while there are such."""
    pick = random.Random(turn)
    drawn = _drawn(known)
    entries = []
    for seq in range(turn * count + 1, (turn + 1) * count + 1):
        number = drawn[seq % known]
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
def _drawn(known: int) -> list[int]:
    numbers = list(range(known))
    random.Random(known).shuffle(numbers)
    return numbers


_numbers = itertools.count()


@lru_cache
def _places(database: str) -> Callable[[str], str]:
    """Name -> the URL of a new store there."""
    if database == "sqlite":
        path = _open.enter_context(folder("growth"))
        return lambda name: f"sqlite:///{path / name}.db"
    server = _open.enter_context(postgresql())
    return lambda name: str(server.create(name))


def new_store(database: str, known: int) -> str:
    url = _places(database)(f"store{next(_numbers)}")
    load(url, known)
    return url


@lru_cache
def valkey() -> Valkey:
    return _open.enter_context(Valkey())


def cost(url: str, count: int, known: int, turn: int) -> float:
    """Seconds a message."""
    first, entries = (messages(count, known, number) for number in (2 * turn, 2 * turn + 1))
    seconds = route(url, valkey().url, entries, first=first)
    store = Store.open(url)
    with store.read() as tx:
        stored = tx.execute(
            select(func.count()).where(intake.c.seq >= first[0].seq, intake.c.outcome == "stored")
        ).scalar_one()
    store.close()
    if stored != 2 * count:
        raise LedgerBroken(f"{2 * count} were journalled, and {stored} are in the store")
    return seconds / count


def run(options: argparse.Namespace) -> Figures:
    """In turns, a few thousand messages each, so that the machine's mood is in both."""
    count, few, many = options.messages, options.small, options.large
    if 2 * count > few:
        raise SystemExit(f"growth: twice --messages {count} is more than --small {few} customers")
    figures: Figures = {}
    for database in ("sqlite", "postgresql") if options.database == "both" else (options.database,):
        large, turns = new_store(database, many), []
        for turn in range(options.turns):
            small = new_store(database, few)
            turns.append((cost(small, count, few, 0), cost(large, count, many, turn)))
        figures |= {
            f"ratio_{database}": statistics.median(there / here for here, there in turns),
            f"us_small_{database}": statistics.median(here for here, _ in turns) * 1e6,
            f"us_large_{database}": statistics.median(there for _, there in turns) * 1e6,
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
