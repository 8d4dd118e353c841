"""What is told of sent messages by itself: sent, delivered, read, failed; in time, early, doubled or out of order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers.graph.account import Account

if TYPE_CHECKING:
    from tests.servers.graph.server import Graph


@dataclass(frozen=True)
class Report:
    account: Account
    sent_id: str
    status: str
    code: int = 0
    details: str = ""


class Reports:
    """after: what follows every accepted message by itself, ("sent", "delivered", "read") on demand, nothing at first.
    early: it arrives before the send has its answer. doubled: each arrives twice. holding: it waits for `deliver`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.after: tuple[str, ...] = ()
        self.early = False
        self.doubled = False
        self.holding = False
        self.held: list[Report] = []
        self._seed: int | None = None

    def shuffle(self, seed: int = 0) -> None:
        """Hold reports back until `deliver`, which then tells them in an order of its own."""
        self.holding, self._seed = True, seed

    async def deliver(self) -> int:
        """Tell what is held; how many reports that were."""
        held, self.held, self.holding = self.held, [], False
        if self._seed is not None:
            random.Random(self._seed).shuffle(held)
            self._seed = None
        for one in held:
            await self._tell(one)
        return len(held)

    async def follow(self, account: Account, sent_id: str, failed: int = 0, details: str = "") -> None:
        """After an accepted message: what `after` says, or that it failed."""
        reports = (
            [Report(account, sent_id, "failed", failed, details)]
            if failed
            else [Report(account, sent_id, status) for status in self.after]
        )
        if self.holding:
            self.held += reports
        elif self.early:
            await self._all(reports)
        elif reports:
            self._graph.door.later(self._all(reports))

    async def _all(self, reports: Sequence[Report]) -> None:
        for one in reports:
            await self._tell(one)

    async def _tell(self, one: Report) -> None:
        for _ in range(2 if self.doubled else 1):
            await one.account.report(one.sent_id, one.status, one.code, one.details)
