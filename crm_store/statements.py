"""Statements that are written by hand and run for every message, on the driver as they stand.

One text serves both databases: parameters are `:named`, and `{ids}` or `{texts}` stands for "is one of :these", whose
values go in as one parameter. SQLAlchemy takes 15 µs for a statement this way, 45 as text() and 100 as an expression;
a turn of the sender has a dozen of them. (And one expression that it has in two dialects: `inserting`.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

_AMONG = {
    "sqlite": {
        "ids": "IN (SELECT value FROM json_each(:ids))",
        "texts": "IN (SELECT value FROM json_each(:texts))",
    },
    "postgresql": {
        "ids": "= ANY(CAST(:ids AS bigint[]))",
        "texts": "= ANY(CAST(:texts AS text[]))",
    },
}
_PARAMETER = re.compile(r"(?<!:):(\w+)")


@cache
def _spoken(statement: str, dialect: str) -> str:
    said = statement
    for name, among in _AMONG[dialect].items():
        said = said.replace("{" + name + "}", among)
    return said if dialect == "sqlite" else _PARAMETER.sub(r"%(\1)s", said.replace("%", "%%"))


def run(tx: Connection, statement: str, **values: Any) -> Any:
    """Execute it; `ids` and `texts` are sequences. Values go in as stored: times in microseconds."""
    dialect = tx.dialect.name
    if dialect == "sqlite":
        for name in ("ids", "texts"):
            if name in values:
                values[name] = json.dumps(values[name])
    return tx.exec_driver_sql(_spoken(statement, dialect), values)


def rows(tx: Connection, statement: str, **values: Any) -> Sequence[Any]:
    """What it says, as plain tuples."""
    found: Sequence[Any] = run(tx, statement, **values).fetchall()
    return found


def inserting(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say what is to be done where its key is taken; SQLAlchemy has one for each database."""
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
