"""OAuth 2 for mailboxes (RFC 6749): an access token for XOAUTH2, fetched anew before it ends.

Two ways, by what the account has: a refresh token (6; Google, Microsoft for a person), or none, and then the client's
own credentials (4.4; Microsoft for an application that may open the mailbox).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from connectors.http import TooLarge, read_capped, refusal
from hub.config import Account
from hub.errors import MainstemError, Unavailable

EARLY_S = 120.0  # before its end a token is no longer used
_ANSWER_BYTES = 64 * 1024
_FINAL = frozenset(
    ["invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "access_denied"]
)


class TokenRefused(MainstemError):
    """The provider gives no token any more: somebody must allow it again."""


@dataclass(slots=True)
class _Held:
    token: str = ""
    until: float = 0.0
    refresh: str = ""  # the newest; some providers give a new one each time


class Tokens:
    """The access tokens of this process, by account. `session`: connectors.http.guarded_session."""

    def __init__(self, session: aiohttp.ClientSession, now: Callable[[], float] = time.monotonic) -> None:
        self._session, self._now = session, now
        self._held: dict[str, _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def access(self, account: Account, *, fresh: bool = False) -> str:
        """A token that is valid now. fresh: the one at hand was refused. Raises TokenRefused or Unavailable."""
        async with self._locks.setdefault(account.key, asyncio.Lock()):
            held = self._held.setdefault(account.key, _Held())
            if fresh or held.until <= self._now():
                await self._renew(account, held)
            return held.token

    async def _renew(self, account: Account, held: _Held) -> None:
        said = account.settings.get("oauth") or {}
        form = {"client_id": str(said.get("client_id") or "")}
        configured = next(iter(account.secrets.get("refresh_token", ())), "")
        if configured or held.refresh:
            form |= {"grant_type": "refresh_token", "refresh_token": held.refresh or configured}
        else:
            form["grant_type"] = "client_credentials"
        if secret := next(iter(account.secrets.get("client_secret", ())), ""):
            form["client_secret"] = secret
        if scope := said.get("scope"):
            form["scope"] = str(scope)
        try:
            answer = await self._ask(str(said.get("token_url") or ""), form)
        except TokenRefused:
            if not held.refresh:
                raise
            held.refresh = ""  # the one that was handed to us; the configured one may still hold
            await self._renew(account, held)
            return
        held.token = str(answer["access_token"])
        held.until = self._now() + max(_lasts_s(answer.get("expires_in")) - EARLY_S, 30.0)
        held.refresh = str(answer.get("refresh_token") or held.refresh)

    async def _ask(self, url: str, form: dict[str, str]) -> dict[str, object]:
        try:
            async with self._session.post(url, data=form, allow_redirects=False) as response:
                status, body = response.status, await read_capped(response, _ANSWER_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError, TooLarge) as error:
            if (wrong := refusal(error)) is not None:
                raise TokenRefused(str(wrong)) from error
            raise Unavailable(f"the token server does not answer: {type(error).__name__}") from error
        try:
            said = json.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise Unavailable(f"the token server answers {status} with no JSON")
        if status == 200 and said.get("access_token"):
            return said
        why = str(said.get("error") or status)[:80]
        if why in _FINAL:
            detail = " ".join(str(said.get("error_description") or "").split())[:200]
            raise TokenRefused(f"the provider gives no token ({why}): {detail}".rstrip(": "))
        raise Unavailable(f"the token server answers {status}: {why}")


def _lasts_s(said: object) -> float:
    """RFC 6749, 5.1: recommended, not required; an hour is what all of them give."""
    try:
        return float(str(said))
    except ValueError:
        return 3600.0
