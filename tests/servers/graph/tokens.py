"""Tokens of Instagram Login, which end after 60 days unless they are refreshed.

developers.facebook.com/documentation/instagram-platform/reference/refresh_access_token: "at least 24 hours old but has
not expired"; "valid for 60 days from the date at which they are refreshed". What is said of one that is too young, and
that the one before goes on until its own end, is our reading.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from tests.servers.graph.errors import GraphError, Json, missing

if TYPE_CHECKING:
    from tests.servers.graph.account import Call
    from tests.servers.graph.social import Instagram

REFRESH = "refresh_access_token"
DAY_S = 86_400.0
LIFE_S = 60 * DAY_S


class Tokens:
    """Of one account: (made at, valid until) by token. The first is of no age, and lives for ever, unless `made`."""

    def __init__(self, of: Instagram) -> None:
        self._of = of
        self._known: dict[str, tuple[float, float]] = {}

    def has(self, token: str) -> bool:
        return token in self._known

    def over(self, token: str) -> int | None:
        known = self._known.get(token)
        return 463 if known is not None and self._of.graph.clock.now() > known[1] else None

    def made(self, days_ago: float) -> None:
        """The account's token was made so long ago."""
        at = self._of.graph.clock.now() - days_ago * DAY_S
        self._known[self._of.token] = at, at + LIFE_S

    def refresh(self, call: Call) -> Json:
        asked, now = str(call.query.get("access_token", "")), self._of.graph.clock.now()
        if call.method != "GET" or call.version or call.edge:
            raise missing(call.node, call.method.lower())
        if call.query.get("grant_type") != "ig_refresh_token" or not asked:
            raise GraphError(100, message="Invalid grant_type or access_token")
        if self._of.page is not None and self._of.page.holds(asked):
            raise GraphError(190)
        if asked in self._known and now < self._known[asked][0] + DAY_S:
            raise GraphError(100, message="The access token is less than 24 hours old")
        self._known.setdefault(asked, (0.0, float("inf")))
        self._of.token = f"IGAA{secrets.token_urlsafe(48)}"
        self._known[self._of.token] = now, now + LIFE_S
        return {"access_token": self._of.token, "token_type": "bearer", "expires_in": int(LIFE_S)}
