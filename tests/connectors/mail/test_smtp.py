"""Mail handed to a real SMTP server: what arrives, and what each failure at each step means (faults.md F15)."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors import http
from connectors.base import Wire
from connectors.mail import CONNECTOR, lines, sending
from connectors.mail.lines import Timing
from hub.config import Account
from hub.errors import SendCode, SendError
from hub.model import Outgoing, Sent
from tests.conftest import absent
from tests.connectors.mail.outgoing import NOW, Files, file, mailbox, message
from tests.connectors.mail.test_compose import sound
from tests.servers import NotAvailable, free_port
from tests.servers.http import Provider, Say
from tests.servers.smtp import SmtpServer
from tests.servers.tls import certificate

# For who waits in vain. What comes before the step that hangs may take long on a machine under load: up to the mail it
# is the same to us at which step the time was up, and after it there is time for all of them.
UP_TO_THE_MAIL = Timing(connect=0.5, command=0.5)
AFTER_IT = Timing(total=4.0, connect=4.0, command=4.0, data=0.2)
BOB, CARL = "mailto:bob@example.org", "mailto:carl@example.org"


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as opened:
        yield opened
    assert opened.faults == []


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with http.guarded_session(allow_private=True, total_s=30) as session:
        yield Wire(http=session, redis=None, blobs=Files(), public_url="https://hub.example.com", now=NOW)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return certificate(tmp_path_factory.mktemp("tls"))
    except NotAvailable as because:
        absent("TLS", because)
        raise


def ours(server: SmtpServer, secrets: dict[str, tuple[str, ...]] | None = None, **more: Any) -> Account:
    place = {"host": "localhost", "port": server.port, "tls": server.tls} | more.pop("smtp", {})
    return mailbox(secrets, smtp=place, **more)


async def failing(said: Outgoing, account: Account, wire: Wire, timing: Timing | None = None) -> SendError:
    with pytest.raises(SendError) as caught:
        await sending.send(said, account, wire, timing or Timing())
    return caught.value


async def test_a_mail_arrives_as_it_was_composed(server: SmtpServer, wire: Wire) -> None:
    said = message(text="one\n.\n..two\n.three", attachments=(file("b", "x.png", "image/png"),), cc=(BOB,))
    sent = await CONNECTOR.send(said, ours(server), wire)
    (mail,) = server.mails
    assert sent == Sent(external_ids=(mail.header("Message-ID") or "",))
    assert (mail.sender, mail.recipients) == ("support@example.com", ("ann@example.net", "bob@example.org"))
    sound(mail.data)
    assert b"one\r\n.\r\n..two\r\n.three\r\n" in mail.data
    assert b"one\r\n..\r\n...two\r\n..three\r\n" in mail.wire
    assert mail.wire.endswith(b"\r\n.\r\n")
    assert server.commands[0] == b"EHLO example.com"


async def test_connections_serve_many_mails_and_are_few(server: SmtpServer, wire: Wire) -> None:
    account = ours(server)
    for number in range(5):
        await CONNECTOR.send(message(delivery_id=number), account, wire)
    assert server.connections == 1
    await asyncio.gather(*(CONNECTOR.send(message(delivery_id=n), account, wire) for n in range(10, 40)))
    assert len(server.mails) == 35
    assert server.connections <= lines.AT_ONCE


async def test_an_idle_connection_that_the_server_closed_costs_nothing(
    server: SmtpServer, wire: Wire
) -> None:
    account = ours(server)
    await CONNECTOR.send(message(delivery_id=1), account, wire)
    server.close_all()
    await CONNECTOR.send(message(delivery_id=2), account, wire)
    server.fail("sender", "421 4.4.2 idle too long", times=1)
    await CONNECTOR.send(message(delivery_id=3), account, wire)
    assert [mail.header("Message-ID", ) for mail in server.mails] == [
        (await _id(n)) for n in (1, 2, 3)
    ]  # fmt: skip
    assert server.connections == 3


async def _id(number: int) -> str:
    from connectors.mail.compose import message_id

    return message_id(message(delivery_id=number), mailbox())


async def test_idle_connections_are_closed(
    server: SmtpServer, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "IDLE_S", 0.01)
    await CONNECTOR.send(message(), ours(server), wire)
    for _ in range(3000):
        if not server.open:
            break
        await asyncio.sleep(0.01)
    assert server.open == 0
    assert server.commands[-1] == b"QUIT"


# ------------------------------------------------------------------------------------------------ what a reply means

C = SendCode


@pytest.mark.parametrize(
    "at, reply, code, retry, whole, after_s",
    [
        ("connect", "421 4.3.2 Service shutting down", C.RESPONSE_STATUS, True, False, 60.0),
        ("connect", "554 5.7.1 Your address is listed", C.CHANNEL_CONFIG, False, True, None),
        ("connect", "421 4.7.0 Too many concurrent connections", C.THROTTLED, True, True, 60.0),
        ("sender", "451 4.3.0 Temporary failure", C.RESPONSE_STATUS, True, False, 60.0),
        ("sender", "553 5.1.8 Sender domain does not exist", C.CHANNEL_CONFIG, False, True, None),
        ("sender", "530 5.7.57 Client not authenticated", C.CHANNEL_CONFIG, False, True, None),
        ("sender", "550 5.4.5 Daily user sending limit exceeded", C.THROTTLED, True, True, 3600.0),
        ("sender", "552 5.3.4 Message size exceeds fixed limit", C.MESSAGE_INVALID, False, False, None),
        ("recipient", "550 5.1.1 No such user here", C.REJECTED, False, False, None),
        ("recipient", "550 no such user", C.REJECTED, False, False, None),
        ("recipient", "552 5.2.2 Mailbox full", C.REJECTED, False, False, None),
        ("recipient", "552 5.2.2 Over quota: quota exceeded", C.REJECTED, False, False, None),
        ("recipient", "556 5.1.10 Null MX", C.REJECTED, False, False, None),
        (
            "recipient",
            "450 4.2.0 Greylisted, try again in 300 seconds",
            C.RESPONSE_STATUS,
            True,
            False,
            300.0,
        ),
        ("recipient", "450 4.2.0 come back in 5 minutes", C.RESPONSE_STATUS, True, False, 300.0),
        ("recipient", "451 Try again later", C.RESPONSE_STATUS, True, False, 60.0),
        ("recipient", "452 4.2.2 Mailbox full", C.RESPONSE_STATUS, True, False, 60.0),
        ("recipient", "450 4.2.1 user is receiving mail too quickly", C.THROTTLED, True, False, 60.0),
        ("recipient", "550 5.7.1 The recipient has unsubscribed", C.OPTED_OUT, False, False, None),
        ("recipient", "554 5.7.1 Relay access denied", C.CHANNEL_CONFIG, False, True, None),
        ("recipient", "550 5.7.60 Client may not send as this sender", C.CHANNEL_CONFIG, False, True, None),
        ("recipient", "550 5.7.26 This mail is unauthenticated", C.REJECTED, False, False, None),
        ("data", "451 4.3.1 Out of disk", C.RESPONSE_STATUS, True, False, 60.0),
        ("data", "554 5.5.1 No valid recipients", C.REJECTED, False, False, None),
        ("dot", "451 4.7.1 Scanner is away", C.RESPONSE_STATUS, True, False, 60.0),
        ("dot", "552 5.3.4 Too large", C.MESSAGE_INVALID, False, False, None),
        ("dot", "552 too large", C.MESSAGE_INVALID, False, False, None),
        ("dot", "554 5.6.0 Malformed", C.MESSAGE_INVALID, False, False, None),
        ("dot", "554 5.7.1 Looks like spam", C.REJECTED, False, False, None),
        ("dot", "554 5.2.0 STOREDRV.Submission:SendAsDenied", C.CHANNEL_CONFIG, False, True, None),
        ("dot", "421 4.4.2 closing", C.RESPONSE_STATUS, True, False, 60.0),
        ("dot", "500 what?", C.RESPONSE_STATUS, False, False, None),
    ],
)
async def test_what_a_reply_means(
    at: str,
    reply: str,
    code: SendCode,
    retry: bool,
    whole: bool,
    after_s: float | None,
    server: SmtpServer,
    wire: Wire,
) -> None:
    server.fail(at, reply)
    error = await failing(message(), ours(server), wire)
    assert (error.code, error.retry, error.whole_account, error.after_s) == (code, retry, whole, after_s), (
        error
    )
    assert error.provider_code == " ".join(w for w in reply.split()[:2] if w[0].isdigit())
    assert reply.split(maxsplit=2)[-1] in error.detail
    assert server.mails == []
    server.obey()
    await CONNECTOR.send(message(attempt=2), ours(server), wire)
    assert len(server.mails) == 1


async def test_patience_grows_with_the_tries(server: SmtpServer, wire: Wire) -> None:
    server.fail("recipient", "451 4.3.0 later")
    waits = [(await failing(message(attempt=n), ours(server), wire)).after_s for n in range(1, 9)]
    assert waits == [60, 300, 900, 1800, 3600, 7200, 10_800, 10_800]


async def test_greylisting_lets_the_second_try_in(wire: Wire) -> None:
    with SmtpServer(greylist=True) as server:
        error = await failing(message(), ours(server), wire)
        assert (error.code, error.retry, error.after_s) == (C.RESPONSE_STATUS, True, 300.0)
        await CONNECTOR.send(message(attempt=2), ours(server), wire)
        assert len(server.mails) == 1


# --------------------------------------------------------------------------------------------- each recipient by itself


async def test_the_others_get_theirs_where_one_of_them_is_refused(server: SmtpServer, wire: Wire) -> None:
    server.fail("recipient", "550 5.1.1 No such user", to="bob@example.org")
    sent = await CONNECTOR.send(message(cc=(BOB, CARL)), ours(server), wire)
    (mail,) = server.mails
    assert mail.recipients == ("ann@example.net", "carl@example.org")
    assert sent.external_ids == (mail.header("Message-ID"),)
    assert sent.detail == (
        "not to bob@example.org: there is no such mailbox: to the recipient the server said 550 5.1.1 No such user"
    )


async def test_without_the_one_whom_it_is_for_nobody_gets_it(server: SmtpServer, wire: Wire) -> None:
    server.fail("recipient", "550 5.1.1 No such user", to="ann@example.net", times=1)
    error = await failing(message(cc=(BOB,)), ours(server), wire)
    assert (error.code, error.provider_code) == (C.REJECTED, "550 5.1.1")
    assert server.mails == []
    assert server.commands[-1] == b"RSET", "the connection serves the next mail"


async def test_a_copy_that_is_put_off_is_waited_for_and_then_left(server: SmtpServer, wire: Wire) -> None:
    """Nothing goes out until all take it, or each try would bring the others the mail again."""
    server.fail("recipient", "450 4.2.0 Greylisted", to="bob@example.org")
    for attempt in (1, 2):
        error = await failing(message(cc=(BOB,), attempt=attempt), ours(server), wire)
        assert error.retry
    assert server.mails == []
    sent = await CONNECTOR.send(message(cc=(BOB,), attempt=3), ours(server), wire)
    assert server.mails[0].recipients == ("ann@example.net",)
    assert sent.detail.startswith("not to bob@example.org: not now")


# ------------------------------------------------------------------------------------------------- lost connections


@pytest.mark.parametrize("at", ["connect", "sender", "recipient", "data"])
@pytest.mark.parametrize("how", ["drop", "hang"])
async def test_until_the_mail_it_was_certainly_not_sent(
    at: str, how: str, server: SmtpServer, wire: Wire
) -> None:
    getattr(server, how)(at)
    error = await failing(message(), ours(server), wire, UP_TO_THE_MAIL)
    assert (error.code, error.retry, error.after_s) == (C.CONNECTION_FAILED, True, 60.0), error
    server.release()
    await CONNECTOR.send(message(attempt=2), ours(server), wire)
    assert len(server.mails) == 1


@pytest.mark.parametrize("at, how, arrived", [("body", "drop", 0), ("dot", "drop", 1), ("dot", "hang", 1)])
async def test_after_it_nobody_knows_and_the_same_mail_goes_again(
    at: str, how: str, arrived: int, server: SmtpServer, wire: Wire
) -> None:
    """RFC 1047: so the retry has the same Message-ID, and the same bytes."""
    getattr(server, how)(at)
    error = await failing(message(), ours(server), wire, AFTER_IT)
    assert (error.code, error.retry) == (C.UNKNOWN, False)
    assert len(server.mails) == arrived
    server.release()
    assert await CONNECTOR.find(message(attempt=1), ours(server), wire) is None, "it goes out again"
    sent = await CONNECTOR.send(message(attempt=2), ours(server), wire)
    assert {mail.header("Message-ID") for mail in server.mails} == set(sent.external_ids)
    assert len({mail.data for mail in server.mails}) == 1


async def test_a_server_that_breaks_off_each_time_is_left_to_a_person(server: SmtpServer, wire: Wire) -> None:
    server.drop("dot", times=9)
    account = ours(server)
    for attempt in (1, 2):
        assert (await failing(message(attempt=attempt), account, wire)).code is C.UNKNOWN
        assert await CONNECTOR.find(message(attempt=attempt), account, wire) is None
    with pytest.raises(SendError, match="3 times") as caught:
        await CONNECTOR.find(message(attempt=3), account, wire)
    assert caught.value.code is C.UNKNOWN


async def test_nobody_there(wire: Wire) -> None:
    account = mailbox(smtp={"host": "localhost", "port": free_port(), "tls": "none"})
    error = await failing(message(), account, wire)
    assert (error.code, error.retry, error.whole_account) == (C.CONNECTION_FAILED, True, False)


@pytest.mark.parametrize(
    "number, code", [(socket.EAI_NONAME, C.CHANNEL_CONFIG), (socket.EAI_AGAIN, C.CONNECTION_FAILED)]
)
async def test_a_name_that_is_none_is_ours_to_put_right(
    number: int, code: SendCode, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    error = await failing(message(), mailbox(smtp={"host": "smtp.exmaple.com"}), wire)
    assert (error.code, error.whole_account) == (code, code is C.CHANNEL_CONFIG)


async def test_an_account_can_be_looked_at_without_sending(wire: Wire) -> None:
    with SmtpServer(users={"support@example.com": "right"}) as server:
        await lines.check(ours(server, {"password": ("right",)}), wire)
        with pytest.raises(SendError, match="535"):
            await lines.check(ours(server, {"password": ("wrong",)}), wire)
        assert server.mails == []


async def test_a_cancelled_send_leaves_no_connection(server: SmtpServer, wire: Wire) -> None:
    server.hang("dot")
    task = asyncio.create_task(CONNECTOR.send(message(), ours(server), wire))
    while not server.mails:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.release()
    for _ in range(3000):
        if not server.open:
            break
        await asyncio.sleep(0.01)
    assert server.open == 0


# ------------------------------------------------------------------------------------------------ logins and encryption


@pytest.mark.parametrize("tls", ["tls", "starttls"])
@pytest.mark.parametrize("way", ["PLAIN", "LOGIN"])
async def test_a_login_over_tls(tls: str, way: str, pem: Path, wire: Wire) -> None:
    users = {"support@example.com": "canary-password"}
    with SmtpServer(users=users, tls=tls, pem=pem, ways=(way,)) as server:
        account = ours(server, {"password": ("canary-password",)}, smtp={"ca": str(pem)})
        await CONNECTOR.send(message(), account, wire)
        (mail,) = server.mails
        assert (mail.tls, mail.login) == (True, "support@example.com")
        assert server.logins == [(way, "support@example.com", True)]


async def test_a_wrong_password_is_tried_once_and_two_while_it_is_changed(wire: Wire) -> None:
    with SmtpServer(users={"support@example.com": "the-older"}) as server:
        error = await failing(message(), ours(server, {"password": ("wrong",)}), wire)
        assert (error.code, error.whole_account, error.provider_code) == (C.CHANNEL_CONFIG, True, "535 5.7.8")
        assert len(server.logins) == 1
        await CONNECTOR.send(message(), ours(server, {"password": ("the-newer", "the-older")}), wire)
        assert len(server.mails) == 1
        server.close_all()
        server.fail("login", "454 4.7.0 Temporary authentication failure", times=1)
        error = await failing(message(), ours(server, {"password": ("the-older",)}), wire)
        assert (error.code, error.retry, error.whole_account) == (C.RESPONSE_STATUS, True, False)


async def test_an_access_token_is_renewed_when_it_is_refused(wire: Wire) -> None:
    tokens = {"support@example.com": "first"}
    with SmtpServer(tokens=tokens) as server, Provider() as provider:
        for token in ("first", "second"):
            provider.queue.append(Say(body=b'{"access_token":"%s","expires_in":3600}' % token.encode()))
        account = ours(
            server,
            {"refresh_token": ("canary-refresh",), "client_secret": ("canary-client",)},
            auth="xoauth2",
            oauth={"token_url": provider.url + "/token", "client_id": "hub"},
        )
        await CONNECTOR.send(message(delivery_id=1), account, wire)
        server.close_all()
        server.tokens["support@example.com"] = "second"  # the provider ended the first early
        await CONNECTOR.send(message(delivery_id=2), account, wire)
        assert len(server.mails) == 2
        assert [good for _, _, good in server.logins] == [True, False, True]
        server.close_all()
        provider.queue.append(Say(status=400, body=b'{"error":"invalid_grant"}'))
        server.tokens.clear()
        server.tokens["nobody"] = "x"
        error = await failing(message(delivery_id=3), account, wire)
        assert (error.code, error.whole_account) == (C.CHANNEL_CONFIG, True)
        assert "invalid_grant" in error.detail


async def test_nothing_goes_in_the_clear_where_tls_was_asked_for(pem: Path, wire: Wire) -> None:
    with SmtpServer(users={"support@example.com": "pw"}) as server:
        for tls in ("starttls", "tls"):
            account = ours(server, {"password": ("pw",)}, smtp={"tls": tls})
            error = await failing(message(), account, wire)
            assert (error.code, error.whole_account) == (C.CHANNEL_CONFIG, True), error
        assert server.mails == []
        assert server.logins == []
    for tls in ("starttls", "tls"):
        with SmtpServer(tls=tls, pem=pem) as server:
            error = await failing(message(), ours(server), wire)
            assert error.code is C.CHANNEL_CONFIG
            assert "certificate is not trusted" in error.detail
            assert server.mails == []


# ----------------------------------------------------------------------------------------------- extensions, envelopes


async def test_a_mail_beyond_the_servers_size_is_not_begun(wire: Wire) -> None:
    with SmtpServer(size=4_000) as server:
        error = await failing(message(attachments=(file("b", "x.png", "image/png"),)), ours(server), wire)
        assert error.code is C.MESSAGE_INVALID
        assert "takes 4,000" in error.detail
        assert not [c for c in server.commands if c.startswith(b"MAIL")]
        await CONNECTOR.send(message(), ours(server), wire)
        assert server.mails[0].options[0].startswith("SIZE=")


async def test_addresses_in_other_letters_need_a_server_that_takes_them(
    server: SmtpServer, wire: Wire
) -> None:
    await CONNECTOR.send(message(to="mailto:änn@exämple.net"), ours(server), wire)
    (mail,) = server.mails
    assert mail.recipients == ("änn@xn--exmple-cua.net",)
    assert "SMTPUTF8" in mail.options
    with SmtpServer(utf8=False) as old:
        error = await failing(message(to="mailto:änn@exämple.net"), ours(old), wire)
        assert error.code is C.REJECTED
        await CONNECTOR.send(message(to="mailto:ann@exämple.net"), ours(old), wire)
        assert old.mails[0].recipients == ("ann@xn--exmple-cua.net",)


async def test_automatic_mail_has_the_null_sender_where_the_server_takes_it(
    server: SmtpServer, wire: Wire
) -> None:
    await CONNECTOR.send(message(automatic=True), ours(server), wire)
    server.fail("sender", "501 5.1.7 Bad sender address syntax", times=1)
    await CONNECTOR.send(message(automatic=True), ours(server), wire)
    server.fail("dot", "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException", times=1)
    await CONNECTOR.send(message(automatic=True), ours(server), wire)
    assert [mail.sender for mail in server.mails] == ["", "support@example.com", "support@example.com"]
    assert all(mail.header("Auto-Submitted") == "auto-generated" for mail in server.mails)


@pytest.mark.parametrize(
    "evil",
    [
        "mailto:a@b.example>\r\nRCPT TO:<eve@evil.example",
        "mailto:a@b.example>\nDATA",
        "mailto:a@b\x00.example",
    ],
)
async def test_no_command_comes_out_of_an_address(evil: str, server: SmtpServer, wire: Wire) -> None:
    error = await failing(message(to=evil), ours(server), wire)
    assert error.code is C.REJECTED
    await CONNECTOR.send(message(cc=(evil,)), ours(server), wire)
    (mail,) = server.mails
    assert mail.recipients == ("ann@example.net",)
    assert [c for c in server.commands if c.startswith(b"RCPT")] == [b"RCPT TO:<ann@example.net>"]


async def test_no_field_comes_out_of_what_people_wrote(server: SmtpServer, wire: Wire) -> None:
    """S7, on the raw bytes that the server got."""
    evil = "x\r\nBcc: eve@evil.example\r\n\r\nDear\u2028customer\x00\n.\r\nMAIL FROM:<>" + "y" * 10_000
    said = message(
        subject=evil,
        author_name=evil,
        in_reply_to=f"<{evil}@x>",
        references=(evil,),
        text=evil,
        attachments=(file("a", evil),),
        bulk=True,
    )
    await CONNECTOR.send(said, ours(server, name="{agent}", signature="{agent}"), wire)
    (mail,) = server.mails
    sound(mail.data)
    head = mail.data.partition(b"\r\n\r\n")[0]
    assert b"\r\nBcc" not in head
    assert mail.header("Bcc") is None
    assert mail.header("In-Reply-To") is None
    assert mail.recipients == ("ann@example.net",)
    assert [c.split(b" ")[0] for c in server.commands] == [b"EHLO", b"MAIL", b"RCPT", b"DATA"]


async def test_a_mailbox_without_smtp_says_so(wire: Wire) -> None:
    error = await failing(message(), mailbox(), wire)
    assert (error.code, error.whole_account) == (C.CHANNEL_CONFIG, True)


async def test_a_file_that_is_gone(server: SmtpServer, wire: Wire) -> None:
    from hub.errors import NotFound, Unavailable

    class Gone:
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def read(self, sha256: str) -> bytes:
            raise self.error

    said = message(attachments=(file("a", "bill.pdf"),))
    gone = await failing(said, ours(server), replace(wire, blobs=Gone(NotFound("no blob is kept here"))))
    assert (gone.code, gone.retry) == (C.MESSAGE_INVALID, False)
    away = await failing(said, ours(server), replace(wire, blobs=Gone(Unavailable("the disk is away"))))
    assert (away.code, away.retry) == (C.CONNECTION_FAILED, True)


def test_tls_is_at_least_what_rfc_8996_leaves() -> None:
    assert lines._context(None).minimum_version >= ssl.TLSVersion.TLSv1_2
    assert lines._context(None).check_hostname
