"""A provider of messages: a local HTTP server that knows deliveries apart and fails on command, path by path."""

import asyncio
import json
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.servers import http
from tests.servers.http import Say, Seen

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Got:
    """One request: its path, what it carried, and when it came (seconds of time.monotonic)."""

    path: str
    delivery: str
    body: dict[str, Any]
    at: float
    key: str | None


def answers(status: int, body: str = "", **headers: str) -> Say:
    """Answer so; header names with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(status=status, body=body.encode(), headers={"Content-Type": "text/plain"} | named)


def hangs() -> Say:
    """Take the request and say nothing."""
    return Say(hang=True)


def resets() -> Say:
    """Take the request and drop the connection."""
    return Say(cut="before")


def breaks_off(body: bytes = b'{"id": "a') -> Say:
    """Answer 200, begin a body and drop the connection in the middle of it."""
    return Say(body=body, cut="body")


class Provider(http.Provider):
    """POST /anything: notes it and answers {"id": …}, or says what it is told to for that path, once each (`next_for`)
    and then for good (`always`).

    GET /find?delivery=…: 200 if it came (and was not refused), else 404. takes_s: how long an answer takes.
    """

    def __init__(self, takes_s: float = 0.0) -> None:
        super().__init__(check=self._answer)
        self.takes_s = takes_s
        self.next_for: dict[str, deque[Say]] = defaultdict(deque)
        self.always: dict[str, Say] = {}
        self.got: list[Got] = []

    def times(self) -> Counter[str]:
        """How often each delivery came."""
        return Counter(got.delivery for got in self.got)

    def _answer(self, seen: Seen) -> Say:
        if seen.method == "GET":
            delivery = seen.query.partition("delivery=")[2]
            if delivery not in self.times():
                return Say(status=404)
            return Say(body=json.dumps({"id": f"ext-{delivery}"}).encode(), headers=_JSON)
        path, body = seen.path.removeprefix("/"), json.loads(seen.body)
        delivery = body.get("delivery", "")
        self.got.append(Got(path, delivery, body, time.monotonic(), seen.headers.get("idempotency-key")))
        if self.next_for[path]:
            return self.next_for[path].popleft()
        if path in self.always:
            return self.always[path]
        said = json.dumps({"id": f"ext-{delivery}"}).encode()
        return Say(body=said, headers=_JSON, after_s=self.takes_s)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)
