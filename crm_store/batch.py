"""One batch of the stream in one transaction and one pass: look up what is known, then write each table once.

What is decided in between is not decided here (router/attach.py does, purely): the caller looks up, makes a `Plan`,
and has it written, all in the transaction that `run` gives it. The statements are written by hand for each database,
on the driver's own connection (crm_store/batch_sqlite.py, crm_store/batch_postgresql.py): SQLAlchemy cost 18 % here on
SQLite and 2.6 times on PostgreSQL.

Two routers may meet (a lease that went over while its holder slept). UNIQUE keys decide, and the loser repeats its
batch: the second time it sees what the winner wrote. Rows are locked in the order of their ids and written in the order
of their keys or of the stream, so that two batches rarely wait for each other in a ring.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from crm_store import batch_sqlite
from crm_store.batch_plan import (
    ADDED,
    COLUMNS,
    EARLY,
    MOVED,
    Call,
    Conversation,
    First,
    Identity,
    Keys,
    Known,
    Plan,
    of_conversation,
)
from crm_store.db import Store
from hub.errors import Unavailable

T = TypeVar("T")

_SWITCH_S = (
    0.0005  # how long one thread keeps the interpreter from the other; the usual 5 ms is a statement's time
)
TRIES = 6  # for transactions that met; each repeat sees what the other one committed
# PostgreSQL: serialization_failure, deadlock_detected, unique_violation, lock_not_available, slept too long (db.py)
_MEET_CODES = frozenset({"40001", "40P01", "23505", "55P03", "25P03"})


class Meanwhile(Exception):
    """Another transaction came first, where no key of the database's says so: counts as serialization_failure."""

    sqlstate = "40001"


def _dialect(tx: Connection) -> ModuleType:
    if tx.dialect.name == "sqlite":
        return batch_sqlite
    from crm_store import batch_postgresql  # psycopg is an extra

    return batch_postgresql


def _driver(tx: Connection) -> Any:
    return tx.connection.driver_connection


def look_up(tx: Connection, keys: Keys) -> Known:
    """What the store knows of these keys. On PostgreSQL it also keeps merges out until the commit (`keep_out`)."""
    dialect, driver = _dialect(tx), _driver(tx)
    known = Known()
    found = dialect.look_up(driver, keys)
    known.events = {(account, key): First(*rest) for account, key, *rest in found["events"]}
    known.identities = {
        (brand, urn): Identity(identity, customer, bool(verified), *rest)
        for brand, urn, identity, customer, verified, *rest in found["identities"]
    }
    known.calls = {(account, external): Call(*rest) for account, external, *rest in found["calls"]}
    # Whoever comes a second time finds their event's key taken, so only those need to be asked for by number.
    if known.events:
        told = [seq for seq, event in zip(keys.seqs, keys.events, strict=True) if event in known.events]
        known.seqs = {(producer, seq) for producer, seq in dialect.look_up_seqs(driver, told)}
    return known


def look_up_homes(tx: Connection, known: Known, homes: Sequence[str], ids: Sequence[int] = ()) -> None:
    """Add to `known`, locked, the conversation that stands in each slot, or else the last one that stood there; and
    those with these ids."""
    for row in _dialect(tx).look_up_homes(_driver(tx), sorted(set(homes)), sorted(set(ids))):
        conversation = Conversation(*row)
        known.conversations[conversation.id] = conversation
        home = conversation.home
        if home is None or conversation.slot not in (None, home):
            continue  # it stands aside: merged with one that a next message continues
        stands = known.homes.get(home)
        if stands is None or (conversation.slot == home, conversation.id) > (stands.slot == home, stands.id):
            known.homes[home] = conversation


class Early:
    """Rows that are never changed, written in a thread beside while the caller makes more of them.

    What does not fill a statement stays in the plan. No other statement may be run until it is over.
    """

    def __init__(self, tx: Connection) -> None:
        self._dialect, self._driver = _dialect(tx), _driver(tx)
        self._beside = ThreadPoolExecutor(1, "early")
        self._writing: list[Future[None]] = []

    def __call__(self, plan: Plan) -> None:
        """Take from the plan what fills statements."""
        together = self._dialect.TOGETHER
        for table in EARLY:
            rows = plan.rows[table]
            if full := len(rows) // together * together:
                self._writing.append(
                    self._beside.submit(
                        self._dialect.insert_many, self._driver, table, COLUMNS[table], rows[:full]
                    )
                )
                del rows[:full]

    def __enter__(self) -> Early:
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Wait for what is being written. Raises the driver's error for what was refused."""
        self._beside.shutdown(cancel_futures=kind is not None)
        sys.setswitchinterval(self._switch_s)
        if kind is None:
            for written in self._writing:
                written.result()


def write(tx: Connection, plan: Plan) -> None:
    """Write the plan's own tables, each once. Raises the driver's error for a key that another one took meanwhile."""
    dialect, driver = _dialect(tx), _driver(tx)
    if plan.opened:
        in_order = sorted(plan.opened, key=lambda c: c.id)
        for conversation, number in zip(in_order, dialect.numbers(driver, len(in_order)), strict=True):
            conversation.number = number
        plan.rows["conversations"] = [
            of_conversation(c) for c in sorted(plan.opened, key=lambda c: c.slot or "")
        ]
    plan.rows["intake"].sort(key=lambda row: row[:2])
    plan.rows["identities"].sort(key=lambda row: row[1:3])
    for table, columns in COLUMNS.items():
        if rows := plan.rows[table]:
            dialect.insert(driver, table, columns, rows)
    new = {c.id for c in plan.opened}
    changed = [c for _, c in sorted(plan.touched.items()) if c.id not in new]
    if added := [c for c in changed if c.touched == 1]:
        dialect.change(driver, added, ADDED)
    if moved := [c for c in changed if c.touched > 1]:
        dialect.change(driver, moved, MOVED)
    if plan.taken:
        dialect.taken(driver, [(*row, key) for key, row in sorted(plan.taken.items())])
        if dialect.owners(driver, sorted(plan.taken)) != {key: row[0] for key, row in plan.taken.items()}:
            raise Meanwhile("another batch took an address that was only claimed")
    if plan.seen:
        dialect.seen(driver, [(at, verified, key) for key, (at, verified) in sorted(plan.seen.items())])
    if plan.named:
        dialect.named(driver, [(name, key) for key, name in sorted(plan.named.items())])
    if plan.calls:
        dialect.calls(driver, [(*row, key) for key, row in sorted(plan.calls.items())])
    if plan.proposals:
        dialect.propose(driver, sorted(plan.proposals, key=lambda row: row[1:3]))
    if plan.cursors:
        dialect.cursors(driver, [(*key, *value) for key, value in sorted(plan.cursors.items())])


def parked(tx: Connection, arrived: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Which of these (account, external id), stored just now, were spoken of before they came."""
    return [(account, external) for account, external in _dialect(tx).parked(_driver(tx), arrived)]


def keep_out(tx: Connection) -> None:
    """For who moves identities from one customer to another: wait for the batches in flight, hold back the next ones.

    Held until the transaction ends. SQLite has one writer anyway.
    """
    if tx.dialect.name == "postgresql":
        _dialect(tx).keep_out(_driver(tx))


def keep_merges_out(tx: Connection) -> None:
    """For who else opens a conversation: its owner stays who it is, until the transaction ends. To be asked for before
    the owner is."""
    if tx.dialect.name == "postgresql":
        _dialect(tx).keep_merges_out(_driver(tx))


def run(store: Store, work: Callable[[Connection], T]) -> T:
    """`work(tx)` in one write transaction, again when it met another one (a key taken, a deadlock, a lock).

    Raises Unavailable when the database is away, full or stays locked: nobody's fault. Any other error is the data's
    or ours, a key that is still taken at the last try among them.
    """
    last: BaseException | None = None
    for attempt in range(TRIES):
        try:
            with store.begin() as tx:
                return work(tx)
        except Exception as error:
            kind = kind_of(error)
            if kind == "away":
                raise Unavailable(f"the database does not answer: {_original(error)}") from error
            if kind != "met" or (attempt == TRIES - 1 and _taken(error)):
                raise
            last = error
        time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreading retries, no secret
    raise Unavailable(f"the database stays locked: {_original(last)}") from last


def kind_of(error: BaseException | None) -> str:
    """`met` (try again), `away` (the database's trouble) or `data` (this batch's, or ours)."""
    original = _original(error)
    state = getattr(original, "sqlstate", None)
    if state in _MEET_CODES or _taken(original):
        return "met"
    if isinstance(original, sqlite3.OperationalError) and (
        "locked" in str(original) or "busy" in str(original)
    ):
        return "met"
    if isinstance(error, Unavailable) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return "away"
    # psycopg is an extra, so its class is known by name; it and sqlite3 call what the database suffers from the same
    if any(base.__name__ == "OperationalError" for base in type(original).__mro__):
        return "away"
    return "data"


def _original(error: BaseException | None) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _taken(error: BaseException | None) -> bool:
    original = _original(error)
    if isinstance(original, sqlite3.IntegrityError):
        return "UNIQUE" in str(original)
    return getattr(original, "sqlstate", None) == "23505"
