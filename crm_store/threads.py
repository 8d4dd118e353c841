"""What ties a mail to a conversation: ids of what was said, names a provider gives, and who takes part.

Asked once a batch, and only where it has messages that answer something or whose sender nobody vouches for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from crm_store.delivery_states import put
from crm_store.statements import rows
from hub.clock import from_us
from hub.model import Quoted

MAIL = "mail"  # the connector whose senders must be proved: anybody can write any From line
MAIL_ACCOUNTS = f"{MAIL}/"
CITED = 20  # ids of earlier messages that go out with a reply; mail programs trim longer lists themselves
COPIED = 20  # others who get a copy of a reply

# The names first, then the index, whatever the statistics say: see crm_store/batch_sqlite.py, batch_postgresql.py. More
# than a few mails with one Message-ID are somebody's game.
_NAMED = {
    "sqlite": """
        SELECT k.value, i.conversation_id FROM json_each(:texts) k
        CROSS JOIN interactions i ON i.account = :account AND i.external_id = k.value
        UNION
        SELECT k.value, d.conversation_id FROM json_each(:texts) k
        CROSS JOIN delivery_parts p ON p.account = :account AND p.external_id = k.value
        CROSS JOIN deliveries d ON d.id = p.delivery_id
        UNION
        SELECT k.value, n.conversation_id FROM json_each(:texts) k
        CROSS JOIN conversation_names n ON n.account = :account AND n.name = k.value
        ORDER BY 2
    """,
    "postgresql": """
        SELECT k.value, f.conversation_id FROM unnest(CAST(:texts AS text[])) k(value) CROSS JOIN LATERAL (
            (SELECT conversation_id FROM interactions WHERE account = :account AND external_id = k.value LIMIT 20)
            UNION ALL
            (SELECT d.conversation_id FROM
                (SELECT delivery_id FROM delivery_parts WHERE account = :account AND external_id = k.value LIMIT 20) p
                CROSS JOIN LATERAL (SELECT conversation_id FROM deliveries WHERE id = p.delivery_id LIMIT 1) d)
            UNION ALL
            (SELECT conversation_id FROM conversation_names WHERE account = :account AND name = k.value LIMIT 1)) f
        GROUP BY 1, 2 ORDER BY 2
    """,
}
_PEOPLE = "SELECT conversation_id, urn FROM conversation_people WHERE conversation_id {ids}"
_OWNERS = """
    SELECT c.id, i.customer_id FROM conversations c JOIN identities i ON i.id = c.identity_id WHERE c.id {ids}
"""
_PROVED = "SELECT DISTINCT customer_id FROM identities WHERE customer_id {ids} AND verified"
_SAID = """
    SELECT conversation_id, external_id FROM (
        SELECT i.conversation_id, i.account, i.external_id, i.id FROM interactions i
        WHERE i.conversation_id {ids} AND i.direction = 'in' AND i.external_id IS NOT NULL
        UNION ALL
        SELECT d.conversation_id, p.account, p.external_id, d.interaction_id FROM deliveries d
        JOIN delivery_parts p ON p.delivery_id = d.id WHERE d.conversation_id {ids} AND p.part >= 0) said
    WHERE account = :account ORDER BY conversation_id, id DESC
"""
_ABOUT = """
    SELECT c.id, COALESCE(NULLIF(l.subject, ''), NULLIF(c.subject, '')) FROM conversations c
    LEFT JOIN interactions l ON l.id = c.last_inbound_id AND l.account = :account WHERE c.id {ids}
"""
QUOTED_CHARS = 20_000  # of what an answer repeats: some ten pages
_QUOTED = """
    SELECT n.conversation_id, n.external_id, substr(n.text, 1, :most), n.sender_name, i.urn, n.at FROM interactions n
    JOIN identities i ON i.id = n.identity_id
    WHERE n.conversation_id {ids} AND n.external_id {texts} AND n.account = :account AND n.direction = 'in'
    AND NOT n.deleted ORDER BY n.id
"""
# Who is written to in copy: not who wants nothing of us, nor whom nothing reaches.
_COPIED = """
    SELECT p.conversation_id, p.urn FROM conversation_people p JOIN conversations c ON c.id = p.conversation_id
    WHERE p.conversation_id {ids}
    AND NOT EXISTS (SELECT 1 FROM identities i
        WHERE i.brand_id = c.brand_id AND i.urn = p.urn AND i.trouble IN ('dead', 'blocked'))
    AND NOT EXISTS (SELECT 1 FROM consents k
        WHERE k.brand_id = c.brand_id AND k.urn = p.urn AND k.scope = 'all' AND NOT k.granted)
    ORDER BY p.conversation_id, p.at, p.urn
"""


@dataclass(slots=True)
class Wanted:
    """names: (account, id of a message or name of a thread). conversations: which our own token names. unproved:
    (brand, sender) of mails that nobody vouches for."""

    names: set[tuple[str, str]] = field(default_factory=set)
    conversations: set[int] = field(default_factory=set)
    unproved: set[tuple[str, str]] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.names or self.conversations or self.unproved)


@dataclass(slots=True)
class Threads:
    """names: -> conversations, the oldest first. people: who else takes part. owners: whose a conversation is now.
    proved: customers of whom some address is verified."""

    names: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    people: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    owners: dict[int, int] = field(default_factory=dict)
    proved: set[int] = field(default_factory=set)


def look_up(tx: Connection, wanted: Wanted, customers: Iterable[int]) -> Threads:
    """What the store knows of these; `customers`: who has the addresses in `wanted.unproved`."""
    found = Threads()
    by_account: dict[str, list[str]] = {}
    for account, name in sorted(wanted.names):
        by_account.setdefault(account, []).append(name)
    for account, names in by_account.items():
        for name, conversation_id in rows(tx, _NAMED[tx.dialect.name], account=account, texts=names):
            found.names.setdefault((account, name), []).append(conversation_id)
    talks = sorted(wanted.conversations.union(*found.names.values()))
    if talks:
        for conversation_id, urn in rows(tx, _PEOPLE, ids=talks):
            found.people[conversation_id].add(urn)
        found.owners = dict(map(tuple, rows(tx, _OWNERS, ids=talks)))
    if asked := sorted(set(customers)):
        found.proved = {row[0] for row in rows(tx, _PROVED, ids=asked)}
    return found


def write(
    tx: Connection, people: Mapping[tuple[int, str], int], names: Mapping[tuple[str, str], Sequence[int]]
) -> None:
    """people: (conversation, urn) -> since. names: (account, name) -> (conversation, since). Who came first stays."""
    put(
        tx,
        "INSERT INTO conversation_people (conversation_id, urn, at)",
        ("bigint", "text", "bigint"),
        [(*key, at) for key, at in sorted(people.items())],
        "ON CONFLICT (conversation_id, urn) DO NOTHING",
    )
    put(
        tx,
        "INSERT INTO conversation_names (account, name, conversation_id, at)",
        ("text", "text", "bigint", "bigint"),
        [(*key, *value) for key, value in sorted(names.items())],
        "ON CONFLICT (account, name) DO NOTHING",
    )


def said(tx: Connection, account: str, conversation_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """What was said in each over this account, both ways, by the provider's ids: the newest first, at most CITED."""
    found: dict[int, list[str]] = {}
    for conversation_id, external_id in rows(tx, _SAID, account=account, ids=conversation_ids):
        mine = found.setdefault(conversation_id, [])
        if len(mine) < CITED and external_id not in mine:
            mine.append(external_id)
    return {conversation_id: tuple(ids) for conversation_id, ids in found.items()}


def about(tx: Connection, account: str, conversation_ids: Sequence[int]) -> dict[int, str | None]:
    """The subject that an answer in each has: of the customer's last mail, else of the conversation."""
    return dict(map(tuple, rows(tx, _ABOUT, account=account, ids=conversation_ids)))


def quoted(
    tx: Connection, account: str, answered: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], Quoted]:
    """What the customer wrote in these (conversation, the provider's id), without what they quoted themselves. An id is
    the sender's own choice: one that another conversation has as well shows nothing of that one."""
    if not answered:
        return {}
    talks, ids = sorted({one for one, _ in answered}), sorted({one for _, one in answered})
    found = rows(tx, _QUOTED, account=account, ids=talks, texts=ids, most=QUOTED_CHARS)
    return {
        (talk, external_id): Quoted(text=text, name=name, urn=urn, at=from_us(at))
        for talk, external_id, text, name, urn, at in found
        if text.strip()
    }


def people(tx: Connection, conversation_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Who takes part in each beside the customer."""
    return _gathered(rows(tx, _PEOPLE, ids=conversation_ids))


def copied(tx: Connection, conversation_ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Who of them gets a copy of an answer: the COPIED who have taken part the longest."""
    return _gathered(rows(tx, _COPIED, ids=conversation_ids), COPIED)


def _gathered(pairs: Iterable[Sequence[Any]], at_most: int | None = None) -> dict[int, tuple[str, ...]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for conversation_id, urn in pairs:
        found[conversation_id].append(urn)
    return {conversation_id: tuple(urns[:at_most]) for conversation_id, urns in found.items()}
