"""Connections to mail servers: made, logged in, a few at once an account, and kept for the next mail for a moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPException,
    SMTPHeloError,
    SMTPResponseException,
)

from connectors.base import Wire
from connectors.mail import settings, smtp_codes
from connectors.mail.oauth import TokenRefused, Tokens
from connectors.mail.smtp_codes import At
from hub.config import Account
from hub.errors import SendCode, SendError, Unavailable

AT_ONCE = 3  # connections of an account: what Exchange Online allows a mailbox
IDLE_S = 5.0  # how long one is kept; servers close theirs after a minute or more


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """In seconds. RFC 5321, 4.5.3.2 has 5 minutes a command and 10 for the end; a drain has not so long, and up to the
    mail a later try costs nothing.

    total: below the drain's 45, whose end of a send counts as doubt at whatever step. data: with less of it left the
    mail is not begun, for its end would be in doubt.
    """

    total: float = 40.0
    connect: float = 10.0
    command: float = 15.0
    data: float = 15.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The time that one try has, from now on; and which try it is."""

    timing: Timing
    attempt: int
    began: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def left_s(self) -> float:
        return max(0.05, self.began + self.timing.total - asyncio.get_running_loop().time())

    def command_s(self) -> float:
        return min(self.timing.command, self.left_s())


class Pool:
    """The connections of one account in one event loop. An idle one is closed by a task of its own, which the end of
    the loop cancels: so none is left open, however the process ends."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self._idle: dict[aiosmtplib.SMTP, asyncio.Task[None]] = {}

    async def enter(self, budget: Budget) -> None:
        """Take one of AT_ONCE places, to be left again. Raises SendError(THROTTLED) where none falls free in time."""
        try:
            async with asyncio.timeout(
                max(0.0, budget.left_s() - budget.timing.data - budget.timing.command)
            ):
                await self._places.acquire()
        except TimeoutError:
            raise SendError(
                SendCode.THROTTLED, "every connection to the mail server is busy", retry=True, after_s=5.0
            ) from None

    def leave(self) -> None:
        self._places.release()

    def idle(self) -> aiosmtplib.SMTP | None:
        """One that is open and logged in, as far as is known; the caller keeps it again or closes it."""
        while self._idle:
            client, keeper = self._idle.popitem()
            keeper.cancel()
            if client.is_connected:
                return client
            client.close()
        return None

    def keep(self, client: aiosmtplib.SMTP) -> None:
        self._idle[client] = asyncio.create_task(self._end(client))

    async def _end(self, client: aiosmtplib.SMTP) -> None:
        try:
            await asyncio.sleep(IDLE_S)
            if self._idle.pop(client, None) is not None:
                with contextlib.suppress(SMTPException, OSError):
                    await client.quit(timeout=2.0)
                client.close()
        except asyncio.CancelledError:
            if self._idle.pop(client, None) is not None:  # else it was taken, and is somebody's
                if isinstance(client.transport, asyncio.WriteTransport):
                    client.transport.abort()  # the loop may end at once: no time for TLS to say goodbye
                client.close()
                await asyncio.sleep(0)
            raise


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, Pool]] = weakref.WeakKeyDictionary()
_tokens: weakref.WeakKeyDictionary[Any, Tokens] = weakref.WeakKeyDictionary()


def pool(account: Account) -> Pool:
    """This loop's pool for the account as it is configured now; who logs in otherwise has another one."""
    here = _pools.setdefault(asyncio.get_running_loop(), {})
    secrets = tuple(account.secrets.get(name, ()) for name in ("password", "refresh_token", "client_secret"))
    return here.setdefault((account.key, settings.smtp(account), settings.auth(account), secrets), Pool())


# --------------------------------------------------------------------------------------------------------- connecting


async def connect(account: Account, wire: Wire, budget: Budget) -> aiosmtplib.SMTP:
    """A new connection, logged in. Raises SendError: nothing has been sent."""
    server = settings.smtp(account)
    if server is None:
        raise SendError(SendCode.CHANNEL_CONFIG, "the account has no smtp to send by", whole_account=True)
    way = settings.auth(account)
    if way is None:
        return await _open(server, account, budget)
    keys = account.secrets.get("password", ()) if way == settings.PASSWORD else (False, True)
    refused: SendError | None = None
    for key in keys:
        client = await _open(server, account, budget)
        try:
            if isinstance(key, str):
                await _log_in(client, server.user, key, budget)
            else:  # the token at hand, and where that is refused a fresh one
                await client.auth_xoauth2(
                    server.user, await _token(account, wire, fresh=key), timeout=budget.command_s()
                )
            return client
        except SMTPAuthenticationError as error:
            client.close()
            refused = smtp_codes.failure(max(error.code, 400), error.message, At.LOGIN, budget.attempt)
            if refused.code is not SendCode.CHANNEL_CONFIG:
                raise refused from None
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise _not_open(error, budget, At.LOGIN) from None
        except BaseException:
            client.close()
            raise
    raise refused or SendError(
        SendCode.CHANNEL_CONFIG, "there is no password to log in with", whole_account=True
    )


async def check(account: Account, wire: Wire) -> None:
    """Connect and log in, and leave again: for those who look whether an account works. Raises SendError."""
    client = await connect(account, wire, Budget(Timing(), 1))
    with contextlib.suppress(SMTPException, OSError):
        await client.quit(timeout=2.0)
    client.close()


async def _open(server: settings.Server, account: Account, budget: Budget) -> aiosmtplib.SMTP:
    """Connected, greeted and encrypted as the settings say; never in the clear where they say otherwise."""
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.tls == settings.TLS,
        start_tls=server.tls == settings.STARTTLS,
        tls_context=None if server.tls == settings.PLAIN else _context(server.ca),
        timeout=min(budget.timing.connect, budget.left_s()),
        local_hostname=settings.address(account).rpartition("@")[2],
    )
    try:
        await client.connect()
        await client.ehlo(timeout=budget.command_s())
    except (SMTPException, OSError, ValueError) as error:
        client.close()
        raise _not_open(error, budget, At.HELLO) from None
    except BaseException:
        client.close()
        raise
    return client


async def _log_in(client: aiosmtplib.SMTP, user: str, password: str, budget: Budget) -> None:
    """By one way only: a wrong password that is tried three ways locks mailboxes."""
    ways: Sequence[str] = client.server_auth_methods
    within_s = budget.command_s()
    if "plain" in ways:
        await client.auth_plain(user, password, timeout=within_s)
    elif "login" in ways:
        await client.auth_login(user, password, timeout=within_s)
    elif "cram-md5" in ways:
        await client.auth_crammd5(user, password, timeout=within_s)
    else:
        raise SendError(
            SendCode.CHANNEL_CONFIG,
            "the mail server takes no password" + (": it may want tls or starttls" if not ways else ""),
            whole_account=True,
        )


async def _token(account: Account, wire: Wire, *, fresh: bool) -> str:
    held = _tokens.get(wire.http)
    if held is None:
        held = _tokens[wire.http] = Tokens(wire.http, wire.kept)
    try:
        return await held.access(account, fresh=fresh)
    except TokenRefused as error:
        raise SendError(SendCode.CHANNEL_CONFIG, str(error), whole_account=True) from None
    except Unavailable as error:
        raise SendError(SendCode.CONNECTION_FAILED, str(error), retry=True) from None


def _not_open(error: Exception, budget: Budget, at: At) -> SendError:
    """Why there is no connection, or no login: ours to put right, or theirs and passing."""
    if (
        isinstance(error, SMTPConnectResponseError | SMTPHeloError | SMTPResponseException)
        and error.code >= 400
    ):
        return smtp_codes.failure(error.code, error.message, at, budget.attempt)
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            why = f"the mail server's certificate is not trusted: {seen.verify_message}"
            return SendError(SendCode.CHANNEL_CONFIG, why, whole_account=True)
        if isinstance(seen, ssl.SSLError):
            why = "no TLS comes about with the mail server: are port and tls right?"
            return SendError(SendCode.CHANNEL_CONFIG, why, whole_account=True)
        if isinstance(seen, socket.gaierror) and seen.errno == socket.EAI_NONAME:
            return SendError(
                SendCode.CHANNEL_CONFIG, "there is no mail server of that name", whole_account=True
            )
        seen = seen.__cause__ or seen.__context__
    if "not supported" in str(
        error
    ):  # STARTTLS that is not offered; the library has no class of its own for it
        why = "the mail server offers no STARTTLS: nothing is sent in the clear"
        return SendError(SendCode.CHANNEL_CONFIG, why, whole_account=True)
    return SendError(
        SendCode.CONNECTION_FAILED,
        f"no connection to the mail server: {type(error).__name__}",
        retry=True,
        after_s=smtp_codes.wait_s(budget.attempt),
    )


@lru_cache(maxsize=32)
def _context(ca: str | None) -> ssl.SSLContext:
    """Reading the system's certificates takes 30 ms."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca:
        context.load_verify_locations(cafile=ca)
    return context
