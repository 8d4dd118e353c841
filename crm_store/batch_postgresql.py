"""The batch's statements for PostgreSQL, on the driver's own connection.

Rows go in by COPY, the fastest there is (psycopg's executemany took three times as long); keys and changes come as
arrays through unnest. A LATERAL look-up with a LIMIT is answered through the index whatever the statistics say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import psycopg
from psycopg import sql

from crm_store.batch_plan import CURED, FOUND, Conversation, Keys, Row

Driver = psycopg.Connection[Any]

TOGETHER = 512  # rows in one COPY: begun and ended, one costs as much as 15 rows
_KEEP_OUT = 0x6D657267  # advisory: who opens conversations shares it, who moves identities has it alone

# A table that is young, or was not analysed lately, looks small to the planner, and an UPDATE of a thousand of its rows
# then reads all of it. By their keys is what we always mean.
_BEGIN = """
    SELECT pg_advisory_xact_lock_shared(%s), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true)
"""
_SEQS = """
    SELECT i.producer, i.seq FROM unnest(%s::text[], %s::bigint[]) k(producer, seq) CROSS JOIN LATERAL (
        SELECT producer, seq FROM intake WHERE producer = k.producer AND seq = k.seq LIMIT 1) i
"""
_EVENTS = """
    SELECT i.account, i.event_key, i.interaction_id, t.conversation_id, t.text
    FROM unnest(%s::text[], %s::text[]) k(account, event_key) CROSS JOIN LATERAL (
        SELECT account, event_key, interaction_id FROM intake
        WHERE account = k.account AND event_key = k.event_key AND outcome <> 'duplicate' LIMIT 1) i
    LEFT JOIN LATERAL (
        SELECT conversation_id, text FROM interactions WHERE id = i.interaction_id LIMIT 1) t ON true
"""
_IDENTITIES = """
    SELECT k.brand_id, k.urn, i.id, i.customer_id, i.verified, i.last_seen_at, i.trouble, c.name, c.kind, c.stage,
    c.tier, c.tags, c.language, c.preferred_channel, c.created_at
    FROM unnest(%s::text[], %s::text[]) k(brand_id, urn) CROSS JOIN LATERAL (
        SELECT id, customer_id, verified, last_seen_at, trouble FROM identities
        WHERE brand_id = k.brand_id AND urn = k.urn LIMIT 1) i
    CROSS JOIN LATERAL (
        SELECT name, kind, stage, tier, tags, language, preferred_channel, created_at FROM customers
        WHERE id = i.customer_id LIMIT 1) c
"""
_CALLS = """
    SELECT k.account, k.external_id, i.*
    FROM unnest(%s::text[], %s::text[]) k(account, external_id) CROSS JOIN LATERAL (
        SELECT id, conversation_id, identity_id, text, extra, attachments FROM interactions
        WHERE account = k.account AND external_id = k.external_id AND form = 'call' AND direction = 'in'
        ORDER BY id LIMIT 1) i
"""
_PARKED = """
    SELECT k.account, k.external_id FROM unnest(%s::text[], %s::text[]) k(account, external_id) WHERE EXISTS (
        SELECT 1 FROM parked_reports p WHERE p.account = k.account AND p.external_id = k.external_id)
"""
# Locked in the order of their ids; a row that changed while we waited comes as it is now.
_HOMES = f"""
    SELECT {", ".join(FOUND)}
    FROM conversations WHERE id = ANY(ARRAY(
        SELECT coalesce(
            (SELECT id FROM conversations WHERE slot = k.home LIMIT 1),
            (SELECT id FROM conversations WHERE home = k.home AND slot IS NULL ORDER BY id DESC LIMIT 1))
        FROM unnest(%s::text[]) k(home)
        UNION ALL SELECT unnest(%s::bigint[])
    )) ORDER BY id FOR UPDATE
"""  # noqa: S608 - our own words


def _columns(values: Sequence[Row], width: int) -> tuple[str, ...]:
    return tuple(map(_array, zip(*values, strict=True))) or ("{}",) * width


def _array(values: Sequence[Any]) -> str:
    """An array of texts, numbers or booleans, None among them, as PostgreSQL reads one. psycopg makes the same for 0.8
    µs a value, and a message has fifteen of them; like this it is 0.01 to 0.1."""
    first = next((value for value in values if value is not None), None)
    if not isinstance(first, str):
        return f"{{{','.join(map(str, values)).replace('None', 'NULL')}}}"
    try:
        whole = '","'.join(values)
        if "\\" not in whole and whole.count('"') == 2 * (len(values) - 1):
            return f'{{"{whole}"}}'
    except TypeError:
        pass  # None
    return f"{{{','.join(map(_quoted, values))}}}"


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def look_up(driver: Driver, keys: Keys) -> dict[str, list[Row]]:
    """Rows for batch.look_up, by what they were looked up by; all questions in one round trip."""
    asked: tuple[tuple[str, str, Sequence[Row]], ...] = (
        ("events", _EVENTS, keys.events),
        ("identities", _IDENTITIES, sorted(set(keys.urns))),
        ("calls", _CALLS, keys.calls),
    )
    with driver.pipeline():
        driver.execute(_BEGIN, (_KEEP_OUT,))
        cursors = {
            name: driver.execute(question, _columns(values, 2)) for name, question, values in asked if values
        }
        return {name: cursors[name].fetchall() if name in cursors else [] for name, _, _ in asked}


def look_up_seqs(driver: Driver, seqs: Sequence[tuple[str, int]]) -> list[Row]:
    """Which of these entries have their row of intake."""
    return driver.execute(_SEQS, _columns(seqs, 2)).fetchall()


def parked(driver: Driver, arrived: Sequence[tuple[str, str]]) -> list[Row]:
    """Which of these (account, external id) something waits for."""
    if driver.execute("SELECT 1 FROM parked_reports LIMIT 1").fetchone() is None:
        return []
    return driver.execute(_PARKED, _columns(arrived, 2)).fetchall()


def keep_out(driver: Driver) -> None:
    driver.execute("SELECT pg_advisory_xact_lock(%s)", (_KEEP_OUT,))


def keep_merges_out(driver: Driver) -> None:
    driver.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_KEEP_OUT,))


def look_up_homes(driver: Driver, homes: Sequence[str], ids: Sequence[int]) -> list[Row]:
    return driver.execute(_HOMES, (_array(homes), _array(ids))).fetchall()


def numbers(driver: Driver, count: int) -> list[int]:
    """`count` conversation numbers, ascending. A batch that is rolled back leaves a gap."""
    rows = driver.execute("SELECT nextval('conversation_number') FROM generate_series(1, %s)", (count,))
    return sorted(row[0] for row in rows)


def insert(driver: Driver, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with driver.cursor() as cursor, cursor.copy(_copy(table, columns)) as copy:
        for row in rows:
            copy.write_row(row)


insert_many = insert


@cache
def _copy(table: str, columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )


def change(driver: Driver, conversations: Sequence[Conversation], columns: Mapping[str, str]) -> None:
    """Write these columns of conversations that were there before."""
    types = dict(columns) | {"id": "bigint"}
    settings = ", ".join(f"{name} = v.{name}" for name in columns)
    arrays = ", ".join(f"%s::{kind}[]" for kind in types.values())
    statement = (
        f"UPDATE conversations c SET {settings}, version = version + 1"  # noqa: S608 - our own words
        f" FROM unnest({arrays}) v({', '.join(types)}) WHERE c.id = v.id"
    )
    driver.execute(statement, _columns(list(map(attrgetter(*types), conversations)), len(types)))


def seen(driver: Driver, rows: Sequence[Row]) -> None:
    driver.execute(
        "UPDATE identities i SET last_seen_at = greatest(i.last_seen_at, v.at), verified = i.verified OR v.verified,"  # noqa: S608 - our own words
        f" trouble = CASE WHEN i.trouble IN {CURED} THEN NULL ELSE i.trouble END"
        " FROM unnest(%s::bigint[], %s::boolean[], %s::bigint[]) v(at, verified, id) WHERE i.id = v.id",
        _columns(rows, 3),
    )


def taken(driver: Driver, rows: Sequence[Row]) -> None:
    """(customer, name, identity): an address that was only claimed goes to who wrote from it, and no unmerging moves
    it back to who claimed it."""
    driver.execute(
        "UPDATE identities i SET customer_id = v.customer, name = v.name"
        " FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) v(customer, name, id)"
        " WHERE i.id = v.id AND i.last_seen_at = 0 AND NOT i.verified",
        _columns(rows, 3),
    )
    driver.execute(
        "DELETE FROM merge_moves WHERE identity_id = ANY(%s::bigint[])", (_array([row[-1] for row in rows]),)
    )


def owners(driver: Driver, identities: Sequence[int]) -> dict[int, int]:
    found = driver.execute(
        "SELECT id, customer_id FROM identities WHERE id = ANY(%s::bigint[])", (_array(identities),)
    )
    return dict(found.fetchall())


def named(driver: Driver, rows: Sequence[Row]) -> None:
    driver.execute(
        "UPDATE customers c SET name = v.name FROM unnest(%s::text[], %s::bigint[]) v(name, id)"
        " WHERE c.id = v.id AND c.name = ''",
        _columns(rows, 2),
    )


def calls(driver: Driver, rows: Sequence[Row]) -> None:
    driver.execute(
        "UPDATE interactions i SET text = v.text, extra = v.extra, attachments = v.attachments"
        " FROM unnest(%s::text[], %s::text[], %s::smallint[], %s::bigint[]) v(text, extra, attachments, id)"
        " WHERE i.id = v.id",
        _columns(rows, 4),
    )


def propose(driver: Driver, rows: Sequence[Row]) -> None:
    driver.execute(
        "INSERT INTO merge_proposals (id, one_id, other_id, evidence, score, at)"
        " SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::float8[], %s::bigint[])"
        " ON CONFLICT (one_id, other_id) DO NOTHING",
        _columns(rows, 6),
    )


def cursors(driver: Driver, rows: Sequence[Row]) -> None:
    driver.execute(
        "INSERT INTO cursors (account, name, value, at)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])"
        " ON CONFLICT (account, name) DO UPDATE SET value = excluded.value, at = excluded.at"
        " WHERE excluded.at >= cursors.at",
        _columns(rows, 4),
    )
