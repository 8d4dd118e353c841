"""One mail handed to the account's mail server, step by step, so that every failure is told at the step where it came.

Up to the 354 nothing has been sent; after the final dot the mail is the server's once it says 250, and whoever loses
the connection between the two does not know (RFC 5321, 4.2.5; RFC 1047).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace

import aiosmtplib
from aiosmtplib.errors import SMTPException, SMTPServerDisconnected, SMTPTimeoutError

from connectors import calling
from connectors.base import Wire
from connectors.mail import lines, smtp_codes
from connectors.mail.compose import Mail, compose
from connectors.mail.lines import Budget, Timing
from connectors.mail.smtp_codes import At
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Outgoing, Sent

TRIES_FOR_ALL = (
    3  # so often the whole mail waits for a recipient of a copy who is put off; then it goes without them
)


async def send(message: Outgoing, account: Account, wire: Wire, timing: Timing = Timing()) -> Sent:  # noqa: B008
    """Raises SendError. Where some of the others got none, they and why stand in `detail`."""
    budget = Budget(timing, message.attempt)
    files = [await calling.file_bytes(wire, file) for file in message.attachments]
    if files or account.secrets.get("dkim"):  # encoding megabytes and signing take up to 100 ms
        mail = await asyncio.to_thread(compose, message, account, files, wire.public_url)
    else:
        mail = compose(message, account, files, wire.public_url)
    refused = await _hand_over(mail, account, wire, budget)
    return Sent(external_ids=(mail.message_id,), detail="; ".join(refused))


async def _hand_over(mail: Mail, account: Account, wire: Wire, budget: Budget) -> list[str]:
    """Over an idle connection if there is one; where that turns out to be dead before the mail began, over a new."""
    pool = lines.pool(account)
    await pool.enter(budget)
    try:
        if (idle := pool.idle()) is not None:
            try:
                return await _over(idle, pool, mail, budget)
            except _Stale:
                pass
        client = await lines.connect(account, wire, budget)
        try:
            return await _over(client, pool, mail, budget)
        except _Stale as stale:
            raise stale.error from None
    finally:
        pool.leave()


class _Stale(Exception):
    """The connection ended before anything of the mail was taken."""

    def __init__(self, error: SendError) -> None:
        self.error = error


async def _over(client: aiosmtplib.SMTP, pool: lines.Pool, mail: Mail, budget: Budget) -> list[str]:
    good = False
    try:
        refused = await _by_either_sender(client, mail, budget)
        good = True
        return refused
    except SendError:
        good = await _wiped(client)
        raise
    finally:
        if good:
            pool.keep(client)
        else:
            client.close()


async def _by_either_sender(client: aiosmtplib.SMTP, mail: Mail, budget: Budget) -> list[str]:
    """Automatic mail has the null sender (RFC 3834, 3.3), which some submission servers refuse at one step or another;
    from them it goes out under our address, and Auto-Submitted says all the same what it is."""
    try:
        return await _Transaction(client, mail, budget).run()
    except SendError as error:
        for_good = not error.retry and error.code in (SendCode.REJECTED, SendCode.CHANNEL_CONFIG)
        if mail.sender or not for_good or not await _wiped(client):
            raise
    return await _Transaction(client, replace(mail, sender=mail.ours), budget).run()


async def _wiped(client: aiosmtplib.SMTP) -> bool:
    """Has the server forgotten the envelope, so that the connection may serve the next mail?"""
    if not client.is_connected:
        return False
    try:
        return (await client.execute_command(b"RSET", timeout=2.0)).code == 250
    except (SMTPException, OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class _Transaction:
    """MAIL, RCPT for each, DATA. `run` gives a sentence for each recipient of a copy who was refused."""

    client: aiosmtplib.SMTP
    mail: Mail
    budget: Budget

    async def run(self) -> list[str]:
        await self._sender()
        refused = await self._recipients()
        await self._data()
        return refused

    async def _sender(self) -> None:
        code, said = await self._ask(b"MAIL", _path(b"FROM:", self.mail.sender), *self._options())
        if code == 421:
            raise _Stale(smtp_codes.failure(code, said, At.SENDER, self.budget.attempt))
        if code >= 400:
            raise smtp_codes.failure(code, said, At.SENDER, self.budget.attempt)

    def _options(self) -> list[bytes]:
        options = []
        size = len(self.mail.data)
        if self.client.supports_extension("size"):
            most = self.client.esmtp_extensions.get("size", "")
            if most.isdecimal() and 0 < int(most) < size:
                raise SendError(
                    SendCode.MESSAGE_INVALID,
                    f"the mail has {size:,} bytes and the server takes {int(most):,}",
                )
            options.append(b"SIZE=%d" % size)
        if self.mail.utf8:
            if not self.client.supports_extension("smtputf8"):
                raise SendError(SendCode.REJECTED, "our mail server takes no address with such letters")
            options += [b"SMTPUTF8", b"BODY=8BITMIME"]
        return options

    async def _recipients(self) -> list[str]:
        refused = []
        for number, recipient in enumerate(self.mail.recipients):
            code, said = await self._ask(b"RCPT", _path(b"TO:", recipient))
            if code < 400:
                continue
            error = smtp_codes.failure(code, said, At.RECIPIENT, self.budget.attempt)
            waits = code < 500 and self.budget.attempt < TRIES_FOR_ALL
            if number == 0 or waits or error.whole_account:
                raise error
            refused.append(f"not to {recipient}: {error.detail}")
        return refused

    async def _data(self) -> None:
        if self.budget.left_s() < self.budget.timing.data:
            raise SendError(
                SendCode.CONNECTION_FAILED,
                "the server was too slow to begin the mail",
                retry=True,
                after_s=smtp_codes.wait_s(self.budget.attempt),
            )
        code, said = await self._ask(b"DATA")
        if code != 354:
            raise smtp_codes.failure(max(code, 400), said, At.MAIL, self.budget.attempt)
        protocol = self.client.protocol
        if protocol is None:
            raise _broke("DATA", self.budget.attempt)
        try:
            protocol.write(_stuffed(self.mail.data))
            code, said = await protocol.read_response(timeout=self.budget.left_s())
        except (SMTPServerDisconnected, SMTPTimeoutError, SMTPException, OSError) as error:
            self.client.close()
            raise SendError(
                SendCode.UNKNOWN, f"the mail left, and no confirmation came: {type(error).__name__}"
            ) from None
        if code >= 400:
            raise smtp_codes.failure(code, said, At.MAIL, self.budget.attempt)
        if code >= 300:
            raise SendError(SendCode.UNKNOWN, f"the mail left, and the server answered {code}")

    async def _ask(self, *words: bytes) -> tuple[int, str]:
        """The reply's code and text. A connection that ends here ends before the mail."""
        try:
            response = await self.client.execute_command(*words, timeout=self.budget.command_s())
        except (SMTPException, OSError) as error:
            self.client.close()
            broke = _broke(words[0].decode(), self.budget.attempt, error)
            raise _Stale(broke) if words[0] == b"MAIL" else broke from None
        if response.code < 200:
            raise _broke(words[0].decode(), self.budget.attempt)
        return response.code, response.message


def _broke(step: str, attempt: int, error: Exception | None = None) -> SendError:
    why = f": {type(error).__name__}" if error else ""
    return SendError(
        SendCode.CONNECTION_FAILED,
        f"the connection to the mail server ended at {step}, before the mail{why}",
        retry=True,
        after_s=smtp_codes.wait_s(attempt),
    )


def _path(word: bytes, address: str) -> bytes:
    """`FROM:<…>`. compose let only addresses through that cannot end it early; the library looks once more for CR, LF
    and the other controls."""
    if re.search(r"[<>\s]", address):
        raise SendError(SendCode.REJECTED, "the recipient is no mail address")
    return word + b"<" + address.encode() + b">"


def _stuffed(data: bytes) -> bytes:
    """With dots doubled at the beginning of lines (RFC 5321, 4.5.2), and the dot that ends it."""
    ended = data if data.endswith(b"\r\n") else data + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", ended) + b".\r\n"
