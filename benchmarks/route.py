"""route: 50,000 messages of 10,000 customers through 100 rules, against a raw driver that only inserts the rows.

The bare side writes the same interactions, with their indexes, in batches of 500, into a table of its own: sqlite3's
executemany with our pragmas, and psycopg's COPY and unnest, whichever is faster here. The router reads a full stream,
decides, and writes intake, customers, identities, conversations, decisions and events beside them.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import select

from benchmarks import workload
from benchmarks.common import Bench, Figures, folder, postgresql
from benchmarks.routing import check_ledger, route
from crm_store.batch_plan import COLUMNS
from crm_store.db import Store
from crm_store.migrate import migrate
from crm_store.schema import interactions
from hub.model import Entry
from tests.servers.valkey import Valkey

BATCH = 500
COLUMN_NAMES = COLUMNS["interactions"]
_TYPES = {"id": "bigint", "conversation_id": "bigint", "identity_id": "bigint", "attachments": "smallint"}
_TYPES |= {"at": "bigint", "received_at": "bigint"}  # the others are text


def said(store: Store) -> list[tuple[Any, ...]]:
    """The interactions as they stand in the table, in the order of their ids."""
    columns = ", ".join(f'"{name}"' for name in COLUMN_NAMES)
    with store.read() as tx:
        rows = tx.exec_driver_sql(f"SELECT {columns} FROM interactions ORDER BY id")
        return [tuple(row) for row in rows]


def order_violations(store: Store) -> int:
    """Messages that stand before an earlier one of the same customer. Each text begins with its number."""
    last: dict[int, int] = {}
    wrong = 0
    with store.read() as tx:
        for identity, text in tx.execute(
            select(interactions.c.identity_id, interactions.c.text).order_by(interactions.c.id)
        ):
            number = int(text.partition(" ")[0])
            wrong += number != last.get(identity, 0) + 1
            last[identity] = number
    return wrong


def bare_sqlite(path: Path, rows: Sequence[tuple[Any, ...]]) -> float:
    """Rows a second."""
    migrate(f"sqlite:///{path}")
    store = Store.open(f"sqlite:///{path}")
    marks = ", ".join("?" * len(COLUMN_NAMES))
    names = ", ".join(f'"{name}"' for name in COLUMN_NAMES)
    statement = f"INSERT INTO interactions ({names}) VALUES ({marks})"
    with store.engine.connect() as connection:  # for its pragmas
        driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        started = time.perf_counter()
        for at in range(0, len(rows), BATCH):
            driver.execute("BEGIN IMMEDIATE")
            driver.executemany(statement, rows[at : at + BATCH])
            driver.execute("COMMIT")
        rate = len(rows) / (time.perf_counter() - started)
    store.close()
    return rate


def bare_postgresql(url: str, rows: Sequence[tuple[Any, ...]]) -> float:
    """Rows a second by the faster of two statements."""
    migrate(url)
    return max(_timed(url, rows, statement) for statement in (_copy, _unnest))


def _timed(
    url: str, rows: Sequence[tuple[Any, ...]], write: Callable[[Any, Sequence[tuple[Any, ...]]], None]
) -> float:
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE interactions")
        connection.commit()
        started = time.perf_counter()
        for at in range(0, len(rows), BATCH):
            write(connection, rows[at : at + BATCH])
            connection.commit()
        return len(rows) / (time.perf_counter() - started)


_INTO = sql.SQL("interactions ({})").format(sql.SQL(", ").join(map(sql.Identifier, COLUMN_NAMES)))
_COPY = sql.SQL("COPY {} FROM STDIN").format(_INTO)
_UNNEST = sql.SQL("INSERT INTO {} SELECT * FROM unnest({})").format(
    _INTO, sql.SQL(", ").join(sql.SQL(f"%s::{_TYPES.get(name, 'text')}[]") for name in COLUMN_NAMES)
)


def _copy(connection: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows:
            copy.write_row(row)


def _unnest(connection: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    connection.execute(_UNNEST, [list(column) for column in zip(*rows, strict=True)])


def routed(url: str, redis_url: str, entries: Sequence[Entry], routers: int) -> tuple[float, Store]:
    """Messages a second, and the store they are in, its ledger clean."""
    migrate(url)
    seconds = route(url, redis_url, entries, routers=routers)
    store = Store.open(url)
    check_ledger(store, entries)
    return len(entries) / seconds, store


def run(options: argparse.Namespace) -> Figures:
    entries = workload.messages(options.messages, options.messages // 5, chars=options.chars)
    figures: Figures = {}
    violations = 0
    with folder("route") as path, Valkey() as valkey:
        if options.database in ("both", "sqlite"):
            rate, store = routed(f"sqlite:///{path / 'routed.db'}", valkey.url, entries, 1)
            violations += order_violations(store)
            bare = bare_sqlite(path / "bare.db", said(store))
            store.close()
            figures |= {"ratio_sqlite": rate / bare, "per_s_sqlite": rate, "bare_per_s_sqlite": bare}
        if options.database in ("both", "postgresql"):
            with postgresql() as postgres:
                rate, store = routed(postgres.create("routed"), valkey.url, entries, 1)
                violations += order_violations(store)
                rows = said(store)
                store.close()
                bare = bare_postgresql(postgres.create("bare"), rows)
                figures |= {
                    "ratio_postgresql": rate / bare,
                    "per_s_postgresql": rate,
                    "bare_per_s_postgresql": bare,
                }
                two, store = routed(postgres.create("two"), valkey.url, entries, 2)
                violations += order_violations(store)
                store.close()
                figures["two_routers"] = two / rate
    return figures | {"order_violations": violations}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=50_000, metavar="N")
    parser.add_argument("--chars", type=int, default=workload.CHARS, metavar="N", help="of a message, about")
    parser.add_argument("--database", choices=("both", "sqlite", "postgresql"), default="both")


BENCH = Bench(
    name="route",
    about="messages through the router, against a raw driver inserting the same interactions alone",
    run=run,
    aims={
        "ratio_sqlite": "at least 0.25",
        "ratio_postgresql": "at least 0.25",
        "order_violations": "0",
        "two_routers": "at least 1.5 where cores allow",
    },
    options=_options,
)

if __name__ == "__main__":
    BENCH.main()
