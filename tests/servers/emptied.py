"""One migrated database for many tests, emptied after each: a copy of a template takes a fifth of a second of
processor time, emptying what a test wrote some milliseconds."""

from __future__ import annotations

import itertools

import psycopg

from tests.servers.postgres import Postgres

_OURS = "relnamespace = 'public'::regnamespace"
# What a test may change beside rows. Every change of a catalogue's row gives it another xmin; TRUNCATE (our own, too)
# moves pg_class alone, so that its rows are compared by what they say.
_SHAPE = f"""
SELECT count(*), sum(hashtextextended(it, 0)) FROM (
    SELECT concat_ws(' ', oid, relname, relkind, relnatts, relchecks, relhastriggers, reloptions, relacl)
        FROM pg_class WHERE {_OURS}
    UNION ALL SELECT concat_ws(' ', attrelid, attnum, pg_attribute.xmin) FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid WHERE {_OURS}
    UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_attrdef
    UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_trigger
    UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_type WHERE oid >= 16384 AND typtype <> 'c' AND typelem = 0
    UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT concat_ws(' ', indexrelid, xmin) FROM pg_index WHERE indexrelid >= 16384
    UNION ALL SELECT concat_ws(' ', setdatabase, setrole, setconfig) FROM pg_db_role_setting
) AS things (it)
"""
_LEAVE = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
# Emptying a table by TRUNCATE makes its files and those of its indexes anew, a millisecond or two each; what a test
# wrote is mostly some rows. Few pages are as good as none: the planner takes a table that nobody analysed for ten.
_FEW_BYTES = 8 * 8192
# No triggers, no foreign keys.
_DELETE = "BEGIN; LOCK {}; SET LOCAL session_replication_role = replica; {}; COMMIT"


class Emptied:
    """Hands out one database at a time, as if it were a fresh copy of the template.

    Where a test changed more than rows (its schema, a setting, what a migration wrote), the database is dropped and
    copied anew.
    """

    def __init__(self, server: Postgres, template: str) -> None:
        self.server, self.template = server, template
        self._names = (f"test_{number}" for number in itertools.count(1))
        self._name = ""
        self._watch: psycopg.Connection | None = None

    def take(self) -> str:
        """The URL of an empty migrated database."""
        if not self._name:
            self._name = next(self._names)
            self.server.create(self._name, template=self.template)
            self._look()
        return self.server.url(self._name)

    def give_back(self) -> None:
        """Everybody is sent away, and everything that was written is gone."""
        for _ in range(2):
            try:
                if self._empty():
                    return
                break
            except psycopg.OperationalError:
                self._connect()  # the test sent us away, too; or somebody came back and holds a lock
        self.close()

    def close(self) -> None:
        self._close()
        if self._name:
            self.server.drop(self._name)
            self._name = ""

    def _connect(self) -> psycopg.Connection:
        self._close()
        self._watch = self.server.connect(self._name)
        self._watch.execute("SET lock_timeout = '2s'")
        return self._watch

    def _close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _look(self) -> None:
        """What it is like when it is fresh."""
        watch = self._connect()
        tables = watch.execute(f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND {_OURS}")
        names = [str(name) for (name,) in tables]
        written = [name for name in names if watch.execute(f"SELECT FROM {name} LIMIT 1").rowcount]
        empty = [name for name in names if name not in written]
        self._full = " UNION ALL ".join(
            f"SELECT '{t}', pg_relation_size('{t}') WHERE EXISTS (SELECT FROM {t})" for t in empty
        )
        self._kept = " UNION ALL ".join(f"SELECT '{t}', {t}::text, xmin::text FROM {t}" for t in written)
        numbers = watch.execute(f"SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND {_OURS}")
        begin: list[str] = []
        for (name,) in numbers.fetchall():
            last, called = watch.execute(f"SELECT last_value, is_called FROM {name}").fetchone() or (1, False)
            begin.append(f"SELECT setval('{name}', {last}, {called})")
        self._begin = "; ".join(begin)
        self._shape = self._seen()

    def _seen(self) -> object:
        assert self._watch is not None
        return self._watch.execute(_SHAPE).fetchall(), self._watch.execute(self._kept).fetchall()

    def _empty(self) -> bool:
        """Whether it is as fresh now."""
        assert self._watch is not None
        few: list[str] = []
        many: list[str] = []
        self._watch.execute(_LEAVE)
        if self._seen() != self._shape:
            return False
        for name, bytes_ in self._watch.execute(self._full).fetchall():
            (few if bytes_ <= _FEW_BYTES else many).append(name)
        if few:
            delete = "; ".join(f"DELETE FROM {name}" for name in few)
            self._watch.execute(_DELETE.format(", ".join(few), delete))
        if many:
            # CASCADE: tables that refer to these are emptied or empty themselves.
            self._watch.execute(f"TRUNCATE {', '.join(many)} CASCADE")
        self._watch.execute(self._begin)
        return not many or self._seen() == self._shape
