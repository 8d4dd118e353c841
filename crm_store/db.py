"""Opening the store, and transactions on it that are tried again when two of them met.

One engine a process. SQLite runs in WAL with synchronous=FULL: the journal is cut once the store says it has an
entry, so a commit must survive a power cut. Writers use BEGIN IMMEDIATE, because a deferred one that later writes fails
at once when another wrote in between.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from crm_store.slots import Slot
from hub.errors import Unavailable
from hub.ids import Ids

T = TypeVar("T")

_BUSY_S = 10.0  # how long a SQLite writer waits for another; a batch of 1,024 takes about 0.1 s
_TRIES = 8
_WRITE = "mainstem_write"
# A frozen process must not hold its rows against the others for ever (F9): PostgreSQL ends its transaction, and the
# process tries again when it wakes. Between two statements of ours lie milliseconds.
_ASLEEP_MS = 5000
# PostgreSQL: serialization_failure, deadlock_detected, a lock that was not to be had in time, and slept too long
_MEET_CODES = {"40001", "40P01", "55P03", "25P03"}


def engine_for(url: str, *, pool_size: int = 5) -> Engine:
    """An engine with our settings for its database. Nothing is connected yet."""
    if url.startswith("sqlite"):
        engine = create_engine(
            url, hide_parameters=True, connect_args={"timeout": _BUSY_S, "check_same_thread": False}
        )
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    url = url.replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)
    return create_engine(
        url,
        hide_parameters=True,  # an error that is logged shows the statement, never what people wrote
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "options": "-c plan_cache_mode=force_custom_plan -c timezone=UTC"
            f" -c idle_in_transaction_session_timeout={_ASLEEP_MS}",
        },
    )


def _sqlite_connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-131072",  # 128 MB: 34k rows/s against 23k with the default, measured
        "mmap_size=536870912",
        "wal_autocheckpoint=10000",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _met(error: DBAPIError) -> bool:
    """Did two transactions meet, so that the same one may simply be tried again?"""
    original: Any = error.orig
    if isinstance(original, sqlite3.OperationalError):
        return "locked" in str(original) or "busy" in str(original)
    return getattr(original, "sqlstate", None) in _MEET_CODES


def _away(error: DBAPIError) -> bool:
    """Is it the database's trouble? One that ended our transaction has cut the connection, by whatever error."""
    return isinstance(error, OperationalError) or error.connection_invalidated


class Store:
    """The store as a process holds it: an engine, and a source of ids for its process slot."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self._slot: Slot | None = None
        self._ids: Ids | None = None
        self._leasing = threading.Lock()  # two sources over one slot would give the same id twice

    @classmethod
    def open(cls, url: str, *, pool_size: int = 5) -> Store:
        return cls(engine_for(url, pool_size=pool_size))

    @property
    def postgresql(self) -> bool:
        return self.dialect == "postgresql"

    @property
    def ids(self) -> Ids:
        """This process's ids; leases a process slot at the first use."""
        if self._ids is None:
            with self._leasing:
                if self._ids is None:
                    self._slot = Slot(self.engine, _WRITE)
                    self._ids = Ids(self._slot.number)
        return self._ids

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that writes nothing. On SQLite it sees one moment, on PostgreSQL each statement its own; so
        what tells whether something changed is read first. Raises Unavailable where the database is away."""
        try:
            with self.engine.connect() as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            if not _away(error):
                raise
            raise Unavailable(f"the database does not answer: {error.orig}") from error

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One write transaction, not repeated: for callers that repeat by themselves."""
        if not self.postgresql and self._ids is None:
            _ = self.ids  # leasing a slot is a write of its own: SQLite's one writer would wait for itself
        with self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITE: True})
            with connection.begin():
                yield connection

    def run(self, work: Callable[[Connection], T]) -> T:
        """`work(tx)` in a write transaction, again with jitter when transactions met. It must be repeatable.

        Raises Unavailable when the database is away, or is still locked after the last try.
        """
        last: DBAPIError | None = None
        for attempt in range(_TRIES):
            try:
                with self.begin() as tx:
                    return work(tx)
            except DBAPIError as error:
                if not _met(error):
                    if _away(error):
                        raise Unavailable(f"the database does not answer: {error.orig}") from error
                    raise
                last = error
            time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - spreading retries, no secret
        raise Unavailable(f"the database stays locked: {last.orig if last else 'no try was made'}")

    def close(self) -> None:
        """Give the process slot back and close every connection. Twice is harmless."""
        if self._slot is not None:
            self._slot.release()
            self._slot = self._ids = None
        self.engine.dispose()
