"""The store's answers to what connectors and the inlet may ask: the ports of connectors/base.py and hub/inlet.py.

Every answer comes from a bounded pool of threads within its deadline, or is Unavailable: nobody who speaks to a
customer waits for a database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import redis
from sqlalchemy import select

from connectors import visitor
from connectors.base import Health, PastMessage
from crm_store import intake, sources, views
from crm_store.db import Store
from crm_store.schema import cursors
from hub import clock
from hub import urn as urns
from mainstem.pool import Pool

if TYPE_CHECKING:
    from hub.inlet import ProducerReport


SOURCES_DEADLINE_S = 10.0  # a mailbox waits, and is read on
RECEIPTS_DEADLINE_S = 10.0  # recovery may wait: the journal holds what is asked about


class StoreHistory:
    """connectors.base.History."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool

    async def since(self, account: str, urn: str, after: int, limit: int = 200) -> list[PastMessage]:
        def look() -> list[PastMessage]:
            with self._store.read() as tx:
                found = views.history_since(tx, account, urn, after, limit)
            return [
                PastMessage(
                    seq=past.seq,
                    direction=past.direction,
                    text=past.text,
                    at=past.at,
                    author_name=past.author_name,
                    client_id=past.client_id,
                    attachments=past.attachments,
                    change=past.change,
                    gone=past.gone,
                )
                for past in found
            ]

        return await self._pool(look)


class StoreCursors:
    """connectors.base.Cursors."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool

    async def get(self, account: str, name: str) -> str | None:
        def look() -> str | None:
            with self._store.read() as tx:
                return tx.scalar(
                    select(cursors.c.value).where(cursors.c.account == account, cursors.c.name == name)
                )

        return await self._pool(look, SOURCES_DEADLINE_S)

    async def begin(self, account: str, name: str, value: str) -> str:
        return await self._pool(lambda: sources.begin(self._store, account, name, value), SOURCES_DEADLINE_S)


class StoreStored:
    """connectors.mail.taking.Stored."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool

    async def has(self, account: str, event_keys: Sequence[str]) -> set[str]:
        def look() -> set[str]:
            with self._store.read() as tx:
                return sources.has(tx, account, event_keys)

        return await self._pool(look, SOURCES_DEADLINE_S)

    async def note(self, account: str, health: Health) -> None:
        def work() -> None:
            self._store.run(lambda tx: sources.note(tx, account, health.at, health.why, health.next_at))

        await self._pool(work, SOURCES_DEADLINE_S)


class StoreLive:
    """connectors.base.Live."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool

    async def wait(self, account: str, urn: str) -> tuple[int, float] | None:
        def look() -> tuple[int, float] | None:
            with self._store.read() as tx:
                return views.wait(tx, account, urn, clock.system())

        return await self._pool(look)


class VisitorsHere:
    """desk.choosing.Live: who has a chat open, as the edge keeps it in Redis. While that is away, nobody."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        chats = [(account, urn) for account, urn in pairs if urns.scheme(urn) in urns.VISITS]
        if not chats:
            return []
        keys = [visitor.here_key(account, urn.partition(":")[2]) for account, urn in chats]
        try:
            found = self._client.mget(keys)
        except (redis.RedisError, OSError):
            return []
        return [pair for pair, there in zip(chats, found, strict=True) if there]


class StoreReceipts:
    """hub.inlet.Receipts: which journalled entries the store has, and the producer's own count for the ledger."""

    def __init__(self, store: Store, pool: Pool) -> None:
        self._store = store
        self._pool = pool

    async def known(self, producer: str, seqs: Sequence[int]) -> set[int]:
        return await self._pool(lambda: intake.known(self._store, producer, seqs), RECEIPTS_DEADLINE_S)

    async def report(self, report: ProducerReport) -> None:
        await self._pool(lambda: intake.report(self._store, report), RECEIPTS_DEADLINE_S)
