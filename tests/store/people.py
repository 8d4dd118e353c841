"""A small office for tests of the store and of the desk: a configuration, a clock to set, and customers who write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from crm_store.db import Store
from crm_store.schema import conversations, customers, identities, interactions
from hub.clock import to_us
from hub.config import Account, Agent, Brand, Config, Outcome, Queue, Role
from hub.ids import Ids
from hub.limits import Limits

START = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)

CONFIG = Config(
    hash="0" * 64,
    brands={"acme": Brand(key="acme", name="Acme"), "other": Brand(key="other", name="Other")},
    accounts={
        key: Account(key=key, connector=key.split("/")[0], name="main", brand=brand, title=title)
        for key, brand, title in (
            ("webchat/main", "acme", "Chat"),
            ("mail/main", "acme", "Mail"),
            ("window/main", "acme", "Window"),
            ("mail/other", "other", "Other's mail"),
        )
    },
    queues={
        "sales": Queue(key="sales", title="Sales", service_within_s=60.0, offer_s=30.0),
        "billing": Queue(key="billing", title="Billing"),
    },
    agents={
        "bo": Agent(key="bo", name="Bo", queues=("sales",), skills=("french",), limit=2),
        "cy": Agent(key="cy", name="Cy", queues=("sales", "billing"), limit=3),
        "lea": Agent(key="lea", name="Lea", role=Role.LEAD),
    },
    calendars={},
    replies={},
    priorities={"normal": 0.0, "high": 600.0},
    rules=(),
    default=Outcome(queue="sales", priority="normal"),
)

LIMITS = {
    "webchat": Limits(text_chars=100, attachments=1, attachment_bytes=1000, source="test"),
    "mail": Limits(text_chars=10_000, attachments=5, attachment_bytes=1_000_000, source="test", subject=True),
    "window": Limits(text_chars=100, attachments=0, attachment_bytes=0, source="test", window_s=24 * 3600.0),
}
SCHEMES = {"webchat": "webchat", "mail": "mailto", "window": "tel"}


class Office:
    """`now` is set by hand; ids are made at `now` too, so that they are ordered as in life."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = START
        self.ids = Ids(7, now_ms=lambda: to_us(self.now) // 1000)
        store._ids = self.ids
        self.numbers = 1000
        self.woken: list[str] = []
        self.told: list[tuple[str, dict[str, Any]]] = []

    def clock(self) -> datetime:
        return self.now

    def later(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now

    def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`work(tx, *args, **kwargs)` in a transaction."""
        return self.store.run(lambda tx: work(tx, *args, **kwargs))

    def do(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`work(tx, ids, *args, now=now, **kwargs)` in a transaction."""
        return self.store.run(lambda tx: work(tx, self.ids, *args, now=self.now, **kwargs))

    def customer(
        self, name: str, *urns: str, brand: str = "acme", verified: bool = True, **values: Any
    ) -> int:
        customer_id = self.ids()
        with self.store.begin() as tx:
            tx.execute(
                insert(customers).values(
                    id=customer_id,
                    brand_id=brand,
                    name=name,
                    created_at=self.now,
                    updated_at=self.now,
                    **values,
                )
            )
        for urn in urns:
            self.identity(customer_id, urn, brand=brand, verified=verified)
        return customer_id

    def identity(self, customer_id: int, urn: str, *, brand: str = "acme", verified: bool = True) -> int:
        identity_id = self.ids()
        with self.store.begin() as tx:
            tx.execute(
                insert(identities).values(
                    id=identity_id,
                    brand_id=brand,
                    urn=urn,
                    customer_id=customer_id,
                    verified=verified,
                    first_seen_at=self.now,
                    last_seen_at=self.now,
                )
            )
        return identity_id

    def who(self, urn: str, brand: str = "acme") -> Any:
        with self.store.read() as tx:
            return tx.execute(
                select(identities).where(identities.c.urn == urn, identities.c.brand_id == brand)
            ).one()

    def writes(
        self,
        urn: str,
        text: str,
        *,
        account: str = "webchat/main",
        conversation: int | None = None,
        queue: str = "sales",
        skills: str = "[]",
        head_start_s: float = 0.0,
        brand: str = "acme",
        **extra: Any,
    ) -> tuple[int, int]:
        """An inbound message, and the conversation it opens or continues: (conversation, interaction)."""
        identity = self.who(urn, brand)
        interaction = self.ids()
        with self.store.begin() as tx:
            if conversation is None:
                conversation = self.ids()
                self.numbers += 1
                home = f"c:{identity.customer_id}"
                taken = tx.execute(select(conversations.c.id).where(conversations.c.slot == home)).first()
                home = f"x:{conversation}" if taken else home
                tx.execute(
                    insert(conversations).values(
                        id=conversation,
                        number=self.numbers,
                        brand_id=brand,
                        customer_id=identity.customer_id,
                        account=account,
                        identity_id=identity.id,
                        state="waiting",
                        slot=home,
                        home=home,
                        queue=queue,
                        priority="normal",
                        head_start_s=head_start_s,
                        skills=skills,
                        waiting_since=self.now,
                        rank_at=self.now - timedelta(seconds=head_start_s),
                        opened_at=self.now,
                        last_at=self.now,
                        last_inbound_id=interaction,
                    )
                )
            else:
                tx.execute(
                    update(conversations)
                    .where(conversations.c.id == conversation)
                    .values(
                        last_inbound_id=interaction,
                        last_at=self.now,
                        account=account,
                        identity_id=identity.id,
                    )
                )
            tx.execute(
                insert(interactions).values(
                    id=interaction,
                    conversation_id=conversation,
                    identity_id=identity.id,
                    account=account,
                    direction="in",
                    form="message",
                    text=text,
                    by="customer",
                    at=self.now,
                    received_at=self.now,
                    **extra,
                )
            )
        return conversation, interaction

    def row(self, conversation_id: int) -> Any:
        with self.store.read() as tx:
            return tx.execute(select(conversations).where(conversations.c.id == conversation_id)).one()

    def actions(self, undo_s: float = 10.0, config: Config = CONFIG) -> Any:
        from desk.actions import Actions

        return Actions(
            self.store,
            lambda: config,
            LIMITS,
            self.woken.append,
            lambda kind, **ids: self.told.append((kind, ids)),
            self.clock,
            undo_s,
            SCHEMES,
        )


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """`work(0..count-1)` in as many threads, all let go together; what each returned, or the exception it raised."""
    gate = threading.Barrier(count)
    results: list[Any] = [None] * count

    def one(number: int) -> None:
        gate.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
