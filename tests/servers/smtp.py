"""A mail server on 127.0.0.1 (aiosmtpd): it keeps what it was given, byte for byte, and fails on command.

Strict: a bare CR or LF, a line beyond 1000 bytes, a control in a command or an address that SMTP does not know is a
fault of ours, and stands in `faults`.
"""

import asyncio
import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd import smtp as aiosmtp

from tests.servers.threaded import Threaded
from tests.servers.tls import server_context

AT = ("connect", "login", "sender", "recipient", "data", "body", "dot")


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One mail that came in whole. sender: "" is the null one. wire: as sent, dots doubled, with the last dot."""

    sender: str
    recipients: tuple[str, ...]
    options: tuple[str, ...]
    data: bytes
    wire: bytes
    connection: int
    tls: bool
    login: str | None

    def header(self, name: str) -> str | None:
        """The field's only value with its folds taken out; None where it is missing or doubled."""
        head = self.data.partition(b"\r\n\r\n")[0].decode("utf-8")
        found = re.findall(
            rf"^{re.escape(name)}:[ ]?(.*(?:\r\n[ \t].*)*)", head, re.MULTILINE | re.IGNORECASE
        )
        return re.sub(r"\r\n(?=[ \t])", "", found[0]).strip() if len(found) == 1 else None


@dataclass(kw_only=True)
class Order:
    """What happens at a step instead: a reply, or the connection is dropped, or nothing comes. times: so often."""

    at: str
    reply: str = ""
    to: str = ""
    times: int = 1_000_000
    drop: bool = False
    hang: bool = False


class SmtpServer(Threaded):
    """`with SmtpServer() as server: ...`, or for a whole process; what it was given is in `mails`, in order.

    users: name -> password, tokens: name -> access token; with either, nobody sends without a login.
    tls: "none", "starttls" or "tls", with the certificate in `pem`. size: the largest mail, in bytes.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        tokens: Mapping[str, str] | None = None,
        ways: tuple[str, ...] = ("PLAIN", "LOGIN"),
        tls: str = "none",
        pem: Path | None = None,
        size: int = 32 * 1024 * 1024,
        utf8: bool = True,
        greylist: bool = False,
    ) -> None:
        super().__init__()
        self.users, self.tokens = dict(users or {}), dict(tokens or {})
        self.ways = tuple(ways) + (("XOAUTH2",) if tokens else ())
        self.tls, self.size, self.utf8 = tls, size, utf8
        self.greylist = greylist
        self.context = server_context(pem) if pem else None
        self.mails: list[Mail] = []
        self.refused: list[Mail] = []  # whole, and answered with a failure at the dot
        self.commands: list[bytes] = []  # every line outside of mails; what follows AUTH is not kept
        self.faults: list[str] = []  # of ours
        self.logins: list[tuple[str, str, bool]] = []  # way, user, good
        self.connections = 0
        self.open = 0
        self.orders: list[Order] = []
        self.seen: set[tuple[str, str]] = set()
        self.port = 0
        self._released = asyncio.Event()
        self._protocols: set[_Protocol] = set()

    # --------------------------------------------------------------------------------------------------- on command

    def fail(self, at: str, reply: str, *, to: str = "", times: int = 1_000_000) -> None:
        """Answer `reply` ("451 4.7.1 Greylisted") at a step of AT; at "recipient" to `to` alone, where it is given."""
        assert at in AT
        assert re.match(r"[45]\d\d ", reply)
        self.orders.append(Order(at=at, reply=reply, to=to, times=times))

    def drop(self, at: str, *, times: int = 1) -> None:
        """Break the connection at a step. "body": in the middle of the mail; "dot": the mail is kept without a word."""
        assert at in AT
        self.orders.append(Order(at=at, drop=True, times=times))

    def hang(self, at: str, *, times: int = 1) -> None:
        """Say nothing at a step until `release()`."""
        assert at in AT
        self.orders.append(Order(at=at, hang=True, times=times))

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._released.set)

    def obey(self) -> None:
        """Forget every order: all is well from now on."""
        self.orders.clear()

    def close_all(self) -> None:
        """Close every connection, as a server does to those that are idle."""
        done = asyncio.run_coroutine_threadsafe(self._close_all(), self._loop)
        done.result(60)

    async def _close_all(self, *, abort: bool = False) -> None:
        for protocol in list(self._protocols):
            transport = protocol.transport
            if isinstance(transport, asyncio.WriteTransport):
                (transport.abort if abort else transport.close)()
        await asyncio.sleep(0)

    def order(self, at: str, to: str = "") -> Order | None:
        for order in self.orders:
            if order.at == at and order.times > 0 and order.to in ("", to):
                order.times -= 1
                return order
        return None

    # ------------------------------------------------------------------------------------------------------- serving

    def _protocol(self) -> "_Protocol":
        return _Protocol(self, self._loop)

    async def _serve(self) -> None:
        context = self.context if self.tls == "tls" else None
        server = await self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        self._released.set()
        server.close()
        await self._close_all(abort=True)
        await asyncio.sleep(0.01)
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


@dataclass
class _State:
    number: int = 0
    raw: bytearray = field(default_factory=bytearray)
    mail_from: int = 0  # where in `raw` the mail began
    in_mail: bool = False
    greeted: bool = False
    login: str | None = None


class _Handler:
    """aiosmtpd calls these after it has looked at the syntax."""

    def __init__(self, server: SmtpServer) -> None:
        self.server = server

    async def handle_MAIL(self, protocol: Any, _: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if reply := await protocol.obeyed("sender"):
            return str(reply)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, protocol: Any, _: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if reply := await protocol.obeyed("recipient", address):
            return str(reply)
        if not envelope.smtp_utf8 and not address.isascii():
            self.server.faults.append("an address with other letters, without SMTPUTF8")
            return "553 5.6.7 SMTPUTF8 is needed"
        known = (envelope.mail_from, address)
        if self.server.greylist and known not in self.server.seen:
            self.server.seen.add(known)
            return "451 4.7.1 Greylisted, please try again in 300 seconds"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, protocol: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        state: _State = protocol.state
        state.in_mail = False
        mail = Mail(
            sender="" if envelope.mail_from == "<>" else envelope.mail_from,
            recipients=tuple(envelope.rcpt_tos),
            options=tuple(envelope.mail_options),
            data=envelope.original_content,
            wire=bytes(state.raw[state.mail_from :]),
            connection=state.number,
            tls=session.ssl is not None or self.server.tls == "tls",
            login=state.login,
        )
        if re.search(rb"(?<!\r)\n|\r(?!\n)", mail.wire):
            self.server.faults.append("a bare CR or LF in a mail")
        if b"\x00" in mail.wire:
            self.server.faults.append("a NUL in a mail")
        if max(map(len, mail.data.split(b"\r\n"))) > 998:
            self.server.faults.append("a line of more than 998 bytes")
        order = self.server.order("dot")
        if order is not None and order.reply:
            self.server.refused.append(mail)
            return order.reply
        self.server.mails.append(mail)
        if order is not None:
            await protocol.carry_out(order)
        return "250 2.0.0 Ok: queued"


class _Protocol(aiosmtp.SMTP):
    def __init__(self, server: SmtpServer, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.state = _State()
        needs_login = bool(server.users or server.tokens)
        super().__init__(
            _Handler(server),
            hostname="mx.test",
            ident="ready",
            data_size_limit=server.size,
            enable_SMTPUTF8=server.utf8,
            tls_context=server.context if server.tls == "starttls" else None,
            require_starttls=server.tls == "starttls",
            auth_require_tls=server.tls == "starttls",
            auth_exclude_mechanism=[
                w for w in ("PLAIN", "LOGIN", "XOAUTH2") if w not in server.ways or not needs_login
            ],
            authenticator=self._look_at_login,
            loop=loop,
        )
        self._auth_required = needs_login  # not as an argument: it warns of logins without STARTTLS

    # -------------------------------------------------------------------------------------------------------- orders

    async def carry_out(self, order: Order) -> None:
        if order.hang:
            await self.server._released.wait()
        elif order.drop and self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined]
            raise ConnectionResetError

    async def obeyed(self, at: str, to: str = "") -> str:
        """The reply that was ordered for this step, "" where none was."""
        order = self.server.order(at, to)
        if order is None:
            return ""
        if order.reply:
            return order.reply
        await self.carry_out(order)
        return ""

    # ------------------------------------------------------------------------------------------------------ the wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self.state.number:
            self.server.connections += 1
            self.server.open += 1
            self.state.number = self.server.connections
            self.server._protocols.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.server._protocols:
            self.server._protocols.discard(self)
            self.server.open -= 1
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state.in_mail:
            state.raw += data
            if len(state.raw) > state.mail_from and (order := self.server.order("body")) is not None:
                assert order.drop
                assert self.transport is not None
                self.transport.abort()  # type: ignore[attr-defined]
                return
        else:
            secret = self.server.commands and self.server.commands[-1].upper().startswith(b"AUTH")
            for line in data.split(b"\r\n")[:-1]:
                if re.search(rb"[\x00-\x1f\x7f]", line):
                    self.server.faults.append(f"a control in a command: {line!r}")
                kept = line.split(b" ")[0] + b" ..." if line.upper().startswith(b"AUTH") else line
                if not secret:
                    self.server.commands.append(kept)
        super().data_received(data)

    async def push(self, status: Any) -> None:
        text = status if isinstance(status, str) else status.decode()
        if not self.state.greeted:
            self.state.greeted = True
            if reply := await self.obeyed("connect"):
                await super().push(reply)
                assert self.transport is not None
                self.transport.close()
                return
        if text.startswith("354"):
            self.state.in_mail = True
            self.state.mail_from = len(self.state.raw)
        await super().push(status)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if reply := await self.obeyed("data"):
            await self.push(reply)
            return
        await super().smtp_DATA(arg)

    # ------------------------------------------------------------------------------------------------------- logging in

    def _look_at_login(
        self, _server: Any, _session: Any, _envelope: Any, way: str, data: Any
    ) -> aiosmtp.AuthResult:
        user, password = data.login.decode(), data.password.decode()
        return self._judged(way, user, self.server.users.get(user) == password)

    def _judged(self, way: str, user: str, good: bool) -> aiosmtp.AuthResult:
        order = self.server.order("login")
        self.server.logins.append((way, user, good and order is None))
        self.server.commands.append(b"(logged in)")
        if order is not None and order.reply:
            return aiosmtp.AuthResult(success=False, handled=False, message=order.reply)
        if not good:
            return aiosmtp.AuthResult(
                success=False, handled=False, message="535 5.7.8 Authentication credentials invalid"
            )
        self.state.login = user
        return aiosmtp.AuthResult(success=True, handled=True, auth_data=user)

    @aiosmtp.auth_mechanism("XOAUTH2")
    async def auth_XOAUTH2(self, _: Any, args: list[str]) -> aiosmtp.AuthResult:  # noqa: N802
        said = base64.b64decode(args[1]).decode()
        found = re.fullmatch(r"user=([^\x01]*)\x01auth=Bearer ([^\x01]*)\x01\x01", said)
        user, token = (found[1], found[2]) if found else ("", "")
        good = bool(token) and self.server.tokens.get(user) == token
        if (
            not good
        ):  # the reason, which the client must answer with an empty line before it hears the verdict
            reason = base64.b64encode(b'{"status":"401","schemes":"bearer"}').decode()
            await super().push(f"334 {reason}")
            await self._reader.readline()
        return self._judged("XOAUTH2", user, good)
