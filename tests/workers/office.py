"""What the sender's tests need: conversations with replies in the outbox, accounts, and a drain over them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from connectors import CONNECTORS
from connectors.base import Connector, Wire
from connectors.http import guarded_session
from crm_store import deliveries
from crm_store.db import Store
from crm_store.delivery_states import Moved
from crm_store.schema import conversations, delivery_events, delivery_parts, identities, interactions
from crm_store.schema import deliveries as table
from hub.config import Account
from workers.drain import Drain, Drained
from workers.lane import Tuning
from workers.rates import Rates
from workers.sending import Pause

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
# A try may take long: where one that hangs is the subject, the test says how soon it is given up.
QUICK = Tuning(lasts_s=20.0, batch_s=0.002, poll_s=0.02, look_s=0.02, send_s=30.0)
SECRET = "an-account-s-signing-secret-of-some-length"
_numbers = itertools.count(1001)


class NoBlobs:
    async def read(self, sha256: str) -> bytes:
        return b"bytes of " + sha256.encode()


class Office:
    """One store with its customers' conversations, a clock that is set, and the accounts that send."""

    def __init__(
        self, store: Store, url: str = "http://127.0.0.1:1", names: Sequence[str] = ("main",)
    ) -> None:
        self.store = store
        store.ids.take(1)  # leases its slot now, outside of any transaction
        self.now = START
        self.url = url
        self.accounts: dict[str, Account] = {}
        for name in names:
            self.open(name)
        self.rates = Rates(None)
        self.connectors: Mapping[str, Connector] = CONNECTORS
        self.moved: list[Moved] = []
        self.warned: list[Pause] = []
        self.stopping = False

    async def __aenter__(self) -> Self:
        self.http = guarded_session(allow_private=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    def open(self, name: str, **more: Any) -> Account:
        """A webhook account whose messages go to /NAME of the provider."""
        key = f"webhook/{name}"
        settings = {"url": f"{self.url}/{name}", **more.pop("settings", {})}
        self.accounts[key] = replace(
            Account(
                key=key,
                connector="webhook",
                name=name,
                brand="acme",
                title=name,
                settings=settings,
                secrets={"signing": (SECRET,)},
                rate_per_s=10_000.0,
                burst=1000,
            ),
            **more,
        )
        return self.accounts[key]

    def clock(self) -> datetime:
        return self.now

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    # ------------------------------------------------------------------------------------------ what is in the store

    def conversation(self, urn: str = "webhook:ann", account: str = "webhook/main") -> int:
        """A conversation of a customer who wrote a minute ago; the same address is the same identity."""

        def work(tx: sa.Connection) -> int:
            ids = self.store.ids
            found = tx.execute(sa.select(identities.c.id).where(identities.c.urn == urn)).scalar()
            identity_id, conversation_id, inbound = ids.take(3)
            at = self.now - timedelta(minutes=1)
            if found is None:
                tx.execute(
                    sa.insert(identities).values(
                        id=identity_id,
                        brand_id="acme",
                        urn=urn,
                        customer_id=identity_id,
                        first_seen_at=at,
                        last_seen_at=at,
                    )
                )
            identity_id = found or identity_id
            tx.execute(
                sa.insert(conversations).values(
                    id=conversation_id,
                    number=next(_numbers),
                    brand_id="acme",
                    customer_id=identity_id,
                    account=account,
                    identity_id=identity_id,
                    state="open",
                    slot=f"t:{conversation_id}",
                    queue="general",
                    priority="normal",
                    head_start_s=0.0,
                    assignee="bo",
                    opened_at=at,
                    last_at=at,
                    last_inbound_id=inbound,
                )
            )
            tx.execute(
                sa.insert(interactions).values(
                    id=inbound,
                    conversation_id=conversation_id,
                    identity_id=identity_id,
                    account=account,
                    direction="in",
                    form="message",
                    text="hello?",
                    external_id=f"in-{inbound}",
                    by="customer",
                    at=at,
                    received_at=at,
                )
            )
            return conversation_id

        return self.store.run(work)

    def inbound(self, conversation_id: int, account: str, **more: Any) -> int:
        """The customer of a conversation says something more; it is not made the conversation's newest."""

        def work(tx: sa.Connection) -> int:
            identity_id = tx.execute(
                sa.select(conversations.c.identity_id).where(conversations.c.id == conversation_id)
            ).scalar_one()
            values = {
                "id": self.store.ids(),
                "conversation_id": conversation_id,
                "identity_id": identity_id,
                "account": account,
                "direction": "in",
                "form": "message",
                "text": "and",
                "by": "customer",
                "at": self.now,
                "received_at": self.now,
                **more,
            }
            tx.execute(sa.insert(interactions).values(values))
            return int(values["id"])

        return self.store.run(work)

    def reply(
        self,
        conversation_id: int | None = None,
        text: str = "hello",
        *,
        account: str = "webhook/main",
        to: str = "webhook:ann",
        in_s: float = 0.0,
        **more: Any,
    ) -> int:
        """A reply of Bo's in the outbox; its delivery's id."""
        conversation_id = conversation_id or self.conversation(to, account)

        def work(tx: sa.Connection) -> int:
            ids = self.store.ids
            interaction_id = ids()
            identity_id = tx.execute(
                sa.select(conversations.c.identity_id).where(conversations.c.id == conversation_id)
            ).scalar_one()
            tx.execute(
                sa.insert(interactions).values(
                    id=interaction_id,
                    conversation_id=conversation_id,
                    identity_id=identity_id,
                    account=account,
                    direction="out",
                    form="message",
                    text=text,
                    sender_name="Bo",
                    by="agent:bo",
                    at=self.now,
                    received_at=self.now,
                )
            )
            return deliveries.create(
                tx,
                ids,
                interaction_id=interaction_id,
                conversation_id=conversation_id,
                account=account,
                to_urn=to,
                idem_key=more.pop("idem_key", f"key-{interaction_id}"),
                due_at=self.now + timedelta(seconds=in_s),
                by="agent:bo",
                now=self.now,
                **{"state": "queued", **more},
            )

        return self.store.run(work)

    def row(self, delivery_id: int) -> Any:
        with self.store.read() as tx:
            return tx.execute(sa.select(table).where(table.c.id == delivery_id)).one()

    def state(self, delivery_id: int) -> str:
        return str(self.row(delivery_id).state)

    def states(self, *delivery_ids: int) -> list[str]:
        with self.store.read() as tx:
            rows = tx.execute(sa.select(table.c.id, table.c.state).where(table.c.id.in_(delivery_ids)))
            found = {row.id: str(row.state) for row in rows}
        return [found[delivery_id] for delivery_id in delivery_ids]

    def parts(self, delivery_id: int) -> dict[str, str]:
        c = delivery_parts.c
        with self.store.read() as tx:
            rows = tx.execute(
                sa.select(c.external_id, c.state).where(c.delivery_id == delivery_id).order_by(c.part)
            )
            return dict(rows.all())

    def events(self, delivery_id: int) -> list[str]:
        c = delivery_events.c
        with self.store.read() as tx:
            return list(
                tx.execute(sa.select(c.state).where(c.delivery_id == delivery_id).order_by(c.id)).scalars()
            )

    # --------------------------------------------------------------------------------------------------- the sender

    def drain(self, tuning: Tuning = QUICK, **more: Any) -> Drain:
        return Drain(
            self.store,
            more.pop("accounts", lambda: self.accounts),
            rates=self.rates,
            wire=self.wire,
            owner="test",
            connectors=self.connectors,
            tell=self.moved.extend,
            warn=self.warned.append,
            now=self.clock,
            stopping=lambda: self.stopping,
            tuning=tuning,
            **more,
        )

    async def send(self, tuning: Tuning = QUICK, **by: float) -> Drained:
        """Let time pass and run drains until one has nothing to send at that time."""
        self.later(**by)
        lasts_s = 0.1
        while True:
            drained = await self.drain(replace(tuning, lasts_s=lasts_s)).run()
            if not drained.more or (lasts_s > 0.5 and not drained.tried):
                return drained
            # Its time was over. On a busy machine that may be before it has sent what it claimed; or something is due
            # in a moment, which does not come while this clock stands.
            lasts_s = min(3 * lasts_s, 0.9)

    def wire(self) -> Wire:
        return Wire(
            http=self.http, redis=None, blobs=NoBlobs(), public_url="http://hub.example", now=self.now
        )
