"""OAuth 2 for mailboxes (RFC 6749): an access token for XOAUTH2, fetched anew before it ends.

Two ways, by what the account has: a refresh token (6; Google, Microsoft for a person), or none, and then the client's
own credentials (4.4; Microsoft for an application that may open the mailbox).

Each renewal may bring the next refresh token, after which the one before is worth nothing (at once where it is good
once, RFC 9700, 4.14.2; at Microsoft after 90 days). So the newest outlives the process, and of all processes of an
installation one renews at a time, and the others take what it got.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from connectors.http import TooLarge, read_capped, refusal
from connectors.kept import Kept
from hub import log
from hub.config import Account
from hub.errors import MainstemError, Unavailable

_log = log.get("mail")

EARLY_S = 120.0  # before its end a token is no longer used
_ANSWER_BYTES = 64 * 1024
# What no second try changes (RFC 6749, 5.2) -> what does.
_FINAL = {
    "invalid_grant": "its owner must allow the mailbox again (docs/channels/mail.md), and the new refresh token be set",
    "invalid_client": "look at client_id and client_secret",
    "unauthorized_client": "the application may not do this at the provider",
    "invalid_scope": "look at scope, and at what the mailbox's owner allowed",
    "access_denied": "the mailbox's owner or an administrator must allow it",
}


class TokenRefused(MainstemError):
    """The provider gives no token any more: somebody must allow it again."""


@dataclass(slots=True)
class _Held:
    token: str = ""
    until: float = 0.0
    refresh: str = ""  # the newest
    of: str = ""  # what they came of


class Tokens:
    """The access tokens of this process, by account. `session`: connectors.http.guarded_session. kept: where they
    outlive it; None: nowhere. now: seconds, the same for all processes."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        kept: Kept | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._session, self._kept, self._now = session, kept, now
        self._held: dict[str, _Held] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._renewing: set[asyncio.Task[str]] = set()

    async def access(self, account: Account, *, fresh: bool = False) -> str:
        """A token that is valid now. fresh: the one at hand was refused. Raises TokenRefused or Unavailable."""
        task = asyncio.ensure_future(self._valid(account, fresh))
        self._renewing.add(task)
        task.add_done_callback(self._renewed)
        # Who asked may give up; what the provider has handed out by then is kept all the same.
        return await asyncio.shield(task)

    def _renewed(self, task: asyncio.Task[str]) -> None:
        self._renewing.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits is told

    async def _valid(self, account: Account, fresh: bool) -> str:
        async with self._locks.setdefault(account.key, asyncio.Lock()):
            held, origin = self._held.setdefault(account.key, _Held()), _origin(account)
            if held.of != origin:
                held = self._held[account.key] = _Held(of=origin)
            if fresh or held.until <= self._now():
                refused = held.token if fresh else ""
                async with self._kept.alone(account.key) if self._kept else contextlib.nullcontext():
                    self._recall(account, held)
                    if not held.token or held.token == refused or held.until <= self._now():
                        await self._renew(account, held)
            return held.token

    # ---------------------------------------------------------------------------------------------- over restarts

    def _recall(self, account: Account, held: _Held) -> None:
        """What this process or another got last, if it came of what is configured now."""
        said = self._kept.get(account.key) if self._kept and _configured(account) else {}
        until = _number(said.get("until"), 0.0)
        if said.get("of") == held.of and until >= held.until:  # else ours is newer, and was not kept
            held.refresh, held.token, held.until = said.get("refresh", ""), said.get("access", ""), until

    def _keep(self, account: Account, held: _Held) -> None:
        """The access token too: at some providers each new one ends those before, and two processes with one each
        would renew for ever."""
        if self._kept is None or not _configured(account):
            return
        said = {"refresh": held.refresh, "access": held.token, "until": repr(held.until)}
        try:
            self._kept.put(account.key, {"of": held.of, **said})
        except OSError as error:
            _log.error("a new refresh token could not be kept", account=account.key, why=error.strerror)

    # --------------------------------------------------------------------------------------------------- renewing

    async def _renew(self, account: Account, held: _Held) -> None:
        """By the newest refresh token alone: an older one is nothing but a sign of theft to those where it is good
        once, and they end all of them."""
        said = account.settings.get("oauth") or {}
        form = {"client_id": str(said.get("client_id") or "")}
        configured = _configured(account)
        if configured or held.refresh:
            form |= {"grant_type": "refresh_token", "refresh_token": held.refresh or configured}
        else:
            form["grant_type"] = "client_credentials"
        if secret := next(iter(account.secrets.get("client_secret", ())), ""):
            form["client_secret"] = secret
        if scope := said.get("scope"):
            form["scope"] = str(scope)
        answer = await self._ask(str(said.get("token_url") or ""), form)
        held.token = str(answer["access_token"])
        held.until = self._now() + max(_number(answer.get("expires_in"), 3600.0) - EARLY_S, 30.0)
        held.refresh = str(answer.get("refresh_token") or held.refresh)
        self._keep(account, held)

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
        if (cure := _FINAL.get(why)) is not None:
            detail = " ".join(str(said.get("error_description") or "").split())[:200].rstrip(". ")
            raise TokenRefused(f"the provider gives no token ({why}{': ' if detail else ''}{detail}): {cure}")
        raise Unavailable(f"the token server answers {status}: {why}")


def _configured(account: Account) -> str:
    return next(iter(account.secrets.get("refresh_token", ())), "")


def _origin(account: Account) -> str:
    """What a chain of refresh tokens began with; another token, client or scope in the configuration begins another."""
    said = account.settings.get("oauth") or {}
    parts = [
        _configured(account),
        *(str(said.get(name) or "") for name in ("token_url", "client_id", "scope")),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _number(said: object, otherwise: float) -> float:
    """RFC 6749, 5.1: `expires_in` is recommended, not required; an hour is what all of them give."""
    try:
        return float(str(said))
    except ValueError:
        return otherwise
