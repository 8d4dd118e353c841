"""How a token of Meta's stands. https://developers.facebook.com/docs/graph-api/reference/debug_token"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from connectors.base import Finding, Wire
from connectors.graph import api
from hub.config import Account
from hub.errors import SendError

SOON_DAYS = 14


class Looked(NamedTuple):
    """held: the permissions it has; None where it could not be looked at. app: the id of the app that it is of."""

    findings: list[Finding]
    held: frozenset[str] | None = None
    app: str = ""


async def token(
    account: Account, wire: Wire, needed: Collection[str], cure: str, *, host: str = api.API
) -> Looked:
    """needed: permissions without which nothing works, in the order in which they are named; cure: how to get them."""
    try:
        where = api.url(account, "debug_token", {"input_token": api.token(account)}, host=host)
        said = (await api.get(wire, account, where)).get("data")
    except SendError as error:
        return Looked([Finding(what=f"the token could not be looked at: {error.detail}")])
    said = said if isinstance(said, dict) else {}
    scopes, ends = said.get("scopes"), said.get("expires_at")
    held = frozenset(map(str, scopes)) if isinstance(scopes, list) else frozenset[str]()
    found = []
    missing = [one for one in needed if one not in held]
    if missing:
        found.append(Finding(what=f"the token lacks {', '.join(missing)}", wrong=cure))
    if isinstance(ends, int) and ends > 0:
        days = (ends - wire.now.timestamp()) / 86_400
        soon = (
            "Make one of a system user, which does not end, or renew it before." if days < SOON_DAYS else ""
        )
        found.append(Finding(what=f"the token ends in {days:.0f} days", wrong=soon))
    elif not missing:
        found.append(Finding(what="the token has what it needs, and does not end"))
    return Looked(found, held, str(said.get("app_id") or ""))
