"""What a batch looks up and what it writes: keys, what is known of them, and the plan (crm_store/batch.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from crm_store.threads import Threads, Wanted
from hub.model import ConsentChanged, DeliveryReported, IdentityLearned, MessageChanged

# The columns of each table that a batch inserts into, in the order of the plan's tuples.
COLUMNS: dict[str, tuple[str, ...]] = {
    "intake": (
        "producer", "seq", "account", "event_key", "kind", "outcome", "interaction_id", "accepted_at", "stored_at",
    ),
    "customers": ("id", "brand_id", "name", "language", "created_at", "updated_at", "by"),
    "identities": (
        "id", "brand_id", "urn", "customer_id", "verified", "name", "first_seen_at", "last_seen_at",
    ),
    "conversations": (
        "id", "number", "brand_id", "customer_id", "account", "identity_id", "state", "slot", "home", "thread",
        "subject", "queue", "ruled_queue", "priority", "ruled_priority", "head_start_s", "tags", "skills",
        "decision_id", "waiting_since", "rank_at", "opened_at", "last_at", "last_inbound_id",
    ),
    "interactions": (
        "id", "conversation_id", "identity_id", "account", "direction", "form", "text", "subject", "external_id",
        "in_reply_to", "sender_name", "by", "extra", "blob", "attachments", "at", "received_at",
    ),
    "interaction_attachments": (
        "interaction_id", "position", "sha256", "name", "content_type", "size_bytes",
    ),
    "media": (
        "interaction_id", "position", "account", "ref", "kind", "name", "content_type", "size_bytes", "state", "due_at",
        "at",
    ),
    "albums": ("account", "album", "interaction_id", "at"),
    "decisions": (
        "id", "conversation_id", "interaction_id", "config_hash", "rule", "facts_version", "facts", "outcome", "at",
    ),
    "conversation_events": ("id", "conversation_id", "at", "by", "what", "why", "data"),
    "quarantine": (
        "id", "producer", "seq", "account", "kind", "reason", "entry", "blob", "state", "at",
    ),
}  # fmt: skip

# What may be written before the rest is planned: rows that are never changed. Those of customers and identities are
# few, and in the order of their keys two routers with the same newcomers do not wait for each other in a ring.
EARLY = ("interactions", "decisions", "intake", "conversation_events", "interaction_attachments")

# What another message changes in a conversation that keeps its place: no indexed column (PostgreSQL's types).
ADDED: dict[str, str] = {
    "account": "text", "identity_id": "bigint", "decision_id": "bigint", "last_at": "bigint",
    "last_inbound_id": "bigint",
}  # fmt: skip
# And what may change with its place or state.
MOVED: dict[str, str] = ADDED | {
    "state": "text", "slot": "text", "queue": "text", "ruled_queue": "text", "priority": "text",
    "ruled_priority": "text", "head_start_s": "float8", "tags": "text", "skills": "text", "waiting_since": "bigint",
    "rank_at": "bigint", "assignee": "text", "snoozed_until": "bigint", "disposition": "text", "closed_at": "bigint",
}  # fmt: skip
FOUND = (
    "id", "number", "brand_id", "customer_id", "account", "identity_id", "state", "slot", "home", "subject", "queue",
    "ruled_queue", "priority", "ruled_priority", "head_start_s", "tags", "skills", "decision_id", "waiting_since",
    "rank_at", "assignee", "snoozed_until", "disposition", "opened_at", "closed_at", "last_at", "last_inbound_id",
)  # fmt: skip

NEVER_US = 0  # `last_seen_at` of an address that somebody only claimed: nobody has written from it yet
CURED = ("dead", "full")  # by whoever writes from the address: their mailbox works

Row = tuple[Any, ...]


@dataclass(slots=True)
class Keys:
    """What the entries of a batch are looked up by: `seqs` and `events` one an entry, in step; `urns` are (brand, urn),
    `calls` (account, external id), `albums` (account, key of an album)."""

    seqs: list[tuple[str, int]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    urns: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    albums: list[tuple[str, str]] = field(default_factory=list)
    threads: Wanted = field(default_factory=Wanted)


@dataclass(slots=True)
class Identity:
    """An address with what the rules may ask of its owner. `customer_created`: microseconds; so is `last_seen`, which
    tells only whether they ever wrote (NEVER_US): kept up, it would cost an UPDATE of a row far away for each message.

    only_claimed: somebody said that it is theirs, and neither was it ever written from nor does a provider vouch.
    """

    id: int
    customer_id: int
    verified: bool
    last_seen: int
    trouble: str | None
    name: str
    kind: str
    stage: str
    tier: str | None
    tags: str
    language: str | None
    preferred_channel: str | None
    customer_created: int

    @property
    def only_claimed(self) -> bool:
        return self.last_seen == NEVER_US and not self.verified


@dataclass(slots=True)
class Conversation:
    """A conversation as the batch found it, and as it leaves it: attach changes it in place.

    number None: opened by this batch. touched: 0 unchanged, 1 another message was added, 2 its place changed too.
    """

    id: int
    number: int | None
    brand_id: str
    customer_id: int
    account: str
    identity_id: int
    state: str
    slot: str | None
    home: str | None
    subject: str
    queue: str
    ruled_queue: str | None
    priority: str
    ruled_priority: str | None
    head_start_s: float
    tags: str
    skills: str
    decision_id: int | None
    waiting_since: int | None
    rank_at: int | None
    assignee: str | None
    snoozed_until: int | None
    disposition: str | None
    opened_at: int
    closed_at: int | None
    last_at: int
    last_inbound_id: int | None
    thread: str | None = None
    touched: int = 0


@dataclass(slots=True)
class Call:
    """A call that is remembered already: its interaction, and how far it had come."""

    id: int
    conversation_id: int
    identity_id: int
    text: str
    extra: str | None
    attachments: int


@dataclass(slots=True)
class Album:
    """A message that comes in pieces, as far as it is remembered. files: those it has, the next one's position."""

    id: int
    conversation_id: int
    text: str
    files: int


@dataclass(slots=True)
class First:
    """Who came first with an event key: the interaction that was made of it, where one was."""

    interaction_id: int | None
    conversation_id: int | None = None
    text: str | None = None


@dataclass(slots=True)
class Known:
    """What the store knows of a batch's keys. attach adds to it as it goes, so that the batch knows itself."""

    seqs: set[tuple[str, int]] = field(default_factory=set)
    events: dict[tuple[str, str], First] = field(default_factory=dict)
    identities: dict[tuple[str, str], Identity] = field(default_factory=dict)
    calls: dict[tuple[str, str], Call] = field(default_factory=dict)
    albums: dict[tuple[str, str], Album] = field(default_factory=dict)
    homes: dict[str, Conversation] = field(default_factory=dict)
    conversations: dict[int, Conversation] = field(default_factory=dict)
    threads: Threads = field(default_factory=Threads)


@dataclass(slots=True)
class AutoReply:
    """An answer that a machine of ours gives. `key`: the reply's in replies.yaml. `in_reply_to`: the provider's id."""

    key: str
    text: str
    account: str
    urn: str
    conversation_id: int
    identity_id: int
    in_reply_to: str | None


@dataclass(slots=True)
class Plan:
    """Everything a batch writes. Rows are tuples in the order of COLUMNS; times are microseconds.

    seen: identity -> (last_seen_at, verified) ; named: customer -> name, taken where there is none yet
    nameless: somebody came whose provider can be asked for their name
    taken: identity that was only claimed -> the customer who wrote from it, and their name
    calls: interaction -> (text, extra, attachments) ; proposals: (id, one, other, evidence, score, at)
    pieces: interaction of an album -> (caption where it had none, how many files came with later pieces)
    people: (conversation, urn) -> since ; names: (account, name of a thread) -> (conversation, since)
    links: conversations of which one answers words of the other
    cursors: (account, name) -> (value, at) ; arrived: what was said, as (account, external id)
    entries, duplicates, quarantined: how many rows of intake there are, and of those
    The rest are events for the rooms that own their tables, in order.
    """

    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in COLUMNS})
    opened: list[Conversation] = field(default_factory=list)
    touched: dict[int, Conversation] = field(default_factory=dict)
    seen: dict[int, tuple[int, bool]] = field(default_factory=dict)
    named: dict[int, str] = field(default_factory=dict)
    nameless: bool = False
    taken: dict[int, tuple[int, str]] = field(default_factory=dict)
    calls: dict[int, tuple[str, str | None, int]] = field(default_factory=dict)
    pieces: dict[int, tuple[str, int]] = field(default_factory=dict)
    proposals: list[Row] = field(default_factory=list)
    cursors: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    arrived: list[tuple[str, str]] = field(default_factory=list)
    entries: int = 0
    duplicates: int = 0
    quarantined: int = 0
    changes: list[MessageChanged] = field(default_factory=list)
    reports: list[DeliveryReported] = field(default_factory=list)
    consents: list[ConsentChanged] = field(default_factory=list)
    learned: list[IdentityLearned] = field(default_factory=list)
    people: dict[tuple[int, str], int] = field(default_factory=dict)
    names: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)
    autos: list[AutoReply] = field(default_factory=list)


of_conversation = attrgetter(*COLUMNS["conversations"])  # its row, when it is new
