"""The way in for tests: a small configuration, a clock that is set, and entries as a journal would have them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, func, select

from crm_store import schema
from crm_store.db import Store
from hub.codec import encode
from hub.config import Config
from hub.configfiles import load
from hub.model import CallEvent, CallState, Cursor, Entry, Event, MessageReceived
from router import consent
from router.handle import Handler
from router.rules import Decision, RuleSet, compile_rules

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FILES = {
    "channels.yaml": """
brands: {main: {name: Main}}
accounts:
  webchat/main: {title: Chat, reopen_within: 1h}
  webchat/desk: {title: Chat at the counter, conversation: account}
  console/main: {title: Terminal, conversation: thread}
  webhook/main: {title: Forms}
""",
    "queues.yaml": """
priorities: {urgent: 1h, high: 10m, normal: 0s}
queues:
  general: {title: General}
  billing: {title: Billing}
  support: {title: Support}
""",
    "agents.yaml": "agents: {bo: {name: Bo, skills: [repair]}}",
    "routing.yaml": """
rules:
  - name: hurry
    when: {text: [urgent]}
    then: {priority: high, tags: [urgent]}
    continue: true
  - name: money
    when: {text: [invoice, refund]}
    then: {queue: billing}
  - name: trouble
    when: {text: [broken]}
    then: {queue: support, priority: urgent, skills: [repair]}
default: {queue: general}
""",
}


class Minded:
    """The rules, with somebody who reads along and may raise."""

    def __init__(self, rules: RuleSet, reads: Callable[[str], None]) -> None:
        self.hash, self.calendars, self._rules, self._reads = rules.hash, rules.calendars, rules, reads

    def possible(self, facts: Mapping[str, Any]) -> int:
        return self._rules.possible(facts)

    def decide(self, facts: Mapping[str, Any], text: str, possible: int | None = None) -> Decision:
        self._reads(text)
        return self._rules.decide(facts, text, possible)


class WayIn:
    """Handles what it is given as one router would, at a time that stands still until it is moved."""

    def __init__(self, store: Store, files: Mapping[str, str] = FILES) -> None:
        self.store = store
        self.now = NOON
        self.config: Config = load(files)
        self.rules: Any = compile_rules(self.config)
        self.slept: list[float] = []
        self._seqs = itertools.count(1)
        self.handler = Handler(
            store,
            rules=lambda: self.rules,
            config=lambda: self.config,
            wish=consent.wish,
            clock=lambda: self.now,
            sleep=self.slept.append,
        )

    def mind(self, reads: Callable[[str], None]) -> None:
        """Have every text that is decided on go through `reads` from now on."""
        self.rules = Minded(compile_rules(self.config), reads)

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)

    def entry(
        self, event: Event, *, producer: str = "p1", seq: int | None = None, cursor: Cursor | None = None
    ) -> Entry:
        number = next(self._seqs) if seq is None else seq
        return Entry(
            producer=producer,
            seq=number,
            accepted_at=self.now,
            event=event,
            cursor=cursor,
            raw=encode(event, cursor),
        )

    def take(self, *events: Event) -> Any:
        """All of them in one batch."""
        return self.handler.batch([self.entry(event) for event in events])

    def ann(self, text: str = "hello", **more: Any) -> MessageReceived:
        """Something Ann says now on the chat."""
        return message(self.now, text, **more)

    # ------------------------------------------------------------------------------------------- what is there

    def rows(self, table: Table, *where: Any) -> list[Any]:
        first = next(iter(table.primary_key.columns))
        with self.store.read() as tx:
            return list(tx.execute(select(table).where(*where).order_by(first)).all())

    def one(self, table: Table, *where: Any) -> Any:
        (row,) = self.rows(table, *where)
        return row

    def count(self, table: Table, *where: Any) -> int:
        with self.store.read() as tx:
            return int(tx.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

    def conversation(self, **where: Any) -> Any:
        """The only conversation (of these columns)."""
        columns = schema.conversations.c
        return self.one(schema.conversations, *(columns[name] == value for name, value in where.items()))

    def outcomes(self) -> list[str]:
        return [row.outcome for row in self.rows(schema.intake)]

    def happened(self) -> list[str]:
        return [row.what for row in self.rows(schema.conversation_events)]

    def change(self, table: Table, **values: Any) -> None:
        """What somebody at a desk did meanwhile."""
        self.store.run(lambda tx: tx.execute(table.update().values(**values)))


_keys = itertools.count(1)


def message(at: datetime, text: str = "hello", **more: Any) -> MessageReceived:
    key = more.pop("event_key", None) or f"m{next(_keys)}"
    values: dict[str, Any] = {
        "account": "webchat/main",
        "sender": "webchat:ann",
        "sender_name": "Ann",
        "external_id": key,
        "verified": True,
        "received_at": at,
    }
    return MessageReceived(event_key=key, text=text, **(values | more))


def call(at: datetime, state: CallState, **more: Any) -> CallEvent:
    values: dict[str, Any] = {"account": "webhook/main", "sender": "tel:+15550100", "external_id": "call-1"}
    return CallEvent(event_key=f"c{next(_keys)}", received_at=at, state=state, **(values | more))


def text_of(rows: Sequence[Any]) -> list[str]:
    return [row.text for row in rows]
