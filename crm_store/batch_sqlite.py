"""The batch's statements for SQLite, on the driver's own connection.

There is no round trip to save, so what counts is the work a row costs: keys come as one JSON array (json_each), rows
go in by many in one statement, and an UPDATE names only what it changes, since SQLite rewrites an index whenever one of
its columns is named.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter

import msgspec

from crm_store.batch_plan import CURED, FOUND, Conversation, Keys, Row

TOGETHER = (
    1024  # rows: 7 ms of SQLite's work, and 17,408 variables of 32,766; with 256, both threads wait more
)

# CROSS JOIN is SQLite's word for "in this order": the keys first, then the index, whatever the statistics say. Each
# question is asked once for each producer, account or brand, which are few: pairs would cost a second JSON a key.
_SEQS = """
    SELECT i.producer, i.seq FROM json_each(?2) k CROSS JOIN intake i ON i.producer = ?1 AND i.seq = k.value
"""
_EVENTS = """
    SELECT i.account, i.event_key, i.interaction_id, t.conversation_id, t.text
    FROM json_each(?2) k CROSS JOIN intake i
    ON i.account = ?1 AND i.event_key = k.value AND i.outcome <> 'duplicate'
    LEFT JOIN interactions t ON t.id = i.interaction_id
"""
_IDENTITIES = """
    SELECT i.brand_id, i.urn, i.id, i.customer_id, i.verified, i.last_seen_at, i.trouble, c.name, c.kind, c.stage,
    c.tier, c.tags, c.language, c.preferred_channel, c.created_at
    FROM json_each(?2) k CROSS JOIN identities i ON i.brand_id = ?1 AND i.urn = k.value
    CROSS JOIN customers c ON c.id = i.customer_id
"""
_CALLS = """
    SELECT i.account, i.external_id, i.id, i.conversation_id, i.identity_id, i.text, i.extra, i.attachments
    FROM json_each(?2) k CROSS JOIN interactions i
    ON i.account = ?1 AND i.external_id = k.value AND i.form = 'call' AND i.direction = 'in'
    ORDER BY i.id DESC
"""
_PARKED = """
    SELECT DISTINCT p.account, p.external_id FROM json_each(?2) k CROSS JOIN parked_reports p
    ON p.account = ?1 AND p.external_id = k.value
"""
_HOMES = f"""
    SELECT {", ".join(FOUND)} FROM conversations WHERE id IN (
        SELECT c.id FROM json_each(?1) k CROSS JOIN conversations c ON c.slot = k.value
        UNION ALL
        SELECT (SELECT c.id FROM conversations c WHERE c.home = k.value AND c.slot IS NULL ORDER BY c.id DESC LIMIT 1)
        FROM json_each(?1) k WHERE NOT EXISTS (SELECT 1 FROM conversations c WHERE c.slot = k.value)
        UNION ALL
        SELECT value FROM json_each(?2)
    )
"""  # noqa: S608 - our own words


def _json(values: Sequence[object]) -> str:
    return msgspec.json.encode(values).decode()


def _ask(driver: sqlite3.Connection, question: str, pairs: Sequence[tuple[str, object]]) -> list[Row]:
    """The rows for all pairs, asked once for each first half."""
    by_first: dict[str, list[object]] = {}
    for first, second in pairs:
        by_first.setdefault(first, []).append(second)
    rows: list[Row] = []
    for first, seconds in by_first.items():
        rows += driver.execute(question, (first, _json(seconds))).fetchall()
    return rows


def look_up(driver: sqlite3.Connection, keys: Keys) -> dict[str, list[Row]]:
    """Rows for batch.look_up, by what they were looked up by."""
    return {
        "events": _ask(driver, _EVENTS, keys.events),
        "identities": _ask(driver, _IDENTITIES, sorted(set(keys.urns))),
        "calls": _ask(driver, _CALLS, keys.calls),
    }


def look_up_seqs(driver: sqlite3.Connection, seqs: Sequence[tuple[str, int]]) -> list[Row]:
    """Which of these entries have their row of intake."""
    return _ask(driver, _SEQS, seqs)


def parked(driver: sqlite3.Connection, arrived: Sequence[tuple[str, str]]) -> list[Row]:
    """Which of these (account, external id) something waits for."""
    if driver.execute("SELECT 1 FROM parked_reports LIMIT 1").fetchone() is None:
        return []
    return _ask(driver, _PARKED, arrived)


def look_up_homes(driver: sqlite3.Connection, homes: Sequence[str], ids: Sequence[int]) -> list[Row]:
    return driver.execute(_HOMES, (_json(homes), _json(ids))).fetchall()


def numbers(driver: sqlite3.Connection, count: int) -> list[int]:
    """`count` conversation numbers, ascending. The counter is rolled back with the batch, so there are no gaps."""
    row = driver.execute(
        "UPDATE counters SET value = value + ? WHERE name = 'conversation_number' RETURNING value", (count,)
    ).fetchone()
    return list(range(row[0] - count + 1, row[0] + 1))


def insert(driver: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    driver.executemany(_insert(table, tuple(columns), 1), rows)


@cache
def _insert(table: str, columns: tuple[str, ...], rows: int) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    marks = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({names}) VALUES {', '.join([marks] * rows)}"  # noqa: S608 - our own words


def insert_many(
    driver: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """A multiple of TOGETHER rows, in as few statements. SQLite's work needs no interpreter, but executemany takes it
    back for every row, and beside another thread waits for it every time."""
    statement = _insert(table, columns, TOGETHER)
    for start in range(0, len(rows), TOGETHER):
        driver.execute(statement, tuple(chain.from_iterable(rows[start : start + TOGETHER])))


def change(
    driver: sqlite3.Connection, conversations: Sequence[Conversation], columns: Mapping[str, str]
) -> None:
    """Write these columns of conversations that were there before."""
    settings = ", ".join(f"{name} = ?" for name in columns)
    driver.executemany(
        f"UPDATE conversations SET {settings}, version = version + 1 WHERE id = ?",  # noqa: S608 - our own words
        list(map(attrgetter(*columns, "id"), conversations)),
    )


def seen(driver: sqlite3.Connection, rows: Sequence[Row]) -> None:
    driver.executemany(
        "UPDATE identities SET last_seen_at = max(last_seen_at, ?), verified = verified OR ?,"  # noqa: S608 - our own words
        f" trouble = CASE WHEN trouble IN {CURED} THEN NULL ELSE trouble END WHERE id = ?",
        rows,
    )


def taken(driver: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """(customer, name, identity): an address that was only claimed goes to who wrote from it, and no unmerging moves
    it back to who claimed it."""
    driver.executemany(
        "UPDATE identities SET customer_id = ?, name = ? WHERE id = ? AND last_seen_at = 0 AND NOT verified",
        rows,
    )
    driver.executemany("DELETE FROM merge_moves WHERE identity_id = ?", [(row[-1],) for row in rows])


def owners(driver: sqlite3.Connection, identities: Sequence[int]) -> dict[int, int]:
    question = "SELECT i.id, i.customer_id FROM json_each(?1) k CROSS JOIN identities i ON i.id = k.value"
    return dict(driver.execute(question, (_json(identities),)).fetchall())


def named(driver: sqlite3.Connection, rows: Sequence[Row]) -> None:
    driver.executemany("UPDATE customers SET name = ? WHERE id = ? AND name = ''", rows)


def calls(driver: sqlite3.Connection, rows: Sequence[Row]) -> None:
    driver.executemany("UPDATE interactions SET text = ?, extra = ?, attachments = ? WHERE id = ?", rows)


def propose(driver: sqlite3.Connection, rows: Sequence[Row]) -> None:
    driver.executemany(
        "INSERT INTO merge_proposals (id, one_id, other_id, evidence, score, at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (one_id, other_id) DO NOTHING",
        rows,
    )


def cursors(driver: sqlite3.Connection, rows: Sequence[Row]) -> None:
    driver.executemany(
        "INSERT INTO cursors (account, name, value, at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (account, name) DO UPDATE SET value = excluded.value, at = excluded.at"
        " WHERE excluded.at >= cursors.at",
        rows,
    )
