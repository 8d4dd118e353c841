"""A token of Instagram Login, renewed while it lives: "valid for 60 days from the date at which they are refreshed".

https://developers.facebook.com/documentation/instagram-platform/reference/refresh_access_token: any token that is "at
least 24 hours old but has not expired" can be, so whoever makes a call does it once half of its life is over. The
newest outlives the process (connectors/kept.py), and of all processes one asks; the others go on with the one at hand,
which holds until its own end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from urllib.parse import urlencode

import msgspec

from connectors import calling
from connectors.base import Wire
from connectors.graph import api, errors
from hub import log
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable

_log = log.get("social")

LIFE_S = 60 * 86_400.0
AGAIN_S = 86_400.0  # after a refusal: it may be less than a day old, and otherwise there is a month
CLAIM_S = 600.0  # how long another process leaves it to who began
_ASK_S = 10.0  # a message waits for it, once in a month
_LONGEST = 1000  # characters of a token; they have some two hundred


async def with_newest(account: Account, wire: Wire, host: str, *, ask: bool = True) -> Account:
    """The account with the newest token that came of the configured one. Raises SendError as `api.token` does, and
    nothing else: a token that was not renewed still holds."""
    if wire.kept is None:
        return account
    configured, now = api.token(account), wire.now.timestamp()
    said = _said(wire, account, configured)
    held = said.get("access") or configured
    due = ask and float(said.get("next") or 0.0) <= now
    if due and await _mine(wire, account, configured, now):
        held = await _renewed(wire, account, configured, held, host)
    if held == configured:
        return account
    tokens = (held, *account.secrets["token"])
    return dataclasses.replace(account, secrets={**account.secrets, "token": tokens})


def _said(wire: Wire, account: Account, configured: str) -> dict[str, str]:
    """What is kept, where it came of what is configured now."""
    assert wire.kept is not None
    said = wire.kept.get(account.key)
    try:
        float(said.get("next") or 0.0)
    except ValueError:
        return {}
    return said if said.get("of") == _of(configured) else {}


def _of(configured: str) -> str:
    return hashlib.sha256(configured.encode()).hexdigest()


async def _mine(wire: Wire, account: Account, configured: str, now: float) -> bool:
    """Is it ours to renew it? Then nobody else tries for a while."""
    assert wire.kept is not None
    try:
        async with wire.kept.alone(account.key):
            said = _said(wire, account, configured)
            if float(said.get("next") or 0.0) > now:
                return False
            _keep(wire, account, configured, said.get("access", ""), now + CLAIM_S)
    except (Unavailable, OSError) as error:
        _log.warning("the token cannot be renewed here", account=account.key, why=type(error).__name__)
        return False
    return True


def _keep(wire: Wire, account: Account, configured: str, access: str, after: float) -> None:
    assert wire.kept is not None
    wire.kept.put(account.key, {"of": _of(configured), "access": access, "next": repr(after)})


async def _renewed(wire: Wire, account: Account, configured: str, held: str, host: str) -> str:
    """The newest; where it could not be renewed, the one at hand."""
    now = wire.now.timestamp()
    try:
        async with asyncio.timeout(_ASK_S):
            access, lasts_s = await _ask(wire, account, held, host)
        after = now + lasts_s / 2
        _log.info("token renewed", account=account.key, days=round(lasts_s / 86_400))
    except (SendError, TimeoutError) as error:
        code = error.provider_code if isinstance(error, SendError) else None
        _log.warning("token not renewed", account=account.key, code=code, error=type(error).__name__)
        access, after = held, now + AGAIN_S
    try:
        _keep(wire, account, configured, access, after)
    except OSError as error:
        _log.error("a new token could not be kept", account=account.key, why=error.strerror)
    return access


async def _ask(wire: Wire, account: Account, held: str, host: str) -> tuple[str, float]:
    """The token stands in the address, as nowhere else: the page wants it there."""
    base = str(account.settings.get("api") or host).rstrip("/")
    query = urlencode({"grant_type": "ig_refresh_token", "access_token": held})
    where = f"{base}/refresh_access_token?{query}"
    status, body, after_s = await calling.ask(wire, "GET", where, {"Accept": "application/json"})
    if status != 200:
        raise errors.failure(status, body, after_s)
    try:
        said = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Answer("", 0.0)
    token = said.access_token
    if not (0 < len(token) <= _LONGEST and token.isascii() and token.isprintable() and " " not in token):
        raise SendError(SendCode.RESPONSE_CONTENT, "Instagram's answer has no token")
    return token, min(max(said.expires_in, 2 * AGAIN_S), LIFE_S)


class _Answer(msgspec.Struct):
    access_token: str
    expires_in: float = LIFE_S
