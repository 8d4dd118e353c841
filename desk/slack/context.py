"""What every part of the Slack desk needs, built once by mainstem."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection

from crm_store.db import Store
from desk.actions import Actions
from hub.blobs import BlobStore
from hub.clock import Clock, system
from hub.config import Config
from hub.limits import Limits
from router.rules import RuleSet

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SlackDesk:
    """store, config and rules as the web desk has them. client: with the bot's token and one shared session.

    desk_url: where the web desk is, for links. replay: puts a quarantined entry in once more (its id, and who does it:
    "agent:bo") and says what became of it; raises NotFound and Refused.
    """

    store: Store
    actions: Actions
    config: Callable[[], Config]
    rules: Callable[[], RuleSet]
    limits: Mapping[str, Limits]
    client: AsyncWebClient
    blobs: BlobStore
    desk_url: str
    replay: Callable[[int, str], str]
    clock: Clock = system

    async def look(self, read: Callable[[Connection], T]) -> T:
        """`read` in a thread, in one read transaction."""

        def work() -> T:
            with self.store.read() as tx:
                return read(tx)

        return await asyncio.to_thread(work)

    async def do(self, work: Callable[[], T]) -> T:
        """`work` (an action, a write) in a thread; what it raises comes through."""
        return await asyncio.to_thread(work)
